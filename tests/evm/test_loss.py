"""Loss and gain, to the last unit; what is unknown stays unknown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evm import loss
from monitor.evm.invariants import parse
from monitor.evm.loss import (
    asset_loss_usd,
    attacker_gain_usd,
    claims_burned,
    gains,
    net,
    outflow,
    price_per_share_drop_bps,
    share_price_drop_bps,
    standard_probes,
    unmatched_outflow,
)
from monitor.evm.watch import Protected
from monitor.model.assets import Token
from monitor.model.chain import Effects, Reading, Transfer, ether_probe, token_probe
from monitor.model.units import NATIVE, NOBODY, Address, Wei
from tests.evm.evm_builders import ALICE, BOB, CHAIN, DAI, SHARE, VAULT, FixedPrices, effects, reading, vault

WETH = Address(b"\x3e" * 20)
JUNK = Address(b"\x66" * 20)
BOTH = vault(tokens=(Token(DAI), Token(WETH)))
PRICES = FixedPrices({DAI: 1, WETH: 2_000})
DAI_HELD, TOTAL, SUPPLY = token_probe(DAI, VAULT), loss.total_assets_probe(vault()), loss.total_supply_probe(vault())


def moved(token: Address, sender: Address, to: Address, amount: int) -> Transfer:
    return Transfer(token, sender, to, Wei(amount))


def test_what_comes_back_in_the_same_transaction_is_no_outflow() -> None:
    flash = effects(moved(DAI, VAULT, BOB, 1_000), moved(DAI, BOB, VAULT, 1_001))
    assert outflow(flash, vault()) == {}
    short = effects(moved(DAI, VAULT, BOB, 1_000), moved(DAI, BOB, VAULT, 400), moved(DAI, VAULT, VAULT, 9))
    assert outflow(short, vault()) == {DAI: 600}


def test_unlisted_tokens_count_nothing() -> None:
    assert outflow(effects(moved(JUNK, VAULT, BOB, 1_000)), vault()) == {}


def test_a_balance_that_was_read_counts_above_the_logs() -> None:
    silent = effects(readings=(reading(DAI_HELD, 100, 40),))
    assert outflow(silent, vault()) == {DAI: 60}
    forged = effects(moved(DAI, VAULT, BOB, 1_000), readings=(reading(DAI_HELD, 100, 100),))
    assert outflow(forged, vault()) == {}


@pytest.mark.parametrize("unread", [Reading(DAI_HELD, None, b""), Reading(DAI_HELD, bytes(32), bytes(31))])
def test_a_balance_that_could_not_be_read_leaves_the_logs(unread: Reading) -> None:
    assert outflow(effects(moved(DAI, VAULT, BOB, 7), readings=(unread,)), vault()) == {DAI: 7}


def test_a_wallets_own_fee_is_no_outflow() -> None:
    fee = effects(readings=(reading(ether_probe(VAULT), 100, 98),))
    assert outflow(fee, vault(kind="hot_wallet", tokens=(Token(NATIVE),))) == {}
    assert outflow(fee, vault(tokens=(Token(NATIVE),))) == {NATIVE: 2}


def test_a_loss_is_what_left_less_what_came_for_it() -> None:
    swap = effects(moved(DAI, VAULT, BOB, 2_500), moved(WETH, BOB, VAULT, 1))
    assert asset_loss_usd(swap, BOTH, PRICES) == 500
    assert asset_loss_usd(effects(moved(DAI, BOB, VAULT, 5)), BOTH, PRICES) == 0
    assert asset_loss_usd(effects(), BOTH, FixedPrices({})) == 0


def test_a_loss_in_a_token_without_a_price_is_unknown() -> None:
    assert asset_loss_usd(effects(moved(DAI, VAULT, BOB, 1)), BOTH, FixedPrices({WETH: 1})) is None


def test_gains_are_net_and_by_holder() -> None:
    found = gains(effects(moved(DAI, VAULT, BOB, 9), moved(DAI, BOB, ALICE, 4), moved(WETH, BOB, BOB, 1)), (ALICE, BOB))
    assert found == {ALICE: {DAI: 4}, BOB: {DAI: 5}}


def test_an_attackers_addresses_gain_together_and_only_what_is_listed() -> None:
    assets = Protected((BOTH,))
    heist = effects(moved(DAI, VAULT, BOB, 9), moved(DAI, BOB, ALICE, 4), moved(JUNK, VAULT, BOB, 10**9))
    together: dict[str, Any] = {"chain_id": CHAIN, "assets": assets}
    assert attacker_gain_usd(heist, (ALICE, BOB), prices=PRICES, **together) == 9
    assert attacker_gain_usd(heist, (VAULT,), prices=PRICES, **together) == -9
    assert attacker_gain_usd(heist, (ALICE,), prices=FixedPrices({}), **together) is None


@pytest.mark.parametrize(
    ("numbers", "drop"),
    [
        ((1_000, 1_000, 1_000, 1_000), 0),
        ((1_000, 1_000, 999, 1_000), 10),
        ((10_000, 1, 9_990, 1), 10),
        ((10_000, 1, 9_989, 1), 11),
        ((1_000, 1_000, 2_000, 1_000), 0),
        ((1_000, 1_000, 1_000, 2_000), 5_000),
        ((1_000, 1_000, 0, 1_000), 10_000),
        ((1_000, 1_000, 500, 500), 0),
        ((0, 1_000, 0, 1_000), None),
        ((1_000, 0, 0, 0), None),
        ((1_000, 1_000, 0, 0), None),
    ],
)
def test_a_share_price_falls_by_basis_points(numbers: tuple[int, int, int, int], drop: int | None) -> None:
    a, b, c, d = numbers
    assert price_per_share_drop_bps(a, b, after_assets=c, after_supply=d) == drop


def test_a_share_price_is_judged_only_where_it_was_read() -> None:
    both = (reading(TOTAL, 1_000, 900), reading(SUPPLY, 1_000, 1_000))
    assert share_price_drop_bps(effects(readings=both), vault()) == 1_000
    for missing in (both[:1], both[1:], ()):
        assert share_price_drop_bps(effects(readings=missing), vault()) is None


def vault_run(*transfers: Transfer, assets: tuple[int, int], supply: tuple[int, int]) -> Effects:
    return effects(*transfers, readings=(reading(TOTAL, *assets), reading(SUPPLY, *supply)))


def test_a_redeemer_who_burns_shares_takes_what_is_theirs() -> None:
    redeemed = vault_run(
        moved(SHARE, BOB, NOBODY, 100), moved(DAI, VAULT, BOB, 200), assets=(2_000, 1_800), supply=(1_000, 900)
    )
    assert claims_burned(redeemed, vault()) == 100
    assert unmatched_outflow(redeemed, vault()) == {}


def test_outflow_beyond_what_burned_shares_were_owed_is_unmatched() -> None:
    robbed = vault_run(
        moved(SHARE, BOB, NOBODY, 100), moved(DAI, VAULT, BOB, 700), assets=(2_000, 1_300), supply=(1_000, 900)
    )
    assert unmatched_outflow(robbed, vault()) == {DAI: 500}
    taken = vault_run(moved(DAI, VAULT, BOB, 7), assets=(2_000, 1_993), supply=(0, 0))
    assert unmatched_outflow(taken, vault()) == {DAI: 7}


def test_shares_minted_and_burned_at_once_are_no_claim() -> None:
    trick = vault_run(
        moved(SHARE, NOBODY, BOB, 100), moved(SHARE, BOB, NOBODY, 100), moved(DAI, VAULT, BOB, 7),
        assets=(2_000, 1_993), supply=(1_000, 1_000),
    )  # fmt: skip
    assert unmatched_outflow(trick, vault()) == {DAI: 7}
    assert claims_burned(effects(moved(SHARE, NOBODY, BOB, 1)), vault()) == 0


def test_a_vault_of_several_tokens_owes_a_share_of_each_balance() -> None:
    readings = (reading(DAI_HELD, 1_000, 800), reading(token_probe(WETH, VAULT), 50, 50), reading(SUPPLY, 10, 9))
    found = effects(moved(SHARE, BOB, NOBODY, 1), readings=readings)
    assert unmatched_outflow(found, BOTH) == {DAI: 100}


def test_what_was_owed_is_unknown_where_supply_or_holdings_were_not_read() -> None:
    assert unmatched_outflow(effects(moved(DAI, VAULT, BOB, 7)), vault()) is None
    no_holdings = effects(moved(DAI, VAULT, BOB, 7), readings=(reading(SUPPLY, 10, 9),))
    assert unmatched_outflow(no_holdings, vault()) is None


def test_the_probes_of_an_asset_cover_balances_invariants_and_totals_once_each() -> None:
    invariant = parse("totalAssets() >= totalSupply() and self.balance > f()", asset=VAULT)
    asset = vault(tokens=(Token(DAI), Token(NATIVE)), invariants=(invariant,))
    assert standard_probes(asset) == (DAI_HELD, ether_probe(VAULT), TOTAL, SUPPLY, invariant.probes[-1])
    assert standard_probes(vault(kind="hot_wallet")) == (DAI_HELD, ether_probe(VAULT))


HOLDERS = st.sampled_from((ALICE, BOB, VAULT))


@given(st.lists(st.builds(moved, st.sampled_from((DAI, WETH)), HOLDERS, HOLDERS, st.integers(0, 10**30))))
def test_what_one_gains_the_others_lose(transfers: list[Transfer]) -> None:
    for token in (DAI, WETH):
        assert sum(net(transfers, holder).get(token, 0) for holder in (ALICE, BOB, VAULT)) == 0


@given(st.integers(1, 10**30), st.integers(1, 10**30), st.integers(1, 10**30))
def test_redeeming_at_the_price_never_leaves_anything_unmatched(assets: int, supply: int, burned: int) -> None:
    burned = min(burned, supply)
    paid = burned * assets // supply
    found = vault_run(
        moved(SHARE, BOB, NOBODY, burned),
        moved(DAI, VAULT, BOB, paid),
        assets=(assets, assets - paid),
        supply=(supply, supply - burned),
    )
    assert unmatched_outflow(found, vault()) == {}
    assert share_price_drop_bps(found, vault()) in (0, None)
