"""The desk where transactions and bundles come in: stamped, checked against the head, then pooled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from eth_utils.crypto import keccak

from monitor.rehearsal.builder_chain import Chain
from monitor.rehearsal.builder_pool import Account, Bundle, Pool, Pooled
from monitor.rehearsal.builder_slot import Arrival, Lane, SlotClock
from monitor.rehearsal.builder_transaction import Rejected, Transaction, decode

MAX_PRIVATE_BLOCKS: Final = 25
"""A private transaction is retried this many blocks at most (Flashbots Protect's bound)."""

MAX_BUNDLE: Final = 100
"""Transactions in a bundle (Flashbots' bound)."""


@dataclass(frozen=True, slots=True)
class Head:
    """What admission must know of the newest block."""

    number: int
    gas_limit: int


class Desk:
    """Take submissions of all three lanes and keep the log of arrivals.

    ``delay_ms`` is injected latency: it is added to the slot time of the arrival and never waited.
    """

    def __init__(
        self,
        chain: Chain,
        pool: Pool,
        slots: SlotClock,
        *,
        chain_id: int,
        publish: Callable[[Transaction], None],
    ) -> None:
        self.head = Head(number=0, gas_limit=0)
        self.arrivals: list[Arrival] = []
        self._chain = chain
        self._pool = pool
        self._slots = slots
        self._chain_id = chain_id
        self._publish = publish

    async def public(self, raw: bytes, *, delay_ms: float) -> bytes:
        """Pool publicly, tell subscribers, return the hash; raises Rejected."""
        transaction, arrival = self._read(raw, Lane.PUBLIC, delay_ms=delay_ms)
        account = await self._admit(transaction)
        self._pool.add_public(Pooled(transaction, arrival), account)
        self.arrivals.append(arrival)
        self._publish(transaction)
        return transaction.hash

    async def private(self, raw: bytes, *, delay_ms: float, may_revert: bool, last_block: int | None = None) -> bytes:
        """Pool for the block maker's eyes only, for 25 blocks at most; returns the hash."""
        transaction, arrival = self._read(raw, Lane.PRIVATE, delay_ms=delay_ms)
        await self._admit(transaction)
        latest = self.head.number + MAX_PRIVATE_BLOCKS
        last = latest if last_block is None else min(last_block, latest)
        entry = Pooled(transaction, arrival, may_revert=may_revert, last_block=last)
        self._pool.add_private(entry)
        self.arrivals.append(arrival)
        return transaction.hash

    def bundle(
        self,
        raws: Sequence[bytes],
        *,
        target_block: int,
        may_revert: frozenset[bytes],
        delay_ms: float,
        replacement_id: str | None = None,
    ) -> bytes:
        """Take an atomic bundle for one block; returns the bundle hash.

        Balances are not checked: an earlier transaction of it may fund a later one.
        """
        if not 0 < len(raws) <= MAX_BUNDLE:
            raise Rejected(f"a bundle has 1 to {MAX_BUNDLE} transactions, not {len(raws)}")
        if target_block <= self.head.number:
            raise Rejected(f"target block {target_block} is not after the head {self.head.number}")
        read = [self._read(raw, Lane.BUNDLE, delay_ms=delay_ms) for raw in raws]
        transactions = tuple(transaction for transaction, _ in read)
        bundle_hash = bytes(keccak(b"".join(tx.hash for tx in transactions)))
        self._pool.add_bundle(
            Bundle(
                hash=bundle_hash,
                transactions=transactions,
                target_block=target_block,
                arrival=read[-1][1],
                may_revert=may_revert,
                replacement_id=replacement_id,
            )
        )
        self.arrivals.extend(arrival for _, arrival in read)
        return bundle_hash

    def put_back(self, transaction: Transaction) -> None:
        """Pool publicly again what a reorg dropped, in place of nothing that came since."""
        arrival = self._slots.stamp(transaction.hash, transaction.sender, Lane.PUBLIC, delay_ms=0)
        if self._pool.put_back(Pooled(transaction, arrival)):
            self._publish(transaction)

    def _read(self, raw: bytes, lane: Lane, *, delay_ms: float) -> tuple[Transaction, Arrival]:
        transaction = decode(raw)
        if transaction.chain_id not in (None, self._chain_id):
            raise Rejected(f"invalid chain id for signer: have {transaction.chain_id} want {self._chain_id}")
        arrival = self._slots.stamp(transaction.hash, transaction.sender, lane, delay_ms=delay_ms)
        return transaction, arrival

    async def _admit(self, transaction: Transaction) -> Account:
        accounts = await self._chain.accounts((transaction.sender,))
        account = accounts[transaction.sender]
        self._pool.admit(transaction, account, gas_limit=self.head.gas_limit)
        return account
