"""How fast a journal is replayed: read, its hash chain checked, every event decided anew and compared byte for byte."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Final

from monitor.bench.corpus import chain, read
from monitor.bench.figure import Figure, Progress, Results, figure, missing
from monitor.bench.pipeline import Rig
from monitor.bench.protect import assets_of
from monitor.shell.replay import replay
from monitor.store.journal import SqlJournal
from monitor.store.migrate import migrate

ROUNDS: Final = 10  # of the blocks in the journal
RUNS: Final = 5


def measure(data: Path | None, *, quick: bool, progress: Progress) -> Results:
    """Events a second over a journal of real blocks."""
    rounds, runs = (1, 1) if quick else (ROUNDS, RUNS)
    return Results({"replay_events_per_s": asyncio.run(_measured(data, rounds, runs, progress))})


async def _measured(data: Path | None, rounds: int, runs: int, progress: Progress) -> Figure:
    corpus = read(data)
    rig = Rig(assets_of(corpus))
    with tempfile.TemporaryDirectory(prefix="drawbridge-bench-") as folder:
        url = f"sqlite:///{folder}/journal.db"
        await migrate(url)
        async with await SqlJournal.open(url) as journal:
            for told in chain(corpus, rounds=rounds):
                await journal.append(await rig.block(told, await rig.news(told)))
            events = rig.seq
            progress(f"replay: {events} events, {runs} times")
            samples = [await _rate(rig, journal, events) for _ in range(runs)]
    if any(sample is None for sample in samples):
        return missing("events/s", "a replayed step differed from the journal's")
    note = f"{events} events of {corpus.origin}: chain checked, every step equal to the byte"
    return figure([sample for sample in samples if sample is not None], "events/s", note=note)


async def _rate(rig: Rig, journal: SqlJournal, events: int) -> float | None:
    """None where a step came out otherwise."""
    rig.restart()
    gc.collect()
    began = perf_counter()
    differences = [each async for each in replay(rig.core, journal)]
    took = perf_counter() - began
    return None if differences else events / took
