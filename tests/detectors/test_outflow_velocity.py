"""Dollars an hour, by asset and by owner."""

from __future__ import annotations

import pytest

from detectors.outflow_velocity import OutflowVelocity
from monitor.model.events import AnyEvent
from monitor.model.units import SECOND
from tests.detectors.builders import (
    COLD,
    CUSTOMER,
    ONE,
    SCAM,
    THIEF,
    USDC,
    VAULT,
    WALLET,
    asset,
    context,
    mined,
    pending,
    transfer,
    who,
)
from tests.detectors.fakes import START, FakeContext, Run, said_alike

NOW_S = START // SECOND
OTHER = who(0x71)


def make() -> OutflowVelocity:
    return OutflowVelocity(max_usd_per_hour=100, max_owner_usd_per_hour=150)


def run(view: FakeContext | None = None) -> Run:
    return Run(make(), view or context())


def paid(usd: int, tx: int = 1, *, after_s: int = 0, payer: bytes = WALLET, token: bytes = USDC) -> AnyEvent:
    moved = transfer(usd * ONE, sender=payer, to=CUSTOMER, token=token)  # type: ignore[arg-type]
    return mined(moved, tx=tx, timestamp=NOW_S + after_s)


@pytest.mark.parametrize(
    ("story", "claims"),
    [
        pytest.param([paid(101)], 1, id="one payout over the limit"),
        pytest.param([paid(60), paid(60, 2)], 1, id="two payouts that are over it together"),
        pytest.param([paid(60), pending(transfer(60 * ONE), tx=2)], 1, id="a pending payout on top of a mined one"),
        pytest.param([paid(140), paid(5, 2), paid(3, 3)], 1, id="what stays within one multiple is told once"),
        pytest.param([paid(150), paid(60, 2)], 2, id="the next multiple is told again"),
        pytest.param([paid(100)], 0, id="exactly the limit is allowed"),
        pytest.param([paid(60), paid(60, 2, after_s=3_700)], 0, id="an hour apart"),
        pytest.param([paid(60), paid(60)], 0, id="the same transaction twice counts once"),
        pytest.param([pending(transfer(60 * ONE)), paid(60)], 0, id="pending and then mined counts once"),
        pytest.param(
            [pending(transfer(60 * ONE)), pending(transfer(60 * ONE), tx=2)], 0, id="two that may never be mined"
        ),
        pytest.param([mined(transfer(500 * ONE, to=COLD))], 0, id="to the own cold wallet"),
        pytest.param([mined(transfer(500 * ONE, to=WALLET))], 0, id="to itself"),
        pytest.param([mined(transfer(500 * ONE, token=SCAM))], 0, id="a token that nobody lists"),
        pytest.param([mined(transfer(500 * ONE), ok=False)], 0, id="a payout that reverts"),
        pytest.param([mined(transfer(500 * ONE, sender=CUSTOMER, to=WALLET))], 0, id="a deposit"),
        pytest.param([pending(transfer(500 * ONE), not_includable="fee")], 0, id="pending and not includable"),
        pytest.param(
            [mined(transfer(500 * ONE), transfer(500 * ONE, sender=CUSTOMER, to=WALLET))], 0, id="what comes back"
        ),
        pytest.param([mined(transfer(2**256 - 1))], 1, id="an amount without sense"),
    ],
)
def test_how_much_may_leave_in_an_hour(story: list[AnyEvent], claims: int) -> None:
    found = run().signals(*story)
    assert len(found) == claims
    assert all(s.threat == "stolen_key" and s.prior == "movement" and s.fact is None for s in found)


def test_a_mined_outflow_is_strong_and_a_pending_one_fakeable() -> None:
    (now,) = run().signals(paid(101))
    (maybe,) = run().signals(pending(transfer(101 * ONE)))
    assert (now.evidence, maybe.evidence) == ("strong", "fakeable")


def test_after_a_quiet_hour_the_limit_is_told_anew() -> None:
    watching = run()
    assert watching.signals(paid(101))
    assert not watching.signals(paid(1, 2, after_s=4_000))
    assert watching.signals(paid(101, 3, after_s=4_010))


def test_assets_of_one_owner_are_summed_over_chains() -> None:
    view = context(asset(), asset("far", address=OTHER, chain_id=5))
    watching = run(view)
    assert not watching.signals(paid(90))
    far = transfer(90 * ONE, sender=OTHER, to=CUSTOMER)
    (found,) = watching.signals(mined(far, tx=2, chain_id=5))
    assert found.asset == "far"
    assert "all of desk" in found.because


def test_assets_of_different_owners_are_not() -> None:
    watching = run(context(asset(), asset("theirs", address=OTHER, owner="other")))
    assert not watching.signals(paid(90), paid(90, 2, payer=OTHER))


def test_an_unknown_price_is_not_zero_and_not_a_claim() -> None:
    assert not run(context(prices={})).signals(mined(transfer(10**30)))


def test_a_contract_that_pays_too_fast_is_a_threat_of_exploit() -> None:
    watching = run(context(asset("vault", kind="contract", address=VAULT)))
    (found,) = watching.signals(mined(transfer(101 * ONE, sender=VAULT, to=THIEF)))
    assert found.threat == "exploit"


def test_roots_name_the_transaction_and_where_it_goes() -> None:
    (found,) = run().signals(paid(101, 7))
    assert found.roots == (f"tx:0x{7:064x}", f"to:0x{CUSTOMER.hex()}")


def test_a_saved_memory_goes_on_like_an_undisturbed_one() -> None:
    story = [
        paid(60),
        pending(transfer(60 * ONE), tx=2),
        paid(60, 2),
        paid(120, 3, after_s=20),
        paid(9, 4, after_s=4_000),
    ]
    assert said_alike(make, story, context())
