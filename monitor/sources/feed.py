"""Heads as one node tells them: by subscription where it has a WebSocket, else by polling; and the headers between.

Each word of a node becomes a report for the follower, who alone decides. A header whose hash is not that of its fields
is reported as unproven. A subscription that is silent for two block times is helped by a poll, which also finds the
head after a reconnect at once. Nothing a node does ends its feed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

import msgspec
from msgspec import Raw, Struct

from monitor.chain.rpc import Rpc, RpcError
from monitor.evm import hexes
from monitor.evm.wire import decode, header
from monitor.model.chain import Header
from monitor.model.errors import Undecodable, Unreachable
from monitor.model.ports import Clock
from monitor.model.units import SECOND, ChainId, Hash, shown
from monitor.sources.envelope import Notice
from monitor.sources.faults import FaultTally
from monitor.sources.header_hash import FullHeader, Roots, hash_of, roots_of
from monitor.sources.socket import Closed, Opened, SocketLimits, SubscriptionSocket

HEADS: Final = (("newHeads",),)
MAX_HEADER: Final = 256 * 1024  # bytes: headers with the hashes of their transactions
BATCH: Final = 64  # headers fetched at once to link a claim


class Endpoint(Struct, frozen=True):
    """Where a node is; `name` is the same as its Rpc's."""

    name: str
    url: str

    @property
    def subscribes(self) -> bool:
        return self.url.startswith(("ws://", "wss://"))


class Claimed(Struct, frozen=True):
    """A header that a node gave. `head`: it says that this is its head; else it was asked for as a link."""

    header: Header
    roots: Roots | None
    proven: bool
    head: bool


class Report(Struct, frozen=True):
    """One word of one node. `wrong` says what was wrong; `gone` that the node is away or refused."""

    node: str
    claims: tuple[Claimed, ...] = ()
    wrong: str = ""
    gone: str = ""
    link: bool = False  # the end of a link fetch


