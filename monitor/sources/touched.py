"""Which transactions of a block touch something watched, and how their ether adds up. Pure.

A transaction touches by its sender, target or calldata, by its logs, or by a transfer. What ether it moved inside calls
is not in its logs: a watched balance that the transactions known so far do not explain has another cause in the block.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from monitor.evm import hexes
from monitor.evm.tokens import TRANSFER, TRANSFER_FROM, TRANSFER_TOPIC, transfer_of, transfers_of
from monitor.evm.watch import WatchIndex
from monitor.evm.wire import Receipt, Short, WireLog, WireReceipt, WireTransaction, log, receipt, transaction
from monitor.model.chain import CallFrame, Effects, Log, Transaction
from monitor.model.errors import Undecodable
from monitor.model.units import NATIVE, Address, Hash
from monitor.sources.block_reader import Body
from monitor.sources.faults import FaultTally

GWEI: Final = 10**9
_TRANSFER_TEXT: Final = "0x" + TRANSFER_TOPIC.hex()


class Touched(Struct, frozen=True):
    """A transaction of a block that concerns us; `plain` where nothing can happen inside that its logs do not show."""

    index: int
    transaction: Transaction
    logs: tuple[Log, ...]
    plain: bool


class FullReceipt(WireReceipt, frozen=True, kw_only=True, gc=False, rename="camel"):
    """A receipt with everything that the sender paid beside gas."""

    blob_gas_used: Short | None = None
    blob_gas_price: Short | None = None
    l1_fee: Short | None = None  # OP-stack rollups


class Outcome(Struct, frozen=True):
    """What it did: status and fee (wei) from its receipt, and its frames where traced."""

    touched: Touched
    receipt: Receipt
    fee: int
    frames: tuple[CallFrame, ...] = ()

    def effects(self) -> Effects:
        receipt, tx = self.receipt, self.touched.transaction
        moved = transfers_of(self.touched.logs, tx, self.frames) if receipt.ok else ()
        error = "" if receipt.ok else next((frame.error for frame in self.frames), "") or "reverted"
        return Effects(
            ok=receipt.ok,
            gas_used=receipt.gas_used,
            transfers=moved,
            logs=self.touched.logs,
            calls=self.frames,
            error=error,
        )


class Quiet(Struct, frozen=True):
    """Where a transaction that only transfers cannot hide anything: listed tokens, and wallets for plain ether."""

    tokens: frozenset[Address] = frozenset()
    wallets: frozenset[Address] = frozenset()


def touched_in(body: Body, index: WatchIndex, *, quiet: Quiet, faults: FaultTally) -> list[Touched]:
    """Transactions that touch, in block order. What cannot be decoded is counted and left out."""
    by_hash: dict[str, list[WireLog]] = defaultdict(list)
    named: set[str] = set()  # whose logs touch, or cannot be read
    for entry in body.logs:
        of = entry.transaction_hash or ""
        by_hash[of].append(entry)
        if of not in named and _log_touches(entry, index):
            named.add(of)
    found: list[Touched] = []
    for place, wire in enumerate(body.block.transactions):
        try:
            if wire.hash in named or index.touches_wire(wire):
                found.append(touched(place, wire, by_hash.get(wire.hash, ()), quiet=quiet))
        except Undecodable as error:
            faults.note("undecodable transaction in a block", on=body.node, detail=str(error))
    return found


def touched(place: int, wire: WireTransaction, entries: Iterable[WireLog], *, quiet: Quiet) -> Touched:
    """Convert one. Raises Undecodable."""
    logs = tuple(sorted(map(log, entries), key=lambda each: each.index))
    tx = transaction(wire)
    return Touched(place, tx, logs, _plain(tx, logs, quiet))


def outcome_of(touched: Touched, wire: FullReceipt) -> Outcome:
    """Raises Undecodable, also for the receipt of another transaction."""
    told = receipt(wire)
    if told.transaction != touched.transaction.hash:
        raise Undecodable(f"receipt of another transaction than 0x{touched.transaction.hash.hex()}")
    blobs = hexes.optional(wire.blob_gas_used, 64) * hexes.optional(wire.blob_gas_price)
    fee = told.gas_used * told.effective_gas_price + blobs + hexes.optional(wire.l1_fee)
    return Outcome(touched, told, fee)


def unexplained(
    before: Mapping[Address, int], after: Mapping[Address, int], *, outcomes: Sequence[Outcome], body: Body
) -> dict[Address, int]:
    """Watched addresses whose ether changed by another amount than these outcomes say, and by how much."""
    change = {holder: after[holder] - before[holder] for holder in before.keys() & after.keys()}
    for outcome in outcomes:
        _settle(change, outcome)
    for paid in body.block.withdrawals or ():
        holder = hexes.address(paid.address)
        if holder in change:
            change[holder] -= hexes.quantity(paid.amount, 64) * GWEI
    change.pop(body.header.coinbase, None)  # fees of others: not worth every receipt of the block
    return {holder: amount for holder, amount in change.items() if amount}


def mined_hashes(body: Body) -> frozenset[Hash]:
    return frozenset(body.hashes)


def _settle(change: dict[Address, int], outcome: Outcome) -> None:
    tx = outcome.touched.transaction
    if tx.sender in change:
        change[tx.sender] += outcome.fee
    for moved in outcome.effects().transfers:
        if moved.token != NATIVE:
            continue
        if moved.sender in change:
            change[moved.sender] += moved.amount
        if moved.to in change:
            change[moved.to] -= moved.amount


def _log_touches(entry: WireLog, index: WatchIndex) -> bool:
    """Also true of one that cannot be decoded: converting its transaction then says so."""
    try:
        if index.touches_wire_log(entry):
            return True
        if len(entry.topics) not in (1, 2) or entry.topics[0].lower() != _TRANSFER_TEXT:
            return False
        moved = transfer_of(log(entry))  # a token that indexes less than the standard asks
    except Undecodable:
        return True
    return moved is not None and index.touches_transfer(moved)


def _plain(tx: Transaction, logs: Sequence[Log], quiet: Quiet) -> bool:
    """A bare transfer, which needs no trace; what a wallet with code does inside shows in its balance."""
    if not tx.data and not logs:
        return tx.sender in quiet.wallets or tx.to in quiet.wallets
    moves_token = tx.to in quiet.tokens and tx.data[:4] in (TRANSFER, TRANSFER_FROM)
    return moves_token and all(each.address == tx.to for each in logs)
