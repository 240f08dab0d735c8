"""A small first payment, then a large one to the same hand."""

from __future__ import annotations

import pytest

from detectors.test_then_drain import TestThenDrain
from monitor.model.chain import Transfer
from monitor.model.events import AnyEvent
from monitor.model.units import NATIVE, SECOND, Address
from tests.detectors.builders import (
    COLD,
    CUSTOMER,
    DAI,
    FRIEND,
    MULE,
    ONE,
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
from tests.detectors.fakes import START, Run, said_alike

NOW_S = START // SECOND


def run() -> Run:
    return Run(TestThenDrain(), context(asset(), asset("vault", kind="contract", address=VAULT, ledger="")))


def usd(amount: int, to: Address = THIEF, *, sender: Address = WALLET, token: Address = NATIVE) -> Transfer:
    return transfer(amount * ONE, sender=sender, to=to, token=token)


def at(second: int, *moved: Transfer, tx: int = 1, by: Address = WALLET) -> AnyEvent:
    return mined(*moved, tx=transaction(tx, sender=by), timestamp=NOW_S + second)


TEST, DRAIN = usd(1), usd(50_000)


@pytest.mark.parametrize(
    "story",
    [
        pytest.param([at(0, TEST), at(60, DRAIN, tx=2)], id="one dollar, then fifty thousand"),
        pytest.param([at(0, TEST), at(25_000, usd(50_000, token=DAI), tx=2)], id="seven hours later, in another token"),
        pytest.param([at(0, TEST), pending(DRAIN, tx=2)], id="the large one is still pending"),
        pytest.param([at(0, TEST), at(9, usd(2), tx=2), at(60, DRAIN, tx=3)], id="two tests"),
        pytest.param(
            [at(0, TEST, usd(1, MULE, sender=THIEF)), at(60, usd(50_000, MULE), tx=2)],
            id="the tested address paid the next one on",
        ),
        pytest.param(
            [at(0, TEST, by=MULE), at(60, usd(50_000, FRIEND), tx=2, by=MULE)],
            id="a fresh submitter tests and drains to another address",
        ),
        pytest.param([at(0, TEST), at(60, usd(30_000), usd(30_000, MULE), tx=2)], id="a drain that is split"),
    ],
)
def test_a_test_and_then_a_drain(story: list[AnyEvent]) -> None:
    (found,) = run().signals(*story)
    assert (found.threat, found.subject.id, found.prior) == ("stolen_key", "hot", "movement")
    assert found.roots[0] == f"tx:0x{len(story):064x}"


@pytest.mark.parametrize(
    "story",
    [
        pytest.param([at(0, DRAIN)], id="a large first payment"),
        pytest.param([at(0, TEST), at(60, usd(50_000, CUSTOMER), tx=2)], id="small and large to different addresses"),
        pytest.param([at(0, TEST), at(60, usd(900), tx=2)], id="small and small"),
        pytest.param([at(0, usd(900)), at(60, usd(11_000), tx=2)], id="less than twenty times as much"),
        pytest.param([at(0, usd(5_000)), at(9, TEST, tx=2), at(60, DRAIN, tx=3)], id="an address that was paid before"),
        pytest.param([at(0, TEST), at(100_000, DRAIN, tx=2)], id="more than a day apart"),
        pytest.param([at(0, TEST, DRAIN)], id="both in one transaction"),
        pytest.param([pending(TEST), pending(DRAIN, tx=2)], id="a test that was never mined"),
        pytest.param([at(0, usd(1, COLD)), at(60, usd(50_000, COLD), tx=2)], id="the own cold wallet"),
        pytest.param([at(0, usd(0)), at(60, DRAIN, tx=2)], id="a test of nothing"),
        pytest.param(
            [at(0, usd(1, sender=VAULT), by=MULE), at(9, usd(50_000, sender=VAULT), tx=2, by=MULE)],
            id="users of a contract",
        ),
        pytest.param(
            [at(0, TEST, usd(1, WALLET, sender=THIEF)), at(60, usd(50_000, WALLET), tx=2)],
            id="it comes back to ourselves",
        ),
        pytest.param(
            [at(0, usd(5_000, CUSTOMER), by=MULE), at(9, usd(1, FRIEND), tx=2, by=MULE), at(60, DRAIN, tx=3, by=MULE)],
            id="a submitter whom we know",
        ),
        pytest.param([at(0, TEST), mined(DRAIN, tx=2, ok=False)], id="the large one fails"),
    ],
)
def test_what_only_looks_like_it(story: list[AnyEvent]) -> None:
    assert not run().signals(*story)


def test_without_prices_nobody_can_tell_small_from_large() -> None:
    watching = Run(TestThenDrain(), context(prices={}))
    assert not watching.signals(at(0, TEST), at(60, DRAIN, tx=2))


def test_a_pending_drain_and_the_same_one_mined_are_one_root() -> None:
    watching = run()
    watching.feed(at(0, TEST))
    (maybe,) = watching.signals(pending(DRAIN, tx=2))
    (sure,) = watching.signals(at(60, DRAIN, tx=2))
    assert maybe.roots == sure.roots
    assert (maybe.evidence, sure.evidence) == ("fakeable", "strong")


def test_a_saved_memory_goes_on_like_an_undisturbed_one() -> None:
    story = [at(0, TEST, usd(1, MULE, sender=THIEF)), at(9, usd(50_000, MULE), tx=2), at(20, DRAIN, tx=3)]
    assert said_alike(TestThenDrain, story, context())
