"""How a node's answers about a simulation become Effects. Pure; every answer is hostile until read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from msgspec import Raw, Struct

from monitor.chain import simulate_reader as reader
from monitor.chain.rpc_wire import RpcError, decode_as
from monitor.chain.simulate_wire import Run
from monitor.evm import hexes, traces, wire
from monitor.evm.tokens import transfers_of
from monitor.model.chain import CallFrame, Effects, Log, Probe, Reading
from monitor.model.errors import Undecodable
from monitor.model.units import NATIVE, shown

Answers = tuple[bytes | None, ...]

ERROR_STRING: Final = bytes.fromhex("08c379a0")  # Error(string)
PANIC: Final = bytes.fromhex("4e487b71")  # Panic(uint256)
REASON_CHARACTERS: Final = 200
VOID_CALL: Final = frozenset(
    {-38010, -38011, -38012, -38013, -38014, -38024, -38025, -32003}
)  # eth_simulateV1's, anvil's
VOID_TEXT: Final = ("insufficient funds", "intrinsic gas", "fee cap", "max fee per gas", "nonce too", "initcode size")
MISSING_BLOCK: Final = (
    "header not found",
    "block not found",
    "header for hash not found",
    "unknown block",
    "unknown header",
    "missing trie node",
    "state is not available",
    "state not available",
)


class WireTracedLog(Struct, frozen=True, kw_only=True, gc=False):
    address: wire.Short
    topics: wire.Topics = []
    data: str = "0x"
    index: wire.Short | None = None


class WireTraced(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """A frame of callTracer, as far as it is not in the frames of evm.traces."""

    gas_used: wire.Short = "0x0"
    output: str = "0x"
    error: str | None = None
    logs: list[WireTracedLog] = []
    calls: list[WireTraced] = []


def simulated(run: Run, indices: tuple[int, ...], answer: Raw) -> tuple[Effects, ...]:
    """Effects of these calls of a run out of eth_simulateV1's answer. Raises Undecodable."""
    blocks = decode_as(answer, list[wire.WireSimulatedBlock])  # a gap before ours is filled with empty ones
    chunks = reader.chunks(run.probes)
    step = len(chunks) + 1  # the readings before a call, and the call
    calls = blocks[-1].calls if blocks else []
    if len(calls) != step * len(indices) + len(chunks):
        raise Undecodable(f"simulation of {len(indices)} calls came back with another number of them")
    moments = range(0, step * (len(indices) + 1), step)
    read = [_snapshot(chunks, calls[at : at + len(chunks)]) for at in moments]
    heard = None if run.heard is None else frozenset(shown(address) for address in (*run.heard, NATIVE))
    return tuple(
        _effects(call, readings(run.probes, before, after), heard)
        for call, (before, after) in zip(calls[len(chunks) :: step], pairwise(read), strict=True)
    )


def traced(answer: Raw) -> Effects:
    """Effects of one call out of callTracer's answer with logs. Raises Undecodable."""
    tree, frames = decode_as(answer, WireTraced), traces.call_frames(answer)
    ok = not tree.error
    logs = tuple(_traced_logs(tree)) if ok else ()
    return Effects(
        ok=ok,
        gas_used=hexes.quantity(tree.gas_used, 64),
        transfers=(*transfers_of((), None, frames), *transfers_of(logs)) if ok else (),
        logs=logs,
        calls=frames,
        error="" if ok else reason(hexes.octets(tree.output)) or str(tree.error)[:REASON_CHARACTERS],
    )


def output(answer: Raw) -> bytes:
    """What a traced call returned. Raises Undecodable."""
    return hexes.octets(decode_as(answer, WireTraced).output)


def with_ether(effects: Effects, frames: tuple[CallFrame, ...]) -> Effects:
    """The same with ether taken from the frames: some nodes log ether that a reverted frame gave back.

    A tree that fills its limit may hide transfers behind it: then the logs, which show too much, stand.
    """
    if not effects.ok or len(frames) >= traces.MAX_FRAMES:
        return effects
    ether = transfers_of((), None, frames)
    tokens = tuple(each for each in effects.transfers if each.token != NATIVE)
    return _replaced(effects, transfers=(*ether, *tokens))


