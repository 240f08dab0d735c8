"""Blocks of one chain, as a quorum of its nodes agrees on them: every one, once, in order.

For each: HeadSeen, a TransactionMined for every transaction that touches what is watched, then StateRead. A watched
ether balance that changed for no reason in these is traced through the whole block, so that ether moved inside
calls is seen. A reorg comes as BlockOrphaned from the tip down, then the new branch. Bodies, logs and state that do not
fit what the quorum agreed on cost the node that told them its voice. What a crash cut short is told to its end.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct

from monitor.chain.rpc import Nodes
from monitor.model.chain import Header, Reading, ether_probe
from monitor.model.codec import digest
from monitor.model.errors import Unreachable
from monitor.model.events import AnyEvent, BlockOrphaned, HeadSeen, StateRead, TransactionMined
from monitor.model.ports import Clock
from monitor.model.units import Address, Hash
from monitor.sources.agreement import Agreement
from monitor.sources.backlog import Block, Orphan
from monitor.sources.block_reader import BlockReader, Body
from monitor.sources.faults import FaultTally
from monitor.sources.follower import ChainPlan, Follower
from monitor.sources.latest import Latest
from monitor.sources.mined import MinedReader
from monitor.sources.outlet import Outlet
from monitor.sources.probes import ProbeReader, State
from monitor.sources.touched import Outcome, mined_hashes, touched_in, unexplained
from monitor.sources.watch import Watch

KEPT_STATES: Final = 8
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0


class HalfTold(Struct, frozen=True):
    """A block whose head is in the journal, and not all that it did: the process ended in between."""

    header: Header
    told: frozenset[Hash] = frozenset()  # transactions of it that are in the journal


class BlockSource:
    """Implements model.ports.Source for one chain."""

    def __init__(
        self,
        plan: ChainPlan,
        nodes: Nodes,
        watch: Watch,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        latest: Latest,
        known: Sequence[Header] = (),
        half_told: HalfTold | None = None,
        first: int | None = None,
    ) -> None:
        """`known`: the last canonical headers of the journal, oldest first; telling goes on behind them.

        `half_told`: the one above them, where it is not told to its end.
        `first`: the height to begin at where the journal has none; by default the head that is first agreed on.
        """
        self.name = f"blocks:{plan.name}"
        self._plan = plan
        self._nodes = nodes
        self._watch = watch
        self._clock = clock
        self._jitter = jitter
        self._latest = latest
        self.faults = FaultTally(self.name, clock)
        names = [endpoint.name for endpoint in plan.endpoints]
        self._half_told = half_told
        first = half_told.header.number if half_told is not None and not known else first
        self._agreement = Agreement(names, plan.quorum, now_ns=clock.monotonic_ns(), known=known, first=first)
        self._bodies = BlockReader(nodes, strict=len(names) > 1)
        self._probes = ProbeReader(nodes, quorum=plan.quorum)
        self._mined = MinedReader(nodes, self.faults)
        self._states: OrderedDict[Hash, State] = OrderedDict()

    async def events(self) -> AsyncGenerator[AnyEvent, None]:
        """Everything that happens on the chain, until cancelled."""
        outlet = Outlet(self.faults, self._clock)
        async for event in outlet.stream(lambda: self._run(outlet)):
            yield event

    async def _run(self, outlet: Outlet) -> None:
        follower = Follower(
            self._plan,
            self._nodes,
            self._agreement,
            outlet=outlet,
            latest=self._latest,
            clock=self._clock,
            jitter=self._jitter,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(follower.run())
            await self._tell(follower, outlet)

    async def _tell(self, follower: Follower, outlet: Outlet) -> None:
        backlog, pause_s = self._agreement.backlog, FIRST_PAUSE_S
        while True:
            step = backlog.next()
            if step is not None:
                await self._let_go(step.header, outlet)
            if step is None:
                follower.news.clear()
                await follower.news.wait()
            elif isinstance(step, Orphan):
                backlog.done(step)
                await outlet.put(self._orphaned(step.header))
            elif await self._block(step, follower, outlet):
                pause_s = FIRST_PAUSE_S
            else:
                await self._clock.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _let_go(self, next_one: Header, outlet: Outlet) -> None:
        """A block that was told in part, and that another has taken the place of, is an orphan like any other."""
        half = self._half_told
        if half is not None and half.header.hash != next_one.hash:
            self._half_told = None
            await outlet.put(self._orphaned(half.header))

    async def _block(self, step: Block, follower: Follower, outlet: Outlet) -> bool:
        """Read and tell one block. False where no node gives it: it is tried again, unless it is orphaned meanwhile."""
        header = step.header
        try:
            body = await self._bodies.read(header, self._agreement.roots(header.hash), names=follower.names(header))
        except Unreachable as error:
            self.faults.note("block not readable", detail=str(error))
            return False
        follower.accuse(body.liars)
        if not self._agreement.backlog.done(step):
            return True
        self._latest.mine(mined_hashes(body))
        half, self._half_told = self._half_told, None
        if half is None:
            await outlet.put(self._head(body))
        await self._inside(body, follower, outlet, told=half.told if half is not None else frozenset())
        return True

    async def _inside(self, body: Body, follower: Follower, outlet: Outlet, *, told: frozenset[Hash]) -> None:
        """Tell what the block did to what is watched; `told` are transactions that the journal has already."""
        names = follower.names(body.header)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._state(body.header, follower))
            found = touched_in(body, self._watch.index, quiet=self._watch.quiet, faults=self.faults)
            outcomes = await self._mined.read(found, names=names)
            await self._transactions(body, outcomes, outlet, told=told)
        before, after = self._states.get(body.header.parent), reading.result()
        if after is None:
            return
        if before is not None:
            hidden = await self._hidden(body, outcomes, before=before, after=after, names=names)
            await self._transactions(body, hidden, outlet, told=told)
        await outlet.put(self._state_read(body.header, before, after))

    async def _transactions(
        self, body: Body, outcomes: Sequence[Outcome], outlet: Outlet, *, told: frozenset[Hash]
    ) -> None:
        for outcome in outcomes:
            if outcome.touched.transaction.hash not in told:
                await outlet.put(self._transaction(body, outcome))

    async def _hidden(
        self, body: Body, outcomes: Sequence[Outcome], *, before: State, after: State, names: Sequence[str]
    ) -> Sequence[Outcome]:
        """Transactions that moved watched ether inside calls and were not found otherwise."""
        changed = unexplained(self._ether(before), self._ether(after), outcomes=outcomes, body=body)
        if not changed:
            return ()
        told = frozenset(outcome.touched.index for outcome in outcomes)
        return await self._mined.hidden(body, frozenset(changed), told=told, names=names)

    def _ether(self, state: State) -> dict[Address, int]:
        words = ((holder, state.get(ether_probe(holder))) for holder in self._watch.holders)
        return {holder: int.from_bytes(word, "big") for holder, word in words if word is not None}

    async def _state(self, header: Header, follower: Follower) -> State | None:
        """The probes at this block, and at its parent where telling begins; None where they cannot be read."""
        if not self._states and header.number:
            with suppress(Unreachable):  # an older state may be gone: then there is no value before
                await self._read_state(header.parent, follower, header)
        try:
            return await self._read_state(header.hash, follower, header)
        except Unreachable as error:
            self.faults.note("state not readable", detail=str(error))
            return None

    async def _read_state(self, at: Hash, follower: Follower, header: Header) -> State:
        agreed = await self._probes.read(self._watch.probes, at, names=follower.names(header))
        follower.accuse(dict.fromkeys(agreed.differing, "told another state than the quorum"))
        self._states[at] = agreed.by_probe(self._watch.probes)
        while len(self._states) > KEPT_STATES:
            self._states.popitem(last=False)
        return self._states[at]

    def _head(self, body: Body) -> HeadSeen:
        return HeadSeen(
            chain_id=self._plan.chain_id,
            header=body.header,
            count=len(body.hashes),
            digest=digest(b"".join(body.hashes)),
            finalised=min(body.finalised, body.header.number),
        )

    def _orphaned(self, header: Header) -> BlockOrphaned:
        return BlockOrphaned(chain_id=self._plan.chain_id, number=header.number, hash=header.hash)

    def _transaction(self, body: Body, outcome: Outcome) -> TransactionMined:
        return TransactionMined(
            chain_id=self._plan.chain_id,
            transaction=outcome.touched.transaction,
            block_number=body.header.number,
            block_hash=body.header.hash,
            timestamp=body.header.timestamp,
            index=outcome.touched.index,
            effects=outcome.effects(),
        )

    def _state_read(self, header: Header, before: State | None, after: State) -> StateRead:
        earlier = before or {}
        readings = tuple(Reading(probe, earlier.get(probe), after[probe]) for probe in self._watch.probes)
        return StateRead(
            chain_id=self._plan.chain_id, block_number=header.number, block_hash=header.hash, readings=readings
        )
