"""Where the store is, and how it is reached: one URL to one engine, with a deadline and a one-line error on every use.

SQLite runs in WAL mode with synchronous=FULL, PostgreSQL with synchronous_commit=on: a commit that returned is on disk.
Nothing here knows what is stored.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import asyncpg
from sqlalchemy import URL, event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from monitor.model.errors import ConfigurationError, DrawbridgeError

DEADLINE_S: Final = 5.0
BUSY_MS: Final = 4_000  # below the deadline, so that a locked database says so itself
DRIVER_FAULTS: Final = (
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says when the server hung up while nothing was asked
    SQLAlchemyError,
    OSError,
)
SERVER_SETTINGS: Final = {"synchronous_commit": "on", "application_name": "drawbridge"}
PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {BUSY_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",  # macOS flushes to the platter only when asked
    "PRAGMA journal_size_limit = 67108864",
)
_HINTS: Final = (
    ("disk is full", "free disk space and start again"),
    ("No space left", "free disk space and start again"),
    ("database is locked", "another process holds the file: find it and stop it"),
    ("disk I/O error", "check the disk, its free space and its quota"),
    ("readonly", "make the file and its directory writable"),
    ("unable to open", "check the path and its permissions"),
    ("another operation (2) is in progress", "the server hung up: check PostgreSQL and start again"),
    ("connection is closed", "check PostgreSQL and start again"),
    ("connection was closed", "check PostgreSQL and start again"),
    ("terminating connection", "check PostgreSQL and start again"),
    ("Connect call failed", "check that PostgreSQL runs and the address in `store`"),
    ("not a database", "this is not a SQLite file: check `store`"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is. `address` is a file path or a DSN and may hold a password; `shown` never does."""

    kind: Literal["sqlite", "postgresql"]
    address: str
    shown: str


def place(url: str) -> Place:
    """Parse `sqlite:///file.db` or `postgresql://user@host/name`. Raises ConfigurationError."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise _unusable("is no URL") from None
    match parsed.get_backend_name():
        case "sqlite" if parsed.query:
            raise _unusable("has options, which SQLite files do not take")
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return Place("sqlite", parsed.database, f"sqlite:///{parsed.database}")
        case "sqlite":
            raise _unusable("names no file: a store in memory would not survive a crash")
        case "postgresql" | "postgres":
            dsn = parsed.set(drivername="postgresql")
            return Place("postgresql", dsn.render_as_string(hide_password=False), dsn.render_as_string())
        case other:
            raise _unusable(f"has the unknown scheme {other[:40]!r}")


def _unusable(why: str) -> ConfigurationError:
    return ConfigurationError((f"store: the URL {why}; allowed: sqlite:///file.db or postgresql://user@host/name",))


def connect(where: Place, *, pool: int = 2) -> AsyncEngine:
    """An engine that connects on first use and never makes a missing SQLite file. Its owner disposes of it."""
    if where.kind == "sqlite":
        url = URL.create("sqlite+aiosqlite", database=sqlite_file(where), query={"mode": "rw", "uri": "true"})
        engine = create_async_engine(url, pool_size=pool, max_overflow=0, pool_timeout=DEADLINE_S)
        event.listen(engine.sync_engine, "do_connect", _try_sqlite)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine

    async def dial() -> Any:
        return await dial_postgres(where)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=dial,
        pool_size=pool,
        max_overflow=0,
        pool_timeout=DEADLINE_S,
        pool_pre_ping=True,  # a restarted server costs a reader nothing
    )


def sqlite_file(where: Place) -> str:
    """SQLite's own URI of a file, to which a mode is added."""
    return "file:" + quote(str(Path(where.address).absolute()))


async def dial_postgres(where: Place) -> Any:
    """A connection of the driver itself; asyncpg reads the DSN, so libpq's `sslmode`, `host=` and so on work."""
    return await asyncpg.connect(where.address, server_settings=SERVER_SETTINGS, timeout=DEADLINE_S)


def _try_sqlite(_dialect: object, _record: object, arguments: Any, options: dict[str, Any]) -> None:
    # Where opening fails, aiosqlite leaves a thread behind that speaks to a loop which may be gone: fail before it.
    sqlite3.connect(*arguments, **options).close()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver would leave DDL outside transactions
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A reader that turns writer in mid-transaction fails at once when another wrote meanwhile: writers say so first.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@asynccontextmanager
async def writing(
    engine: AsyncEngine, what: str, *, error: type[DrawbridgeError], deadline_s: float = DEADLINE_S
) -> AsyncIterator[AsyncConnection]:
    """One write transaction, committed on leaving; any fault of driver or deadline becomes `error`, in one line."""
    async with outside(what, error=error, deadline_s=deadline_s), engine.execution_options(writes=True).begin() as open:
        yield open


@asynccontextmanager
async def reading(
    engine: AsyncEngine, what: str, *, error: type[DrawbridgeError], deadline_s: float = DEADLINE_S
) -> AsyncIterator[AsyncConnection]:
    """One read transaction, with the same errors as `writing`."""
    async with outside(what, error=error, deadline_s=deadline_s), engine.connect() as open:
        yield open


@asynccontextmanager
async def outside(what: str, *, error: type[DrawbridgeError], deadline_s: float = DEADLINE_S) -> AsyncIterator[None]:
    """Whatever the driver raises inside, or silence past the deadline, comes out as `error` with one line."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError as fault:
        raise error(f"{what}: no answer within {deadline_s:g} s") from fault
    except DRIVER_FAULTS as fault:
        raise error(f"{what}: {reason(fault)}") from fault


def reason(fault: BaseException) -> str:
    """The first line of what the driver said, and what to do where we know it."""
    inner: BaseException = getattr(fault, "orig", None) or fault
    inner = inner.__cause__ if isinstance(fault, SQLAlchemyError) and inner.__cause__ else inner
    lines = str(inner).strip().splitlines()
    said = (lines[0] if lines else type(inner).__name__)[:200]
    advice = next((hint for mark, hint in _HINTS if mark in said), "")
    return f"{said}; {advice}" if advice else said


def exists(where: Place) -> bool:
    """Whether a SQLite file is there; PostgreSQL answers for itself."""
    return where.kind == "postgresql" or Path(where.address).is_file()
