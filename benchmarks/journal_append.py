"""What an append to the journal costs, beside what a flush costs on the same disk.

    python benchmarks/journal_append.py [--count 2000] [--directory .] [--postgres postgresql://127.0.0.1/postgres]

One row an engine: p50, p99 and worst of single durable appends of about 1.5 kB, and entries a second through batches
of 500. PostgreSQL gets a database of its own, dropped at the end, and prints no flush: its disk may be another.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
import uuid
from pathlib import Path

import asyncpg
from sqlalchemy.engine import make_url

from monitor.model import codec
from monitor.model.chain import Transaction
from monitor.model.events import Stamped, TransactionPending
from monitor.model.incidents import Step
from monitor.model.units import Address, ChainId, Hash, Instant, Wei
from monitor.store.journal import SqlJournal
from monitor.store.migrate import migrate

BATCH = 500
BATCHES = 60


def entry(seq: int, *, data: int) -> tuple[Stamped, Step]:
    transaction = Transaction(
        hash=Hash(seq.to_bytes(32, "big")),
        sender=Address(b"\x01" * 20),
        to=Address(b"\x02" * 20),
        nonce=seq,
        value=Wei(10**18),
        gas=21_000,
        max_fee=10**10,
        max_priority_fee=10**9,
        data=bytes(data),
    )
    return Stamped(seq, Instant(seq), TransactionPending(chain_id=ChainId(1), transaction=transaction)), Step(seq)


async def singles(journal: SqlJournal, count: int) -> list[float]:
    took = []
    for _ in range(count):
        one = [entry(journal.head.seq + 1, data=650)]
        start = time.perf_counter()
        await journal.append(one)
        took.append(time.perf_counter() - start)
    return took


async def batches(journal: SqlJournal) -> float:
    """Entries a second, encoding and hashing included."""
    spent = 0.0
    for _ in range(BATCHES):
        first = journal.head.seq + 1
        some = [entry(seq, data=200) for seq in range(first, first + BATCH)]
        start = time.perf_counter()
        await journal.append(some)
        spent += time.perf_counter() - start
    return BATCH * BATCHES / spent


def flushes(directory: Path, count: int) -> list[float]:
    """fdatasync after a write of 4 kB to a file that grows, as the write-ahead log does."""
    took = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        for _ in range(count):
            os.write(file.fileno(), bytes(4096))
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - start)
    return took


def shown(name: str, took: list[float]) -> str:
    ordered = sorted(took)
    p50, p99, worst = (ordered[round(share * (len(ordered) - 1))] * 1e3 for share in (0.5, 0.99, 1))
    return f"{name:<11} p50 {p50:6.3f} ms   p99 {p99:6.3f} ms   worst {worst:7.3f} ms"


async def measure(url: str, name: str, count: int) -> None:
    await migrate(url)
    async with await SqlJournal.open(url) as journal:
        await singles(journal, 100)
        alone = shown(name, await singles(journal, count))
        print(f"{alone}   batches of {BATCH}: {await batches(journal):9,.0f} entries/s")


async def on_postgres(server_url: str, count: int) -> None:
    name = f"journal_append_{uuid.uuid4().hex}"
    server = await asyncpg.connect(server_url)
    await server.execute(f"CREATE DATABASE {name}")
    try:
        url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
        await measure(url, "postgresql", count)
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--directory", type=Path, default=Path())
    parser.add_argument("--postgres", default="")
    chosen = parser.parse_args()
    one = codec.encode(entry(1, data=650)[0].event)
    print(f"entry: {len(one) + len(codec.encode(Step(1)))} bytes")
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        print(shown("fdatasync", flushes(Path(directory), chosen.count)))
        asyncio.run(measure(f"sqlite:///{directory}/journal.db", "sqlite", chosen.count))
    if chosen.postgres:
        asyncio.run(on_postgres(chosen.postgres, chosen.count))


if __name__ == "__main__":
    main()
