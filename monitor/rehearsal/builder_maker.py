"""Make blocks: execute what waits on the head, order it, build it, and build again if that broke a
promise. A bundle or a private transaction that may not revert is judged by the real receipts of the
real block; when one broke, the block is undone and made again without it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from monitor.rehearsal.builder_chain import BlockPlan, Chain, Done, MinedBlock
from monitor.rehearsal.builder_gate import Gate
from monitor.rehearsal.builder_order import Candidate, Executed, order, single, whole
from monitor.rehearsal.builder_pool import Account, Bundle, Pool, Pooled
from monitor.rehearsal.builder_slot import Lane
from monitor.rehearsal.builder_transaction import Transaction

_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Placed:
    """One transaction in a built block; payment and value in wei, as executed on the head before."""

    transaction: Transaction
    lane: Lane
    payment: int
    value_per_gas: int
    gas_used: int
    succeeded: bool
    bundle: bytes | None = None


@dataclass(frozen=True, slots=True)
class BuiltBlock:
    """A block of ours: what went in and in which order, and what did not.

    ``voided`` are the bundles meant for this block that are not in it, whatever the cause, and the
    private transactions that would have reverted in it; ``refused`` is what the node would not take.
    """

    number: int
    hash: bytes
    slot: int
    timestamp: int
    base_fee: int
    placed: tuple[Placed, ...]
    voided: tuple[bytes, ...]
    refused: Mapping[bytes, str]
    mined: MinedBlock

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Return the transaction hashes in block order."""
        return tuple(placed.transaction.hash for placed in self.placed)


@dataclass(frozen=True, slots=True)
class _Line:
    """One sender's transactions by nonce; only those from ``valued_from`` on are to be valued."""

    entries: tuple[Pooled, ...]
    valued_from: int = 0


class Maker:
    """Turn a pool into the next block."""

    def __init__(self, chain: Chain, pool: Pool, gate: Gate) -> None:
        self._chain = chain
        self._pool = pool
        self._gate = gate
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._turn = asyncio.Lock()

    async def candidates(self, slot: int, plan: BlockPlan, accounts: Mapping[bytes, Account]) -> tuple[Candidate, ...]:
        """Execute on the head all that this slot may include, and return what can go in."""
        lines = tuple(_lines(self._pool.eligible(slot, plan.base_fee), accounts))
        bundles = self._pool.eligible_bundles(slot, plan.base_fee, number=plan.number)
        async with asyncio.TaskGroup() as group:
            valued = [group.create_task(self._value(line, plan)) for line in lines]
            judged = [group.create_task(self._judge(bundle, plan)) for bundle in bundles]
        singles = [candidate for task in valued for candidate in task.result()]
        wholes = [task.result() for task in judged]
        return (*singles, *(candidate for candidate in wholes if candidate is not None))

    async def make(
        self,
        candidates: Iterable[Candidate],
        plan: BlockPlan,
        accounts: Mapping[bytes, Account],
        *,
        slot: int,
    ) -> BuiltBlock:
        """Build the block; nobody may read the node meanwhile."""
        nonces = {sender: account.nonce for sender, account in accounts.items()}
        remaining = list(candidates)
        voided: list[bytes] = []
        while True:
            ordered = order(remaining, nonces, gas_limit=plan.gas_limit)
            mined = await self._chain.build(
                [transaction for candidate in ordered for transaction in candidate.transactions],
                plan,
            )
            done = mined.done
            broken = next((c for c in ordered if _is_broken(c, done)), None)
            if broken is None:
                placed = tuple(self._placed(ordered, done))
                missed = self._missed_bundles(plan.number, ordered)
                return built(mined, placed, slot=slot, voided=(*voided, *missed))
            await self._chain.undo(mined.snapshot)
            remaining.remove(broken)
            if broken.bundle is None:
                voided.append(broken.transactions[0].hash)

    async def remake(self, orphan: BuiltBlock, drop: frozenset[bytes], *, slot_s: int) -> BuiltBlock:
        """Build a block in place of an undone one, without ``drop`` and what then lacks a nonce."""
        kept = [placed for placed in orphan.placed if placed.transaction.hash not in drop]
        accounts = await self._chain.accounts({placed.transaction.sender for placed in kept})
        following = {sender: account.nonce for sender, account in accounts.items()}
        fitting: list[Placed] = []
        for placed in kept:
            transaction = placed.transaction
            if transaction.nonce == following[transaction.sender]:
                following[transaction.sender] += 1
                fitting.append(placed)
        plan = await self._chain.plan(slot_s, timestamp=orphan.timestamp)
        mined = await self._chain.build([placed.transaction for placed in fitting], plan)
        return built(mined, tuple(_replaced(fitting, mined.done)), slot=orphan.slot)

    async def _value(self, line: _Line, plan: BlockPlan) -> list[Candidate]:
        entries = line.entries
        executed: Sequence[Executed] | None = None
        while executed is None and entries:
            executed = await self._execute([entry.transaction for entry in entries], plan)
            if executed is None:
                entries = entries[:-1]
        return [
            single(entry, result)
            for entry, result in tuple(zip(entries, executed or (), strict=True))[line.valued_from :]
            if entry.may_revert or result.succeeded
        ]

    async def _judge(self, bundle: Bundle, plan: BlockPlan) -> Candidate | None:
        executed = await self._execute(bundle.transactions, plan)
        if executed is None:
            return None
        for transaction, result in zip(bundle.transactions, executed, strict=True):
            if not result.succeeded and transaction.hash not in bundle.may_revert:
                return None
        return whole(bundle, executed)

    async def _execute(self, transactions: Sequence[Transaction], plan: BlockPlan) -> tuple[Executed, ...] | None:
        if all(transaction.to is not None for transaction in transactions):
            async with self._slots:
                return await self._chain.execute(transactions, plan)
        # anvil's eth_simulateV1 takes no creations: those are tried in a real block, then undone,
        # which nothing else may run beside.
        async with self._alone(), self._gate.closed():
            return await self._chain.try_out(transactions, plan)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as every, self._turn:
            for _ in range(_AT_ONCE):
                await every.enter_async_context(self._slots)
            yield

    def _missed_bundles(self, number: int, ordered: Iterable[Candidate]) -> tuple[bytes, ...]:
        included = {candidate.bundle for candidate in ordered}
        meant = (b.hash for b in self._pool.bundles.values() if b.target_block == number)
        return tuple(bundle for bundle in meant if bundle not in included)

    def _placed(self, ordered: Iterable[Candidate], done: Mapping[bytes, Done]) -> Iterator[Placed]:
        for candidate in ordered:
            for transaction in candidate.transactions:
                one = done.get(transaction.hash)
                if one is None:
                    continue
                yield Placed(
                    transaction=transaction,
                    lane=Lane.BUNDLE if candidate.bundle else self._pool.lane_of(transaction.hash),
                    payment=candidate.payment,
                    value_per_gas=int(candidate.value_per_gas),
                    gas_used=one.gas_used,
                    succeeded=one.succeeded,
                    bundle=candidate.bundle,
                )


