"""What becomes of the journal when something breaks in mid-append: process, disk, lock, connection, patience."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from monitor.model.errors import JournalLost
from monitor.store.audit import verify
from monitor.store.database import place
from monitor.store.journal import SqlJournal
from monitor.store.writers import PostgresWriter, SqliteWriter
from tests.store.append_forever import BATCH
from tests.store.store_builders import entries, entry
from tests.store.store_under_test import Store

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'drawbridge' AND datname = current_database()"
)
HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@asynccontextmanager
async def writer_process(url: str, *arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "append_forever.py"), url, *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def acknowledged(process: Process, count: int) -> int:
    """The last of `count` lines that the writer printed."""
    assert process.stdout is not None
    last = 0
    for _ in range(count):
        last = int(await process.stdout.readline())
    return last


@pytest.mark.parametrize("count", [1, 7, 60])
async def test_a_writer_killed_in_mid_append_leaves_a_whole_journal(store: Store, count: int) -> None:
    async with writer_process(store.url) as process:
        last = await acknowledged(process, count)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    found = await verify(store.url, None)
    assert found.intact
    assert found.rows >= last
    assert found.rows % BATCH == 0, "a commit is there whole or not at all"


async def test_a_killed_writer_gives_up_its_lock(store: Store) -> None:
    async with writer_process(store.url) as process:
        last = await acknowledged(process, 2)
        with pytest.raises(JournalLost, match="writes it already"):
            await SqlJournal.open(store.url)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    async with await reopened(store.url) as journal:
        assert journal.head.seq >= last
        await journal.append([entry(journal.head.seq + 1)])


async def reopened(url: str) -> SqlJournal:
    """PostgreSQL notices a killed client when it next speaks to it: ask again for a while, as a supervisor would."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await SqlJournal.open(url)
            except JournalLost as error:
                if "writes it already" not in str(error):
                    raise
            await asyncio.sleep(0.01)


async def test_the_refusal_names_the_process_that_writes(store: Store) -> None:
    async with writer_process(store.url) as process:
        await acknowledged(process, 1)
        with pytest.raises(JournalLost) as refused:
            await SqlJournal.open(store.url)
    assert store.kind == "postgresql" or f"process {process.pid} " in str(refused.value)


async def test_a_full_disk_ends_the_writer_with_one_line_and_loses_nothing(sqlite_store: Store) -> None:
    async with writer_process(sqlite_store.url, "300000") as process:
        out, err = await process.communicate()
    line = err.decode().strip()
    assert line.startswith("journal sqlite:///")
    assert "\n" not in line
    found = await verify(sqlite_store.url, None)
    assert found.intact
    assert found.rows >= int(out.split()[-1])


async def test_a_full_database_refuses_all_further_appends_until_reopened(sqlite_store: Store) -> None:
    async with await SqlJournal.open(sqlite_store.url) as journal:
        await journal.append(entries(1, 10))
        await limit_pages(journal)
        with pytest.raises(JournalLost, match="disk is full; free disk space and start again"):
            await journal.append(entries(11, 400))
        with pytest.raises(JournalLost, match="events 11 to 400 did not finish; open it anew"):
            await journal.append([entry(11)])
    async with await SqlJournal.open(sqlite_store.url) as journal:
        assert journal.head.seq == 10
        await journal.append([entry(11)])
    assert (await verify(sqlite_store.url, None)).rows == 11


async def limit_pages(journal: SqlJournal) -> None:
    writer = journal._writer
    assert isinstance(writer, SqliteWriter)
    await asyncio.get_running_loop().run_in_executor(writer._thread, _limit, writer)


def _limit(writer: SqliteWriter) -> None:
    assert writer._connection is not None
    writer._connection.execute("PRAGMA max_page_count = 1")  # SQLite reads this as: no more than there are


@pytest.mark.postgres
async def test_a_lost_connection_is_told_at_once_and_nothing_is_lost(postgres_store: Store) -> None:
    async with await SqlJournal.open(postgres_store.url) as journal:
        await journal.append(entries(1, 3))
        await postgres_store.execute(CUT)
        with pytest.raises(JournalLost, match=r"^journal postgresql://") as lost:
            await journal.append([entry(4)])
        assert "\n" not in str(lost.value)
        with pytest.raises(JournalLost, match="open it anew"):
            await journal.append([entry(4)])
        assert [event.seq async for event, _ in journal.read()] == [1, 2, 3], "reading goes on"
        async with await SqlJournal.open(postgres_store.url) as anew:
            await anew.append([entry(4)])
    assert (await verify(postgres_store.url, None)).rows == 4


@asynccontextmanager
async def held(store: Store) -> AsyncIterator[None]:
    """Somebody else has the database locked against writers."""
    if store.kind == "postgresql":
        connection: Any = await asyncpg.connect(store.url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE journal IN EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()
        return
    with closing(sqlite3.connect(make_url(store.url).database or "", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_an_append_that_gets_no_answer_in_time_ends_the_writer(store: Store) -> None:
    async with await SqlJournal.open(store.url, deadline_s=0.05) as journal:
        async with held(store):
            with pytest.raises(JournalLost, match=r"no answer within 0\.05 s"):
                await journal.append([entry(1)])
        with pytest.raises(JournalLost, match="events 1 to 1 did not finish; open it anew"):
            await journal.append([entry(1)])
    await appends_behind_whatever_happened(store)


async def test_a_cancelled_append_ends_the_writer(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        async with held(store):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await journal.append([entry(1)])
        with pytest.raises(JournalLost, match="open it anew"):
            await journal.append([entry(2)])
    await appends_behind_whatever_happened(store)


async def appends_behind_whatever_happened(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        seq, _ = await journal.last()
        assert seq in (0, 1), "only the database knows how it ended"
        await journal.append([entry(seq + 1)])
    assert (await verify(store.url, None)).rows == seq + 1


@pytest.mark.slow
async def test_a_locked_database_says_so(sqlite_store: Store) -> None:
    async with await SqlJournal.open(sqlite_store.url) as journal, held(sqlite_store):
        with pytest.raises(JournalLost, match="database is locked; another process holds the file"):
            await journal.append([entry(1)])


class HastyServer:
    """A PostgreSQL that does not flush."""

    async def fetchval(self, query: str) -> str:
        assert query == "SHOW fsync"
        return "off"


async def test_a_server_that_does_not_flush_is_refused() -> None:
    writer = PostgresWriter(HastyServer())
    with pytest.raises(JournalLost, match="fsync off; nothing there is durable"):
        await writer.claim(place("postgresql://ann:secret@host/store"))


async def test_somebody_who_writes_past_the_lock_cannot_fork_the_chain(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 2))
        await store.execute("INSERT INTO journal SELECT 3, seen_at, event, step, form, hash FROM journal WHERE seq = 2")
        with pytest.raises(JournalLost):
            await journal.append([entry(3)])


async def test_the_lock_of_a_file_is_the_kernel_s_and_the_owner_s(sqlite_store: Store) -> None:
    async with await SqlJournal.open(sqlite_store.url):
        lock = os.open(f"{make_url(sqlite_store.url).database}.lock", os.O_RDONLY)
        assert os.fstat(lock).st_mode & 0o077 == 0
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(lock)


async def test_a_store_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(JournalLost, match="no such file"):
        await SqlJournal.open(f"sqlite:///{tmp_path}/none.db")
    assert os.listdir(tmp_path) == []
