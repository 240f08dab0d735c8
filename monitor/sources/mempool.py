"""Pending transactions of one chain: each once, judged by what it would do and not by what it says.

One that names something watched is told at once and simulated first. Every other one is simulated too, within a budget,
so that a drain through a router or a multicall shows by its effects. What the budget does not cover is counted as shed,
never silent. What touches is simulated again at each new head until it is mined, replaced or stale.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from monitor.chain.rpc import Nodes
from monitor.evm import hexes
from monitor.evm.authentic import authentic
from monitor.evm.wire import WireTransaction
from monitor.model.chain import Header, Transaction
from monitor.model.errors import Undecodable, Unreachable
from monitor.model.events import AnyEvent, TransactionPending
from monitor.model.ports import Clock, Simulator
from monitor.sources.accounts import Accounts
from monitor.sources.examiner import Examiner, Verdict
from monitor.sources.faults import FaultTally
from monitor.sources.follower import ChainPlan
from monitor.sources.latest import Latest
from monitor.sources.outlet import Outlet
from monitor.sources.pending import (
    MANY_GAS,
    Budget,
    Held,
    PendingQueue,
    SeenHashes,
    SenderPool,
    Suspicion,
    Waiting,
    suspicion,
)
from monitor.sources.pending_feed import PendingFeed
from monitor.sources.watch import Watch

DIRECT: Final = 4  # under way at once past the queue
URGENT_WORKERS: Final = 2
WORKERS: Final = 4
MANY: Final = 16  # uses of one target without harm after which its gas alone is not suspicious
TOGETHER: Final = 8  # ordinary ones whose accounts are read in one frame
TARGETS: Final = 4096


class MempoolSource:
    """Implements model.ports.Source for one chain."""

    def __init__(
        self,
        plan: ChainPlan,
        nodes: Nodes,
        watch: Watch,
        simulator: Simulator,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        latest: Latest,
        per_second: float = 200.0,
    ) -> None:
        """`per_second`: how many simulations at most. `latest` is the one that this chain's block source writes."""
        self.name = f"mempool:{plan.name}"
        self._plan = plan
        self._nodes = nodes
        self._watch = watch
        self._clock = clock
        self._jitter = jitter
        self._latest = latest
        self.faults = FaultTally(self.name, clock)
        self._budget = Budget(per_second, clock.monotonic_ns())
        self._seen = SeenHashes()
        self._pool = SenderPool()
        self._queue = PendingQueue()
        self._held = Held()
        self._targets: Counter[bytes] = Counter()
        self._work = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._direct = 0
        self._examiner = Examiner(watch, simulator, Accounts(nodes), pool=self._pool, block_time_ms=plan.block_time_ms)
        self._under_way = 0
        self.counts: Counter[str] = Counter()  # told, simulated, touching, dead: for metrics

    async def events(self) -> AsyncGenerator[AnyEvent, None]:
        """TransactionPending and PendingSimulated, until cancelled."""
        outlet = Outlet(self.faults, self._clock)
        async for event in outlet.stream(lambda: self._run(outlet)):
            yield event

    async def _run(self, outlet: Outlet) -> None:
        async def tell(node: str, wire: WireTransaction) -> None:
            await self._notice(node, wire, outlet)

        async with asyncio.TaskGroup() as group:
            self._group, self._direct = group, 0
            for endpoint in self._plan.endpoints:
                feed = PendingFeed(
                    endpoint,
                    self._nodes.named(endpoint.name),
                    tell,
                    chain_id=self._plan.chain_id,
                    seen=self._seen,
                    clock=self._clock,
                    jitter=self._jitter,
                    faults=self.faults,
                    limits=self._plan.limits,
                )
                group.create_task(feed.run())
            for place in range(URGENT_WORKERS + WORKERS):
                group.create_task(self._worker(outlet, urgent_only=place < URGENT_WORKERS))
            group.create_task(self._again())

    async def _notice(self, node: str, wire: WireTransaction, outlet: Outlet) -> None:
        """Take one transaction that was not seen before."""
        now = self._clock.monotonic_ns()
        self.counts["told"] += 1
        try:
            if self._queue.full and not self._worth(wire):
                self.faults.note("pending transaction shed: the queue is full")
                return
            tx = authentic(wire, chain_id=self._plan.chain_id)
        except Undecodable as error:
            self.faults.note("pending transaction that is not what it says", on=node, detail=str(error))
            return
        self._seen.add(wire.hash.lower())
        names = self._watch.index.touches(tx)
        if names:
            await self._emit(TransactionPending(chain_id=self._plan.chain_id, transaction=tx), outlet)
        waiting = Waiting(tx, suspicion(tx, names_watched=names, known=self._known(tx)), now)
        self._pool.put(waiting)
        if not self._at_once(waiting, outlet):
            self._enqueue(waiting)
        behind = self._pool.behind(tx)
        if behind is not None:
            self._enqueue(behind)

    def _at_once(self, waiting: Waiting, outlet: Outlet) -> bool:
        """Examine what names something watched without a way through the queue, while few are under way."""
        head, urgent = self._latest.head, waiting.suspicion is Suspicion.NAMES_WATCHED
        if not urgent or head is None or self._group is None or self._direct >= DIRECT:
            return False
        if not self._budget.take(self._clock.monotonic_ns(), urgent=True):
            return False
        self._direct += 1
        self._group.create_task(self._directly(waiting, head, outlet))
        return True

    async def _directly(self, waiting: Waiting, head: Header, outlet: Outlet) -> None:
        try:
            await self._examine([waiting], head, outlet)
        finally:
            self._direct -= 1

    def _enqueue(self, waiting: Waiting) -> None:
        if not self._queue.put(waiting):
            self.faults.note("pending transaction shed: the queue is full")
        self._work.set()

    async def _worker(self, outlet: Outlet, *, urgent_only: bool) -> None:
        """Examine waiting transactions, the most suspicious first, as the budget allows."""
        while True:
            head = await self._latest.moved(None)
            kind = self._queue.peek()
            urgent = kind is Suspicion.NAMES_WATCHED
            if kind is None or (urgent_only and not urgent):
                self._work.clear()
                await self._work.wait()
            elif not self._budget.take(self._clock.monotonic_ns(), urgent=urgent):
                await self._clock.sleep(max(self._budget.wait_s(urgent=urgent), 0.001))
            elif urgent:
                await self._examine(self._queue.take(1), head, outlet)
            else:
                more = sum(self._budget.take(self._clock.monotonic_ns(), urgent=False) for _ in range(TOGETHER - 1))
                await self._examine(self._queue.take(1 + more), head, outlet)

    @property
    def idle(self) -> bool:
        """Nothing waits to be examined and nothing is under way."""
        return self._under_way == 0 and len(self._queue) == 0

    async def _examine(self, batch: Sequence[Waiting], head: Header, outlet: Outlet) -> None:
        self._under_way += 1
        try:
            if len(batch) > 1:
                await self._examiner.expect([waiting.transaction.sender for waiting in batch], head)
            for waiting in batch:
                urgent = waiting.suspicion is Suspicion.NAMES_WATCHED
                if not await self._examine_one(waiting, head, outlet) and urgent:
                    await self._examine_one(waiting, head, outlet)  # once more, now: by then another node is first
        finally:
            self._under_way -= 1

    async def _examine_one(self, waiting: Waiting, head: Header, outlet: Outlet) -> bool:
        """False where no node simulated it in time; one that names something watched is then tried at the next head."""
        tx, urgent = waiting.transaction, waiting.suspicion is Suspicion.NAMES_WATCHED
        if not self._pool.current(tx):
            self.counts["replaced"] += 1
            return True
        self.counts["simulated"] += 1
        try:
            verdict = await (self._examiner.urgent(tx, head) if urgent else self._examiner.ordinary(tx, head))
        except Unreachable as error:
            self.faults.note("pending transaction not simulated", detail=str(error))
            if urgent:
                self._held.put(waiting, head.number)
            return False
        await self._conclude(waiting, verdict, head, outlet)
        return True

    async def _conclude(self, waiting: Waiting, verdict: Verdict, head: Header, outlet: Outlet) -> None:
        event, tx = verdict.event, waiting.transaction
        if verdict.dead:
            self.counts["dead"] += 1
            self._held.drop(tx.hash)
        elif event is None:
            self._note_harmless(tx)
        else:
            self.counts["touching"] += 1
            if self._watch.index.touches_effects(event.effects):
                self._held.put(waiting, head.number)
            await self._emit(event, outlet)

    async def _emit(self, event: AnyEvent, outlet: Outlet) -> None:
        if outlet.room():
            await outlet.put(event)
        else:
            self.faults.note("pending transaction shed: the reader is behind")

    async def _again(self) -> None:
        """At each new head, put what touches something back into the queue."""
        head: Header | None = None
        mark = 0
        while True:
            head = await self._latest.moved(head)
            mark, mined = self._latest.mined_since(mark)
            held = self._held.again(head.number, mined=mined)
            used = await self._examiner.used([waiting.transaction for waiting in held], head)
            for waiting in held:
                if waiting.transaction.hash in used:
                    self._held.drop(waiting.transaction.hash)
                else:
                    self._enqueue(Waiting(waiting.transaction, Suspicion.NAMES_WATCHED, self._clock.monotonic_ns()))

    def _worth(self, wire: WireTransaction) -> bool:
        """Whether to spend a signature check on one that may be shed at once. Raises Undecodable."""
        return self._watch.index.touches_wire(wire) or (len(wire.input) > 2 and hexes.optional(wire.gas) >= MANY_GAS)

    def _known(self, tx: Transaction) -> bool:
        return tx.to is not None and self._targets[tx.to] >= MANY

    def _note_harmless(self, tx: Transaction) -> None:
        if tx.to is not None and tx.data:
            self._targets[tx.to] += 1
            if len(self._targets) > TARGETS:
                del self._targets[next(iter(self._targets))]
