"""Follows one chain over all its nodes: runs their feeds, judges their reports, fetches missing headers, tells health.

What is canonical lands in the agreement's backlog; telling it is the block source's work and never holds this up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from monitor.chain.rpc import Nodes
from monitor.model.chain import Header
from monitor.model.ports import Clock
from monitor.model.units import ChainId
from monitor.sources.agreement import Agreement, LinkOrder
from monitor.sources.feed import Endpoint, NodeFeed, Report
from monitor.sources.health import HealthTable, lag_limit_ns
from monitor.sources.latest import Latest
from monitor.sources.outlet import Outlet
from monitor.sources.socket import SocketLimits

BEAT_S: Final = 0.25
REPORTS: Final = 1024


class ChainPlan(Struct, frozen=True, kw_only=True):
    """How one chain is followed. `check_hashes` off is for chains whose headers hash in their own way."""

    name: str
    chain_id: ChainId
    endpoints: tuple[Endpoint, ...]
    quorum: int = 1
    block_time_ms: int = 12_000
    check_hashes: bool = True
    limits: SocketLimits = SocketLimits()


class Follower:
    """Keeps an Agreement up to date. One for each run of a block source; the agreement outlives it."""

    def __init__(
        self,
        plan: ChainPlan,
        nodes: Nodes,
        agreement: Agreement,
        *,
        outlet: Outlet,
        latest: Latest,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._plan = plan
        self._nodes = nodes
        self._agreement = agreement
        self._outlet = outlet
        self._latest = latest
        self._clock = clock
        self._health = HealthTable(clock)
        self._started_ns = clock.monotonic_ns()
        self._reports: asyncio.Queue[Report] = asyncio.Queue(REPORTS)
        self._out: dict[str, str] = {}
        self.news = asyncio.Event()  # set when the backlog grew
        self._feeds = {endpoint.name: self._feed(endpoint, jitter) for endpoint in plan.endpoints}

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds.values():
                group.create_task(feed.run())
            group.create_task(self._beat(group))
            while True:
                self._agreement.take(await self._reports.get(), self._clock.monotonic_ns())
                while not self._reports.empty():
                    self._agreement.take(self._reports.get_nowait(), self._clock.monotonic_ns())
                self._settle(group)

    def accuse(self, liars: dict[str, str]) -> None:
        """Leave out nodes that told a body or a state wrong."""
        for name, why in liars.items():
            self._agreement.accuse(name, why, self._clock.monotonic_ns())

    def names(self, header: Header) -> Sequence[str]:
        """Nodes that have this block, best first: those that answer, and have answered, before others."""
        having = self._agreement.agreeing(header)
        return sorted(having, key=lambda name: min(self._nodes.health[name].failing, 3))

    def _settle(self, group: asyncio.TaskGroup) -> None:
        now = self._clock.monotonic_ns()
        if self._agreement.settle(now) and self._agreement.tip is not None:
            self._latest.agree(self._agreement.tip)
            self.news.set()
        for order in self._agreement.orders(now):
            group.create_task(self._fetch(order))

    async def _fetch(self, order: LinkOrder) -> None:
        feed = self._feeds[order.node]
        if order.wanted is None:
            await feed.ahead(order.numbers)
        else:
            await feed.link(order.wanted, order.numbers)

    async def _beat(self, group: asyncio.TaskGroup) -> None:
        """Four times a second: ask again for links that did not come, and look at health."""
        while True:
            self._settle(group)
            await self._say_left_out()
            await self._say_health()
            await self._clock.sleep(BEAT_S)

    async def _say_left_out(self) -> None:
        out = self._agreement.left_out(self._clock.monotonic_ns())
        for name, why in out.items():
            if self._out.get(name) != why:
                if len(out) < len(self._feeds):  # a doubtful node is better for calls than none: health says the rest
                    self._nodes.drop(name, why)
                self._outlet.faults.note("node left out", on=name, detail=why)
        for name in self._out.keys() - out.keys():
            self._nodes.restore(name)
            self._outlet.faults.note("node admitted again", on=name)
        self._out = out

    async def _say_health(self) -> None:
        now, name = self._clock.monotonic_ns(), self._plan.name
        grace = lag_limit_ns(self._plan.block_time_ms) or lag_limit_ns(1)
        if not self._agreement.moves and now - self._started_ns < grace:
            return  # not heard of yet is not yet unhealthy: a level below 1 lowers the mode for ten minutes
        head = self._agreement.head_health(now, block_time_ms=self._plan.block_time_ms)
        levels = ((f"head:{name}", head), (f"nodes:{name}", self._agreement.nodes_health(now)))
        for component, level in levels:
            for event in self._health.report(component, level):
                await self._outlet.put(event)

    def _feed(self, endpoint: Endpoint, jitter: Callable[[], float]) -> NodeFeed:
        return NodeFeed(
            endpoint,
            self._nodes.named(endpoint.name),
            self._reports.put,
            chain_id=self._plan.chain_id,
            block_time_ms=self._plan.block_time_ms,
            clock=self._clock,
            jitter=jitter,
            faults=self._outlet.faults,
            check_hashes=self._plan.check_hashes,
            limits=self._plan.limits,
        )
