"""What only telemetry left to a person goes on by itself once telemetry has recovered; a person's part stays theirs."""

from __future__ import annotations

import pytest

from monitor.core.state import ActionRecord
from monitor.model.actions import Tighten
from monitor.model.assets import Level
from monitor.model.events import ActionRejected, CandidatesRehearsed, HealthSeen, Tick
from monitor.model.incidents import Step
from monitor.model.policy import Policy
from tests.core.builders import Driver, Says, core, head, mined, rehearsal, signal, strong, vault, wallet


def thief() -> Says:
    return Says(lambda s, c: [signal(attack=s.event.transaction)], watches=("TransactionMined",))


def seen(level: float) -> HealthSeen:
    return HealthSeen(component="nodes:devnet", level=level, why="of 2 nodes")


def blind_and_asked(driver: Driver) -> ActionRecord:
    """A proof while no node agrees: the fork holds, and telemetry asks for a person."""
    (wanted,) = driver.feed(seen(0), head(10), mined()).rehearse
    answered(driver, wanted.actions[0].id)
    (record,) = driver.core.state.actions.values()
    return record


def answered(driver: Driver, action_id: str) -> Step:
    found = CandidatesRehearsed(incident=action_id.split("/")[0], rehearsals=(rehearsal(action_id),))
    return driver.feed(found)


def test_while_blind_a_person_is_asked() -> None:
    record = blind_and_asked(core(thief()))
    assert (record.stage, record.gate) == ("waiting", "telemetry")


def test_once_the_nodes_agree_again_it_is_rehearsed_anew_and_cleared() -> None:
    driver = core(thief())
    record = blind_and_asked(driver)
    (wanted,) = driver.feed(seen(1)).rehearse
    assert [action.id for action in wanted.actions] == [record.action.id]
    assert [c.action_id for c in answered(driver, record.action.id).clear] == [record.action.id]


def test_a_long_blindness_does_not_expire_it() -> None:
    driver = core(thief())
    blind_and_asked(driver)
    for _ in range(Policy().approval_s + 60):
        assert not driver.feed(Tick()).rehearse
    assert driver.feed(seen(1)).rehearse


def test_what_a_reduced_scope_leaves_to_a_person_goes_on_when_the_recovery_is_complete() -> None:
    """Nodes that agree again lower the mode for ten minutes: class 1 without a proof waits until they are over."""
    two = [strong(n, "hot", threat="stolen_key", half_life_s=0) for n in range(2)]
    driver = core(Says(lambda s, c: two), assets=(wallet(),))
    (wanted,) = driver.feed(seen(0), head(10), mined()).rehearse
    action_id = wanted.actions[0].id
    assert isinstance(wanted.actions[0], Tighten)
    assert answered(driver, action_id).refuse[0].gate == "telemetry"
    assert not driver.feed(seen(1)).rehearse
    assert not driver.feed(Tick(), every_s=590).rehearse
    assert driver.feed(Tick(), every_s=10).rehearse


@pytest.mark.parametrize("level", [Level.WITH_APPROVAL, Level.OBSERVE])
def test_where_the_owner_wants_a_person_telemetry_changes_nothing(level: Level) -> None:
    asset = vault(autonomy=(Level.AUTOMATIC, Level.AUTOMATIC, level, Level.OBSERVE))
    driver = core(thief(), assets=(asset,))
    record = blind_and_asked(driver)
    assert record.gate == "autonomy"
    assert not driver.feed(seen(1)).rehearse


def test_what_a_person_refused_meanwhile_stays_refused() -> None:
    driver = core(thief())
    record = blind_and_asked(driver)
    driver.feed(ActionRejected(action_id=record.action.id, by="ann", reason="a drill"))
    assert not driver.feed(seen(1)).rehearse


def test_an_action_whose_incident_is_forgotten_stays_where_it_is() -> None:
    driver = core(thief())
    record = blind_and_asked(driver)
    driver.core.state.incidents.clear()
    assert not driver.feed(seen(1)).rehearse
    assert record.stage == "waiting"
