"""What holds for every sequence of events: replay, restart, reorg; and what is never done, whatever is said."""

from __future__ import annotations

from collections import Counter

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monitor.core.state import CoreState
from monitor.core.step import Core
from monitor.model.codec import encode
from monitor.model.events import ActionFailed, BlockOrphaned
from tests.core.builders import core
from tests.core.worlds import ASSETS, Deeds, Remembers, World, deeds, without_routes, world

settings.register_profile("core", deadline=None, max_examples=150)
settings.load_profile("core")


def fresh(*, looks: bool = True) -> Core:
    return core(Remembers(looks_at_incidents=looks), assets=ASSETS).core


@given(deeds(responses=False))
def test_after_any_reorg_the_snapshot_is_that_of_a_run_that_never_saw_the_orphans(told: Deeds) -> None:
    saw = world(told, assets=without_routes())
    never = core(Remembers(), assets=without_routes()).core
    for stamped in saw.never_saw():
        never.step(stamped)
    assert saw.driver.core.snapshot() == never.snapshot()


@given(deeds())
def test_after_any_reorg_the_evidence_is_that_of_a_run_that_never_saw_the_orphans(told: Deeds) -> None:
    """With responses what was sent stays sent, and so does its incident; all that is believed is the same.

    Not so what a detector reads of incidents, nor when they close: new evidence joins the one that stayed.
    """
    saw, never = world(told, looks=False), fresh(looks=False)
    for stamped in saw.never_saw():
        never.step(stamped)
    assume(not closed(saw.driver.core.state) and not closed(never.state))
    assert believed(saw.driver.core.state) == believed(never.state)
    assert [d.state for d in saw.driver.core.detectors] == [d.state for d in never.detectors]


def believed(state: CoreState) -> dict[str, list[str]]:
    held = {key: [encode(h.signal).decode() for h in hyp.held] for key, hyp in state.hypotheses.items()}
    return {key: signals for key, signals in held.items() if signals}


def closed(state: CoreState) -> bool:
    return any(incident.stage == "closed" for incident in state.incidents.values())


@given(deeds())
def test_replay_gives_the_same_steps_byte_for_byte(told: Deeds) -> None:
    driver, again = world(told).driver, fresh()
    assert [encode(again.step(s)) for s in driver.fed] == [encode(s) for s in driver.steps]


@given(deeds(), st.integers(0, 200))
def test_a_snapshot_goes_on_exactly_where_it_was_taken(told: Deeds, at: int) -> None:
    """Up to the next reorg, which asks for what was before the snapshot; that is the next test's."""
    driver, first, second = world(told).driver, fresh(), fresh()
    at = min(at, len(driver.fed))
    for stamped in driver.fed[:at]:
        first.step(stamped)
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    for stamped in driver.fed[at:]:
        if isinstance(stamped.event, BlockOrphaned):
            break
        assert encode(second.step(stamped)) == encode(first.step(stamped))
    assert second.snapshot() == first.snapshot()


@given(deeds())
def test_a_restart_from_the_oldest_snapshot_ends_where_the_run_that_went_on_is(told: Deeds) -> None:
    driver, restarted = world(told).driver, fresh()
    kept = driver.core.oldest()
    if kept is None:
        return
    restarted.restore(kept[1])
    for stamped in driver.fed:
        if stamped.seq > kept[0]:
            restarted.step(stamped)
    assert restarted.snapshot() == driver.core.snapshot()


@given(deeds())
def test_nothing_is_cleared_twice_but_what_failed_before_it_was_signed(told: Deeds) -> None:
    driver = world(told).driver
    cleared = Counter(c.action_id for step in driver.steps for c in step.clear)
    failed = Counter(
        s.event.action_id for s in driver.fed if isinstance(s.event, ActionFailed) and s.event.stage == "execution"
    )
    assert {k: n for k, n in cleared.items() if n > 1 + failed[k]} == {}


@given(deeds())
def test_class_two_is_cleared_only_on_a_proof_or_by_a_person(told: Deeds) -> None:
    found = World(core(Remembers(), assets=ASSETS))
    for deed in told:
        before = len(found.driver.steps)
        found.do([deed])
        for step in found.driver.steps[before:]:
            for clearance in step.clear:
                record = found.driver.core.state.actions[clearance.action_id]
                assert record.action.action_class < 3
                assert record.action.action_class < 2 or record.approved_by or record.proof
