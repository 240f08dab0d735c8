"""The block that comes next, and what a probe reads."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.model.chain import Header, Probe, ether_probe, next_base_fee, next_context, token_probe
from monitor.model.units import NATIVE, NOBODY, Address, Hash

HEAD = Header(100, Hash(b"\1" * 32), Hash(b"\2" * 32), 1_700_000_000, 10**9, 30_000_000, 15_000_000, NOBODY)
HOLDER = Address(b"\x0a" * 20)


def base_fee_after(**changed: int) -> int:
    return next_base_fee(replace(HEAD, **changed))


def test_a_block_at_its_target_keeps_the_base_fee() -> None:
    assert base_fee_after() == 10**9


def test_a_full_block_raises_the_base_fee_by_an_eighth() -> None:
    assert base_fee_after(gas_used=30_000_000) == 1_125_000_000


def test_an_empty_block_lowers_the_base_fee_by_an_eighth() -> None:
    assert base_fee_after(gas_used=0) == 875_000_000


def test_a_block_over_its_target_raises_even_the_smallest_base_fee() -> None:
    assert base_fee_after(base_fee=7, gas_used=15_000_001) == 8
    assert base_fee_after(base_fee=7, gas_used=14_999_999) == 7


def test_a_chain_without_a_gas_limit_keeps_its_base_fee() -> None:
    assert base_fee_after(gas_limit=0, gas_used=5) == base_fee_after(gas_limit=1, gas_used=1) == 10**9


def test_the_next_block_is_one_slot_later_and_fully_set() -> None:
    builder = Address(b"\x0b" * 20)
    found = next_context(replace(HEAD, gas_used=30_000_000), 12, coinbase=builder)
    assert (found.number, found.timestamp, found.base_fee) == (101, 1_700_000_012, 1_125_000_000)
    assert (found.coinbase, found.prev_randao) == (builder, HEAD.hash)


def test_a_balance_is_read_as_ether_or_by_balance_of() -> None:
    token = Address(b"\x0c" * 20)
    assert token_probe(NATIVE, HOLDER) == ether_probe(HOLDER) == Probe(HOLDER, b"")
    assert token_probe(token, HOLDER) == Probe(token, bytes.fromhex("70a08231") + HOLDER.rjust(32, b"\0"))
