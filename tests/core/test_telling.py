"""What people are told of a response: once each, as urgent as it is, and in words that say what to do."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.state import ActionRecord, CoreState
from monitor.core.telling import told
from monitor.model.actions import ActionClass, AnyAction, ExtendPause, Notify, Pause, Tighten
from monitor.model.assets import Level
from monitor.model.events import Armed, Disarmed
from monitor.model.incidents import Step
from monitor.model.units import Instant
from tests.core.builders import (
    Driver,
    Says,
    answered,
    broadcast,
    core,
    feed_to_containment,
    feed_to_sent,
    head,
    included,
    mined,
    orphaned,
    proposed,
    signal,
    vault,
    verified,
)


def _thief(**fields: Any) -> Driver:
    says = Says(lambda s, c: [signal(attack=s.event.transaction)], watches=("TransactionMined",))
    return core(says, assets=[vault(**fields)]) if fields else core(says)


def _titles(step: Step) -> list[str]:
    return [n.title for n in step.notify if isinstance(n, Notify)]


def _record(driver: Driver) -> ActionRecord:
    (record,) = driver.core.state.actions.values()
    return record


def test_a_pause_that_holds_is_told_when_it_is_verified() -> None:
    driver = _thief()
    action_id = feed_to_sent(driver)
    driver.feed(head(11), included(action_id), head(12))
    step = driver.feed(verified(action_id))
    assert _titles(step) == ["pause of vault is in force since block 11 and the attack is blocked"]


def test_what_was_told_is_not_told_again() -> None:
    driver = _thief()
    action_id = feed_to_containment(driver)
    assert _titles(driver.feed(verified(action_id))) == []


def test_an_attack_that_still_pays_is_told_though_the_pause_was_told_before() -> None:
    driver = _thief()
    action_id = feed_to_containment(driver)
    step = driver.feed(verified(action_id, blocked="fails"))
    assert _titles(step) == ["pause of vault is in force since block 11 but the attack STILL PAYS"]
    assert [n.severity for n in step.notify if isinstance(n, Notify)] == ["critical"]


def test_an_action_that_waits_asks_for_a_person() -> None:
    approval = (Level.AUTOMATIC, Level.RECOMMEND, Level.WITH_APPROVAL, Level.RECOMMEND)
    driver = _thief(autonomy=approval)
    step = answered(driver, proposed(driver.feed(head(10), mined())))
    assert _titles(step) == ["pause of vault waits for a person: approve or reject it"]


def test_a_refusal_by_the_fork_is_told_at_the_second_try() -> None:
    driver = _thief()
    action_id = proposed(driver.feed(head(10), mined()))
    assert _titles(answered(driver, action_id, valid="fails", why="reverted")) == []
    assert proposed(driver.feed(head(11))) == action_id
    step = answered(driver, action_id, valid="fails", why="reverted")
    assert _titles(step) == ["pause of vault is NOT done: refused by fork"]
    driver.feed(head(12))
    assert _titles(answered(driver, action_id, valid="fails", why="reverted")) == []


def test_what_shadow_withholds_is_a_warning() -> None:
    driver = _thief()
    action_id = proposed(driver.feed(head(10), mined()))
    answered(driver, action_id)
    step = driver.feed(broadcast(action_id, accepted_by=(), refused_by=("shadow",)))
    assert [(n.severity, n.title) for n in step.notify if isinstance(n, Notify)] == [
        ("warning", "pause of vault was not sent: shadow mode")
    ]


def test_a_response_that_reverts_is_told_at_once() -> None:
    driver = _thief()
    action_id = feed_to_sent(driver)
    driver.feed(head(11))
    assert _titles(driver.feed(included(action_id, ok=False))) == ["pause of vault REVERTED on chain (block 11)"]


@pytest.mark.parametrize("gate", ["planner", "person", "mode"])
def test_a_refusal_that_nobody_needs_to_hear_of_is_not_told(gate: str) -> None:
    driver = _thief()
    feed_to_sent(driver)
    _record(driver).stage, _record(driver).gate = "refused", gate
    assert list(told(driver.core.state, _incident(driver))) == []


@pytest.mark.parametrize(("gate", "severity"), [("kill switch", "critical"), ("health", "page"), ("evidence", "page")])
def test_a_refusal_is_as_urgent_as_its_gate(gate: str, severity: str) -> None:
    driver = _thief()
    feed_to_sent(driver)
    _record(driver).stage, _record(driver).gate = "refused", gate
    assert [n.severity for n in told(driver.core.state, _incident(driver))] == [severity]


def test_a_pause_that_was_lifted_is_told() -> None:
    driver = _thief()
    action_id = feed_to_containment(driver)
    step = driver.feed(verified(action_id, holds="fails", why="not paused"))
    assert _titles(step) == ["pause of vault does NOT hold any more (block 11)"]


def test_who_turns_the_kill_switch_is_told_to_all() -> None:
    driver = _thief()
    off = driver.feed(Disarmed(by="ann", reason="a drill"))
    on = driver.feed(Armed(by="bob", reason="over"))
    assert _titles(off) == ["DISARMED by ann: nothing is signed"]
    assert _titles(on) == ["armed by bob: it may act again"]
    assert [n.severity for n in (*off.notify, *on.notify) if isinstance(n, Notify)] == ["page", "page"]


def test_a_second_order_to_disarm_is_not_told_again() -> None:
    driver = _thief()
    driver.feed(Disarmed(by="kill file", reason="it is there"))
    assert _titles(driver.feed(Disarmed(by="ann", reason="a drill"))) == []


def test_a_pause_that_runs_out_is_told() -> None:
    driver = _thief()
    feed_to_containment(driver)
    _record(driver).stage = "lapsed"
    assert [n.title for n in told(driver.core.state, _incident(driver))] == ["pause of vault ran out by itself"]


def test_a_pause_that_a_person_lifted_is_told_as_such() -> None:
    driver = _thief()
    feed_to_containment(driver)
    driver.feed(Disarmed(by="ann", reason="to resume"))
    _record(driver).stage = "lapsed"
    assert [n.title for n in told(driver.core.state, _incident(driver))] == ["pause of vault was lifted by a person"]


def test_a_longer_pause_is_only_for_the_record() -> None:
    state, incident = _with(_extension(), blocked="UNPROVEN")
    (notice,) = told(state, incident)
    assert notice.severity == "info"
    assert notice.title.startswith("longer pause of vault is in force")


def test_a_longer_pause_under_which_the_attack_pays_is_critical() -> None:
    state, incident = _with(_extension(), blocked="fails")
    assert [n.severity for n in told(state, incident)] == ["critical"]


def test_of_many_assets_three_are_named() -> None:
    tighten = Tighten(
        id="1/tighten",
        incident="1",
        assets=("a", "b", "c", "d", "e"),
        action_class=ActionClass.NARROW,
        cause=1,
        because="",
        until_s=60,
    )
    state, incident = _with(tighten, blocked="holds")
    assert [n.title for n in told(state, incident)] == [
        "tightening of a, b, c and 2 more is in force since block 0 and the attack is blocked"
    ]


def test_an_action_that_was_forgotten_is_not_told() -> None:
    driver = _thief()
    feed_to_containment(driver)
    driver.core.state.actions.clear()
    assert list(told(driver.core.state, _incident(driver))) == []


def test_a_reorg_does_not_tell_of_the_kill_switch_again() -> None:
    driver = _thief()
    driver.feed(head(9), head(10), Disarmed(by="ann", reason="a drill"), head(11))
    assert _titles(driver.feed(orphaned(11))) == []
    assert not driver.core.state.armed


def _incident(driver: Driver) -> Any:
    (incident,) = driver.core.state.incidents.values()
    return incident


def _extension() -> ExtendPause:
    return ExtendPause(
        id="1/pause/extend/1",
        incident="1",
        assets=("vault",),
        action_class=ActionClass.SCOPED,
        cause=1,
        because="still pays",
        duration_s=3600,
    )


def _with(action: AnyAction, *, blocked: Any) -> tuple[CoreState, Any]:
    """A contained incident with this action alone, verified."""
    driver = _thief()
    feed_to_containment(driver)
    state, incident = driver.core.state, _incident(driver)
    state.actions[action.id] = ActionRecord(action, 1, "verified", Instant(1), 1.0, True, blocked=blocked)
    incident.actions = [action.id]
    assert not isinstance(action, Pause)
    return state, incident