def _replaced(fitting: Iterable[Placed], done: Mapping[bytes, Done]) -> Iterator[Placed]:
    """Yield what went in again, with what it did this time; its value stays that of the first time."""
    for placed in fitting:
        one = done.get(placed.transaction.hash)
        if one is not None:
            yield replace(placed, gas_used=one.gas_used, succeeded=one.succeeded)


def built(mined: MinedBlock, placed: tuple[Placed, ...], *, slot: int, voided: tuple[bytes, ...] = ()) -> BuiltBlock:
    """Make the record of a block that was mined."""
    return BuiltBlock(
        number=mined.number,
        hash=mined.hash,
        slot=slot,
        timestamp=int(mined.block["timestamp"], 16),
        base_fee=int(mined.block["baseFeePerGas"], 16),
        placed=placed,
        voided=voided,
        refused=mined.refused,
        mined=mined,
    )


def _is_broken(candidate: Candidate, done: Mapping[bytes, Done]) -> bool:
    for transaction in candidate.transactions:
        one = done.get(transaction.hash)
        if one is None and candidate.bundle is not None:
            return True
        if one is not None and not one.succeeded and transaction.hash not in candidate.may_revert:
            return True
    return False


def _lines(entries: Iterable[Pooled], accounts: Mapping[bytes, Account]) -> Iterator[_Line]:
    """Yield, for each sender, its best paying line by nonce, then a line for each rival of a nonce."""
    waiting: dict[bytes, dict[int, dict[bytes, Pooled]]] = defaultdict(lambda: defaultdict(dict))
    for entry in entries:
        transaction = entry.transaction
        if transaction.sender not in accounts:
            continue  # came in while the accounts were read: the next block's
        # The public copy comes first and stays: what is public may revert, whatever the private says.
        waiting[transaction.sender][transaction.nonce].setdefault(transaction.hash, entry)
    for sender, by_nonce in waiting.items():
        yield from _sender_lines(by_nonce, accounts[sender])


def _sender_lines(by_nonce: Mapping[int, Mapping[bytes, Pooled]], account: Account) -> Iterator[_Line]:
    best: list[Pooled] = []
    nonce, funds = account.nonce, account.balance
    while nonce in by_nonce:
        rivals = [e for e in by_nonce[nonce].values() if e.transaction.cost <= funds]
        if not rivals:
            break
        rivals.sort(key=lambda entry: -entry.transaction.max_priority)
        yield from (_Line((*best, rival), valued_from=len(best)) for rival in rivals[1:])
        best.append(rivals[0])
        funds -= rivals[0].transaction.cost
        nonce += 1
    if best:
        yield _Line(tuple(best))
