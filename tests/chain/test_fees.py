"""Fees: the figures of facts/races.md, and the limits that no input breaks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evm.fees import (
    EXPOSURE,
    Fees,
    allowed,
    base_fee_after,
    blob_replacement,
    ladder,
    outranking,
    quote,
    replacement,
    requote,
    within,
)
from monitor.model.actions import Bid
from monitor.model.chain import Header, next_base_fee
from monitor.model.errors import Refused
from monitor.model.units import NO_HASH, NOBODY, Wei

GWEI = 10**9
ETHER = 10**18
fees_of = st.builds(lambda base, tip: Fees(base + tip, tip), st.integers(0, 10**15), st.integers(0, 10**15))
bids = st.builds(Bid, st.just(0), st.integers(0, 10**14), st.integers(0, 10**19).map(Wei))
gases = st.integers(21_000, 16_000_000)


@pytest.mark.parametrize(("blocks", "factor"), [(1, 1.125), (2, 1.266), (3, 1.424), (6, 2.027), (10, 3.247)])
def test_the_ladder_gives_the_factors_of_the_facts(blocks: int, factor: float) -> None:
    fees = ladder(base_fee=100 * GWEI, tip=2 * GWEI, blocks=blocks)
    assert round((fees.max_fee - 2 * GWEI) / (100 * GWEI), 3) == factor
    assert fees.max_priority_fee == 2 * GWEI


@pytest.mark.parametrize(("gas", "cost"), [(60_000, 0.348), (180_000, 1.045)])
def test_a_small_pause_outranks_a_bid_of_ten_ether(gas: int, cost: float) -> None:
    tip = outranking(tip=50 * GWEI, gas=2_000_000, coinbase=10 * ETHER)
    assert round(tip * gas / ETHER, 3) == cost
    assert tip / GWEI == pytest.approx(5_050 * 1.15)


def test_an_attack_without_gas_cannot_be_outranked() -> None:
    with pytest.raises(ValueError, match="0 gas"):
        outranking(tip=1, gas=0, coinbase=1)


@pytest.mark.parametrize(("old", "least"), [(0, 1), (1, 3), (7, 9), (8, 10), (16, 19), (2 * GWEI, 2_250_000_001)])
def test_a_replacement_is_an_eighth_more_rounded_up_and_a_wei(old: int, least: int) -> None:
    assert replacement(Fees(old, old)) == Fees(least, least)


def test_a_replacement_with_blobs_doubles() -> None:
    assert blob_replacement(Fees(7, 3)) == Fees(14, 6)


def test_the_ladder_has_an_end() -> None:
    with pytest.raises(ValueError, match="0 to 64"):
        base_fee_after(1, 65)


@given(base=st.integers(0, 10**13), blocks=st.integers(0, 12))
def test_the_ladder_outlasts_as_many_full_blocks_as_it_promises(base: int, blocks: int) -> None:
    promised, header = base_fee_after(base, blocks), base
    for _ in range(blocks):
        header = next_base_fee(
            Header(1, NO_HASH, NO_HASH, 0, header, gas_limit=30_000_000, gas_used=30_000_000, coinbase=NOBODY)
        )
    assert header <= promised <= header + 9 * blocks + base // 10**6 + 20


@given(wanted=fees_of, limit=fees_of)
def test_no_fee_is_ever_above_the_limit(wanted: Fees, limit: Fees) -> None:
    fees = within(wanted, limit)
    assert fees.max_fee <= min(wanted.max_fee, limit.max_fee)
    assert fees.max_priority_fee <= min(wanted.max_priority_fee, limit.max_priority_fee, fees.max_fee)


@given(bid=bids, gas_limit=gases, used=gases, purse=st.integers(0, 10**19))
def test_what_is_allowed_costs_no_more_than_bid_and_purse(bid: Bid, gas_limit: int, used: int, purse: int) -> None:
    limit = allowed(bid, gas_limit=gas_limit, gas_used=used, purse=purse)
    assert limit.max_fee * min(used * 3 // 2, gas_limit) <= bid.max_cost
    assert limit.max_fee * gas_limit <= EXPOSURE * bid.max_cost, "whatever a target does with its gas"
    assert limit.max_fee * gas_limit <= purse
    assert limit.max_priority_fee <= min(bid.max_tip, limit.max_fee)


def test_gas_that_was_never_measured_is_billed_whole() -> None:
    bid = Bid(tip=1, max_tip=GWEI, max_cost=Wei(400_000 * GWEI))
    assert allowed(bid, gas_limit=400_000, gas_used=0, purse=ETHER).max_fee == GWEI


def test_a_guardian_that_uses_a_fifth_of_its_gas_still_affords_to_outrank_ten_ether() -> None:
    bid = Bid(tip=1, max_tip=10_000 * GWEI, max_cost=Wei(2 * ETHER))
    limit = allowed(bid, gas_limit=442_000, gas_used=90_000, purse=5 * ETHER)
    assert limit.max_priority_fee > outranking(tip=50 * GWEI, gas=2_000_000, coinbase=10 * ETHER)


@given(base=st.integers(0, 10**12), tip=st.integers(0, 10**13), blocks=st.integers(0, 10), limit=fees_of)
def test_a_quote_is_includable_within_the_limit_or_refused(base: int, tip: int, blocks: int, limit: Fees) -> None:
    if base > limit.max_fee:
        with pytest.raises(Refused, match="bid: "):
            quote(base_fee=base, tip=tip, blocks=blocks, limit=limit)
        return
    fees = quote(base_fee=base, tip=tip, blocks=blocks, limit=limit)
    assert base <= fees.max_fee <= limit.max_fee
    assert fees.max_priority_fee <= min(tip, limit.max_priority_fee)


@given(old=fees_of, wanted=fees_of, limit=fees_of)
def test_a_requote_replaces_within_the_limit_or_is_none(old: Fees, wanted: Fees, limit: Fees) -> None:
    fees, least = requote(old, wanted, limit=limit), replacement(old)
    affordable = least.max_fee <= limit.max_fee and least.max_priority_fee <= limit.max_priority_fee
    assert (fees is not None) == affordable
    if fees is not None:
        assert within(fees, limit) == fees
        assert fees.max_fee * 8 > old.max_fee * 9
        assert fees.max_priority_fee * 8 > old.max_priority_fee * 9


@given(tip=st.integers(0, 10**13), gas=gases, coinbase=st.integers(0, 10**20))
def test_to_outrank_pays_at_least_fifteen_percent_more(tip: int, gas: int, coinbase: int) -> None:
    ours = outranking(tip=tip, gas=gas, coinbase=coinbase)
    assert ours * gas * 100 >= (tip * gas + coinbase) * 115
    assert (ours - 1) * gas * 100 < (tip * gas + coinbase) * 115 or ours == 0
