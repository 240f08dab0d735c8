"""The journal: every event and what the core concluded from it; append-only, hash-chained, flushed by `append`.

One writer per journal; any number of readers beside it. After one failed append nothing more is accepted until the
journal is opened anew, because only the database knows how that append ended. Reading checks the chain on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

import msgspec
from sqlalchemy import LargeBinary, cast, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.model import codec
from monitor.model.errors import JournalLost, Undecodable
from monitor.model.events import AnyEvent, Stamped
from monitor.model.incidents import Step
from monitor.model.ports import Journal
from monitor.model.units import NO_HASH, Hash, Instant
from monitor.store import snapshots
from monitor.store.database import DEADLINE_S, Place, connect, outside, place, reading, writing
from monitor.store.migrate import require_schema
from monitor.store.rows import NOT_QUIET, Head, Row, link, quiet_tail, verified_step
from monitor.store.tables import journal, journal_forms
from monitor.store.writers import Writer, open_writer

PAGE: Final = 500  # rows a read holds in memory
# Cast, since SQLite lets somebody store text where bytes belong, and the driver would choke on a whole page.
_STORED: Final = [
    cast(column, LargeBinary).label(column.name) if isinstance(column.type, LargeBinary) else column
    for column in journal.c
]
_events: Final = msgspec.json.Decoder(AnyEvent)


class SqlJournal:
    """Implements model.ports.Journal on SQLite and PostgreSQL: `open` to write, `read_only` beside a running writer."""

    def __init__(self, where: Place, engine: AsyncEngine, *, deadline_s: float) -> None:
        self._where = where
        self._engine = engine
        self._deadline_s = deadline_s
        self._writer: Writer | None = None
        self._turn = asyncio.Lock()
        self._head = Head()
        self._form, self._tail = 0, quiet_tail()
        self._refuses = "it was opened for reading only"

    @classmethod
    async def open(cls, url: str, *, deadline_s: float = DEADLINE_S) -> Self:
        """Become the one writer of a migrated store. Raises JournalLost where another process is."""
        async with AsyncExitStack() as undo:
            opened = await cls.read_only(url, deadline_s=deadline_s)
            undo.push_async_callback(opened.close)
            async with outside(opened._what, error=JournalLost):
                opened._writer = await open_writer(opened._where)
            opened._head = await read_head(opened._engine)
            opened._form = await _own_form(opened._engine, opened._tail)
            opened._refuses = ""
            undo.pop_all()
        return opened

    @classmethod
    async def read_only(cls, url: str, *, deadline_s: float = DEADLINE_S) -> Self:
        """The same journal without the right to append: for replay, audit and the console. Raises JournalLost."""
        async with AsyncExitStack() as undo:
            where = place(url)
            engine = connect(where)
            undo.push_async_callback(engine.dispose)
            await require_schema(engine, where)
            undo.pop_all()
        return cls(where, engine, deadline_s=deadline_s)

    async def close(self) -> None:
        """Give up the lock and the connections."""
        self._refuses = "it was closed"
        try:
            if self._writer is not None:
                async with outside(self._what, error=JournalLost):
                    await self._writer.close()
        finally:
            await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def head(self) -> Head:
        """The newest row that this writer knows to be durable: what the anchor signs."""
        return self._head

    async def append(self, entries: Sequence[tuple[Stamped, Step]]) -> None:
        """One commit for all entries, flushed on return. Raises JournalLost, and ever after it failed to write."""
        if not entries:
            return
        async with self._turn:
            if self._refuses or self._writer is None:
                raise JournalLost(f"{self._what} takes no entries: {self._refuses}; open it anew")
            rows = link(self._head, entries, form=self._form, tail=self._tail)
            self._refuses = f"the append of events {rows[0].seq} to {rows[-1].seq} did not finish"
            async with outside(self._what, error=JournalLost, deadline_s=self._deadline_s):
                await self._writer.write(rows)
            self._head = Head(rows[-1].seq, Hash(rows[-1].hash), rows[-1].seen_at)
            self._refuses = ""

    async def read(self, first: int = 0, last: int | None = None) -> AsyncIterator[tuple[Stamped, bytes]]:
        """Events with the exact bytes of their steps, ends included. Raises JournalLost where the chain breaks."""
        seq = max(first, 1) - 1
        before: bytes | None = await self.hash_at(seq)
        forms = await read_forms(self._engine)
        async for row in read_rows(self._engine, seq, last):
            step = None if before is None or row.seq != seq + 1 else verified_step(before, row, forms)
            if step is None:
                raise JournalLost(f"{self._what}: the chain is broken at row {row.seq}; run `drawbridge audit verify`")
            yield _stamped(row), step
            seq, before = row.seq, row.hash

    async def last(self) -> tuple[int, Instant]:
        """Highest seq and its seen_at; (0, 0) when empty."""
        head = await read_head(self._engine)
        return head.seq, Instant(head.seen_at)

    async def hash_at(self, seq: int) -> Hash | None:
        """The hash of a row; 32 zero bytes before row 1; None where there is no such row."""
        if seq == 0:
            return NO_HASH
        async with reading(self._engine, f"{self._what} row {seq}", error=JournalLost) as open:
            return await open.scalar(select(journal.c.hash).where(journal.c.seq == seq))

    async def save_snapshot(self, seq: int, state: bytes, *, finalised: bool = False) -> None:
        """Keep the state after `seq`, which is appended already. The newest 64 and all finalised ones stay."""
        await snapshots.save_snapshot(self._engine, seq, state=state, finalised=finalised)

    async def latest_snapshot(self, at_or_before: int | None = None) -> tuple[int, bytes] | None:
        """The newest snapshot that is whole and belongs to this journal."""
        return await snapshots.latest_snapshot(self._engine, at_or_before)

    async def put_blob(self, data: bytes) -> Hash:
        return await snapshots.put_blob(self._engine, data)

    async def get_blob(self, digest: Hash) -> bytes | None:
        return await snapshots.get_blob(self._engine, digest)

    @property
    def _what(self) -> str:
        return f"journal {self._where.shown}"


async def steps(source: Journal, first: int = 0, last: int | None = None) -> AsyncIterator[tuple[Stamped, Step]]:
    """Events with their steps as values: what any view of incidents is rebuilt from."""
    async for stamped, step in source.read(first, last):
        yield stamped, codec.decode(step, Step)


async def read_rows(engine: AsyncEngine, after: int, last: int | None) -> AsyncIterator[Row]:
    """Rows behind `after` as they are stored, unchecked, a page at a time."""
    query = select(*_STORED).order_by(journal.c.seq).limit(PAGE)
    if last is not None:
        query = query.where(journal.c.seq <= last)
    while True:
        async with reading(engine, f"journal after row {after}", error=JournalLost) as open:
            page = (await open.execute(query.where(journal.c.seq > after))).all()
        for row in page:
            yield Row(*row)
        if len(page) < PAGE:
            return
        after = page[-1].seq


async def read_forms(engine: AsyncEngine) -> Mapping[int, bytes]:
    """How each code version wrote a quiet step."""
    async with reading(engine, "journal forms", error=JournalLost) as open:
        return {row.id: row.tail for row in await open.execute(select(journal_forms))}


async def read_head(engine: AsyncEngine) -> Head:
    """The newest row; all zero when empty."""
    query = select(journal.c.seq, journal.c.hash, journal.c.seen_at).order_by(journal.c.seq.desc()).limit(1)
    async with reading(engine, "journal head", error=JournalLost) as open:
        row = (await open.execute(query)).one_or_none()
    return Head() if row is None else Head(row.seq, Hash(row.hash), row.seen_at)


async def _own_form(engine: AsyncEngine, tail: bytes) -> int:
    """The number under which this code's quiet step is filed, filing it first where it is new."""
    async with writing(engine, "journal forms", error=JournalLost) as open:
        known = await open.scalar(select(journal_forms.c.id).where(journal_forms.c.tail == tail))
        if known is not None:
            return int(known)
        fresh = (await open.scalar(select(func.max(journal_forms.c.id))) or NOT_QUIET) + 1
        await open.execute(insert(journal_forms).values(id=fresh, tail=tail))
        return fresh


def _stamped(row: Row) -> Stamped:
    try:
        return Stamped(row.seq, Instant(row.seen_at), _events.decode(row.event))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Undecodable(f"journal row {row.seq}: not an event of this code version: {error}") from error
