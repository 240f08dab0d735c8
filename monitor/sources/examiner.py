"""Runs one pending transaction on the head: what would it do, to what is watched, and could it be mined at all?

What names something watched goes straight to one run with probes and frames, its second context and its account at the
same time, so that notice to event is one round trip. Everything else runs once, and again in full if it touches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct

from monitor.chain.rpc import RpcError
from monitor.evm.transactions import max_cost, not_includable
from monitor.model.assets import Asset
from monitor.model.chain import Effects, Header, Probe, Transaction
from monitor.model.errors import Undecodable, Unreachable
from monitor.model.events import PendingSimulated
from monitor.model.ports import Simulator
from monitor.model.units import Address, Hash
from monitor.sources.accounts import Account, Accounts
from monitor.sources.contexts import agree, calls_of, code_of, contexts, fees_of
from monitor.sources.pending import SenderPool
from monitor.sources.watch import Watch, probes_of

FEW_PROBES: Final = 16  # where all assets together have no more, all are read at once
GAS_CAP: Final = 16_777_216  # EIP-7825
DEADLINE_MS: Final = 500


class Verdict(Struct, frozen=True):
    """What came of one transaction. `dead`: it can never be mined, and is let go."""

    event: PendingSimulated | None = None
    dead: str = ""


class Examiner:
    """Simulates for one chain. Raises nothing but Unreachable."""

    def __init__(
        self, watch: Watch, simulator: Simulator, accounts: Accounts, *, pool: SenderPool, block_time_ms: int
    ) -> None:
        self._watch = watch
        self._simulator = simulator
        self._accounts = accounts
        self._pool = pool
        self._slot_s = max(1, round(block_time_ms / 1000))

    async def expect(self, senders: Sequence[Address], head: Header) -> None:
        """Read the accounts of several senders in one frame, ahead of their turn; without it each is read alone."""
        with suppress(Unreachable):
            await self._read(senders, head)

    async def used(self, transactions: Sequence[Transaction], head: Header) -> frozenset[Hash]:
        """Those whose nonce is used: mined, or replaced by what was. None where the accounts cannot be read."""
        try:
            accounts = await self._read([tx.sender for tx in transactions], head)
        except Unreachable:
            return frozenset()
        return frozenset(tx.hash for tx in transactions if tx.nonce < accounts[tx.sender].nonce)

    async def urgent(self, tx: Transaction, head: Header) -> Verdict:
        """Examine what names something watched: always an event, unless it is dead."""
        assets = self._named(tx)
        try:
            async with asyncio.TaskGroup() as group:  # most are next of their sender: run as if, ask meanwhile
                asking = group.create_task(self._account(tx, head))
                running = group.create_task(self._both(tx, (), head, self._probes(assets)))
        except* Unreachable as failed:
            raise Unreachable(str(failed.exceptions[0])) from failed
        account = asking.result()
        if tx.nonce < account.nonce:
            return Verdict(dead=f"nonce {tx.nonce} is used")
        return Verdict(await self._whole(tx, head, account, assets, ran=running.result()))

    async def ordinary(self, tx: Transaction, head: Header) -> Verdict:
        """Examine any other: an event only where its effects touch something watched."""
        account = await self._account(tx, head)
        if tx.nonce < account.nonce:
            return Verdict(dead=f"nonce {tx.nonce} is used")
        before = self._before(tx, account)
        if before is None:
            return Verdict()  # what must come first is not known: nothing can be said yet
        effects = await self._run(tx, before, head, trace=bool(tx.data or tx.to is None))
        if not self._watch.index.touches_effects(effects):
            return Verdict()
        return Verdict(await self._whole(tx, head, account, self._watch.touched_assets(tx, effects)))

    async def _whole(
        self,
        tx: Transaction,
        head: Header,
        account: Account,
        assets: Sequence[Asset],
        *,
        ran: tuple[Effects, Effects] | None = None,
    ) -> PendingSimulated:
        """The event. `ran` holds where nothing must come before and no other asset turns out to be touched."""
        before, probes = self._before(tx, account) or (), self._probes(assets)
        one, other = ran if ran is not None and not before else await self._both(tx, before, head, probes)
        touched = self._watch.touched_assets(tx, one)
        wanted = self._probes((*assets, *touched))
        if set(wanted) - set(probes):
            one, other = await self._both(tx, before, head, wanted)
        return PendingSimulated(
            chain_id=self._watch.chain_id,
            transaction=tx,
            base=head.hash,
            base_number=head.number,
            effects=one,
            not_includable=self._not_includable(tx, head, account, before),
            agrees=agree(one, other, self._watch.with_sisters((*assets, *touched))),
        )

    async def _both(
        self, tx: Transaction, before: Sequence[Transaction], head: Header, probes: Sequence[Probe]
    ) -> tuple[Effects, Effects]:
        """The effects under both contexts, at the same time."""
        try:
            async with asyncio.TaskGroup() as group:
                one = group.create_task(self._run(tx, before, head, probes=probes, trace=True))
                other = group.create_task(self._run(tx, before, head, probes=probes, second=True))
        except* Unreachable as failed:
            raise Unreachable(str(failed.exceptions[0])) from failed
        return one.result(), other.result()

    async def _run(
        self,
        tx: Transaction,
        before: Sequence[Transaction],
        head: Header,
        *,
        probes: Sequence[Probe] = (),
        trace: bool = False,
        second: bool = False,
    ) -> Effects:
        transactions = (*before, tx)
        try:
            delegations = await self._accounts.delegations(transactions, head.hash, self._watch.chain_id)
            effects = await self._simulator.run(
                calls_of(transactions),
                context=contexts(head, self._slot_s)[second],
                probes=probes,
                code=code_of(transactions) | delegations or None,
                fees=fees_of(transactions),
                trace=trace,
                at=head.hash,
                gas_cap=GAS_CAP,
                deadline_ms=DEADLINE_MS,
            )
        except (RpcError, Undecodable) as error:
            raise Unreachable(f"simulation: {error}") from error
        return effects[-1]

    async def _account(self, tx: Transaction, head: Header) -> Account:
        return (await self._read([tx.sender], head))[tx.sender]

    async def _read(self, senders: Sequence[Address], head: Header) -> dict[Address, Account]:
        try:
            return await self._accounts.read(senders, head.hash)
        except (RpcError, Undecodable) as error:
            raise Unreachable(f"accounts of senders: {error}") from error

    def _before(self, tx: Transaction, account: Account) -> tuple[Transaction, ...] | None:
        return self._pool.before(tx, account.nonce)

    def _not_includable(self, tx: Transaction, head: Header, account: Account, before: Sequence[Transaction]) -> str:
        """Our own check, after what the sender sent before this one."""
        context = contexts(head, self._slot_s)[0]
        return not_includable(
            tx,
            next_nonce=account.nonce + len(before),
            balance=account.balance - sum(max_cost(each) for each in before),
            base_fee=context.base_fee,
            gas_limit=head.gas_limit,
            sender_has_code=account.has_code,
        )

    def _named(self, tx: Transaction) -> tuple[Asset, ...]:
        return self._watch.touched_assets(tx, Effects(ok=True, gas_used=0))

    def _probes(self, assets: Sequence[Asset]) -> tuple[Probe, ...]:
        if len(self._watch.probes) <= FEW_PROBES:
            return self._watch.probes
        return probes_of(self._watch.with_sisters(assets))
