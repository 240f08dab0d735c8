"""Addresses that a list names, as counterparty."""

from __future__ import annotations

import pytest

from detectors.labelled_destination import LabelledDestination
from monitor.model.assets import AssetKind
from monitor.model.events import AnyEvent
from monitor.model.units import Instant
from tests.detectors.builders import (
    COLD,
    CUSTOMER,
    EXCHANGE,
    FRIEND,
    MULE,
    ROUTER,
    SCAM,
    THIEF,
    VAULT,
    WALLET,
    asset,
    context,
    mined,
    pending,
    transaction,
    transfer,
)
from tests.detectors.fakes import START, FakeLabel, Run, said_alike

LABELS = {
    THIEF: FakeLabel("exploiter"),
    MULE: FakeLabel("mixer"),
    EXCHANGE: FakeLabel("exchange"),
    FRIEND: FakeLabel("exploiter", expires_at=START),
    ROUTER: FakeLabel("router"),
}


def run(kind: AssetKind = "treasury", ledger: str = "") -> Run:
    view = context(
        asset(kind=kind, ledger=ledger, known=(CUSTOMER,)), asset("vault", kind="contract", address=VAULT, ledger="")
    )
    view.labels.known.update(LABELS)
    return Run(LabelledDestination(), view)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        pytest.param(mined(transfer(to=THIEF)), [("strong", 3.43)], id="to an exploiter"),
        pytest.param(mined(transfer(to=MULE)), [("strong", 3.43)], id="to a mixer"),
        pytest.param(pending(transfer(to=THIEF)), [("fakeable", 2.5)], id="to an exploiter, still pending"),
        pytest.param(
            mined(transfer(sender=VAULT, to=SCAM), tx=transaction(1, sender=THIEF)),
            [("fakeable", 2.5)],
            id="an exploiter takes from a contract to a fresh address",
        ),
        pytest.param(mined(transfer(to=THIEF), transfer(to=MULE)), [("strong", 3.43)] * 2, id="to two of them at once"),
        pytest.param(mined(transfer(to=EXCHANGE)), [("negative", -1.0)], id="to an exchange"),
        pytest.param(mined(transfer(to=COLD)), [("negative", -2.0)], id="to the own cold wallet"),
        pytest.param(mined(transfer(to=CUSTOMER)), [("negative", -2.0)], id="to a known destination"),
        pytest.param(mined(transfer(to=FRIEND)), [], id="a label that has expired"),
        pytest.param(mined(transfer(to=ROUTER)), [], id="a label that says neither good nor bad"),
        pytest.param(mined(transfer(to=SCAM)), [], id="an address without a label"),
        pytest.param(mined(transfer(sender=THIEF, to=WALLET)), [], id="dust from an exploiter"),
        pytest.param(mined(transfer(to=THIEF, token=SCAM)), [], id="a token that nobody lists"),
        pytest.param(mined(transfer(0, to=THIEF)), [], id="nothing at all"),
        pytest.param(mined(transfer(to=THIEF), ok=False), [], id="a payment that fails"),
        pytest.param(pending(transfer(to=THIEF), not_includable="nonce"), [], id="one that cannot be mined"),
    ],
)
def test_what_a_label_says(event: AnyEvent, said: list[tuple[str, float]]) -> None:
    assert [(s.evidence, s.weight) for s in run().signals(event)] == said


def test_where_customers_choose_the_destination_a_label_is_fakeable() -> None:
    found = run("hot_wallet", "main").signals(mined(transfer(to=THIEF)))
    assert [(s.evidence, s.weight) for s in found] == [("fakeable", 2.5)]


def test_the_list_is_named_and_the_counterparty_is_a_root() -> None:
    (found,) = run().signals(mined(transfer(to=THIEF), tx=5))
    assert "is on list as exploiter" in found.because
    assert found.roots == (f"tx:0x{5:064x}", f"to:0x{THIEF.hex()}")
    assert found.attacker == THIEF


def test_a_label_expires_while_we_watch() -> None:
    watching = run()
    watching.context.labels.known[THIEF] = FakeLabel("exploiter", expires_at=Instant(START + 10**9))
    assert not watching.signals(mined(transfer(to=THIEF)))


def test_it_remembers_nothing() -> None:
    view = run().context
    assert said_alike(LabelledDestination, [mined(transfer(to=THIEF)), mined(transfer(to=COLD), tx=2)], view)
    assert LabelledDestination().state is None