def moves_inner_ether(effects: Effects) -> bool:
    """Whether ether moved in more than the one step that a transaction's own value is."""
    return sum(each.token == NATIVE for each in effects.transfers) > 1


def readings(probes: tuple[Probe, ...], before: Answers, after: Answers) -> tuple[Reading, ...]:
    return tuple(Reading(*each) for each in zip(probes, before, after, strict=True))


def rejected(error: RpcError) -> Effects:
    """A call that no block could hold: its sender cannot pay, or its gas or fee is too low."""
    return Effects(ok=False, gas_used=0, error=f"rejected: {error.message}"[:REASON_CHARACTERS])


def lacks_the_block(answers: Sequence[Any]) -> str:
    """Why no answer of a frame is of use: the node has not got the block that all of it is about; '' where some are."""
    errors = [answer for answer in answers if isinstance(answer, RpcError) and is_a_missing_block(answer)]
    return f"does not have this block's state: {errors[0].message}" if errors and len(errors) == len(answers) else ""


def voids_the_call(error: RpcError) -> bool:
    """Whether it is the call's own fault, for which no block could hold it, and not the node's or ours."""
    text = error.message.lower()
    return error.code in VOID_CALL or (error.code == -32000 and any(said in text for said in VOID_TEXT))


def is_a_missing_block(error: RpcError) -> bool:
    text = error.message.lower()
    return error.code == -32001 or any(said in text for said in MISSING_BLOCK)


def reason(data: bytes) -> str:
    """Why a call reverted, for a person: the text, the panic code, or the custom error's bytes; '' without any."""
    if data[:4] == ERROR_STRING and len(data) >= 68:
        length = min(int.from_bytes(data[36:68], "big"), REASON_CHARACTERS)
        text = data[68 : 68 + length].decode(errors="replace")
        return "reverted: " + "".join(letter if letter.isprintable() else "?" for letter in text)
    if data[:4] == PANIC and len(data) >= 36:
        return f"reverted: panic 0x{int.from_bytes(data[4:36], 'big'):02x}"
    return f"reverted: 0x{data[:68].hex()}" if data else ""


def _effects(call: wire.WireSimulatedCall, read: tuple[Reading, ...], heard: frozenset[str] | None) -> Effects:
    ok = hexes.quantity(call.status) == 1
    wanted = call.logs if heard is None else (log for log in call.logs if log.address.lower() in heard)
    logs = tuple(wire.log(log) for log in wanted) if ok else ()
    why = "" if ok else reason(hexes.octets(call.return_data[:2_002])) or _message(call.error)
    return Effects(
        ok=ok,
        gas_used=hexes.quantity(call.gas_used, 64),
        transfers=transfers_of(logs),
        logs=tuple(log for log in logs if log.address != NATIVE),
        readings=read,
        error=why,
    )


def _message(error: wire.WireError | None) -> str:
    return f"failed: {error.message}"[:REASON_CHARACTERS] if error is not None else "failed"


def _snapshot(chunks: Sequence[tuple[Probe, ...]], calls: Sequence[wire.WireSimulatedCall]) -> Answers:
    """All probes at one moment."""
    return tuple(word for each in map(_answered, chunks, calls) for word in each)


def _answered(probes: tuple[Probe, ...], call: wire.WireSimulatedCall) -> Answers:
    """A reader that itself failed read nothing."""
    if hexes.quantity(call.status) != 1:
        return (None,) * len(probes)
    return reader.answers(hexes.octets(call.return_data), probes)


def _traced_logs(tree: WireTraced) -> Iterator[Log]:
    """Logs in the order written; those of a failed frame were taken back with it."""
    found: list[tuple[int, WireTracedLog]] = []
    waiting = [tree]
    while waiting:
        frame = waiting.pop()
        if not frame.error:
            found.extend((hexes.optional(log.index, 64), log) for log in frame.logs)
            waiting.extend(reversed(frame.calls))
    for index, log in sorted(found, key=lambda entry: entry[0]):
        topics = tuple(hexes.hash32(topic) for topic in log.topics)
        yield Log(hexes.address(log.address), topics, hexes.octets(log.data), index)


def _replaced(effects: Effects, **changes: Any) -> Effects:
    fields = {name: getattr(effects, name) for name in effects.__struct_fields__}
    return Effects(**(fields | changes))
