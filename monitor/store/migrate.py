"""Brings a store to the schema of this code, in one transaction, and refuses a store that is newer than the code."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.model.errors import JournalLost
from monitor.store.database import Place, connect, exists, place, reading, writing

VERSION_TABLE: Final = "drawbridge_schema"
DEADLINE_S: Final = 60.0  # another process may be migrating
_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK_KEY: Final = 0x6472_6177_6272_6964  # "drawbrid"
_one_at_a_time = threading.Lock()  # Alembic keeps its context in a module: two runs in one process would mix


async def migrate(url: str) -> None:
    """Upgrade the store to this code's schema; nothing happens where it is there already. Raises JournalLost."""
    await asyncio.to_thread(_migrate_blocking, place(url))


def _migrate_blocking(where: Place) -> None:
    with _one_at_a_time:
        if where.kind == "sqlite":
            _make_file(Path(where.address))
        asyncio.run(_migrate(where))


async def _migrate(where: Place) -> None:
    engine = connect(where, pool=1)
    try:
        async with writing(engine, f"store {where.shown}", error=JournalLost, deadline_s=DEADLINE_S) as open:
            if where.kind == "postgresql":
                await open.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            await open.run_sync(_upgrade, where)
    finally:
        await engine.dispose()


def _make_file(path: Path) -> None:
    """A new file is its owner's alone: the journal holds signed transactions. Where it fails, connecting says why."""
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _upgrade(connection: Connection, where: Place) -> None:
    if _missing(connection, where):
        config = _config()
        config.attributes["connection"] = connection
        config.attributes["version_table"] = VERSION_TABLE
        command.upgrade(config, "head")


async def blank(url: str) -> bool:
    """Whether no monitor ever ran on this store, so that there is nothing to read yet. Raises JournalLost."""
    where = place(url)
    if not exists(where):
        return True
    engine = connect(where, pool=1)
    try:
        async with reading(engine, f"store {where.shown}", error=JournalLost) as open:
            return not await open.run_sync(_applied)
    finally:
        await engine.dispose()


async def require_schema(engine: AsyncEngine, where: Place) -> None:
    """Refuse a store that is absent, older or newer than this code, in one line. Raises JournalLost."""
    if not exists(where):
        raise JournalLost(f"store {where.shown}: no such file; `drawbridge run` makes it")
    async with reading(engine, f"store {where.shown}", error=JournalLost) as open:
        missing = await open.run_sync(_missing, where)
    if missing:
        raise JournalLost(f"store {where.shown}: its schema is older than this code; `drawbridge run` upgrades it")


def _missing(connection: Connection, where: Place) -> bool:
    """Whether steps are missing. A store with steps that this code does not know is refused."""
    script = ScriptDirectory.from_config(_config())
    known = {revision.revision for revision in script.walk_revisions()}
    current = _applied(connection)
    if current - known:
        newer = ", ".join(sorted(current - known))[:80]
        raise JournalLost(
            f"store {where.shown}: its schema {newer} is newer than this code ({script.get_current_head()}); "
            "upgrade drawbridge"
        )
    return current != set(script.get_heads())


def _applied(connection: Connection) -> set[str]:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return set(context.get_current_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return config
