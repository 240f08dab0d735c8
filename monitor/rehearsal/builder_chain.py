"""What the builder asks of anvil: the head, executions on it, a block in a given order, and undoing.

A snapshot is taken before every block, so that a block that breaks a bundle can be tried again and
the last blocks can be replaced. The base fee is set by EIP-1559's formula for each block, because
anvil carries a wrong one over after a revert.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.rehearsal.builder_order import Executed, next_base_fee
from monitor.rehearsal.builder_pool import Account
from monitor.rehearsal.builder_transaction import Json, Transaction
from monitor.rehearsal.builder_upstream import Upstream, UpstreamError

_TRANSFER_TOPIC: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
_ETHER_ADDRESS: Final = "0x" + "ee" * 20
"""The pseudo token under which eth_simulateV1 reports ether with ``traceTransfers``."""

_CALL_TRACER: Final = {"tracer": "callTracer"}
_NOT_IN_A_HEADER: Final = frozenset({"transactions", "uncles", "withdrawals", "size", "totalDifficulty"})


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """The context of the block to be made."""

    number: int
    timestamp: int
    base_fee: int
    gas_limit: int
    fee_recipient: str

    def overrides(self) -> Json:
        """Return the ``blockOverrides`` under which its transactions are executed on the head."""
        return {
            "number": hex(self.number),
            "time": hex(self.timestamp),
            "feeRecipient": self.fee_recipient,
            "baseFeePerGas": hex(self.base_fee),
            "gasLimit": hex(self.gas_limit),
        }


@dataclass(frozen=True, slots=True)
class Done:
    """What a mined transaction did."""

    gas_used: int
    succeeded: bool


@dataclass(frozen=True, slots=True)
class MinedBlock:
    """A block as the node shows it, its receipts, and the snapshot of the state before it."""

    block: Json = field(repr=False)
    receipts: tuple[Json, ...] = field(repr=False)
    snapshot: str
    refused: Mapping[bytes, str] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Return the block number."""
        return int(self.block["number"], 16)

    @property
    def hash(self) -> bytes:
        """Return the block hash."""
        return bytes.fromhex(self.block["hash"][2:])

    @property
    def header(self) -> Json:
        """Return what ``newHeads`` announces."""
        return {name: value for name, value in self.block.items() if name not in _NOT_IN_A_HEADER}

    @property
    def logs(self) -> tuple[Json, ...]:
        """Return the block's logs in order."""
        return tuple(log for receipt in self.receipts for log in receipt["logs"])

    @property
    def done(self) -> Mapping[bytes, Done]:
        """Return what each included transaction did, in block order."""
        return {
            bytes.fromhex(receipt["transactionHash"][2:]): Done(
                gas_used=int(receipt["gasUsed"], 16), succeeded=receipt["status"] == "0x1"
            )
            for receipt in self.receipts
        }


