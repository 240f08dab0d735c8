"""Hexadecimal text is read strictly: what Python would forgive is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evm import hexes
from monitor.model.errors import Undecodable


@given(st.integers(0, 2**256 - 1))
def test_a_quantity_survives_the_way_there_and_back(value: int) -> None:
    assert hexes.quantity(hex(value)) == value
    assert hexes.word(hex(value)) == value.to_bytes(32, "big")


@given(st.binary(max_size=100))
def test_data_survives_the_way_there_and_back(data: bytes) -> None:
    assert hexes.octets("0x" + data.hex()) == data


@pytest.mark.parametrize("text", ["", "5", "0x", "0x_5", "0x 5", "-0x5", "0x-5", "0xg", "0X5", "0x٣", "0x" + "1" * 65])
def test_what_is_no_quantity_is_undecodable(text: str) -> None:
    with pytest.raises(Undecodable, match="not a quantity"):
        hexes.quantity(text)


def test_a_quantity_wider_than_its_field_is_undecodable() -> None:
    assert hexes.quantity("0xffffffffffffffff", 64) == 2**64 - 1
    with pytest.raises(Undecodable, match="at most 64 bits"):
        hexes.quantity("0x10000000000000000", 64)


def test_an_absent_quantity_is_zero() -> None:
    assert hexes.optional(None) == 0
    assert hexes.optional("0x2") == 2


@pytest.mark.parametrize("text", ["", "00", "0x0", "0x 0", "0xzz", "0x00 0"])
def test_what_is_no_data_is_undecodable(text: str) -> None:
    with pytest.raises(Undecodable, match="not a data"):
        hexes.octets(text)


def test_addresses_and_hashes_have_one_length() -> None:
    assert hexes.address("0x" + "Ab" * 20) == b"\xab" * 20
    assert hexes.hash32("0x" + "ab" * 32) == b"\xab" * 32
    for text in ("0x" + "ab" * 19, "0x" + "ab" * 21, "0x" + "zz" * 20, "0x" + " a" * 20):
        with pytest.raises(Undecodable):
            hexes.address(text)
    with pytest.raises(Undecodable):
        hexes.hash32("0x" + "ab" * 31)


def test_a_message_of_a_fault_stays_short() -> None:
    with pytest.raises(Undecodable) as fault:
        hexes.octets("0x" + "z" * 100_000)
    assert len(str(fault.value)) < 120
