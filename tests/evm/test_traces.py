"""Traces of any depth, in the order of entry; diffs with what diff mode leaves out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evm import traces
from monitor.evm.traces import WireCall, WireDiff, call_frames, slot_changes
from monitor.evm.wire import decode
from monitor.model.chain import CallFrame, SlotChange
from monitor.model.errors import Undecodable
from monitor.model.units import NO_HASH, Hash, Wei
from tests.evm.evm_builders import ALICE, BOB, encoded, shown, word


def call(*inner: dict[str, Any], **changed: Any) -> dict[str, Any]:
    fields = {"type": "CALL", "from": shown(ALICE), "to": shown(BOB), "value": "0x1", "input": "0x"}
    return fields | changed | ({"calls": list(inner)} if inner else {})


@pytest.fixture
def usual_recursion() -> Iterator[None]:
    """The interpreter's own limit, whatever an import has made of it."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(limit)


def nested(levels: int) -> bytes:
    """A tree of one branch, with text in it that looks like brackets."""
    head = (
        b'{"type":"CALL","from":"%b","error":"\\"calls\\":[{","logs":[{"topics":["]}"]}],"calls":['
        % shown(ALICE).encode()
    )
    return head * levels + encoded(call()) + b"]}" * levels


def test_frames_stand_in_the_order_of_entry() -> None:
    tree = call(call(call(input="0x02"), input="0x01"), call(input="0x03"), input="0x00")
    found = call_frames(encoded(tree))
    assert [(frame.depth, frame.data[0]) for frame in found] == [(0, 0), (1, 1), (2, 2), (1, 3)]


def test_a_frame_keeps_what_happened_and_no_more_data_than_it_may() -> None:
    tree = call(type="CREATE2", to=None, value=None, input="0x" + "ab" * 5000, error="r" * 300)
    (found,) = call_frames(encoded(tree))
    assert found == CallFrame(0, "CREATE2", ALICE, None, Wei(0), b"\xab" * traces.MAX_FRAME_DATA, "r" * 200)


def test_more_frames_than_allowed_are_cut() -> None:
    tree = call(*(call() for _ in range(10)))
    assert len(call_frames(encoded(tree), max_frames=4)) == 4


@pytest.mark.usefixtures("usual_recursion")
@pytest.mark.parametrize("levels", [600, 1023])
def test_a_tree_too_deep_for_recursion_is_read_all_the_same(levels: int) -> None:
    found = call_frames(nested(levels))
    assert [frame.depth for frame in found] == list(range(levels + 1))
    assert found[-1].to == BOB


@given(st.recursive(st.just([]), lambda inner: st.lists(inner, max_size=4), max_leaves=30))
def test_cutting_a_tree_gives_the_frames_of_walking_it(shape: list[Any]) -> None:
    numbers = count()

    def grown(branches: list[Any]) -> dict[str, Any]:
        return call(*(grown(branch) for branch in branches), input=f"0x{next(numbers):04x}", other=[{"calls": []}])

    data = encoded(grown(shape))
    flat = [traces.frame(decode(text, WireCall), depth) for _, depth, text in sorted(traces._flattened(data))]
    assert tuple(flat) == traces.frames(decode(data, WireCall))


@pytest.mark.usefixtures("usual_recursion")
@pytest.mark.parametrize(
    "hostile",
    [
        lambda deep: deep * 1500,
        lambda deep: deep * 600 + b"{}," * 200_000,
        lambda deep: deep * 600,
        lambda deep: deep * 600 + b'"' + b'\\"' * 300_000,
        lambda deep: deep * 600 + b"]}" * 600 + b"}",
    ],
)
def test_a_hostile_deep_tree_is_undecodable(hostile: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Undecodable):
        call_frames(hostile(b'{"calls":['))


def test_a_tree_that_is_merely_wrong_is_undecodable() -> None:
    with pytest.raises(Undecodable):
        call_frames(b'{"from":1}')
    with pytest.raises(Undecodable):
        call_frames(encoded(call()), max_bytes=10)


def diff(pre: dict[str, Any], post: dict[str, Any]) -> tuple[SlotChange, ...]:
    return slot_changes(decode(encoded({"pre": pre, "post": post}), WireDiff))


def slots(**values: int) -> dict[str, Any]:
    return {"storage": {"0x" + name[1:].rjust(64, "0"): shown(word(value)) for name, value in values.items()}}


def test_a_slot_left_out_of_post_was_cleared() -> None:
    assert diff({shown(BOB): slots(s1=5)}, {shown(BOB): {"nonce": 2}}) == (
        SlotChange(BOB, Hash(word(1)), Hash(word(5)), NO_HASH),
    )


def test_a_slot_left_out_of_pre_was_empty() -> None:
    assert diff({}, {shown(BOB): slots(s2=6)}) == (SlotChange(BOB, Hash(word(2)), NO_HASH, Hash(word(6))),)


def test_slots_that_did_not_change_are_left_out_and_the_rest_is_in_order() -> None:
    found = diff(
        {shown(BOB): slots(s3=1, s1=1, s2=7)}, {shown(BOB): slots(s1=2, s2=7, s3=4), shown(ALICE): slots(s9=1)}
    )
    assert [(change.address, change.slot[-1]) for change in found] == [(ALICE, 9), (BOB, 1), (BOB, 3)]


def test_a_diff_that_is_no_diff_is_undecodable() -> None:
    with pytest.raises(Undecodable):
        diff({"0x12": slots(s1=1)}, {})
    with pytest.raises(Undecodable):
        diff({shown(BOB): {"storage": {"0xzz": "0x1"}}}, {})
