"""The hot path of the journal: one driver connection that appends rows, and the lock that makes it the only one.

Here SQLAlchemy is left out on purpose: through it a commit of 1.5 kB costs 0.7 ms, through the driver 0.2 ms.
A row is in the file, flushed, when `write` returns. What a driver raises comes out as it is; the journal names it.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Protocol

from monitor.model.errors import JournalLost
from monitor.store.database import DEADLINE_S, DRIVER_FAULTS, PRAGMAS, Place, dial_postgres, sqlite_file
from monitor.store.rows import Row

_INSERT_SQLITE: Final = "INSERT INTO journal (seq, seen_at, event, step, form, hash) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_POSTGRES: Final = (
    "INSERT INTO journal (seq, seen_at, event, step, form, hash) "
    "SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::int[], $6::bytea[])"
)


class Writer(Protocol):
    """Owns the journal until closed."""

    async def write(self, rows: Sequence[Row]) -> None:
        """All rows in one durable commit, or none."""

    async def close(self) -> None: ...


async def open_writer(where: Place) -> Writer:
    """Take the journal's lock and connect. Raises JournalLost where another process has it."""
    if where.kind == "sqlite":
        return await SqliteWriter.open(where)
    return await PostgresWriter.open(where)


class SqliteWriter:
    """One sqlite3 connection in a thread of its own, and a lock file that the kernel frees when we die."""

    def __init__(self, where: Place) -> None:
        self._where = where
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._lock = -1
        self._connection: sqlite3.Connection | None = None

    @classmethod
    async def open(cls, where: Place) -> SqliteWriter:
        async with AsyncExitStack() as undo:
            writer = cls(where)
            undo.push_async_callback(writer.close)
            await asyncio.get_running_loop().run_in_executor(writer._thread, writer._start)
            undo.pop_all()
        return writer

    async def write(self, rows: Sequence[Row]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._insert, rows)

    async def close(self) -> None:
        """Behind any commit under way, in the same thread: the lock is never free while we may still write."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._stop)
        self._thread.shutdown(wait=False)

    def _start(self) -> None:
        self._lock = _locked(Path(self._where.address).resolve(), self._where.shown)
        self._connection = sqlite3.connect(f"{sqlite_file(self._where)}?mode=rw", uri=True, isolation_level=None)
        for pragma in PRAGMAS:
            self._connection.execute(pragma)
        (mode,) = self._connection.execute("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            raise JournalLost(f"journal {self._where.shown}: this file system allows no WAL; use a local disk")

    def _insert(self, rows: Sequence[Row]) -> None:
        connection = self._connection
        if connection is None:
            raise sqlite3.ProgrammingError("the journal's connection is closed")
        if len(rows) == 1:
            connection.execute(_INSERT_SQLITE, rows[0])  # one statement commits by itself
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_INSERT_SQLITE, rows)
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _locked(database: Path, shown: str) -> int:
    """An exclusive lock on a file beside the database: closing the database itself would drop SQLite's own locks."""
    path = database.with_name(database.name + ".lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise JournalLost(f"journal {shown}: process {holder} writes it already; stop that one first") from None
    os.ftruncate(handle, 0)
    os.write(handle, b"%d\n" % os.getpid())
    return handle


class PostgresWriter:
    """One asyncpg connection that holds a session lock: whoever loses the connection loses the lock with it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._insert: Any = None

    @classmethod
    async def open(cls, where: Place) -> PostgresWriter:
        async with AsyncExitStack() as undo:
            writer = cls(await dial_postgres(where))
            undo.push_async_callback(writer.close)
            await writer.claim(where)
            undo.pop_all()
        return writer

    async def write(self, rows: Sequence[Row]) -> None:
        """One statement: atomic and one round trip, for one row as for a thousand."""
        await self._insert.fetch(*map(list, zip(*rows, strict=True)))

    async def close(self) -> None:
        try:
            await self._connection.close(timeout=DEADLINE_S)
        except (*DRIVER_FAULTS, TimeoutError):
            self._connection.terminate()

    async def claim(self, where: Place) -> None:
        """Refuse a server that does not flush, then take the lock. Raises JournalLost."""
        if await self._connection.fetchval("SHOW fsync") != "on":
            raise JournalLost(f"journal {where.shown}: PostgreSQL runs with fsync off; nothing there is durable")
        schema = await self._connection.fetchval("SELECT current_schema()")
        if not await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", _lock_key(str(schema))):
            raise JournalLost(f"journal {where.shown}: another process writes it already; stop that one first")
        self._insert = await self._connection.prepare(_INSERT_POSTGRES)


def _lock_key(schema: str) -> int:
    return int.from_bytes(hashlib.sha256(b"drawbridge journal " + schema.encode()).digest()[:8], "big", signed=True)
