"""The block-building proxy of the rehearsals: it stands before an anvil that mines nothing by itself.

It keeps its own pool, tells subscribers of public transactions only, and at the end of each slot
makes one block ordered by what every transaction really pays per gas. Chain time goes by slots,
real time is only measured; latency is counted and never slept. It never signs, and never sends
anything anywhere but to the one node behind it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from monitor.rehearsal.builder_chain import Chain
from monitor.rehearsal.builder_desk import Desk, Head
from monitor.rehearsal.builder_dump import dump
from monitor.rehearsal.builder_endpoint import Endpoint
from monitor.rehearsal.builder_faults import Faults
from monitor.rehearsal.builder_gate import Gate
from monitor.rehearsal.builder_maker import BuiltBlock, Maker
from monitor.rehearsal.builder_methods import Backend
from monitor.rehearsal.builder_pool import Account, Pool
from monitor.rehearsal.builder_slot import LOOPBACK, Arrival, LatencyProfile, SlotClock
from monitor.rehearsal.builder_transaction import Json, Transaction
from monitor.rehearsal.builder_upstream import Upstream

FEE_RECIPIENT: Final = "0x00000000000000000000000000000000000b01de"


class Builder:
    """Hold the pool, make the blocks and serve the endpoints; use inside ``async with``.

    ``node_url`` is the WebSocket address of an anvil started with ``--no-mining --order fifo``.
    """

    def __init__(
        self,
        node_url: str,
        *,
        profile: LatencyProfile = LOOPBACK,
        clock: Callable[[], int] = time.monotonic_ns,
        fee_recipient: str = FEE_RECIPIENT,
    ) -> None:
        self.profile = profile
        self.pool = Pool()
        self.slots = SlotClock(profile, clock)
        self._upstream = Upstream(node_url)
        self._chain = Chain(self._upstream, fee_recipient=fee_recipient)
        self._gate = Gate()
        self._maker = Maker(self._chain, self.pool, self._gate)
        self._making = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._group = asyncio.TaskGroup()
        self._endpoints: dict[str, Endpoint] = {}
        self._blocks: list[BuiltBlock] = []
        self._orphans: list[BuiltBlock] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._upstream)
            await self._group.__aenter__()
            stack.push_async_exit(self._end_group)
            reading = self._group.create_task(self._upstream.read())
            stack.callback(reading.cancel)
            stack.push_async_callback(self._close_endpoints)
            await self._attach()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, trace)

    @property
    def http_url(self) -> str:
        """Return the honest endpoint's address for HTTP POST."""
        return self._endpoints["plain"].http_url

    @property
    def ws_url(self) -> str:
        """Return the honest endpoint's address for WebSocket."""
        return self._endpoints["plain"].ws_url

    @property
    def arrivals(self) -> tuple[Arrival, ...]:
        """Return every accepted transaction in order of arrival, bundled ones included."""
        return tuple(self._desk.arrivals)

    @property
    def blocks(self) -> tuple[BuiltBlock, ...]:
        """Return the canonical blocks made here, oldest first."""
        return tuple(self._blocks)

    @property
    def orphans(self) -> tuple[BuiltBlock, ...]:
        """Return the blocks that reorgs replaced, in the order in which they were orphaned."""
        return tuple(self._orphans)

    async def endpoint(self, name: str, faults: Faults | None = None) -> Endpoint:
        """Open one more node endpoint over the same chain, on a port of its own."""
        if name in self._endpoints:
            raise ValueError(f"there is already an endpoint {name!r}")
        endpoint = Endpoint(name, self._backend, faults or Faults())
        self._endpoints[name] = endpoint
        await endpoint.open()
        return endpoint

    async def head(self) -> Json:
        """Return the newest block with transaction hashes."""
        return await self._chain.head()

    async def send_public(self, raw: bytes, *, at_ms: float | None = None, delay_ms: float = 0) -> bytes:
        """Send to the public pool and return the hash; raises Rejected.

        ``at_ms`` first moves slot time forward to that moment; ``delay_ms`` is injected latency.
        """
        self._skip_to(at_ms)
        return await self._desk.public(raw, delay_ms=delay_ms)

    async def send_private(
        self,
        raw: bytes,
        *,
        at_ms: float | None = None,
        delay_ms: float = 0,
        may_revert: bool = False,
        last_block: int | None = None,
    ) -> bytes:
        """Send past the public pool and return the hash; not included where it would revert."""
        self._skip_to(at_ms)
        return await self._desk.private(raw, delay_ms=delay_ms, may_revert=may_revert, last_block=last_block)

    def send_bundle(
        self,
        raws: Sequence[bytes],
        *,
        target_block: int,
        may_revert: frozenset[bytes] = frozenset(),
        at_ms: float | None = None,
        delay_ms: float = 0,
    ) -> bytes:
        """Send an atomic bundle for one block and return the bundle hash."""
        self._skip_to(at_ms)
        return self._desk.bundle(raws, target_block=target_block, may_revert=may_revert, delay_ms=delay_ms)

    async def seal(self, timestamp: int | None = None, *, announce: bool = True) -> BuiltBlock:
        """End the slot: make its block, tell subscribers unless told not to, begin the next slot.

        ``timestamp`` defaults to one slot after the head. Sealing before the slot's real time is
        over is hard on the defender, never on the attacker: what is still on its way waits a slot.
        """
        async with self._making:
            plan = await self._chain.plan(self.profile.slot_s, timestamp=timestamp)
            accounts = await self._chain.accounts(self.pool.senders())
            self.pool.settle(accounts, head=plan.number - 1)
            slot = self.slots.slot
            candidates = await self._maker.candidates(slot, plan, accounts)
            async with self._gate.closed():
                block = await self._maker.make(candidates, plan, accounts, slot=slot)
                self._take(block)
            self.slots.begin_next()
            if announce:
                self._announce(block)
        return block

    async def reorg(
        self,
        depth: int,
        *,
        drop: frozenset[bytes] = frozenset(),
        return_to_pool: bool = False,
    ) -> tuple[BuiltBlock, ...]:
        """Replace the last ``depth`` blocks made here, leaving out what is in ``drop``.

        Heights and times stay, hashes change. What cannot be included any more for lack of a
        dropped predecessor goes back to the public pool; the dropped only if ``return_to_pool``.
        """
        if not 0 < depth <= len(self._blocks):
            raise ValueError(f"depth {depth} is not within the {len(self._blocks)} blocks made here")
        async with self._making:
            orphans = tuple(self._blocks[-depth:])
            async with self._gate.closed():
                await self._chain.undo(orphans[0].mined.snapshot)
                del self._blocks[-depth:]
                for orphan in orphans:
                    self._take(await self._maker.remake(orphan, drop, slot_s=self.profile.slot_s))
            self._orphans.extend(orphans)
            made = tuple(self._blocks[-depth:])
            self._tell_of_reorg(orphans, made, lost=frozenset() if return_to_pool else drop)
        return made

    def announce(self, *numbers: int, logs: bool = True) -> None:
        """Tell subscribers of these blocks now: late if they were sealed silently, else again."""
        by_number = {block.number: block for block in self._blocks}
        for number in numbers:
            self._announce(by_number[number], logs=logs)

    async def dump(self, directory: Path, *, balances_of: Sequence[str] = ()) -> None:
        """Write the chain into ``directory`` so that losses can be recomputed from it alone.

        blocks.json, receipts.json, state.json (accounts at the head, ether after every block of
        ``balances_of``) and built.json (arrivals, orders, orphans).
        """
        await dump(directory, self._chain, self.arrivals, (self.blocks, self.orphans), balances_of)

    async def _attach(self) -> None:
        await self._chain.prepare()
        chain_id = int(await self._upstream.call("eth_chainId"), 16)
        self._desk = Desk(self._chain, self.pool, self.slots, chain_id=chain_id, publish=self._publish)
        head = await self._chain.head()
        self._desk.head = Head(int(head["number"], 16), int(head["gasLimit"], 16))
        self._backend = Backend(self._upstream, self._gate, self._desk, self.pool, profile=self.profile)
        await self.endpoint("plain")

    def _skip_to(self, at_ms: float | None) -> None:
        if at_ms is not None:
            self.slots.skip_to(at_ms)

    def _publish(self, transaction: Transaction) -> None:
        if self.profile.public_mempool:
            for endpoint in self._endpoints.values():
                endpoint.announce_pending(transaction)

    def _take(self, block: BuiltBlock) -> None:
        """Make a new block the head: its transactions leave the pool, and their nonces with them."""
        self._blocks.append(block)
        self._desk.head = Head(block.number, int(block.mined.block["gasLimit"], 16))
        used: dict[bytes, Account] = {}
        for placed in block.placed:
            transaction = placed.transaction
            used[transaction.sender] = Account(nonce=transaction.nonce + 1, balance=0)
        for refused in block.refused:
            self.pool.remove(refused)
        self.pool.settle(used, head=block.number)

    def _tell_of_reorg(
        self,
        orphans: Sequence[BuiltBlock],
        made: Sequence[BuiltBlock],
        *,
        lost: frozenset[bytes],
    ) -> None:
        included = {tx_hash for block in made for tx_hash in block.hashes}
        for orphan in orphans:
            removed = [log | {"removed": True} for log in orphan.mined.logs]
            for endpoint in self._endpoints.values():
                endpoint.announce_logs(removed)
            for placed in orphan.placed:
                if placed.transaction.hash not in included | lost:
                    self._desk.put_back(placed.transaction)
        for block in made:
            self._announce(block)

    def _announce(self, block: BuiltBlock, *, logs: bool = True) -> None:
        for endpoint in self._endpoints.values():
            endpoint.announce_head(block.mined.header)
            if logs:
                endpoint.announce_logs(block.mined.logs)

    async def _close_endpoints(self) -> None:
        for endpoint in self._endpoints.values():
            await endpoint.close()

    async def _end_group(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # An error of the body is passed on as it is; the group would wrap it. Its own cancellation,
        # after the connection to the node broke, must reach the group to be turned into that error.
        if isinstance(error, asyncio.CancelledError):
            await self._group.__aexit__(kind, error, trace)
        else:
            await self._group.__aexit__(None, None, None)
