"""Snapshots of the core's state, and blobs by their SHA-256. Both can be rebuilt or checked; neither is a second truth.

A snapshot's hash covers the journal's row hash at its seq: one that belongs to another or a cut-off journal, or that
was damaged, is passed over for the next older one. Kept: the newest 64, and every finalised one. Stored compressed, so
that SQLite's one write lock is held briefly and the journal does not wait.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final, NamedTuple

from sqlalchemy import delete, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from monitor.model import codec
from monitor.model.errors import JournalLost
from monitor.model.units import NO_HASH, Hash
from monitor.store.database import reading, writing
from monitor.store.tables import blobs, journal, snapshots

KEEP: Final = 64
_LEVEL: Final = 1  # five times smaller already, at 100 MB/s


class _Stored(NamedTuple):
    seq: int
    state: bytes
    hash: bytes
    head: bytes | None


async def save_snapshot(engine: AsyncEngine, seq: int, *, state: bytes, finalised: bool) -> None:
    """Store the state after event `seq`, which is journalled already. Raises JournalLost."""
    packed = await asyncio.to_thread(zlib.compress, state, _LEVEL)
    async with writing(engine, f"snapshot {seq}", error=JournalLost) as open:
        head = await _head_at(open, seq)
        if head is None:
            raise JournalLost(f"snapshot {seq}: event {seq} is not in the journal yet; append it first")
        await open.execute(delete(snapshots).where(snapshots.c.seq == seq))
        row = {"seq": seq, "state": packed, "hash": codec.digest(head + state), "finalised": finalised}
        await open.execute(insert(snapshots).values(row))
        await _prune(open)


async def latest_snapshot(engine: AsyncEngine, at_or_before: int | None) -> tuple[int, bytes] | None:
    """The newest snapshot that verifies against this journal, else None. Raises JournalLost."""
    below: int | None = at_or_before
    while True:
        row = await _newest(engine, below)
        if row is None:
            return None
        state = await asyncio.to_thread(_opened, row)
        if state is not None:
            return row.seq, state
        below = row.seq - 1


async def put_blob(engine: AsyncEngine, data: bytes) -> Hash:
    """Store bytes under their SHA-256; storing them again changes nothing."""
    digest = codec.digest(data)
    async with writing(engine, "blob", error=JournalLost) as open:
        # One statement for both engines, without either's own upsert.
        absent = ~select(blobs.c.hash).where(blobs.c.hash == digest).exists()
        await open.execute(
            insert(blobs).from_select(["hash", "data"], select(literal(digest), literal(data)).where(absent))
        )
    return digest


async def get_blob(engine: AsyncEngine, digest: Hash) -> bytes | None:
    """The bytes with this SHA-256; None where there are none. Raises JournalLost where they were changed."""
    async with reading(engine, "blob", error=JournalLost) as open:
        data = await open.scalar(select(blobs.c.data).where(blobs.c.hash == digest))
    if data is not None and codec.digest(data) != digest:
        raise JournalLost(f"blob {digest.hex()}: its bytes were changed; restore the store from a backup")
    return data


async def _head_at(open: AsyncConnection, seq: int) -> bytes | None:
    if seq == 0:
        return NO_HASH
    return await open.scalar(select(journal.c.hash).where(journal.c.seq == seq))


async def _newest(engine: AsyncEngine, at_or_before: int | None) -> _Stored | None:
    query = select(snapshots.c.seq, snapshots.c.state, snapshots.c.hash, journal.c.hash.label("head"))
    query = query.outerjoin_from(snapshots, journal, snapshots.c.seq == journal.c.seq)
    if at_or_before is not None:
        query = query.where(snapshots.c.seq <= at_or_before)
    async with reading(engine, "snapshots", error=JournalLost) as open:
        row = (await open.execute(query.order_by(snapshots.c.seq.desc()).limit(1))).one_or_none()
    return None if row is None else _Stored(*row)


def _opened(row: _Stored) -> bytes | None:
    head = NO_HASH if row.seq == 0 else row.head
    try:
        state = zlib.decompress(row.state)
    except zlib.error:
        return None
    return state if head is not None and codec.digest(head + state) == row.hash else None


async def _prune(open: AsyncConnection) -> None:
    newest = select(snapshots.c.seq).order_by(snapshots.c.seq.desc()).limit(1).offset(KEEP - 1).scalar_subquery()
    await open.execute(delete(snapshots).where(snapshots.c.seq < newest, ~snapshots.c.finalised))
