"""Two blocks that a pending transaction might land in, and whether it does the same harm in both. Pure.

An attack may look at the block that it runs in, and a simulation's block is a guess. What shows under one guess only
proves nothing (decision.md, proof 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from monitor.evm import rlp
from monitor.evm.loss import net
from monitor.evm.transactions import keccak
from monitor.model.assets import Asset
from monitor.model.chain import BlockContext, Call, Effects, Header, Transaction, next_context
from monitor.model.codec import digest
from monitor.model.units import Address, Hash

ELSEWHERE: Final = Address(b"\x0d" * 20)  # a fee recipient that is nobody
NEARLY: Final = 90  # percent of a loss that must show again: interest accrues between two blocks


def contexts(head: Header, slot_s: int) -> tuple[BlockContext, BlockContext]:
    """The next block by all that is known, and one two slots later with another builder and other randomness."""
    first = next_context(head, slot_s, coinbase=head.coinbase)
    later = BlockContext(
        number=head.number + 2,
        timestamp=head.timestamp + 2 * slot_s,
        coinbase=ELSEWHERE,
        base_fee=first.base_fee,
        prev_randao=Hash(digest(head.hash)),
    )
    return first, later


def calls_of(transactions: Sequence[Transaction]) -> tuple[Call, ...]:
    """What a simulator runs; a deployment is a call of the contract to be, see `code_of`."""
    return tuple(_call(tx) for tx in transactions)


def fees_of(transactions: Sequence[Transaction]) -> tuple[tuple[int, int], ...]:
    """(max_fee, max_priority_fee) by call."""
    return tuple((tx.max_fee, tx.max_priority_fee) for tx in transactions)


def code_of(transactions: Sequence[Transaction]) -> dict[Address, bytes]:
    """A constructor runs as the code of its new address: that is how attacks in constructors are seen."""
    return {created_by(tx): tx.data for tx in transactions if tx.to is None}


def created_by(tx: Transaction) -> Address:
    """Where a deployment goes (Yellow Paper, 7)."""
    return Address(keccak(rlp.encode([tx.sender, tx.nonce]))[12:])


def _call(tx: Transaction) -> Call:
    if tx.to is None:
        return Call(created_by(tx), b"", tx.value, tx.sender, tx.gas)
    return Call(tx.to, tx.data, tx.value, tx.sender, tx.gas)


def agree(one: Effects, other: Effects, assets: Iterable[Asset]) -> bool:
    """Whether what is lost under one context is lost under the other, and what moved in its state moved alike."""
    return one.ok == other.ok and _lost_again(one, other, assets) and _moved_alike(one, other)


def _lost_again(one: Effects, other: Effects, assets: Iterable[Asset]) -> bool:
    for asset in assets:
        again = net(other.transfers, asset.address)
        for token, change in net(one.transfers, asset.address).items():
            if change < 0 and -again.get(token, 0) * 100 < -change * NEARLY:
                return False
    return True


def _moved_alike(one: Effects, other: Effects) -> bool:
    """Every probe that rose, fell, broke or stood still in one did so in the other."""
    others = {reading.probe: reading for reading in other.readings}
    return all(
        reading.probe in others
        and _direction(reading.before, reading.after)
        == _direction(others[reading.probe].before, others[reading.probe].after)
        for reading in one.readings
    )


def _direction(before: bytes | None, after: bytes | None) -> int | None:
    if before is None or after is None:
        return None
    return (after > before) - (after < before)
