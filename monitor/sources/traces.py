"""Call frames of mined transactions: what moved inside them, which no log says.

Nested frames where the node gives them, else flat ones, which no depth of calls makes unreadable; for a whole block
trace_block first, which nodes answer many times faster (facts/node.md). Bounded in number, size and time; a trace that
does not come is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Raw, Struct, field

from monitor.chain.rpc import Nodes, RpcError
from monitor.evm import hexes
from monitor.evm.tokens import ether_of
from monitor.evm.traces import MAX_FRAME_DATA, MAX_FRAMES, WireTraced, call_frames
from monitor.evm.wire import Short, decode
from monitor.model.chain import CallFrame
from monitor.model.errors import Undecodable, Unreachable
from monitor.model.units import Address, Hash, Wei, shown
from monitor.sources.block_reader import Body
from monitor.sources.faults import FaultTally

MAX_TRACES: Final = 64  # transactions of one block
DEADLINE_MS: Final = 1_500
BLOCK_DEADLINE_MS: Final = 3_000
NESTED: Final = ({"tracer": "callTracer"},)
FLAT: Final = ({"tracer": "flatCallTracer"},)
WAYS: Final = (  # method, parameters behind the hash, whether its answer is nested
    ("debug_traceTransaction", NESTED, True),
    ("trace_transaction", (), False),
    ("debug_traceTransaction", FLAT, False),
)

Frames = tuple[CallFrame, ...]


class _Action(Struct, frozen=True, gc=False, rename="camel"):
    sender: Short | None = field(name="from", default=None)
    to: Short | None = None
    value: Short | None = None
    call_type: Short = ""
    creation_method: Short = ""
    input: str = "0x"
    init: str = "0x"
    address: Short | None = None  # of what destroys itself
    refund_address: Short | None = None
    balance: Short | None = None


class _Result(Struct, frozen=True, gc=False):
    address: Short | None = None


class FlatTrace(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """One frame as trace_block and trace_transaction write it."""

    type: Short
    action: _Action
    result: _Result | None = None
    error: str | None = None
    trace_address: list[int] = []
    transaction_hash: Short | None = None


class Tracer:
    """Traces what a block holds, on the first node that can."""

    def __init__(self, nodes: Nodes, faults: FaultTally) -> None:
        self._nodes = nodes
        self._faults = faults

    async def transactions(self, wanted: Sequence[Hash], *, names: Sequence[str]) -> dict[Hash, Frames]:
        """Frames by transaction; those that no node gave in time are missing, and counted."""
        if len(wanted) > MAX_TRACES:
            self._faults.note("trace shed: too many in one block", count=len(wanted) - MAX_TRACES)
        left = list(wanted[:MAX_TRACES])
        found: dict[Hash, Frames] = {}
        for name in names:
            if left:
                found |= await self._from(name, left)
                left = [each for each in left if each not in found]
        if left:
            self._faults.note("transaction not traced", count=len(left))
        return found

    async def block(self, body: Body, holders: frozenset[Address], *, names: Sequence[str]) -> dict[Hash, Frames]:
        """Frames of the transactions in which ether of these holders moved. Raises Unreachable."""
        why = "no node"
        for name in names:
            for read in (self._trace_block, self._debug_block):
                try:
                    return _moving(await read(name, body), holders)
                except (RpcError, Unreachable, Undecodable) as error:
                    why = str(error)
        raise Unreachable(f"block {body.header.number} cannot be traced: {why}")

    async def _from(self, name: str, wanted: Sequence[Hash]) -> dict[Hash, Frames]:
        found: dict[Hash, Frames] = {}
        for method, options, nested in WAYS:
            left = [each for each in wanted if each not in found]
            if left:
                calls = [(method, (shown(each), *options)) for each in left]
                found |= dict(zip(left, await self._batch(name, calls, nested=nested), strict=False))
        return found

    async def _batch(self, name: str, calls: Sequence[tuple[str, Any]], *, nested: bool) -> list[Frames]:
        """Frames of all calls, or none where one fails: the next way is tried."""
        try:
            answers = await self._nodes.named(name).batch(calls, deadline_ms=DEADLINE_MS, into=Raw)
            return [_read(answer, nested=nested) for answer in answers]
        except (RpcError, Unreachable, Undecodable):
            return []

    async def _trace_block(self, name: str, body: Body) -> dict[Hash, Frames]:
        answer = await self._nodes.named(name).call(
            "trace_block", (hex(body.header.number),), deadline_ms=BLOCK_DEADLINE_MS, into=list[FlatTrace]
        )
        grouped: dict[str, list[FlatTrace]] = {}
        for trace in answer:
            grouped.setdefault(trace.transaction_hash or "", []).append(trace)
        grouped.pop("", None)
        found = {hexes.hash32(text): flat_frames(traces) for text, traces in grouped.items()}
        if not found.keys() <= set(body.hashes):
            raise Undecodable("a trace of another block")
        return found

    async def _debug_block(self, name: str, body: Body) -> dict[Hash, Frames]:
        answer = await self._nodes.named(name).call(
            "debug_traceBlockByHash",
            (shown(body.header.hash), *NESTED),
            deadline_ms=BLOCK_DEADLINE_MS,
            into=list[WireTraced],
        )
        return {each: call_frames(entry.result) for each, entry in zip(body.hashes, answer, strict=False)}


def _read(answer: Any, *, nested: bool) -> Frames:
    """Raises RpcError, Undecodable."""
    if isinstance(answer, RpcError):
        raise answer
    return call_frames(answer) if nested else flat_frames(decode(answer, list[FlatTrace]))


def flat_frames(traces: Sequence[FlatTrace]) -> Frames:
    """Frames in the order of entry. Raises Undecodable."""
    return tuple(_flat_frame(trace) for trace in traces[:MAX_FRAMES] if trace.type != "reward")


def _flat_frame(trace: FlatTrace) -> CallFrame:
    action, depth, error = trace.action, len(trace.trace_address), (trace.error or "")[:200]
    if trace.type == "suicide":
        return CallFrame(
            depth=depth,
            kind="SELFDESTRUCT",
            sender=hexes.address(action.address or ""),
            to=hexes.address(action.refund_address or ""),
            value=Wei(hexes.optional(action.balance)),
            data=b"",
            error=error,
        )
    creates = trace.type == "create"
    made = trace.result.address if creates and trace.result is not None else action.to
    text = action.init if creates else action.input
    return CallFrame(
        depth=depth,
        kind=(action.creation_method or "create").upper() if creates else (action.call_type or "call").upper(),
        sender=hexes.address(action.sender or ""),
        to=hexes.address(made) if made else None,
        value=Wei(hexes.optional(action.value)),
        data=hexes.octets(text[: 2 + 2 * MAX_FRAME_DATA]),
        error=error,
    )


def _moving(found: Mapping[Hash, Frames], holders: frozenset[Address]) -> dict[Hash, Frames]:
    return {
        each: tree
        for each, tree in found.items()
        if any(moved.sender in holders or moved.to in holders for moved in ether_of(tree))
    }
