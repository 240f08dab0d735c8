"""Migrations: up from nothing, again without effect, equal to the tables in code; a newer schema is refused."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from monitor.model.errors import ConfigurationError, JournalLost
from monitor.store.database import connect, place
from monitor.store.journal import SqlJournal
from monitor.store.migrate import VERSION_TABLE, blank, migrate
from monitor.store.tables import metadata
from tests.store.store_builders import entries
from tests.store.store_under_test import Store


async def test_an_empty_place_becomes_a_store(empty: Store) -> None:
    await migrate(empty.url)
    async with await SqlJournal.open(empty.url) as journal:
        await journal.append(entries(1, 2))


async def test_a_place_where_no_monitor_ran_is_blank_and_a_store_is_not(empty: Store) -> None:
    assert await blank(empty.url)
    await migrate(empty.url)
    assert not await blank(empty.url)


async def test_migrating_again_changes_nothing(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 2))
        await migrate(store.url)
        await journal.append(entries(3, 4))
        assert [event.seq async for event, _ in journal.read()] == [1, 2, 3, 4]


async def test_migrations_and_tables_say_the_same(store: Store) -> None:
    def differences(connection: Connection) -> list[object]:
        options = {"version_table": VERSION_TABLE}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    engine = connect(place(store.url))
    async with engine.connect() as open:
        assert await open.run_sync(differences) == []
    await engine.dispose()


async def test_a_new_file_is_its_owner_s_alone(sqlite_store: Store) -> None:
    assert (os.stat(f"{sqlite_store.directory}/store.db").st_mode & 0o777) == 0o600


async def test_two_may_migrate_at_once(empty: Store) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(migrate(empty.url))
    async with await SqlJournal.open(empty.url):
        pass


async def test_a_newer_schema_is_refused_with_one_line(store: Store) -> None:
    await store.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for refused in (migrate(store.url), SqlJournal.open(store.url)):
        with pytest.raises(JournalLost, match=r"its schema 9999 is newer than this code \(0001\); upgrade") as error:
            await refused
        assert "\n" not in str(error.value)


async def test_a_migration_that_fails_leaves_nothing_behind(empty: Store) -> None:
    if empty.kind == "sqlite":
        sqlite3.connect(f"{empty.directory}/store.db").close()
    await empty.execute("CREATE TABLE commands (theirs INTEGER)")
    with pytest.raises(JournalLost, match="already exists") as refused:
        await migrate(empty.url)
    assert "\n" not in str(refused.value)
    await empty.execute("CREATE TABLE journal (ours INTEGER)")


async def test_a_place_without_a_schema_is_no_journal_yet(empty: Store) -> None:
    with pytest.raises(JournalLost, match=r"older than this code|no such file"):
        await SqlJournal.open(empty.url)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    with pytest.raises(JournalLost, match="file is not a database; this is not a SQLite file"):
        await migrate(f"sqlite:///{tmp_path}/notes.txt")


async def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalLost, match="unable to open database file; check the path"):
        await migrate(f"sqlite:///{tmp_path}/none/store.db")


async def test_a_server_that_is_not_there_is_refused_without_its_password() -> None:
    with pytest.raises(JournalLost, match="check that PostgreSQL runs") as refused:
        await migrate("postgresql://ann:secret@127.0.0.1:1/store")
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("store.db", "is no URL"),
        ("", "is no URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///store.db?mode=ro", "has options"),
        ("mysql://root@localhost/store", "unknown scheme 'mysql'"),
        ("postgresql://host:port/store", "is no URL"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as refused:
        place(url)
    assert "allowed: sqlite:///file.db or postgresql://" in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_every_way_to_write_postgresql_is_one_place(scheme: str) -> None:
    where = place(f"{scheme}://ann:se%40cret@host:5433/store?sslmode=require")
    assert where.address == "postgresql://ann:se%40cret@host:5433/store?sslmode=require"
    assert where.shown == "postgresql://ann:***@host:5433/store?sslmode=require"


async def test_a_path_with_odd_characters_is_one_file(tmp_path: Path) -> None:
    await migrate(f"sqlite:///{tmp_path}/a b#d%20é.db")
    async with await SqlJournal.open(f"sqlite:///{tmp_path}/a b#d%20é.db") as journal:
        await journal.append(entries(1, 1))
