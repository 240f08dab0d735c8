"""What mined transactions did, as their own traces say: call frames, what they changed, and the block before them."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from monitor.chain.rpc import Nodes, RpcError
from monitor.chain.rpc_wire import decode_as
from monitor.chain.simulate_wire import DIFF, FRAMES, State, laid, undone
from monitor.evm import traces, wire
from monitor.evm.traces import WireDiff
from monitor.model.actions import Attack
from monitor.model.chain import CallFrame, Header
from monitor.model.errors import Unreachable
from monitor.model.units import Hash, shown

MOST_REMEMBERED: Final = 16


class Past(Struct, frozen=True):
    """What a mined attack did: its frames, without their data, and overrides that put back all that it changed."""

    frames: tuple[CallFrame, ...] = ()
    undone: State = {}


class Pasts:
    """Reads and remembers the past of mined attacks."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._known: dict[tuple[Hash, ...], Past] = {}

    async def of(self, attack: Attack, *, deadline_ms: int) -> Past:
        """Raises Unreachable where no node traces these transactions, Undecodable."""
        hashes = tuple(each.hash for each in attack.transactions)
        if hashes not in self._known:
            while len(self._known) >= MOST_REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[hashes] = await self._read(hashes, deadline_ms)
        return self._known[hashes]

    async def diff(self, tx_hash: Hash, *, deadline_ms: int) -> WireDiff:
        """What one mined transaction changed. Raises Unreachable, Undecodable."""
        (answer,) = await self._nodes.first_batch([_trace(tx_hash, DIFF)], deadline_ms=deadline_ms, into=Raw)
        diff: WireDiff = decode_as(_given(answer), WireDiff)
        return diff

    async def block_before(self, attack: Attack, *, deadline_ms: int) -> Header:
        """The parent of the block with the attack's first transaction. Raises Unreachable, Undecodable."""
        first = attack.transactions[0].hash
        receipt: wire.WireReceipt | None = await self._nodes.first(
            "eth_getTransactionReceipt", (shown(first),), deadline_ms=deadline_ms, into=wire.WireReceipt | None
        )
        if receipt is None or receipt.block_hash is None:
            raise Unreachable(f"attack {shown(first)[:12]}: no node has its receipt")
        block = await self._block(receipt.block_hash, deadline_ms)
        return wire.header(await self._block(block.parent_hash, deadline_ms))

    async def _block(self, block_hash: str, deadline_ms: int) -> wire.WireHeader:
        block: wire.WireHeader | None = await self._nodes.first(
            "eth_getBlockByHash", (block_hash, False), deadline_ms=deadline_ms, into=wire.WireHeader | None
        )
        if block is None:
            raise Unreachable(f"no node has block {block_hash[:12]}")
        return block

    async def _read(self, hashes: tuple[Hash, ...], deadline_ms: int) -> Past:
        calls = [_trace(each, tracer) for each in hashes for tracer in (FRAMES, DIFF)]
        answers = [_given(answer) for answer in await self._nodes.first_batch(calls, deadline_ms=deadline_ms, into=Raw)]
        before: State = {}
        for answer in reversed(answers[1::2]):  # the earliest word on a slot is the one before the attack
            before = laid(before, undone(decode_as(answer, WireDiff)))
        frames = (frame for answer in answers[::2] for frame in traces.call_frames(answer))
        return Past(tuple(msgspec.structs.replace(frame, data=b"") for frame in frames), before)


def _trace(tx_hash: Hash, tracer: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    return "debug_traceTransaction", (shown(tx_hash), tracer)


def _given(answer: Any) -> Raw:
    if isinstance(answer, RpcError):
        raise Unreachable(f"a mined transaction cannot be traced: {answer.message}")
    return Raw(answer)
