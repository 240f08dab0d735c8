"""The journal as JSON lines for people and outside tools: a header that says how hashes are made, then the rows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.model import codec
from monitor.model.errors import Unreachable
from monitor.store.database import connect, outside, place
from monitor.store.journal import read_forms, read_head, read_rows
from monitor.store.migrate import require_schema
from monitor.store.rows import HASH_RULE, Head, Row, step_bytes

_CHUNK: Final = 500  # lines written at once
_DEADLINE_S: Final = 60.0


async def export(store_url: str, file: Path) -> int:
    """Write every row as stored, good or not; the number of rows. Raises JournalLost, Unreachable."""
    where = place(store_url)
    engine = connect(where)
    try:
        await require_schema(engine, where)
        async with outside(f"export {file}", error=Unreachable, deadline_s=_DEADLINE_S):
            handle = await asyncio.to_thread(file.open, "wb")
        try:
            return await _export(engine, handle)
        finally:
            await asyncio.to_thread(handle.close)
    finally:
        await engine.dispose()


async def _export(engine: AsyncEngine, handle: IO[bytes]) -> int:
    head, forms = await read_head(engine), await read_forms(engine)
    lines, count = [_header(head)], 0
    async for row in read_rows(engine, 0, head.seq):
        lines.append(_line(row, step_bytes(row, forms)))
        count += 1
        if len(lines) >= _CHUNK:
            await _write(handle, lines)
            lines = []
    await _write(handle, lines)
    return count


async def _write(handle: IO[bytes], lines: list[bytes]) -> None:
    async with outside(f"export {handle.name}", error=Unreachable, deadline_s=_DEADLINE_S):
        await asyncio.to_thread(handle.writelines, lines)
        await asyncio.to_thread(handle.flush)


def _header(head: Head) -> bytes:
    header = {"format": "drawbridge journal 1", "rule": HASH_RULE, "rows": head.seq, "head": head.hash.hex()}
    return codec.encode(header) + b"\n"


def _line(row: Row, step: bytes | None) -> bytes:
    line = {"seq": row.seq, "seen_at": row.seen_at, "hash": _hex(row.hash)}
    return codec.encode({**line, **_text("event", row.event), **_text("step", step)}) + b"\n"


def _text(name: str, data: bytes | None) -> dict[str, Any]:
    """Exact text where the bytes are text, as they are unless somebody changed them; else hex under another name."""
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_hex": data.hex()}


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()
