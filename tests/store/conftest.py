"""One store per test and engine: a SQLite file, or a PostgreSQL database of its own that is dropped afterwards."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url
from store_under_test import Store

from monitor.store.migrate import migrate

SERVER = os.environ.get("DRAWBRIDGE_TEST_POSTGRES", "postgresql://127.0.0.1:5432/postgres")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A place for a store on either engine, without a schema."""
    async with _file(tmp_path) if request.param == "sqlite" else _database(tmp_path) as place:
        yield place


@pytest.fixture
async def store(empty: Store) -> Store:
    """A migrated store on either engine."""
    await migrate(empty.url)
    return empty


@pytest.fixture
def tmp_path_url(tmp_path: Path) -> str:
    """A SQLite URL where no file is."""
    return f"sqlite:///{tmp_path}/none.db"


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[Store]:
    """A migrated SQLite store, for what only a file can suffer."""
    async with _file(tmp_path) as place:
        await migrate(place.url)
        yield place


@pytest.fixture
async def postgres_store(tmp_path: Path) -> AsyncIterator[Store]:
    """A migrated PostgreSQL store, for what only a server can do to us."""
    async with _database(tmp_path) as place:
        await migrate(place.url)
        yield place


@asynccontextmanager
async def _file(directory: Path) -> AsyncIterator[Store]:
    yield Store(f"sqlite:///{directory}/store.db", "sqlite", directory)


@asynccontextmanager
async def _database(directory: Path) -> AsyncIterator[Store]:
    name = f"store_{uuid.uuid4().hex}"
    server = await _server()
    try:
        await server.execute(f"CREATE DATABASE {name}")
        url = make_url(SERVER).set(database=name).render_as_string(hide_password=False)
        yield Store(url, "postgresql", directory)
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


async def _server() -> Any:
    try:
        return await asyncpg.connect(SERVER, timeout=5)
    except (OSError, asyncpg.PostgresError) as error:
        pytest.skip(f"no PostgreSQL at {SERVER}: {error}")
