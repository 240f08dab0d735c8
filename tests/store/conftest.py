"""One store per test and engine: a SQLite file, or a fresh schema in a PostgreSQL database of the session's own."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from monitor.store.migrate import migrate
from tests.store.store_under_test import Store

SERVER = os.environ.get("DRAWBRIDGE_TEST_POSTGRES", "postgresql://127.0.0.1:5432/postgres")


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """A database of this session's own, dropped at its end."""
    name = f"store_{uuid.uuid4().hex}"
    _on_server(f"CREATE DATABASE {name}")
    yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    _on_server(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A place for a store on either engine, without a schema."""
    if request.param == "sqlite":
        return Store(f"sqlite:///{tmp_path}/store.db", "sqlite", tmp_path)
    return await _emptied(request.getfixturevalue("database"), tmp_path)


@pytest.fixture
async def store(empty: Store) -> Store:
    """A migrated store on either engine."""
    await migrate(empty.url)
    return empty


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> Store:
    """A migrated SQLite store, for what only a file can suffer."""
    place = Store(f"sqlite:///{tmp_path}/store.db", "sqlite", tmp_path)
    await migrate(place.url)
    return place


@pytest.fixture
async def postgres_store(database: str, tmp_path: Path) -> Store:
    """A migrated PostgreSQL store, for what only a server can do to us."""
    place = await _emptied(database, tmp_path)
    await migrate(place.url)
    return place


@pytest.fixture
def tmp_path_url(tmp_path: Path) -> str:
    """A SQLite URL where no file is."""
    return f"sqlite:///{tmp_path}/none.db"


async def _emptied(url: str, directory: Path) -> Store:
    """The session's database as new: nobody in it, and a fresh schema."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await connection.close()
    return Store(url, "postgresql", directory)


def _on_server(statement: str) -> None:
    """In a loop of its own: a session's fixture may be asked for from inside a test's loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(_executed(statement))).result()


async def _executed(statement: str) -> None:
    try:
        connection = await asyncpg.connect(SERVER, timeout=5)
    except (OSError, asyncpg.PostgresError) as error:
        pytest.skip(f"no PostgreSQL at {SERVER}: {error}")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
