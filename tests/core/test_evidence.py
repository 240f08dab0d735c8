"""Evidence in memory: what is taken back stops what rested on it, what comes later counts, the cheap moves nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from monitor.core import evidence, incidents
from monitor.model.assets import Level
from monitor.model.events import (
    ActionApproved,
    ActionRejected,
    ConfigurationLoaded,
    SimulationDone,
    Tick,
    TransactionMined,
)
from tests.core.builders import (
    CHAIN,
    Driver,
    Says,
    answered,
    core,
    feed_to_containment,
    h,
    head,
    mined,
    pending,
    proposed,
    signal,
    strong,
    vault,
)


def by_transaction(said: dict[int, Callable[[Any], Sequence[Any]]]) -> Says:
    """Signals by the number of the transaction that is seen, pending or mined."""

    def say(stamped: Any, _: Any) -> Sequence[Any]:
        return said.get(int.from_bytes(stamped.event.transaction.hash, "big"), lambda _: ())(stamped.event)

    return Says(say)


def proof(event: Any) -> list[Any]:
    return [signal(attack=event.transaction, roots=(f"tx:{event.transaction.nonce}",))]


def unproven(_: Any) -> list[Any]:
    """As likely as can be without a proof."""
    return [strong(n) for n in range(4)]


def pending_proof_until(stops: list[bool]) -> Driver:
    """Proves a pending transaction, until its simulation shows no loss any more."""

    def say(stamped: Any, _: Any) -> list[Any]:
        return [] if stops else [signal(attack=stamped.event.transaction, is_mined=False)]

    return core(Says(say))


def test_an_action_in_the_gates_stops_when_its_proof_is_taken_back() -> None:
    stops: list[bool] = []
    driver = pending_proof_until(stops)
    driver.feed(head(10))
    action_id = proposed(driver.feed(pending()))
    stops.append(True)
    step = driver.feed(pending())
    assert [(r.gate, r.reason) for r in step.refuse] == [("evidence", "the evidence that it rests on was taken back")]
    assert not answered(driver, action_id).clear


def test_what_was_taken_back_is_not_proposed_again_at_the_next_head() -> None:
    stops: list[bool] = []
    driver = pending_proof_until(stops)
    driver.feed(head(10))
    answered(driver, proposed(driver.feed(pending())), valid="fails", why="node trouble")
    stops.append(True)
    step = driver.feed(pending())
    assert [a.p < 0.01 for a in step.assessments] == [True]
    assert not driver.feed(head(11)).rehearse


def test_a_pending_proof_that_no_head_confirms_stops_what_waits_for_a_person() -> None:
    pays = Says(lambda s, c: [signal(attack=s.event.transaction, is_mined=False)])
    driver = core(pays, assets=(vault(autonomy=(Level.WITH_APPROVAL,) * 4),))
    driver.feed(head(10))
    action_id = proposed(driver.feed(pending()))
    assert answered(driver, action_id).refuse[0].gate == "autonomy"
    assert driver.feed(head(11), head(12), head(13)).refuse[0].gate == "evidence"
    assert not driver.feed(ActionApproved(action_id=action_id, by="ann")).rehearse


def test_a_claim_that_the_mined_transaction_makes_anew_stops_nothing() -> None:
    def say(stamped: Any, _: Any) -> list[Any]:
        event = stamped.event
        return [signal(attack=event.transaction, is_mined=isinstance(event, TransactionMined))]

    driver = core(Says(say))
    driver.feed(head(10))
    action_id = proposed(driver.feed(pending(1)))
    step = driver.feed(mined(1))
    assert not step.refuse
    assert len(step.assessments) == 1
    assert answered(driver, action_id).clear


def test_a_proof_that_comes_while_a_person_is_asked_is_acted_on() -> None:
    driver = core(by_transaction({1: unproven, 2: proof}))
    driver.feed(head(10))
    assert answered(driver, proposed(driver.feed(mined(1)))).refuse[0].gate == "evidence"
    assert answered(driver, proposed(driver.feed(mined(2)))).clear


def test_a_proof_that_comes_after_nobody_answered_is_acted_on() -> None:
    driver = core(by_transaction({1: unproven, 2: proof}))
    driver.feed(head(10))
    answered(driver, proposed(driver.feed(mined(1))))
    driver.feed(Tick(), every_s=301)
    assert not driver.feed(head(11)).rehearse
    assert answered(driver, proposed(driver.feed(mined(2)))).clear


def test_a_proof_that_comes_after_a_rejection_is_judged_anew() -> None:
    driver = core(by_transaction({1: unproven, 2: proof}))
    driver.feed(head(10))
    action_id = proposed(driver.feed(mined(1)))
    answered(driver, action_id)
    driver.feed(ActionRejected(action_id=action_id, by="bob", reason="a drill"))
    assert not driver.feed(head(11)).rehearse
    assert driver.feed(mined(2)).rehearse


def test_an_approval_does_not_outlive_the_evidence_that_it_was_given_on() -> None:
    """The same claim, made again after it was taken back, is for a person again."""
    says = [4]

    def say(stamped: Any, _: Any) -> list[Any]:
        weak = signal(attack=stamped.event.transaction, is_mined=False)
        return [weak, *(strong(n) for n in range(says[0]))] if says[0] else []

    driver = core(Says(say))
    driver.feed(head(10))
    action_id = proposed(driver.feed(pending()))
    record = driver.core.state.actions[action_id]
    record.approved_by, says[0] = "ann", 0
    driver.feed(pending())
    assert driver.core.state.actions[action_id].approved_by == ""


def test_evidence_is_as_old_as_it_is_when_an_action_is_proposed() -> None:
    driver = core(Says(lambda s, c: [strong(n, half_life_s=60) for n in range(3)]))
    driver.feed(head(10))
    answered(driver, proposed(driver.feed(mined())), valid="fails", why="node trouble")
    assert not driver.feed(head(11), every_s=400).rehearse


def test_what_anybody_can_fake_does_not_reopen_a_contained_incident() -> None:
    noise = signal(detector="noise", evidence="fakeable", weight=1.0, roots=("x",), half_life_s=60)
    driver = core(by_transaction({1: proof, 2: lambda _: [noise]}))
    feed_to_containment(driver)
    assert [i.state for i in driver.feed(mined(2)).incidents] == ["contained"]


def test_what_anybody_can_fake_does_not_keep_an_incident_open() -> None:
    noise = signal(detector="noise", evidence="fakeable", weight=1.0, roots=("x",), half_life_s=60)
    driver = core(by_transaction({1: proof, 2: lambda _: [noise]}))
    feed_to_containment(driver)
    driver.feed(mined(2), every_s=1_000)
    driver.feed(Tick(), every_s=900)
    assert [i.stage for i in driver.core.state.incidents.values()] == ["closed"]


def test_a_strong_claim_without_weight_makes_no_strong_group() -> None:
    driver = core(Says(lambda s, c: [strong(1), strong(2, weight=0.0)]))
    assert driver.feed(mined()).assessments[-1].strong_groups == 1


def test_a_flood_of_hypotheses_pushes_out_none_of_an_open_incident(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MOST_HYPOTHESES", 8)
    said = {1: proof} | {n: _about_somebody(n) for n in range(2, 40)}
    driver = core(by_transaction(said))
    driver.feed(*(mined(n) for n in range(1, 40)))
    assert len(driver.core.state.hypotheses) == 8
    assert "asset:vault:exploit" in driver.core.state.hypotheses


def _about_somebody(n: int) -> Callable[[Any], Sequence[Any]]:
    return lambda _: [signal(f"stranger-{n}", evidence="fakeable", weight=1.0, roots=(f"t:{n}",))]


def test_a_hypothesis_forgets_its_weakest_claims_and_proofs_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MOST_HELD", 3)
    driver = core(by_transaction({1: proof} | {n: lambda _, n=n: [strong(n)] for n in range(2, 9)}))  # type: ignore[misc]
    driver.feed(*(mined(n) for n in range(1, 9)))
    (hypothesis,) = driver.core.state.hypotheses.values()
    assert [held.signal.evidence for held in hypothesis.held] == ["proof", "strong", "strong"]


def test_the_losses_that_an_incident_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "MOST_ROOTS", 4)
    driver = core(by_transaction({n: proof for n in range(1, 20)}))
    driver.feed(*(mined(n) for n in range(1, 20)))
    (incident,) = driver.core.state.incidents.values()
    assert len(incident.loss_seen) == 4


def test_a_loss_that_was_never_a_root_is_counted_by_its_reason() -> None:
    driver = core(Says(lambda s, c: [signal(roots=())]))
    step = driver.feed(mined(), mined(2))
    assert step.incidents[0].loss_seen_usd == signal().loss_usd


@pytest.mark.parametrize("said", [None, "a string", 3])
def test_a_plugin_that_says_something_else_is_a_fault(said: Any) -> None:
    driver = core(Says(lambda s, c: [said]))
    assert "TypeError" in driver.feed(mined()).faults[0]


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_a_fault(weight: float) -> None:
    driver = core(Says(lambda s, c: [signal(weight=weight)]))
    assert "ValueError" in driver.feed(mined()).faults[0]


def test_a_detector_says_so_much_about_one_event_and_no_more() -> None:
    driver = core(Says(lambda s, c: [signal(roots=(str(n),)) for n in range(1_000)]))
    assert len(driver.feed(mined()).signals) == 256


def test_a_new_configuration_gives_a_suspended_detector_another_chance() -> None:
    driver = core(Says(lambda s, c: [None]))  # type: ignore[list-item]
    driver.feed(mined(1), mined(2), mined(3))
    assert driver.core.state.suspended == ["value_leaves"]
    driver.feed(ConfigurationLoaded(settings=h(1), policy=h(2), code_version="next", mode="enforce"))
    assert driver.feed(mined(4)).faults


def test_an_answer_presses_only_incidents_that_are_not_over() -> None:
    driver = core(by_transaction({1: proof}))
    feed_to_containment(driver)
    step = driver.feed(SimulationDone(chain_id=CHAIN, key="x", base=h(1), base_number=1, effects=()))
    assert not step.incidents


def test_a_person_approves_what_was_tried_as_often_as_is_allowed() -> None:
    driver = core(by_transaction({1: unproven}))
    driver.feed(head(10))
    action_id = proposed(driver.feed(mined(1)))
    for number in range(11, 15):
        answered(driver, action_id, valid="fails", why="node trouble")
        driver.feed(head(number))
    assert answered(driver, action_id).refuse[0].gate == "evidence"
    assert proposed(driver.feed(ActionApproved(action_id=action_id, by="ann"))) == action_id
