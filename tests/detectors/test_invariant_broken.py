"""The owner's invariants around a simulation and from block to block."""

from __future__ import annotations

from itertools import pairwise

import pytest

from detectors.invariant_broken import InvariantBroken
from monitor.evm.invariants import parse
from monitor.model.chain import Reading, Transfer
from monitor.model.events import AnyEvent
from tests.detectors.builders import (
    DAI,
    ONE,
    THIEF,
    VAULT,
    asset,
    context,
    mined,
    pending,
    reading,
    state_read,
    transaction,
    transfer,
)
from tests.detectors.fakes import FakeContext, Run, said_alike

BACKED = parse("assets() >= liabilities() * 999 / 1000", asset=VAULT)
OPEN = parse("paused() == 0", asset=VAULT)
HELD, OWED = BACKED.probes
(PAUSED,) = OPEN.probes
OUT = transfer(5 * ONE, sender=VAULT, to=THIEF, token=DAI)


def view() -> FakeContext:
    return context(asset("vault", kind="contract", address=VAULT, ledger="", invariants=(BACKED, OPEN)), asset())


def run() -> Run:
    return Run(InvariantBroken(), view())


def books(before: int | bytes | None, after: int | bytes | None, owed: int = 1000) -> tuple[Reading, ...]:
    """What is held, before and after, against what is owed."""
    return reading(HELD, before, after), reading(OWED, owed, owed)


BREAK = books(1000, 900)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        pytest.param(pending(OUT, readings=BREAK), [("proof", 11.5)], id="held before and broken after"),
        pytest.param(mined(OUT, readings=BREAK), [("proof", 11.5)], id="mined, with readings"),
        pytest.param(pending(readings=BREAK), [("proof", 11.5)], id="broken without a transfer"),
        pytest.param(pending(readings=(reading(PAUSED, 0, 1),)), [("proof", 11.5)], id="the second invariant"),
        pytest.param(
            pending(OUT, readings=BREAK, agrees=False), [("fakeable", 2.5)], id="under one block context only"
        ),
        pytest.param(pending(OUT, readings=books(1000, 999)), [], id="still within what is declared"),
        pytest.param(pending(OUT, readings=books(900, 800)), [], id="broken before as well"),
        pytest.param(pending(OUT, readings=books(900, 1000)), [], id="repaired"),
        pytest.param(pending(OUT, readings=books(1000, None)), [], id="a view that reverts afterwards"),
        pytest.param(pending(OUT, readings=books(None, 900)), [], id="a view that could not be read before"),
        pytest.param(pending(OUT, readings=books(1000, b"\1")), [], id="a view that returns too little"),
        pytest.param(pending(OUT, readings=BREAK[:1]), [], id="one side was not read"),
        pytest.param(pending(OUT), [], id="nothing was read"),
        pytest.param(pending(OUT, readings=BREAK, not_includable="fee"), [], id="not includable"),
        pytest.param(pending(OUT, readings=BREAK, ok=False), [], id="it reverts"),
    ],
)
def test_what_breaks_an_invariant(event: AnyEvent, said: list[tuple[str, float]]) -> None:
    assert [(s.evidence, s.weight) for s in run().signals(event)] == said


def test_the_signal_prints_the_values() -> None:
    (found,) = run().signals(pending(OUT, readings=BREAK, tx=transaction(5, sender=THIEF)))
    assert found.because == ("assets() >= liabilities() * 999 / 1000 is broken: assets() = 900, liabilities() = 1000")
    assert found.fact is not None
    assert (found.fact.rule, found.loss_usd, found.attacker) == ("invariant", 5_000_000, THIEF)


def blocks(*held: int | None) -> list[AnyEvent]:
    """One block after the other, holding so much."""
    return [state_read(*books(a, b), block=100 + n) for n, (a, b) in enumerate(pairwise(held))]


@pytest.mark.parametrize(
    ("story", "claims"),
    [
        pytest.param(blocks(1000, 900), 1, id="it breaks"),
        pytest.param(blocks(1000, 900, 800, 700), 1, id="it stays broken and is told once"),
        pytest.param(blocks(1000, 900, 1000, 900), 2, id="it breaks, is repaired and breaks"),
        pytest.param(blocks(1000, None, 900), 1, id="it broke while it could not be read"),
        pytest.param(blocks(900, 800), 0, id="it was broken when we came"),
        pytest.param([state_read(*books(None, 900))], 0, id="nobody knows whether it ever held"),
        pytest.param(blocks(1000, 1000, None), 0, id="it cannot be read any more"),
    ],
)
def test_an_invariant_from_block_to_block(story: list[AnyEvent], claims: int) -> None:
    assert [s.evidence for s in run().signals(*story)] == ["proof"] * claims


def taken(amount: int, tx: int) -> AnyEvent:
    moved: Transfer = transfer(amount, sender=VAULT, to=THIEF, token=DAI)
    return mined(moved, tx=tx)


def test_the_block_accuses_who_took_most() -> None:
    watching = run()
    watching.feed(taken(ONE, 5), taken(9 * ONE, 6), taken(2 * ONE, 7))
    (found,) = watching.signals(state_read(*BREAK))
    assert found.fact is not None
    assert (found.fact.attack, found.fact.mined) == (transaction(6), True)


def test_a_reading_that_comes_first_waits_for_its_transactions() -> None:
    watching = run()
    (unnamed,) = watching.signals(state_read(*BREAK))
    assert unnamed.fact is not None
    assert (unnamed.fact.attack, unnamed.fact.block_hash is not None) == (None, True)
    found = watching.signals(taken(ONE, 5), taken(1, 6))
    assert [s.roots for s in found] == [(f"tx:0x{5:064x}",)]


def test_a_pending_proof_stands_once_mined_if_value_left() -> None:
    watching = run()
    watching.feed(pending(OUT, readings=BREAK, tx=5), pending(OUT, readings=BREAK, tx=6))
    assert not watching.signals(mined(tx=6))
    (found,) = watching.signals(mined(OUT, tx=5))
    assert found.fact is not None
    assert found.fact.mined


def test_a_pending_break_needs_no_touch_that_we_can_see() -> None:
    """A bridge's books can be broken by a transaction that moves nothing of it and was not traced."""
    assert run().signals(pending(readings=BREAK, tx=transaction(5, sender=THIEF, to=THIEF)))


def test_a_saved_memory_goes_on_like_an_undisturbed_one() -> None:
    story = [pending(OUT, readings=BREAK, tx=5), mined(OUT, tx=5), *blocks(1000, 900, 1000), taken(ONE, 8)]
    assert said_alike(InvariantBroken, [*story, *blocks(1000, None, 900)], view())
