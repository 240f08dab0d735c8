"""Answers what detectors ask: a simulation on the newest head, as SimulationDone or RequestFailed, always in time.

Requests with equal keys share one answer while it is made and while the head stays. Few run at once, the urgent ones
first; one that waits too long fails, it never holds up the others.
"""

from __future__ import annotations

import asyncio
import heapq
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from monitor.chain.rpc import Nodes, RpcError
from monitor.evm import hexes
from monitor.model.chain import Header
from monitor.model.errors import Undecodable, Unreachable
from monitor.model.events import AnyEvent, Request, RequestFailed, SimulationDone
from monitor.model.ports import Clock, Simulator
from monitor.model.units import Address, ChainId, Hash, shown
from monitor.sources.accounts import Accounts
from monitor.sources.contexts import calls_of, code_of, contexts, fees_of
from monitor.sources.latest import Latest

LONGEST_MS: Final = 10_000
TOGETHER: Final = 8
REMEMBERED: Final = 256
MAX_REWRITTEN: Final = 64  # contracts
MAX_TRANSACTIONS: Final = 64

Code = dict[Address, bytes]


class ChainReads(Struct, frozen=True):
    """What answers for one chain."""

    simulator: Simulator
    nodes: Nodes
    latest: Latest
    block_time_ms: int


class RequestAnswerer:
    """Implements model.ports.Asker for all chains."""

    def __init__(self, chains: Mapping[ChainId, ChainReads], *, clock: Clock, together: int = TOGETHER) -> None:
        self._chains = dict(chains)
        self._clock = clock
        self._turns = Turns(together)
        self._making: dict[str, asyncio.Future[AnyEvent]] = {}
        self._made: OrderedDict[tuple[str, Hash], AnyEvent] = OrderedDict()

    async def answer(self, request: Request) -> AnyEvent:
        """The answer, or why there is none, within the request's deadline."""
        ends_ns = self._clock.monotonic_ns() + min(request.deadline_ms, LONGEST_MS) * 1_000_000
        making = self._making.get(request.key)
        try:
            async with asyncio.timeout(self._left_s(ends_ns)):
                return await (asyncio.shield(making) if making is not None else self._lead(request, ends_ns))
        except TimeoutError:
            return _failed(request, f"no answer within {request.deadline_ms} ms")

    async def _lead(self, request: Request, ends_ns: int) -> AnyEvent:
        """Make the answer that others with the same key wait for."""
        promise: asyncio.Future[AnyEvent] = asyncio.get_running_loop().create_future()
        self._making[request.key] = promise
        try:
            event = await self._made_or_make(request, ends_ns)
            promise.set_result(event)
            return event
        finally:
            del self._making[request.key]
            if not promise.done():
                promise.set_result(_failed(request, "the one who asked first gave up"))

    async def _made_or_make(self, request: Request, ends_ns: int) -> AnyEvent:
        chain = self._chains.get(request.chain_id)
        head = chain.latest.head if chain is not None else None
        if chain is None or head is None:
            return _failed(request, "the chain is not configured" if chain is None else "no head yet")
        known = self._made.get((request.key, head.hash))
        if known is not None:
            return known
        async with self._turns.turn(request.priority):
            event = await self._make(request, chain, head, ends_ns=ends_ns)
        if isinstance(event, SimulationDone):
            self._made[request.key, head.hash] = event
            while len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
        return event

    async def _make(self, request: Request, chain: ChainReads, head: Header, *, ends_ns: int) -> AnyEvent:
        if len(request.transactions) > MAX_TRANSACTIONS or len(request.rewrite) > MAX_REWRITTEN:
            return _failed(request, "asks for too much at once")
        try:
            overrides = dict(request.code_overrides) | await self._rewritten(request, chain, head, ends_ns=ends_ns)
            delegations = await Accounts(chain.nodes).delegations(request.transactions, head.hash, request.chain_id)
            effects = await chain.simulator.run(
                calls_of(request.transactions),
                context=contexts(head, max(1, round(chain.block_time_ms / 1000)))[0],
                probes=request.probes,
                code=code_of(request.transactions) | delegations | overrides or None,
                fees=fees_of(request.transactions),
                trace=request.trace,
                at=head.hash,
                deadline_ms=self._left_ms(ends_ns),
            )
        except (Unreachable, Undecodable, RpcError) as error:
            return _failed(request, str(error))
        return SimulationDone(
            chain_id=request.chain_id,
            key=request.key,
            base=head.hash,
            base_number=head.number,
            effects=effects,
            code_overrides=tuple(sorted(overrides.items())),
        )

    async def _rewritten(self, request: Request, chain: ChainReads, head: Header, *, ends_ns: int) -> Code:
        """Code of the contracts to rewrite, addresses in it exchanged; only what changed."""
        if not request.rewrite or not request.exchange:
            return {}
        block = {"blockHash": shown(head.hash)}
        calls = [("eth_getCode", (shown(address), block)) for address in request.rewrite]
        answers = await chain.nodes.first_batch(calls, deadline_ms=self._left_ms(ends_ns), into=str)
        found: Code = {}
        for address, answer in zip(request.rewrite, answers, strict=True):
            if isinstance(answer, RpcError):
                raise answer
            code = hexes.octets(answer)
            changed = exchanged(code, dict(request.exchange))
            if changed != code:
                found[address] = changed
        return found

    def _left_ms(self, ends_ns: int) -> int:
        return max(1, (ends_ns - self._clock.monotonic_ns()) // 1_000_000)

    def _left_s(self, ends_ns: int) -> float:
        return self._left_ms(ends_ns) / 1000


class Turns:
    """Lets a few work at once; of those who wait, the lowest priority number goes first, then who came first."""

    def __init__(self, together: int) -> None:
        self._free = together
        self._count = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, priority: int) -> AsyncIterator[None]:
        """Hold one place."""
        await self._enter(priority)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, priority: int) -> None:
        if self._free:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (priority, self._count, place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            place = heapq.heappop(self._waiting)[2]
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


def exchanged(code: bytes, names: Mapping[Address, Address]) -> bytes:
    """Every first address in the code replaced by its second, all at once."""
    pattern = re.compile(b"|".join(re.escape(name) for name in names), re.DOTALL)
    return pattern.sub(lambda found: names[Address(found[0])], code)


def _failed(request: Request, why: str) -> RequestFailed:
    return RequestFailed(chain_id=request.chain_id, key=request.key, why=why)