class NodeFeed:
    """Reports of one node. `tell` takes each; it may wait."""

    def __init__(
        self,
        endpoint: Endpoint,
        rpc: Rpc,
        tell: Callable[[Report], Awaitable[None]],
        *,
        chain_id: ChainId,
        block_time_ms: int,
        clock: Clock,
        jitter: Callable[[], float],
        faults: FaultTally,
        check_hashes: bool = True,
        limits: SocketLimits | None = None,
    ) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._rpc = rpc
        self._tell = tell
        self._chain_id = chain_id
        self._clock = clock
        self._faults = faults
        self._check_hashes = check_hashes
        self._block_s = block_time_ms / 1000
        self._heard_ns = -SECOND
        self._chain_seen = False
        self._socket = SubscriptionSocket(
            endpoint.url,
            (HEADS,),
            node=endpoint.name,
            chain_id=chain_id,
            clock=clock,
            jitter=jitter,
            faults=faults,
            limits=limits,
        )

    async def run(self) -> None:
        """Follow the node until cancelled."""
        if not self._endpoint.subscribes:
            await self._poll_always()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._poll_when_silent())

    async def ahead(self, numbers: Sequence[int]) -> None:
        """Report the headers of these numbers, the last one as if it were the head: one stretch of a long gap."""
        await self._link([_by_number(number) for number in numbers], Hash(b""))

    async def link(self, wanted: Hash, below: Sequence[int]) -> None:
        """Report the header of this hash, and those of the numbers below it."""
        by_hash = ("eth_getBlockByHash", (shown(wanted), False))
        await self._link([*map(_by_number, below), by_hash], wanted)

    async def _link(self, calls: Sequence[tuple[str, tuple[str, bool]]], wanted: Hash) -> None:
        try:
            blocks = await self._rpc.batch(calls, into=FullHeader | None)
            found = [self._claimed(wire, head=False) for wire in blocks if isinstance(wire, FullHeader)]
        except (RpcError, Unreachable, Undecodable) as error:
            await self._report(Report(self.name, gone=str(error), link=True))
            return
        if wanted and (not found or found[-1].header.hash != wanted):
            await self._report(Report(self.name, link=True))  # it may have reorganised since; it does not vote unlinked
            return
        claims = linked(found)
        if not wanted and claims:
            claims = (*claims[:-1], msgspec.structs.replace(claims[-1], head=True))
        await self._report(Report(self.name, claims, link=True))

    async def _listen(self) -> None:
        async with aclosing(self._socket.notices()) as words:
            async for word in words:
                self._heard_ns = self._clock.monotonic_ns()
                match word:
                    case Notice(result=result):
                        await self._notice(result)
                    case Closed(why=why, wrong_chain=wrong):
                        self._chain_seen = False
                        await self._tell(Report(self.name, gone=why, wrong=why if wrong else ""))
                    case Opened():
                        await self._poll()

    async def _notice(self, result: Raw) -> None:
        try:
            wire = decode(result, FullHeader, max_bytes=MAX_HEADER)
            if not wire.whole and self._check_hashes:
                await self._poll()
                return
            claim = self._claimed(wire, head=True)
        except Undecodable as error:
            self._faults.note("undecodable header", on=self.name, detail=str(error))
        else:
            await self._report(Report(self.name, (claim,)))

    async def _poll_when_silent(self) -> None:
        pause = max(2 * self._block_s, 2.0)
        while True:
            await self._clock.sleep(pause)
            if self._clock.monotonic_ns() - self._heard_ns >= pause * SECOND:
                await self._poll()

    async def _poll_always(self) -> None:
        while True:
            await self._poll()
            await self._clock.sleep(min(max(self._block_s / 4, 0.05), 2.0))

    async def _right_chain(self) -> bool:
        """Whether this node was seen to serve our chain; asked until it does."""
        if self._chain_seen:
            return True
        try:
            said = hexes.quantity(await self._rpc.call("eth_chainId", into=str), 64)
        except (RpcError, Unreachable, Undecodable) as error:
            await self._report(Report(self.name, gone=str(error)))
            return False
        self._chain_seen = said == self._chain_id
        if not self._chain_seen:
            why = f"serves chain {said}, not {self._chain_id}"
            await self._report(Report(self.name, gone=why, wrong=why))
        return self._chain_seen

    async def _poll(self) -> None:
        """Ask for the head; nothing is said where a notice came meanwhile."""
        asked_ns = self._heard_ns
        if not await self._right_chain():
            return
        try:
            wire = await self._rpc.call("eth_getBlockByNumber", ("latest", False), into=FullHeader)
            claim = self._claimed(wire, head=True)
        except (RpcError, Unreachable, Undecodable) as error:
            await self._report(Report(self.name, gone=str(error)))
            return
        if self._heard_ns == asked_ns:
            await self._report(Report(self.name, (claim,)))

    def _claimed(self, wire: FullHeader, *, head: bool) -> Claimed:
        told = header(wire)
        if not self._check_hashes:
            return Claimed(told, roots_of(wire) if wire.whole else None, proven=True, head=head)
        proven = hash_of(wire) == told.hash
        if not proven:
            self._faults.note("header that does not hash to itself", on=self.name)
        return Claimed(told, roots_of(wire), proven=proven, head=head)

    async def _report(self, report: Report) -> None:
        if report.gone:
            self._faults.note("node away", on=self.name, detail=report.gone)
        await self._tell(report)


def _by_number(number: int) -> tuple[str, tuple[str, bool]]:
    return "eth_getBlockByNumber", (hex(number), False)


def linked(claims: Sequence[Claimed]) -> tuple[Claimed, ...]:
    """The longest tail of these headers in which each is the parent of the next."""
    kept: list[Claimed] = []
    for claim in reversed(claims):
        if kept and kept[-1].header.parent != claim.header.hash:
            break
        kept.append(claim)
    return tuple(reversed(kept))
