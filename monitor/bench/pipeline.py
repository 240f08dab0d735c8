"""From the raw bytes of a block to decided steps, through the functions that the block source itself uses.

One figure without and one with the durable journal, in one process on one core; one more with each block's body proven
against its header, which is what two or more nodes make possible. No network, no state reads: their words are constant.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Final

from detectors import CATALOGUE as DETECTORS
from monitor.bench.canned import NAME, canned
from monitor.bench.corpus import SLOT_S, Corpus, Told, as_mined, chain, read
from monitor.bench.figure import Figure, Progress, Results, figure
from monitor.bench.protect import CHAIN, LEDGER, assets_of, others, prices_of, rows_for
from monitor.clock import SystemClock
from monitor.core.step import Core
from monitor.evm.watch import PackedLabels, Protected, WatchIndex
from monitor.evm.wire import decode, header
from monitor.model.assets import Asset
from monitor.model.chain import Reading
from monitor.model.codec import digest
from monitor.model.events import AnyEvent, HeadSeen, LedgerComplete, Stamped, StateRead, Tick, TransactionMined
from monitor.model.incidents import Step
from monitor.model.policy import ChainRule, Policy
from monitor.model.units import SECOND, Hash, Instant
from monitor.sources.block_reader import BlockReader, Body
from monitor.sources.faults import FaultTally
from monitor.sources.header_hash import FullHeader, Roots, roots_of
from monitor.sources.mined import MinedReader
from monitor.sources.touched import Outcome, touched_in
from monitor.sources.watch import Watch
from monitor.store.journal import SqlJournal
from monitor.store.migrate import migrate

ROUNDS: Final = 15
QUICK: Final = 2
LABELS: Final = 10_000
WORD: Final = (10**24).to_bytes(32, "big")

Entries = list[tuple[Stamped, Step]]


class Rig:
    """The program between its sockets and its dispatch: readers, watch index, labels, detectors, core."""

    def __init__(self, assets: Sequence[Asset], *, others_watched: int = LABELS, strict: bool = False) -> None:
        clock = SystemClock()
        self.transport, nodes = canned(CHAIN, nodes=2 if strict else 1)
        self.assets = Protected(assets)
        index = WatchIndex(self.assets.watched(CHAIN))
        labels = PackedLabels()
        for each in others(others_watched, b"others"):
            index.add(each)
            labels.put(each, "exploiter", origin="bench", expires_at=Instant(2**62))
        self.watch = Watch(CHAIN, self.assets, index)
        self.faults = FaultTally("bench", clock)
        self._reader, self._mined = BlockReader(nodes, strict=strict), MinedReader(nodes, self.faults)
        self._names = [node.name for node in nodes.usable()]
        self._labels = labels
        self.restart()

    def restart(self) -> None:
        """A fresh core, at the chain's beginning."""
        self.core = Core(
            detectors=[build() for build in DETECTORS.values()],
            assets=self.assets,
            labels=self._labels,
            policy=Policy(),
            chains=(ChainRule(int(CHAIN), "bench"),),
        )
        self.seq, self.rows, self.now, self.touching, self.signals = 0, 0, Instant(0), 0, 0

    async def news(self, told: Told) -> list[AnyEvent]:
        """What prices and the ledger say before this block; made up here, so that making it is not timed."""
        body = await self.body(told)
        found = touched_in(body, self.watch.index, quiet=self.watch.quiet, faults=self.faults)
        rows = rows_for(found, self.assets, first=self.rows + 1, timestamp=told.timestamp)
        self.rows += len(rows)
        events: list[AnyEvent] = list(prices_of(self.assets.all())) if not self.seq else []
        return [*events, *rows]

    async def body(self, told: Told, *, roots: Roots | None = None) -> Body:
        """Read and check one block, as the block source does."""
        self.transport.told = told
        wanted = header(decode(told.block, FullHeader))
        return await self._reader.read(wanted, roots, names=self._names)

    async def block(self, told: Told, news: Sequence[AnyEvent] = (), *, roots: Roots | None = None) -> Entries:
        """Raw bytes to decided steps: this is what is timed."""
        entries = self.steps(news, told.timestamp)
        body = await self.body(told, roots=roots)
        found = touched_in(body, self.watch.index, quiet=self.watch.quiet, faults=self.faults)
        outcomes = await self._mined.read(found, names=[NAME])
        self.touching += len(found)
        entries += self.steps([_head(body), *(_mined(body, each) for each in outcomes)], told.timestamp)
        entries += self.steps([self._state(body), self._complete(told.timestamp)], told.timestamp)
        for second in range(SLOT_S):
            entries += self.steps([Tick()], told.timestamp + second)
        return entries

    def steps(self, events: Sequence[AnyEvent], timestamp: int) -> Entries:
        """Stamp and decide."""
        self.now = max(self.now, Instant(timestamp * SECOND))
        entries: Entries = []
        for event in events:
            self.seq += 1
            stamped = Stamped(self.seq, self.now, event)
            entries.append((stamped, self.core.step(stamped)))
            self.signals += len(entries[-1][1].signals)
        return entries

    def _complete(self, timestamp: int) -> LedgerComplete:
        return LedgerComplete(ledger=LEDGER, sequence=self.rows, at=Instant(timestamp * SECOND))

    def _state(self, body: Body) -> StateRead:
        readings = tuple(Reading(probe, WORD, WORD) for probe in self.watch.probes)
        return StateRead(
            chain_id=CHAIN, block_number=body.header.number, block_hash=body.header.hash, readings=readings
        )


