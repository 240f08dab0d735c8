"""Canonical JSON: equal values give equal bytes, and what does not decode says so in one line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.chain import Transaction
from monitor.model.codec import decode, digest, encode
from monitor.model.errors import Undecodable
from monitor.model.events import Disarmed, Stamped, Tick
from monitor.model.incidents import Step
from monitor.model.units import Address, Hash, Instant, Wei


def test_equal_dictionaries_give_equal_bytes_whatever_their_order() -> None:
    assert encode({"b": 1, "a": 2}) == encode({"a": 2, "b": 1}) == b'{"a":2,"b":1}'


def test_fields_keep_their_declared_order() -> None:
    assert encode(Disarmed(by="ann", reason="drill")) == b'{"type":"Disarmed","by":"ann","reason":"drill"}'


@given(st.integers(0, 2**256 - 1), st.binary(max_size=300))
def test_amounts_of_any_size_and_bytes_of_any_kind_read_back(amount: int, data: bytes) -> None:
    sent = Transaction(Hash(b"\1" * 32), Address(b"\2" * 20), None, 1, Wei(amount), 1, 1, 1, data)
    assert decode(encode(sent), Transaction) == sent


def test_an_event_reads_back_as_what_it_was() -> None:
    stamped = Stamped(7, Instant(9), Disarmed(by="ann", reason="drill"))
    assert decode(encode(stamped), Stamped) == stamped


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b'{"type":"NoSuchEvent"}',
        b'{"type":"Disarmed","by":1,"reason":""}',
        b'{"type":"Disarmed"}',
        b"\xff\xfe",
        b'{"type":"Disarmed","by":"\xff","reason":""}',
        b"[" * 100_000,
    ],
)
def test_what_does_not_decode_says_so_in_one_line(data: bytes) -> None:
    with pytest.raises(Undecodable) as refused:
        decode(data, Disarmed)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_a_refusal_names_what_was_asked_for() -> None:
    with pytest.raises(Undecodable, match=r"^not a Step: "):
        decode(b"{}", Step)


def test_a_digest_is_sha_256() -> None:
    assert digest(b"").hex().startswith("e3b0c44298fc1c14")


def test_a_step_without_conclusions_is_quiet() -> None:
    assert Step(3).quiet
    assert not Step(3, faults=("boom",)).quiet
    assert encode(Tick()) == b'{"type":"Tick"}'
