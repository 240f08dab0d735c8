"""What a response pays: EIP-1559 caps that survive full blocks, replacement, and outranking. Pure integer arithmetic.

Answers are wei per gas, rounded so that none is below what it promises, none above what owner and purse allow.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from monitor.model.actions import Bid
from monitor.model.errors import Refused

OUTRANK_PERCENT: Final = 115  # pay 15 % more per gas than the attack does (facts/races.md)
MAX_BLOCKS: Final = 64
EXPOSURE: Final = 8  # what a transaction could cost at the very worst, in bids


class Fees(Struct, frozen=True):
    """The two caps of an EIP-1559 transaction, wei per gas."""

    max_fee: int
    max_priority_fee: int


def base_fee_after(base_fee: int, blocks: int) -> int:
    """Highest base fee after `blocks` full blocks: each an eighth more, rounded up, at least 1 wei (EIP-1559)."""
    if not 0 <= blocks <= MAX_BLOCKS:
        raise ValueError(f"blocks must be 0 to {MAX_BLOCKS}, not {blocks}")
    for _ in range(blocks):
        base_fee += max(_ceil(base_fee, 8), 1)
    return base_fee


def ladder(*, base_fee: int, tip: int, blocks: int) -> Fees:
    """Caps that stay includable with the full tip after `blocks` full blocks: base·1.125ⁿ + tip."""
    return Fees(base_fee_after(base_fee, blocks) + tip, tip)


def replacement(old: Fees) -> Fees:
    """The least that every client takes instead of `old`: both caps 12.5 % up, rounded up, and 1 wei."""
    return Fees(_bumped(old.max_fee), _bumped(old.max_priority_fee))


def blob_replacement(old: Fees) -> Fees:
    """The same for a transaction with blobs, which clients replace only at twice its price."""
    return Fees(old.max_fee * 2, old.max_priority_fee * 2)


def outranking(*, tip: int, gas: int, coinbase: int) -> int:
    """Tip that puts us before an attack of `gas` gas which tips `tip` a gas and pays the builder `coinbase` wei."""
    if gas <= 0:
        raise ValueError(f"an attack that uses {gas} gas cannot be outranked")
    return _ceil((tip * gas + coinbase) * OUTRANK_PERCENT, gas * 100)


def highest(one: Fees, other: Fees) -> Fees:
    """The higher of each cap."""
    return Fees(max(one.max_fee, other.max_fee), max(one.max_priority_fee, other.max_priority_fee))


def billed(*, gas_limit: int, gas_used: int) -> int:
    """Gas that a bid is held against: half as much again as the fork measured, the whole limit where it did not.

    Not always the whole limit, because a Guardian must be given several times what it uses (GAS_PER_TARGET), and a bid
    held against all of that would lose races that it can afford. Never less than an eighth of it, so that a transaction
    costs at most eight times the bid whatever a target does with its gas: the hard limit that a key's binding holds.
    """
    measured = _ceil(gas_used * 3, 2) if gas_used > 0 else gas_limit
    return max(min(measured, gas_limit), _ceil(gas_limit, EXPOSURE), 1)


def allowed(bid: Bid, *, gas_limit: int, gas_used: int, purse: int) -> Fees:
    """The highest caps that the bid and the purse allow.

    The purse is what the sender can spend; it is held against the whole gas limit, as nodes do.
    """
    bill = billed(gas_limit=gas_limit, gas_used=gas_used)
    max_fee = max(min(bid.max_cost // bill, purse // max(gas_limit, 1)), 0)
    return Fees(max_fee, min(bid.max_tip, max_fee))


def within(wanted: Fees, limit: Fees) -> Fees:
    """`wanted`, each cap lowered to the limit's, and the tip to the maximum fee."""
    max_fee = min(wanted.max_fee, limit.max_fee)
    return Fees(max_fee, min(wanted.max_priority_fee, limit.max_priority_fee, max_fee))


def quote(*, base_fee: int, tip: int, blocks: int, limit: Fees) -> Fees:
    """Caps for a new transaction within the limit. `base_fee` is the next block's.

    Raises Refused where the limit does not even pay the next base fee: such a transaction would only block its nonce.
    """
    tip = min(tip, limit.max_priority_fee)
    fees = within(ladder(base_fee=base_fee, tip=tip, blocks=blocks), limit)
    if fees.max_fee < base_fee:
        raise Refused("bid", f"limit and purse allow {fees.max_fee} wei a gas; the next base fee is {base_fee}")
    return fees


def requote(old: Fees, wanted: Fees, *, limit: Fees) -> Fees | None:
    """Caps that replace `old`, `wanted` as far as the limit allows; None where it allows no replacement."""
    least = replacement(old)
    fees = within(highest(least, wanted), limit)
    replaces = fees.max_fee >= least.max_fee and fees.max_priority_fee >= least.max_priority_fee
    return fees if replaces else None


def _bumped(cap: int) -> int:
    return _ceil(cap * 9, 8) + 1


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
