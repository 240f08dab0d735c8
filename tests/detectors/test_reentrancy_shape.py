"""Frames of re-entry, and what is none."""

from __future__ import annotations

import pytest

from detectors.reentrancy_shape import ReentrancyShape, entries_from_within
from monitor.model.chain import CallFrame
from tests.detectors.builders import (
    CUSTOMER,
    MULE,
    ONE,
    POOL,
    ROUTER,
    THIEF,
    USDC,
    asset,
    context,
    frame,
    mined,
    pending,
    transfer,
)
from tests.detectors.fakes import FakeContext, Run, said_alike

Frames = tuple[CallFrame, ...]

REENTERED: Frames = (
    frame(0, CUSTOMER, THIEF),
    frame(1, THIEF, POOL),
    frame(2, POOL, THIEF),
    frame(3, THIEF, POOL),
)
OUT = transfer(5 * ONE, sender=POOL, to=THIEF)


def view() -> FakeContext:
    return context(asset("pool", kind="contract", address=POOL, ledger=""))


@pytest.mark.parametrize(
    ("frames", "entries"),
    [
        pytest.param(REENTERED, 1, id="entered again by whom it pays"),
        pytest.param((*REENTERED, frame(4, POOL, THIEF), frame(5, THIEF, POOL)), 2, id="twice"),
        pytest.param(
            (frame(0, THIEF, POOL), frame(1, POOL, USDC), frame(2, USDC, THIEF), frame(3, THIEF, POOL)),
            1,
            id="through the hook of a token",
        ),
        pytest.param(
            (
                frame(0, THIEF, POOL),
                frame(1, POOL, MULE, kind="DELEGATECALL"),
                frame(2, POOL, THIEF),
                frame(3, THIEF, POOL),
            ),
            1,
            id="a proxy that is entered again",
        ),
        pytest.param(
            (frame(0, THIEF, POOL), frame(1, POOL, ROUTER), frame(0, THIEF, POOL)), 0, id="one after the other"
        ),
        pytest.param((frame(0, THIEF, POOL), frame(1, POOL, POOL)), 0, id="a contract that calls itself"),
        pytest.param(
            (frame(0, THIEF, POOL), frame(1, POOL, THIEF), frame(2, THIEF, POOL, kind="STATICCALL")), 0, id="a view"
        ),
        pytest.param(
            (frame(0, THIEF, POOL), frame(1, POOL, MULE, kind="DELEGATECALL"), frame(2, POOL, USDC)), 0, id="a proxy"
        ),
        pytest.param((*REENTERED[:3], frame(3, THIEF, POOL, error="locked")), 0, id="a lock that held"),
        pytest.param(
            (
                frame(0, CUSTOMER, THIEF),
                frame(1, THIEF, POOL),
                frame(2, POOL, THIEF, error="out of gas"),
                *REENTERED[3:],
            ),
            0,
            id="inside a call that failed",
        ),
        pytest.param((frame(0, CUSTOMER, THIEF), frame(1, THIEF, ROUTER)), 0, id="another contract"),
        pytest.param((), 0, id="no frames"),
    ],
)
def test_how_often_a_contract_is_entered_from_within(frames: Frames, entries: int) -> None:
    assert entries_from_within(frames, POOL) == entries


def test_re_entered_and_poorer_is_strong_once_mined() -> None:
    watching = Run(ReentrancyShape(), view())
    (found,) = watching.signals(mined(OUT, calls=REENTERED))
    (maybe,) = watching.signals(pending(OUT, calls=REENTERED))
    assert (found.evidence, maybe.evidence, found.threat) == ("strong", "fakeable", "exploit")
    assert found.subject.id == "pool"
    assert found.fact is None


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param((), id="nothing moved"),
        pytest.param((OUT, transfer(5 * ONE, sender=THIEF, to=POOL)), id="all came back"),
        pytest.param((OUT, transfer(6 * ONE, sender=THIEF, to=POOL, token=USDC)), id="more came in another token"),
        pytest.param((transfer(9 * ONE, sender=THIEF, to=POOL),), id="it is richer"),
    ],
)
def test_re_entered_and_not_poorer_is_nothing(moved: tuple[object, ...]) -> None:
    assert not Run(ReentrancyShape(), view()).signals(mined(*moved, calls=REENTERED))  # type: ignore[arg-type]


def test_without_prices_only_a_loss_that_nothing_came_in_for_counts() -> None:
    bare = context(asset("pool", kind="contract", address=POOL, ledger=""), prices={})
    watching = Run(ReentrancyShape(), bare)
    assert watching.signals(mined(OUT, calls=REENTERED))
    assert not watching.signals(mined(OUT, transfer(6 * ONE, sender=THIEF, to=POOL, token=USDC), calls=REENTERED))


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(mined(OUT), id="not traced"),
        pytest.param(mined(OUT, calls=REENTERED, ok=False), id="reverted"),
        pytest.param(pending(OUT, calls=REENTERED, not_includable="nonce"), id="not includable"),
    ],
)
def test_what_cannot_be_judged_is_not(event: object) -> None:
    assert not Run(ReentrancyShape(), view()).signals(event)  # type: ignore[arg-type]


def test_it_remembers_nothing() -> None:
    assert said_alike(ReentrancyShape, [mined(OUT, calls=REENTERED)], view())
