"""Outcomes in every order: a late answer moves nothing back, and nothing is contained that is not."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.core.responses import lasts_s
from monitor.core.state import ActionRecord
from monitor.model.events import ActionFailed, AnyEvent, CandidatesRehearsed, HealthSeen, ResponseDropped
from monitor.model.units import DOLLAR, Usd
from tests.core.builders import (
    CHAIN,
    START,
    Driver,
    Says,
    answered,
    broadcast,
    core,
    feed_to_containment,
    feed_to_sent,
    h,
    head,
    head_at,
    included,
    mined,
    orphaned,
    proposed,
    rehearsal,
    signal,
    signed,
    verified,
)


def thief() -> Says:
    return Says(lambda s, c: [signal(attack=s.event.transaction)], watches=("TransactionMined",))


def record(driver: Driver, action_id: str) -> ActionRecord:
    return driver.core.state.actions[action_id]


def cleared(driver: Driver) -> str:
    action_id = proposed(driver.feed(head(10), mined()))
    answered(driver, action_id)
    return action_id


def test_what_fails_after_its_bytes_left_is_chased_and_not_cleared_again() -> None:
    driver = core(thief())
    action_id = feed_to_sent(driver)
    driver.feed(ActionFailed(action_id=action_id, stage="execution", why="outbidding timed out"))
    step = driver.feed(head(11))
    assert [c.action_id for c in step.chase] == [action_id]
    assert not step.rehearse


def test_what_fails_before_it_is_signed_is_rehearsed_again() -> None:
    driver = core(thief())
    action_id = cleared(driver)
    driver.feed(ActionFailed(action_id=action_id, stage="execution", why="the signer is silent"))
    assert proposed(driver.feed(head(11))) == action_id


def test_a_failed_second_rehearsal_takes_no_clearance_back() -> None:
    driver = core(thief())
    action_id = cleared(driver)
    driver.feed(ActionFailed(action_id=action_id, stage="rehearsal", why="late"))
    assert record(driver, action_id).stage == "cleared"


def test_a_verification_that_answers_after_a_reorg_verifies_nothing() -> None:
    driver = core(thief())
    action_id = feed_to_sent(driver)
    driver.feed(head(11), included(action_id), head(12), orphaned(12), orphaned(11))
    step = driver.feed(verified(action_id))
    assert record(driver, action_id).stage == "sent"
    assert step.incidents[0].state == "responding"


def test_a_raised_fee_that_comes_late_leaves_what_is_verified_verified() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    driver.feed(signed(action_id, n=78), broadcast(action_id, hash=h(78)))
    assert record(driver, action_id).stage == "verified"
    assert len(record(driver, action_id).sent) == 2


def test_a_response_that_attacks_get_past_contains_nothing() -> None:
    driver = core(thief())
    action_id = feed_to_sent(driver)
    driver.feed(included(action_id), head(12))
    assert driver.feed(verified(action_id, blocked="fails")).incidents[0].state == "responding"
    assert driver.feed(verified(action_id)).incidents[0].state == "contained"


def test_a_response_that_is_undone_later_is_made_again() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    driver.feed(head(13), head(14))
    step = driver.feed(verified(action_id, after_blocks=3, holds="fails", why="somebody resumed it"))
    assert step.incidents[0].state == "responding"
    assert proposed(step) == f"{action_id}/2"


def test_a_verification_of_a_closed_incident_does_not_reopen_it() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    next(iter(driver.core.state.incidents.values())).stage = "closed"
    assert driver.feed(verified(action_id, after_blocks=3)).incidents[0].state == "closed"


def test_a_verdict_that_nobody_could_give_changes_nothing() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    driver.feed(verified(action_id, after_blocks=3, holds="UNPROVEN"))
    assert record(driver, action_id).stage == "verified"


@pytest.mark.parametrize("late", ["dropped", "verified", "broadcast"])
def test_outcomes_of_what_was_never_sent_change_nothing(late: str) -> None:
    driver = core(thief())
    action_id = proposed(driver.feed(head(10), mined()))
    dropped = ResponseDropped(chain_id=CHAIN, action_id=action_id, hash=h(77), why="reorg")
    said: dict[str, AnyEvent] = {"dropped": dropped, "verified": verified(action_id), "broadcast": broadcast(action_id)}
    driver.feed(said[late])
    assert record(driver, action_id).stage == "rehearsing"


def test_an_inclusion_of_what_was_never_cleared_changes_nothing() -> None:
    driver = core(thief())
    action_id = proposed(driver.feed(head(10), mined()))
    driver.feed(included(action_id))
    assert record(driver, action_id).stage == "rehearsing"


def test_the_time_of_an_unstamped_inclusion_is_that_of_the_head() -> None:
    driver = core(thief())
    action_id = feed_to_sent(driver)
    driver.feed(replace(included(action_id), timestamp=0))
    assert record(driver, action_id).included_at_s == START + 10 * 12


def test_a_broadcast_that_nobody_took_for_another_reason_is_not_withheld() -> None:
    driver = core(thief())
    action_id = cleared(driver)
    driver.feed(signed(action_id), broadcast(action_id, accepted_by=(), refused_by=()))
    assert record(driver, action_id).stage == "signed"


def extended(driver: Driver) -> tuple[str, str]:
    """A pause near its end, and the extension that its attack calls for."""
    action_id = feed_to_sent(driver)
    pays = Usd(5 * DOLLAR)
    driver.feed(included(action_id), head(12), verified(action_id, attack_pays_usd=pays))
    driver.feed(head_at(20, START + 11 * 12 + 3_300))
    extension = proposed(driver.feed(verified(action_id, after_blocks=9, attack_pays_usd=pays)))
    answered(driver, extension)
    driver.feed(signed(extension, n=78), broadcast(extension, hash=h(78)))
    return action_id, extension


def test_an_extension_that_comes_after_the_lapse_makes_the_pause_hold_again() -> None:
    driver = core(thief())
    action_id, extension = extended(driver)
    driver.feed(head_at(21, START + 11 * 12 + 3_601))
    assert record(driver, action_id).stage == "lapsed"
    driver.feed(included(extension, block=22))
    assert record(driver, action_id).stage == "verified"


def test_an_extension_does_not_vouch_for_a_pause_that_a_reorg_took() -> None:
    driver = core(thief())
    action_id, extension = extended(driver)
    record(driver, action_id).stage = "sent"
    driver.feed(included(extension, block=22))
    assert record(driver, action_id).stage == "sent"


def test_an_extension_of_what_is_forgotten_is_only_included() -> None:
    driver = core(thief())
    action_id, extension = extended(driver)
    del driver.core.state.actions[action_id]
    driver.feed(included(extension, block=22))
    assert record(driver, extension).stage == "included"


def test_a_pause_of_a_forgotten_incident_is_not_extended() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    driver.feed(head_at(20, START + 11 * 12 + 3_300))
    driver.core.state.incidents.clear()
    assert driver.feed(verified(action_id, after_blocks=9, attack_pays_usd=Usd(DOLLAR))).quiet


def test_a_lapse_in_a_forgotten_incident_only_ends_the_pause() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    driver.core.state.incidents.clear()
    driver.feed(head_at(30, START + 11 * 12 + 3_700))
    assert record(driver, action_id).stage == "lapsed"


def test_without_a_journal_even_an_approved_action_stops() -> None:
    driver = core(thief())
    action_id = proposed(driver.feed(head(10), mined()))
    record(driver, action_id).approved_by = "ann"
    driver.feed(HealthSeen(component="journal", level=0.0, why="the disk is full"))
    assert [r.gate for r in answered(driver, action_id).refuse] == ["health"]


def test_an_answer_about_a_forgotten_incident_clears_nothing() -> None:
    driver = core(thief())
    action_id = proposed(driver.feed(head(10), mined()))
    driver.core.state.incidents.clear()
    assert not answered(driver, action_id).clear


def test_an_answer_about_what_nobody_asked_clears_nothing() -> None:
    driver = core(thief())
    action_id = proposed(driver.feed(head(10), mined()))
    incident = action_id.split("/")[0]
    report = CandidatesRehearsed(incident=incident, rehearsals=(rehearsal(f"{incident}/pause/unknown"),))
    assert not driver.feed(report).clear


def test_a_notice_holds_nothing_on_chain() -> None:
    driver = core(thief())
    (notice,) = driver.feed(head(10), mined()).notify
    assert lasts_s(notice) == 0
