"""Telling people: what a notice says of its incident by the time it goes out."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from monitor.core.state import Stage
from monitor.model.actions import Notify
from monitor.model.events import Disarmed
from monitor.notify.templates import Details, body_of
from monitor.shell.notices import Known, known
from tests.core.builders import Driver, Says, broadcast, core, feed_to_containment, feed_to_sent, head, mined, signal


def _thief() -> Driver:
    return core(Says(lambda s, c: [signal(attack=s.event.transaction)], watches=("TransactionMined",)))


def _notice(driver: Driver) -> Notify:
    found = [n for n in driver.feed(head(10), mined()).notify if isinstance(n, Notify)]
    return found[0]


def test_a_notice_tells_the_incident_and_what_it_rests_on() -> None:
    driver = _thief()
    incident, assessment, *_ = known(driver.core.state, _notice(driver))
    assert incident is not None
    assert incident.assets == ("vault",)
    assert assessment is not None
    assert assessment.proof


def test_a_first_notice_says_that_the_response_is_being_rehearsed() -> None:
    driver = _thief()
    assert known(driver.core.state, _notice(driver)).done == ("Pause of vault is being rehearsed on a fork",)


def test_a_later_notice_says_that_the_response_is_in_force() -> None:
    driver = _thief()
    action_id = feed_to_containment(driver)
    notice = _notice_of(action_id)
    assert known(driver.core.state, notice)[2] == ("Pause of vault is in force since block 11, verified",)


def test_in_shadow_a_notice_says_that_nothing_was_sent() -> None:
    driver = _thief()
    action_id = feed_to_sent(driver)
    driver.core.state.actions[action_id].stage = "cleared"
    driver.feed(broadcast(action_id, accepted_by=(), refused_by=("shadow",)))
    assert known(driver.core.state, _notice_of(action_id))[2] == ("Pause of vault was not sent: shadow mode",)


@pytest.mark.parametrize("stage", get_args(Stage))
def test_every_stage_has_its_words(stage: Stage) -> None:
    driver = _thief()
    action_id = feed_to_sent(driver)
    record = driver.core.state.actions[action_id]
    driver.core.state.actions[action_id] = msgspec.structs.replace(record, stage=stage, gate="fork", reason="why not")
    (said,) = known(driver.core.state, _notice_of(action_id))[2]
    assert said.startswith("Pause of vault ")
    assert "{" not in said


def test_of_an_incident_that_was_forgotten_nothing_is_known() -> None:
    assert known(_thief().core.state, _notice_of("999/pause/0")) == Known()


def test_a_turned_kill_switch_says_how_to_turn_it_back() -> None:
    driver = _thief()
    (notice,) = driver.feed(Disarmed(by="ann", reason="a drill")).notify
    assert isinstance(notice, Notify)
    body = body_of(notice, Details(*known(driver.core.state, notice)))
    assert "drawbridge arm" in body
    assert "nothing yet" not in body


def test_an_action_that_waits_says_how_to_decide_it() -> None:
    driver = _thief()
    action_id = feed_to_sent(driver)
    record = driver.core.state.actions[action_id]
    driver.core.state.actions[action_id] = msgspec.structs.replace(record, stage="waiting")
    assert known(driver.core.state, _notice_of(action_id)).todo == (
        f"drawbridge approve {action_id}, or drawbridge reject {action_id} --reason …",
    )


def _notice_of(action_id: str) -> Notify:
    incident = action_id.split("/", maxsplit=1)[0]
    return Notify(
        id=f"{incident}/notify/page",
        incident=incident,
        assets=("vault",),
        action_class=0,  # type: ignore[arg-type]
        cause=1,
        because="",
        severity="page",
        title="exploit on vault",
    )
