"""ABI decoding: equal to eth-abi on honest data, refused at once on bombs."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from monitor.evm import abi, shapes
from monitor.evm.abi import address_word, decode_bounded, decode_call, encode_call, selector
from monitor.model.errors import ConfigurationError, Undecodable
from tests.evm.evm_builders import ALICE, BOB, word

SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "uint256": st.integers(0, 2**256 - 1),
    "uint8": st.integers(0, 255),
    "int256": st.integers(-(2**255), 2**255 - 1),
    "int24": st.integers(-(2**23), 2**23 - 1),
    "address": st.binary(min_size=20, max_size=20),
    "bool": st.booleans(),
    "bytes4": st.binary(min_size=4, max_size=4),
    "bytes32": st.binary(min_size=32, max_size=32),
    "bytes": st.binary(max_size=70),
    "string": st.text(max_size=20),
}


@st.composite
def typed(draw: st.DrawFn, depth: int = 0) -> tuple[str, Any]:
    """A type with a value of it."""
    kind = draw(st.sampled_from(("scalar", "array", "fixed", "tuple") if depth < 3 else ("scalar",)))
    if kind == "scalar":
        text = draw(st.sampled_from(sorted(SCALARS)))
        return text, draw(SCALARS[text])
    members = draw(st.lists(typed(depth + 1), min_size=1, max_size=3))
    if kind == "tuple":
        return f"({','.join(text for text, _ in members)})", tuple(value for _, value in members)
    text, value = members[0]
    count = draw(st.integers(0 if kind == "array" else 1, 3))
    return text + ("[]" if kind == "array" else f"[{count}]"), (value,) * count


@given(st.lists(typed(), max_size=4))
def test_honest_data_decodes_to_what_was_encoded(parts: list[tuple[str, Any]]) -> None:
    types, values = tuple(text for text, _ in parts), tuple(value for _, value in parts)
    assert decode_bounded(types, encode(types, values)) == values


@given(st.lists(typed(), min_size=1, max_size=3), st.binary(max_size=400))
def test_any_data_under_any_types_is_decoded_or_undecodable(parts: list[tuple[str, Any]], data: bytes) -> None:
    types = tuple(text for text, _ in parts)
    try:
        decode_bounded(types, data)
        decode_bounded(types, bytes(31) + data)
    except Undecodable:
        pass


def bomb(levels: int, size: int) -> bytes:
    """Arrays in arrays whose offsets all point at one inner array."""
    count = min(1000, size // 32 // levels - 2)
    level = word(count) + word(32 * count) * count
    return (word(32) + level * levels).ljust(size, b"\xff")


@pytest.mark.parametrize("size", [32_768, 65_536, 131_072])
@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("leaf", ["uint256", "bytes", "string", "bytes32[2]"])
def test_a_bomb_is_refused_before_it_is_decoded(size: int, levels: int, leaf: str) -> None:
    with pytest.raises(Undecodable):
        decode_bounded((leaf + "[]" * (levels + 1),), bomb(levels, size))


@pytest.mark.parametrize(
    ("types", "data", "why"),
    [
        (("uint256",), b"", "ends at byte 0"),
        (("uint256",), word(1)[:31], "ends at byte 31"),
        (("bytes",), word(32), "past the end"),
        (("bytes",), word(2**255), "past the end"),
        (("bytes",), word(32) + word(33), "ends at byte 64"),
        (("bytes",), word(0), "twice"),
        (("bytes", "bytes"), word(64) + word(64) + word(1) + word(b"a"), "twice"),
        (("uint256[]",), word(32) + word(1025) + bytes(32 * 1025), "1024"),
        (("uint256[3][]",), word(32) + word(400) + bytes(32 * 1200), "1024 items"),
        (("bytes[2]",), word(32) + word(0) + word(0), "twice"),
        (("bytes[]",), word(32) + word(40) + word(40 * 32) * 40 + word(300) + bytes(300), "4 times"),
    ],
)
def test_data_that_breaks_a_bound_is_undecodable(types: tuple[str, ...], data: bytes, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        decode_bounded(types, data)


def test_members_of_no_size_cost_no_bytes_but_count_as_items() -> None:
    assert decode_bounded(("()[]",), word(32) + word(64)) == (((),) * 64,)
    with pytest.raises(Undecodable, match="1024"):
        decode_bounded(("()[]",), word(32) + word(1025) + bytes(1025))


def test_a_megabyte_is_not_even_looked_at() -> None:
    with pytest.raises(Undecodable, match="at most 65536"):
        decode_bounded(("uint256",), bytes(1_000_000))


def test_bits_above_a_type_are_dropped_as_older_contracts_do() -> None:
    types = ("address", "uint8", "int8", "bool", "bytes4")
    dirty = b"\xff" * 12 + ALICE + word(0x1FF) + word(0x1FF) + word(2) + b"abcd" + b"\xff" * 28
    assert decode_bounded(types, dirty) == (ALICE, 255, -1, True, b"abcd")


def test_text_that_is_no_utf8_is_still_text() -> None:
    assert decode_bounded(("string",), word(32) + word(2) + b"\xff\xfe") == ("ÿþ",)


def test_a_call_is_encoded_and_decoded_by_its_signature() -> None:
    data = encode_call("transfer(address,uint256)", BOB, 5)
    assert data == selector("transfer(address,uint)") + word(BOB) + word(5)
    assert decode_call("transfer(address,uint256)", data) == (BOB, 5)
    assert encode_call("pause()") == selector("pause()") == bytes.fromhex("8456cb59")
    with pytest.raises(Undecodable, match=r"not a call of pause\(\)"):
        decode_call("pause()", data)


@pytest.mark.parametrize(
    ("signature", "arguments"),
    [("f(uint8)", (256,)), ("f(uint8)", ()), ("f(address)", ("nobody",)), ("f(bytes4)", (1,)), ("f(uint8[])", (1,))],
)
def test_arguments_that_do_not_fit_are_a_configuration_error(signature: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigurationError, match="cannot be called with"):
        encode_call(signature, *arguments)


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "f",
        "f(",
        "(uint256)",
        "f(uint256)x",
        "f(uint7)",
        "f(uint256)[]",
        " f()",
        "f( )",
        "f(uint8,)",
        "f(,)",
        "1f()",
    ],
)
def test_what_is_no_function_is_a_configuration_error(signature: str) -> None:
    with pytest.raises(ConfigurationError, match="write it as"):
        selector(signature)


@pytest.mark.parametrize(
    "text",
    ["", "uint264", "uint8uint8", "(uint8uint8)", "(uint8", "bytes0", "bytes33", "fixed128x18", "uint8[-1]", "a" * 600],
)
def test_what_is_no_type_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not an ABI type"):
        shapes.shapes((text,))


@pytest.mark.parametrize("text", ["uint8" + "[]" * 6, "(" * 6 + "uint8" + ")" * 6, "(" * 300, "((uint8[][])[])[2][2]"])
def test_a_type_nested_too_deep_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="deeper than 6"):
        shapes.shapes((text,))


def test_a_word_is_read_from_what_a_view_returned() -> None:
    assert abi.word(word(5) + b"more") == 5
    assert abi.word(word(-5), signed=True) == -5
    assert address_word(word(BOB)) == BOB
    for read in (abi.word, address_word):
        with pytest.raises(Undecodable, match="a word expected"):
            read(bytes(31))
