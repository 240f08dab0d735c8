"""What a tracer answers: callTracer's tree as frames, prestateTracer's diff as slot changes.

A tree is as deep as the attacker's calls. From some 450 levels on, which 16 M gas can pay for, a recursive decoder
gives up; going blind there would be an invitation, so such a tree is cut into flat frames first, without recursion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Raw, Struct, field

from monitor.evm import hexes
from monitor.evm.wire import MAX_MESSAGE, Short, decode
from monitor.model.chain import CallFrame, SlotChange
from monitor.model.errors import Undecodable
from monitor.model.units import NO_HASH, Hash, Wei

MAX_FRAMES: Final = 4096
MAX_FRAME_DATA: Final = 4096
MAX_TOKENS: Final = 100_000  # of a deep tree, in about 100 ms
MAX_LEVELS: Final = 2100  # brackets; the machine itself stops at 1,024 calls

_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}"]', re.DOTALL)


class WireCall(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """One frame of callTracer with those below it."""

    type: Short = "CALL"
    sender: Short = field(name="from")
    to: Short | None = None
    value: Short | None = None
    input: str = "0x"
    error: str | None = None
    gas_used: Short | None = None
    calls: list[WireCall] = []


class WireAccount(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    balance: Short | None = None
    nonce: int | Short | None = None
    code: str | None = None
    storage: dict[Short, Short] = {}


class WireDiff(Struct, frozen=True, kw_only=True, gc=False):
    """prestateTracer in diff mode."""

    pre: dict[Short, WireAccount] = {}
    post: dict[Short, WireAccount] = {}


class WireTraced(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """One transaction of debug_traceBlock; decode `result` as a tree or a diff."""

    tx_hash: Short | None = None
    result: Raw = Raw(b"null")


def call_frames(
    data: bytes | Raw, *, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_MESSAGE
) -> tuple[CallFrame, ...]:
    """The frames of a call tree of any depth, straight from its JSON. Raises Undecodable."""
    try:
        return frames(decode(data, WireCall, max_bytes=max_bytes), max_frames=max_frames)
    except Undecodable as error:
        if not isinstance(error.__cause__, RecursionError):
            raise
    flat = sorted(_flattened(bytes(data)))[:max_frames]
    return tuple(frame(decode(text, WireCall), depth) for _, depth, text in flat)


def frames(tree: WireCall, *, max_frames: int = MAX_FRAMES) -> tuple[CallFrame, ...]:
    """The call tree in the order of entry. Exactly `max_frames` of them means that there may have been more."""
    found: list[CallFrame] = []
    waiting = [(tree, 0)]
    while waiting and len(found) < max_frames:
        call, depth = waiting.pop()
        found.append(frame(call, depth))
        waiting.extend((inner, depth + 1) for inner in reversed(call.calls))
    return tuple(found)


def frame(call: WireCall, depth: int) -> CallFrame:
    """One frame alone. Raises Undecodable."""
    return CallFrame(
        depth=depth,
        kind=call.type,
        sender=hexes.address(call.sender),
        to=hexes.address(call.to) if call.to else None,
        value=Wei(hexes.optional(call.value)),
        data=hexes.octets(call.input[: 2 + 2 * MAX_FRAME_DATA]),
        error=(call.error or "")[:200],
    )


def slot_changes(diff: WireDiff) -> tuple[SlotChange, ...]:
    """Changed slots by address and slot. Diff mode leaves zeroed slots out of `post`, and fresh ones out of `pre`."""
    changes: list[SlotChange] = []
    for holder in sorted(diff.pre.keys() | diff.post.keys()):
        before, after = _slots(diff.pre.get(holder)), _slots(diff.post.get(holder))
        changes.extend(
            SlotChange(hexes.address(holder), slot, before.get(slot, NO_HASH), after.get(slot, NO_HASH))
            for slot in sorted(before.keys() | after.keys())
        )
    return tuple(change for change in changes if change.before != change.after)


def _slots(account: WireAccount | None) -> dict[Hash, Hash]:
    if account is None:
        return {}
    return {hexes.word(slot): hexes.word(value) for slot, value in account.storage.items()}


class _Open:
    """A bracket that is open. A frame collects its own text, without that of the frames in it."""

    def __init__(self, kind: str, start: int) -> None:
        self.kind = kind
        self.start = self.kept = start
        self.pieces: list[bytes] = []


def _flattened(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Start, depth and text of every frame, the inner ones first."""
    stack: list[_Open] = []
    frames_open, before = 0, b""
    for token, at in _tokens(data):
        if token in b"{[":
            stack.append(_Open(_kind(token, stack, before), at))
            if stack[-1].kind == "calls":
                stack[-2].pieces.append(data[stack[-2].kept : at + 1])
            frames_open += stack[-1].kind == "frame"
        elif token in b"}]":
            if not stack:
                break
            closed = stack.pop()
            if closed.kind == "calls":
                stack[-1].kept = at
            elif closed.kind == "frame":
                frames_open -= 1
                yield closed.start, frames_open, b"".join((*closed.pieces, data[closed.kept : at + 1]))
        if len(stack) > MAX_LEVELS:
            raise Undecodable(f"a call tree of more than {MAX_LEVELS} levels")
        before = token
    if stack:
        raise Undecodable("a call tree that is cut short")


def _tokens(data: bytes) -> Iterator[tuple[bytes, int]]:
    for count, match in enumerate(_TOKEN.finditer(data)):
        if count == MAX_TOKENS or match.group() == b'"':
            raise Undecodable(f"a call tree of more than {MAX_TOKENS} tokens, or with text that does not end")
        yield match.group(), match.start()


def _kind(token: bytes, stack: list[_Open], before: bytes) -> str:
    around = stack[-1].kind if stack else ""
    if token == b"{":
        return "frame" if around in ("", "calls") else "other"
    return "calls" if around == "frame" and before == b'"calls"' else "other"
