"""Addresses and hashes come in as text once, exactly, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.units import address, hash32, shown

ALICE = "0x" + "aB" * 20


def test_an_address_is_twenty_bytes_whatever_the_case_of_its_text() -> None:
    assert address(ALICE) == address(ALICE.lower()) == b"\xab" * 20


def test_a_hash_is_thirty_two_bytes() -> None:
    assert hash32("0x" + "01" * 32) == b"\x01" * 32


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be 0x and 40 hex digits"),
        (ALICE[2:], "must be 0x"),
        (ALICE[:-2], "must be 0x and 40"),
        (ALICE + "00", "must be 0x and 40"),
        ("0X" + "ab" * 20, "must be 0x"),
        ("0x" + "zz" * 20, "must be hexadecimal"),
        ("0x" + "ab " * 13 + "a", "must be hexadecimal"),  # bytes.fromhex would skip the spaces
        ("0x" + "ａ" * 40, "must be hexadecimal"),
    ],
)
def test_what_is_no_address_is_refused_with_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        address(text)


def test_a_refusal_quotes_no_more_than_a_line() -> None:
    with pytest.raises(ValueError, match="must be 0x and 64") as refused:
        hash32("0x" + "1" * 1_000_000)
    assert len(str(refused.value)) < 200


@given(st.binary(min_size=20, max_size=20))
def test_what_is_shown_reads_back(raw: bytes) -> None:
    assert address(shown(raw)) == raw
