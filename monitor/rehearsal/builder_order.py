"""The order of a block: by what each transaction really pays per gas, nonces and bundles respected.

A builder is paid (effective tip · gas used + ether sent to the fee recipient) / gas used.
Candidates come here already executed on the head; this module only sorts. Pure: no I/O and no
clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from monitor.rehearsal.builder_pool import Bundle, Pooled
from monitor.rehearsal.builder_transaction import Transaction

_ELASTICITY = 2
_CHANGE_DENOMINATOR = 8


@dataclass(frozen=True, slots=True)
class Executed:
    """What one transaction did when executed on the head: gas, and wei for the block maker."""

    gas_used: int
    payment: int
    succeeded: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """One unit of the block: a transaction alone, or a bundle that goes in whole or not at all."""

    transactions: tuple[Transaction, ...]
    gas_used: int
    payment: int
    sequence: int
    may_revert: frozenset[bytes]
    bundle: bytes | None = None

    @property
    def value_per_gas(self) -> Fraction:
        """Return the wei per gas that the block maker gets; exact, so that ties are real ties."""
        return Fraction(self.payment, max(1, self.gas_used))

    @property
    def must_succeed(self) -> bool:
        """Return whether some transaction of it may not revert."""
        return any(tx.hash not in self.may_revert for tx in self.transactions)


def single(entry: Pooled, executed: Executed) -> Candidate:
    """Make the candidate of one pooled transaction."""
    tx_hash = entry.transaction.hash
    return Candidate(
        transactions=(entry.transaction,),
        gas_used=executed.gas_used,
        payment=executed.payment,
        sequence=entry.arrival.sequence,
        may_revert=frozenset((tx_hash,)) if entry.may_revert else frozenset(),
    )


def whole(bundle: Bundle, executed: Iterable[Executed]) -> Candidate:
    """Make the candidate of a bundle: its payments and its gas summed."""
    parts = tuple(executed)
    return Candidate(
        transactions=bundle.transactions,
        gas_used=sum(part.gas_used for part in parts),
        payment=sum(part.payment for part in parts),
        sequence=bundle.arrival.sequence,
        may_revert=bundle.may_revert,
        bundle=bundle.hash,
    )


def order(candidates: Iterable[Candidate], nonces: Mapping[bytes, int], *, gas_limit: int) -> tuple[Candidate, ...]:
    """Pick greedily: always the best paying candidate whose nonces are next and that still fits.

    Equal values go by arrival. ``nonces`` are the head's next nonces of every sender named.
    """
    waiting = sorted(candidates, key=lambda c: (-c.value_per_gas, c.sequence))
    following = dict(nonces)
    chosen: list[Candidate] = []
    gas_left = gas_limit
    while True:
        best = next((c for c in waiting if _fits(c, following, gas_left)), None)
        if best is None:
            return tuple(chosen)
        waiting.remove(best)
        chosen.append(best)
        gas_left -= best.gas_used
        for transaction in best.transactions:
            following[transaction.sender] = transaction.nonce + 1


def next_base_fee(base_fee: int, gas_used: int, gas_limit: int) -> int:
    """Return the base fee of the block after one with these figures (EIP-1559)."""
    target = gas_limit // _ELASTICITY
    if gas_used == target or target == 0:
        return base_fee
    change = base_fee * abs(gas_used - target) // target // _CHANGE_DENOMINATOR
    return base_fee + max(1, change) if gas_used > target else base_fee - change


def _fits(candidate: Candidate, following: Mapping[bytes, int], gas_left: int) -> bool:
    expected: dict[bytes, int] = {}
    needed = 0
    for transaction in candidate.transactions:
        sender = transaction.sender
        if transaction.nonce != expected.get(sender, following.get(sender, -1)):
            return False
        expected[sender] = transaction.nonce + 1
        needed = max(needed, transaction.gas)
    # A block must have room for the gas limit of what comes next, though only gas used is counted.
    return max(needed, candidate.gas_used) <= gas_left
