"""What watching more addresses costs: an event's time and the process's memory, from ten addresses to a million.

Both sizes do the same work on the same blocks, sizes interleaved; every address is watched and labelled.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import process_time
from typing import Final

from monitor.bench.corpus import Corpus, Told, read, told
from monitor.bench.figure import Figure, Progress, Results, figure, missing, single
from monitor.bench.machine import resident_bytes
from monitor.bench.pipeline import Rig
from monitor.bench.protect import assets_of, others
from monitor.evm.watch import PackedLabels, WatchIndex
from monitor.model.events import AnyEvent
from monitor.model.units import Instant

FEW: Final = 10
MANY: Final = 1_000_000
RUNS: Final = 15
MEGABYTE: Final = 10**6
_DEADLINE_S: Final = 120.0

Work = list[tuple[Told, list[AnyEvent]]]


def measure(data: Path | None, *, quick: bool, progress: Progress) -> Results:
    """The ratio of an event's cost at a million addresses to that at ten, and what the million adds in memory."""
    many, runs = (MANY // 20, 3) if quick else (MANY, RUNS)
    progress(f"watch: building {many:,} addresses")
    figures = asyncio.run(_costs(read(data), many, runs))
    progress("watch: memory of a process of its own")
    figures["watch_increment_mb"] = _increment(many)
    return Results(figures)


async def _costs(corpus: Corpus, many: int, runs: int) -> dict[str, Figure]:
    assets = assets_of(corpus)
    rigs = [Rig(assets, others_watched=size) for size in (FEW, many)]
    blocks = [told(source, place, mark="0000") for place, source in enumerate(corpus.blocks)]
    work: Work = [(block, await rigs[0].news(block)) for block in blocks]
    rigs[0].restart()
    costs: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs + 1):
        for rig, cost in zip(rigs, costs, strict=True):
            cost.append(await _cost_us(rig, work, corpus.transactions))
    small, large = (cost[1:] for cost in costs)
    note = f"{corpus.origin}, decode to decided steps, {FEW} and {many:,} addresses interleaved, median of {runs}"
    return {
        "watch_cost_ratio": single(median(large) / median(small), "ratio", runs=runs, note=note, target="0.8 to 1.2"),
        "watch_event_us_at_10": figure(small, "us", note="a transaction, CPU time"),
        f"watch_event_us_at_{many}": figure(large, "us", note="a transaction, CPU time"),
    }


async def _cost_us(rig: Rig, work: Work, transactions: int) -> float:
    """CPU time of one transaction over all blocks, from a fresh core."""
    rig.restart()
    rig.rows = len(work)
    gc.collect()
    began = process_time()
    for block, news in work:
        await rig.block(block, news)
    return (process_time() - began) / transactions * 1e6


def _increment(many: int) -> Figure:
    command = (sys.executable, "-m", "monitor.bench.watching", str(many))
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return missing("MB", f"the process that measures it failed: {error}", target="<= 150")
    found: dict[str, float] = json.loads(run.stdout)
    note = f"{many:,} more addresses, each watched and labelled; growth of the process's resident memory"
    return single(found["bytes"] / MEGABYTE, "MB", runs=1, note=note, target="<= 150")


def _main(arguments: Sequence[str]) -> None:
    """In a process of its own: build, and print by how much it grew."""
    index, labels = WatchIndex(others(FEW, b"few")), PackedLabels()
    gc.collect()
    before = resident_bytes()
    for each in others(int(arguments[0]), b"many"):
        index.add(each)
        labels.put(each, "exploiter", origin="bench", expires_at=Instant(2**62))
    gc.collect()
    sys.stdout.write(json.dumps({"bytes": resident_bytes() - before, "addresses": len(index), "labels": len(labels)}))


if __name__ == "__main__":
    _main(sys.argv[1:])
