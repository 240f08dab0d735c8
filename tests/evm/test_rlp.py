"""RLP: the package's encoding both ways, canonical only, and bombs refused at once."""

from __future__ import annotations

from typing import Any

import pytest
import rlp as reference
from hypothesis import given
from hypothesis import strategies as st

from monitor.evm import rlp
from monitor.model.errors import Undecodable

ITEMS = st.recursive(st.binary(max_size=300), lambda inner: st.lists(inner, max_size=5), max_leaves=20)


def depth(item: Any) -> int:
    return 1 + max(map(depth, item), default=0) if isinstance(item, list) else 0


@given(ITEMS)
def test_encoding_is_the_references_and_decoding_its_inverse(item: Any) -> None:
    data = rlp.encode(item)
    assert data == reference.encode(item)
    if depth(item) <= rlp.MAX_DEPTH:
        assert rlp.decode(data) == item


@given(st.integers(0, 2**256 - 1))
def test_integers_survive(value: int) -> None:
    assert rlp.encode(value) == reference.encode(value)
    assert rlp.integer(rlp.decode(rlp.encode(value))) == value


@given(st.binary(max_size=80))
def test_any_bytes_decode_as_the_reference_does_or_are_undecodable(data: bytes) -> None:
    try:
        found = rlp.decode(data)
    except Undecodable:
        return
    assert reference.encode(found) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\x00",
        b"\x81\x01",
        b"\x81",
        b"\x83ab",
        b"\xb8\x01a",
        b"\xb8",
        b"\xb9\x00\x40" + b"a" * 64,
        b"\xc2\x83a",
        b"\xc1\x81",
        b"\xf8\x02aa",
        b"\xbf" + b"\xff" * 8,
        b"\xc6" * 7 + b"\x80",
        b"\xc6\xc5\xc4\xc3\xc2\xc1\xc0",
    ],
)
def test_what_is_not_canonical_or_cut_short_is_undecodable(data: bytes) -> None:
    with pytest.raises(Undecodable):
        rlp.decode(data)


@pytest.mark.parametrize(
    "bomb",
    [
        reference.encode([[]] * 100_000),
        reference.encode([b""] * 100_000),
        b"\xfa" + (1_000_000).to_bytes(3, "big") + b"\xc0" * 1_000_000,
        b"\xc0" * (rlp.MAX_BYTES + 1),
    ],
)
def test_a_bomb_is_refused(bomb: bytes) -> None:
    with pytest.raises(Undecodable):
        rlp.decode(bomb)


def test_an_item_of_the_wrong_kind_is_undecodable() -> None:
    broken: tuple[rlp.Item, ...] = ([], b"\x00\x01", b"\x01" * 33)
    for item in broken:
        with pytest.raises(Undecodable):
            rlp.integer(item)
    with pytest.raises(Undecodable):
        rlp.octets([])
    with pytest.raises(Undecodable):
        rlp.items(b"")
    with pytest.raises(Undecodable, match="list of 2"):
        rlp.items([b""], 2)
    assert rlp.items([b""]) == [b""]
    assert rlp.octets(b"a") == b"a"
