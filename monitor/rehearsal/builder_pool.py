"""The builder's pool: what waits for a block, public and private apart.

Admission follows geth: next or later nonce, funds for everything the sender has pooled, a floor
under the fee cap, and 10 % on both caps to replace. Private transactions and bundles never show in
anything that a client can ask. Pure: no I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from monitor.rehearsal.builder_slot import Arrival, Lane
from monitor.rehearsal.builder_transaction import Rejected, Transaction

MAX_PUBLIC = 10_000
"""Public transactions held at once; the next one is refused, as a full node's pool does."""


@dataclass(frozen=True, slots=True)
class Account:
    """What the chain's head says of one sender."""

    nonce: int
    balance: int


@dataclass(frozen=True, slots=True)
class Pooled:
    """One transaction that waits; ``last_block`` is the last block number that may include it."""

    transaction: Transaction
    arrival: Arrival
    may_revert: bool = True
    last_block: int | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """An atomic sequence for one target block; any revert not listed voids it."""

    hash: bytes
    transactions: tuple[Transaction, ...]
    target_block: int
    arrival: Arrival
    may_revert: frozenset[bytes] = frozenset()
    replacement_id: str | None = None


class Pool:
    """Hold public transactions by sender and nonce, private ones by hash, and bundles."""

    def __init__(self, *, min_fee: int = 1) -> None:
        self.public: dict[tuple[bytes, int], Pooled] = {}
        self.private: dict[bytes, Pooled] = {}
        self.bundles: dict[bytes, Bundle] = {}
        self._by_hash: dict[bytes, Pooled] = {}
        self._min_fee = min_fee

    def admit(self, transaction: Transaction, account: Account, *, gas_limit: int) -> None:
        """Raise Rejected when the bytes could never be included for this sender at this head."""
        if transaction.hash in self._by_hash or transaction.hash in self.private:
            raise Rejected("already known")
        if transaction.gas > gas_limit:
            raise Rejected("exceeds block gas limit")
        if transaction.max_fee < self._min_fee:
            raise Rejected(f"transaction underpriced: fee cap below {self._min_fee} wei")
        if transaction.nonce < account.nonce:
            raise Rejected(f"nonce too low: next nonce {account.nonce}, tx nonce {transaction.nonce}")
        if transaction.cost > account.balance:
            raise Rejected(
                f"insufficient funds for gas * price + value: balance {account.balance}, tx cost {transaction.cost}"
            )

    def add_public(self, entry: Pooled, account: Account) -> None:
        """Add or replace by nonce; raises Rejected when the pooled one is not outbid."""
        transaction = entry.transaction
        key = (transaction.sender, transaction.nonce)
        previous = self.public.get(key)
        if previous is None and len(self.public) >= MAX_PUBLIC:
            raise Rejected("txpool is full")
        if previous is not None and not transaction.may_replace(previous.transaction):
            raise Rejected("replacement transaction underpriced")
        spent = sum(p.transaction.cost for p in self._of(transaction.sender) if p is not previous)
        if spent + transaction.cost > account.balance:
            raise Rejected(
                "insufficient funds for gas * price + value: "
                f"balance {account.balance}, queued cost {spent}, tx cost {transaction.cost}"
            )
        if previous is not None:
            del self._by_hash[previous.transaction.hash]
        self.public[key] = entry
        self._by_hash[transaction.hash] = entry

    def put_back(self, entry: Pooled) -> bool:
        """Add without asking what a reorg dropped, unless its nonce is taken; say whether added."""
        key = (entry.transaction.sender, entry.transaction.nonce)
        if key in self.public:
            return False
        self.public[key] = entry
        self._by_hash[entry.transaction.hash] = entry
        return True

    def add_private(self, entry: Pooled) -> None:
        """Add a transaction that only the block maker sees."""
        self.private[entry.transaction.hash] = entry

    def add_bundle(self, bundle: Bundle) -> None:
        """Add a bundle, in place of the one with the same replacement id."""
        if bundle.replacement_id is not None:
            self.cancel_bundle(bundle.replacement_id)
        self.bundles[bundle.hash] = bundle

    def cancel_bundle(self, replacement_id: str) -> bool:
        """Drop the bundles with this replacement id; say whether there was one."""
        found = [h for h, b in self.bundles.items() if b.replacement_id == replacement_id]
        for bundle_hash in found:
            del self.bundles[bundle_hash]
        return bool(found)

    def find_public(self, tx_hash: bytes) -> Transaction | None:
        """Return the public transaction with this hash; a private one is never found here."""
        entry = self._by_hash.get(tx_hash)
        return None if entry is None else entry.transaction

    def pending_nonce(self, sender: bytes, nonce: int) -> int:
        """Return the nonce after the contiguous public ones that start at the chain's ``nonce``."""
        while (sender, nonce) in self.public:
            nonce += 1
        return nonce

    def senders(self) -> frozenset[bytes]:
        """Return every sender that waits in any lane."""
        return frozenset(
            transaction.sender
            for transaction in (
                *(entry.transaction for entry in self.singles()),
                *(tx for bundle in self.bundles.values() for tx in bundle.transactions),
            )
        )

    def singles(self) -> Iterator[Pooled]:
        """Yield public, then private transactions; one that is in both comes twice."""
        yield from self.public.values()
        yield from self.private.values()

    def eligible(self, slot: int, base_fee: int) -> Iterator[Pooled]:
        """Yield the single transactions that this slot's block may include."""
        for entry in self.singles():
            if entry.arrival.eligible_slot <= slot and entry.transaction.max_fee >= base_fee:
                yield entry

    def eligible_bundles(self, slot: int, base_fee: int, *, number: int) -> Iterator[Bundle]:
        """Yield the bundles whose target is this block and that came in time."""
        for bundle in self.bundles.values():
            in_time = bundle.arrival.eligible_slot <= slot and bundle.target_block == number
            if in_time and all(tx.max_fee >= base_fee for tx in bundle.transactions):
                yield bundle

    def remove(self, tx_hash: bytes) -> bool:
        """Forget one transaction in both lanes; say whether it was there."""
        entry = self._by_hash.pop(tx_hash, None)
        if entry is not None:
            del self.public[(entry.transaction.sender, entry.transaction.nonce)]
        return self.private.pop(tx_hash, None) is not None or entry is not None

    def settle(self, accounts: Mapping[bytes, Account], *, head: int) -> None:
        """Drop what the head made stale: used nonces, lapsed private ones, past bundles."""
        for entry in tuple(self.singles()):
            account = accounts.get(entry.transaction.sender)
            used = account is not None and entry.transaction.nonce < account.nonce
            if used or (entry.last_block is not None and entry.last_block <= head):
                self.remove(entry.transaction.hash)
        self.bundles = {h: b for h, b in self.bundles.items() if b.target_block > head}

    def lane_of(self, tx_hash: bytes) -> Lane:
        """Return the lane of a pooled single transaction; public where it is in both."""
        return Lane.PUBLIC if tx_hash in self._by_hash else Lane.PRIVATE

    def _of(self, sender: bytes) -> Iterator[Pooled]:
        return (entry for (owner, _), entry in self.public.items() if owner == sender)