class Chain:
    """The builder's own hand on the node; nobody else makes blocks there."""

    def __init__(self, upstream: Upstream, *, fee_recipient: str) -> None:
        self._upstream = upstream
        self.fee_recipient = fee_recipient

    async def prepare(self) -> None:
        """Set the fee recipient; once, before the first block."""
        await self._upstream.call("anvil_setCoinbase", self.fee_recipient)

    async def head(self) -> Json:
        """Return the newest block with transaction hashes."""
        block: Json = await self._upstream.call("eth_getBlockByNumber", "latest", False)
        return block

    async def accounts(self, senders: Iterable[bytes]) -> dict[bytes, Account]:
        """Return nonce and balance at the head of each sender."""
        wanted = tuple(senders)
        answers = await self._upstream.batch(
            [
                (method, ("0x" + sender.hex(), "latest"))
                for sender in wanted
                for method in ("eth_getTransactionCount", "eth_getBalance")
            ]
        )
        numbers = [int(answer, 16) for answer in answers]
        return {sender: Account(nonce=numbers[2 * at], balance=numbers[2 * at + 1]) for at, sender in enumerate(wanted)}

    async def plan(self, slot_s: int, *, timestamp: int | None = None) -> BlockPlan:
        """Return the context of the block after the head; raises ValueError on a time not after it."""
        head = await self.head()
        now = int(head["timestamp"], 16)
        at = now + slot_s if timestamp is None else timestamp
        if at <= now:
            raise ValueError(f"timestamp {at} is not after the head's {now}")
        gas_limit = int(head["gasLimit"], 16)
        return BlockPlan(
            number=int(head["number"], 16) + 1,
            timestamp=at,
            base_fee=next_base_fee(int(head["baseFeePerGas"], 16), int(head["gasUsed"], 16), gas_limit),
            gas_limit=gas_limit,
            fee_recipient=self.fee_recipient,
        )

    async def execute(self, transactions: Sequence[Transaction], plan: BlockPlan) -> tuple[Executed, ...] | None:
        """Execute a sequence on the head as the next block would; None when the node refuses it."""
        state = {"blockOverrides": plan.overrides(), "calls": [tx.call() for tx in transactions]}
        request = {"blockStateCalls": [state], "traceTransfers": True, "validation": False}
        try:
            blocks = await self._upstream.call("eth_simulateV1", request, "latest")
        except UpstreamError:
            return None
        return tuple(
            _executed(transaction, call, plan)
            for transaction, call in zip(transactions, blocks[0]["calls"], strict=True)
        )

    async def build(self, transactions: Iterable[Transaction], plan: BlockPlan) -> MinedBlock:
        """Make the next block of these transactions, in this order and of nothing else."""
        call = self._upstream.call
        snapshot: str = await call("evm_snapshot")
        await call("anvil_dropAllTransactions")
        refused: dict[bytes, str] = {}
        for transaction in transactions:  # one by one: the node may run a batch in any order
            try:
                await call("eth_sendRawTransaction", "0x" + transaction.raw.hex())
            except UpstreamError as error:
                refused[transaction.hash] = str(error)
        await call("anvil_setNextBlockBaseFeePerGas", hex(plan.base_fee))
        await call("evm_setNextBlockTimestamp", plan.timestamp)
        await call("evm_mine")
        await call("anvil_dropAllTransactions")
        mined = await self.block(plan.number)
        return MinedBlock(mined.block, mined.receipts, snapshot, refused)

    async def try_out(self, transactions: Sequence[Transaction], plan: BlockPlan) -> tuple[Executed, ...] | None:
        """Execute a sequence in a block of its own and undo it; nobody may read the node meanwhile."""
        mined = await self.build(transactions, plan)
        receipts = {receipt["transactionHash"]: receipt for receipt in mined.receipts}
        try:
            traces = await self._upstream.batch(
                [("debug_traceTransaction", (tx_hash, _CALL_TRACER)) for tx_hash in receipts]
            )
        finally:
            await self.undo(mined.snapshot)
        if len(receipts) < len(transactions):
            return None
        return tuple(
            _tried(transaction, receipt, trace, plan)
            for transaction, receipt, trace in zip(transactions, receipts.values(), traces, strict=True)
        )

    async def block(self, number: int) -> MinedBlock:
        """Return a block with full bodies and its receipts."""
        at = hex(number)
        block, receipts = await self._upstream.batch(
            [("eth_getBlockByNumber", (at, True)), ("eth_getBlockReceipts", (at,))]
        )
        return MinedBlock(block, tuple(receipts), snapshot="")

    async def undo(self, snapshot: str) -> None:
        """Go back to the state that a snapshot holds; later snapshots are lost."""
        if not await self._upstream.call("evm_revert", snapshot):
            raise RuntimeError(f"anvil no longer holds snapshot {snapshot}")

    async def state(self) -> Json:
        """Return every account with code and storage at the head, as anvil dumps it."""
        dumped: str = await self._upstream.call("anvil_dumpState")
        state: Json = msgspec.json.decode(gzip.decompress(bytes.fromhex(dumped[2:])))
        accounts: Json = state["accounts"]
        return accounts

    async def first_number(self) -> int:
        """Return the first block of this node's own: 0, or the one that it forked from."""
        info = await self._upstream.call("anvil_nodeInfo")
        return int(info["forkConfig"].get("forkBlockNumber") or 0)

    async def balances(self, addresses: Sequence[str], *, first: int, last: int) -> dict[str, dict[str, str]]:
        """Return the ether in wei (hex) of each address after every block from first to last."""
        numbers = [hex(number) for number in range(first, last + 1)]
        answers = await self._upstream.batch(
            [("eth_getBalance", (address, at)) for at in numbers for address in addresses]
        )
        every = iter(answers)
        return {str(int(at, 16)): {address: next(every) for address in addresses} for at in numbers}


def _executed(transaction: Transaction, call: Json, plan: BlockPlan) -> Executed:
    gas_used = int(call["gasUsed"], 16)
    received = _received(call["logs"], plan.fee_recipient)
    return Executed(
        gas_used=gas_used,
        payment=transaction.tip(plan.base_fee) * gas_used + received,
        succeeded=call["status"] == "0x1",
    )


def _tried(transaction: Transaction, receipt: Json, trace: Json, plan: BlockPlan) -> Executed:
    gas_used = int(receipt["gasUsed"], 16)
    received = sum(_paid(trace, plan.fee_recipient.lower()))
    return Executed(
        gas_used=gas_used,
        payment=transaction.tip(plan.base_fee) * gas_used + received,
        succeeded=receipt["status"] == "0x1",
    )


def _paid(frame: Json, recipient: str) -> Iterator[int]:
    """Yield the ether of every call frame that reached ``recipient`` and was not reverted."""
    if "error" in frame:
        return
    if frame.get("to") == recipient and frame["type"] != "DELEGATECALL":
        yield int(frame.get("value", "0x0"), 16)
    for inner in frame.get("calls", ()):
        yield from _paid(inner, recipient)


def _received(logs: Iterable[Json], recipient: str) -> int:
    """Return the ether that reached ``recipient`` less what left it."""
    topic = "0x" + "00" * 12 + recipient[2:].lower()
    total = 0
    for log in logs:
        if log["address"] == _ETHER_ADDRESS and log["topics"][0] == _TRANSFER_TOPIC:
            amount = int(log["data"], 16)
            total += amount * ((log["topics"][2] == topic) - (log["topics"][1] == topic))
    return total