def _head(body: Body) -> HeadSeen:
    return HeadSeen(
        chain_id=CHAIN,
        header=body.header,
        count=len(body.hashes),
        digest=digest(b"".join(body.hashes)),
        finalised=max(0, body.header.number - 64),
    )


def _mined(body: Body, outcome: Outcome) -> TransactionMined:
    return TransactionMined(
        chain_id=CHAIN,
        transaction=outcome.touched.transaction,
        block_number=body.header.number,
        block_hash=Hash(body.header.hash),
        timestamp=body.header.timestamp,
        index=outcome.touched.index,
        effects=outcome.effects(),
    )


def measure(data: Path | None, *, quick: bool, progress: Progress) -> Results:
    """The three rates."""
    corpus = read(data)
    assets = assets_of(corpus)
    rounds = QUICK if quick else ROUNDS
    rig = Rig(assets)
    progress(f"pipeline: {corpus.origin}, {len(assets)} assets, {rounds} rounds")
    plain = asyncio.run(_rates(rig, corpus, rounds))
    note = _note(rig, corpus, rounds)
    progress(f"pipeline: {plain.value} tx/s; with the journal …")
    journalled = asyncio.run(_journalled(rig, corpus, rounds))
    on_disk = note.replace("CPU seconds", "wall seconds") + "; SQLite, synchronous FULL, one append a block"
    figures = {
        "pipeline_tx_per_s": _noted(plain, note, ">= 60000"),
        "pipeline_journalled_tx_per_s": _noted(journalled, on_disk, ">= 15000"),
    }
    if corpus.real:
        progress(f"pipeline: {journalled.value} tx/s journalled; with each body proven …")
        proven = asyncio.run(_proven(assets, corpus, rounds))
        text = f"{corpus.origin}: each body proven by its transactions' root and its logs' bloom"
        figures["pipeline_proven_tx_per_s"] = _noted(proven, text, "")
    return Results(figures)


async def _rates(rig: Rig, corpus: Corpus, rounds: int, journal: SqlJournal | None = None) -> Figure:
    """Transactions a second, a sample for each round over all blocks; the first is not counted.

    Seconds of this process on a core; with a journal, which waits for the disk, seconds of the clock on the wall.
    """
    now = process_time if journal is None else perf_counter
    rig.restart()
    spent, count, samples = 0.0, 0, []
    gc.collect()
    for place, told in enumerate(chain(corpus, rounds=rounds + 1)):
        news = await rig.news(told)
        began = now()
        entries = await rig.block(told, news)
        if journal is not None:
            await journal.append(entries)
        spent += now() - began
        count += told.count
        if (place + 1) % len(corpus.blocks) == 0:
            samples.append(count / spent)
            spent, count = 0.0, 0
    return figure(samples[1:], "tx/s")


async def _journalled(rig: Rig, corpus: Corpus, rounds: int) -> Figure:
    with tempfile.TemporaryDirectory(prefix="drawbridge-bench-") as folder:
        url = f"sqlite:///{folder}/journal.db"
        await migrate(url)
        async with await SqlJournal.open(url) as journal:
            return await _rates(rig, corpus, rounds, journal)


async def _proven(assets: Sequence[Asset], corpus: Corpus, rounds: int) -> Figure:
    """The blocks as mainnet has them, over and over: a renumbered one proves nothing."""
    rig, samples = Rig(assets, strict=True), []
    blocks = [as_mined(source) for source in corpus.blocks]
    for _ in range(max(1, rounds // 5)):
        rig.restart()
        began = process_time()
        for told in blocks:
            await rig.block(told, roots=roots_of(decode(told.block, FullHeader)))
        samples.append(corpus.transactions / (process_time() - began))
    return figure(samples, "tx/s")


def _note(rig: Rig, corpus: Corpus, rounds: int) -> str:
    share = rig.touching / (corpus.transactions * (rounds + 1))
    touching = f"{share:.2%} of {corpus.transactions} transactions touch {len(rig.assets.all())} assets"
    return f"{corpus.origin}; {touching}; {len(DETECTORS)} detectors, {rig.signals} signals; CPU seconds of one core"


def _noted(found: Figure, note: str, target: str) -> Figure:
    from msgspec.structs import replace

    return replace(found, note=note, target=target)
