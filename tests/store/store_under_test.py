"""The store that a test is given, on either engine, with a thief's rights on its database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url


@dataclass(frozen=True)
class Store:
    """A store under test, and what somebody with full rights on its database could do to it."""

    url: str
    kind: str
    directory: Path

    @property
    def anchor(self) -> Path:
        return self.directory / "anchor.jsonl"

    async def execute(self, statement: str, *values: Any, guarded: bool = False) -> list[Any]:
        """Run SQL with $1-style values; past the triggers, as a thief of the database would, unless guarded."""
        if self.kind == "sqlite":
            return self._execute_sqlite(statement.replace("$", "?"), values, guarded=guarded)
        connection = await asyncpg.connect(self.url)
        try:
            if not guarded:
                await connection.execute("SET session_replication_role = replica")
            return [tuple(row) for row in await connection.fetch(statement, *values)]
        finally:
            await connection.close()

    def _execute_sqlite(self, statement: str, values: tuple[Any, ...], *, guarded: bool) -> list[Any]:
        with closing(sqlite3.connect(make_url(self.url).database or "")) as connection:
            triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            guards = [] if guarded else triggers
            for name, _ in guards:
                connection.execute(f"DROP TRIGGER {name}")
            rows = connection.execute(statement, values).fetchall()
            for _, text in guards:
                connection.execute(text)
            connection.commit()
            return rows
