"""After the clearance: chasing, verifying, lapsing and extending; incidents that merge, close and are told of."""

from __future__ import annotations

from typing import Any, Literal

from monitor.core.limits import Act, Acts
from monitor.core.responses import MOST_CHASES
from monitor.core.state import ActionRecord
from monitor.model.actions import ExtendPause, Notify
from monitor.model.events import (
    Armed,
    BlockOrphaned,
    CandidatesRehearsed,
    ConfigurationLoaded,
    Disarmed,
    Fault,
    HealthSeen,
    NotificationSent,
    Request,
    RequestFailed,
    ResponseDropped,
    SimulationDone,
    Tick,
)
from monitor.model.units import SECOND, ChainId, Instant, Usd
from tests.core.builders import (
    CHAIN,
    START,
    Driver,
    Says,
    block_hash,
    broadcast,
    core,
    feed_to_containment,
    h,
    head,
    head_at,
    included,
    mined,
    pending,
    rehearsal,
    signal,
    signed,
    tx,
    vault,
    verified,
    wallet,
)


def thief(**fields: Any) -> Says:
    return Says(lambda s, c: [signal(attack=s.event.transaction, **fields)], watches=("TransactionMined",))


def seen_pending() -> Says:
    """Proves what is still in the mempool."""
    return Says(
        lambda s, c: [signal(attack=s.event.transaction, is_mined=False)],
        watches=("PendingSimulated",),
    )


def sent(driver: Driver) -> str:
    """An attack in block 10, answered by a pause that is on its way."""
    action_id = driver.feed(head(10), mined()).rehearse[0].actions[0].id
    incident = action_id.split("/")[0]
    driver.feed(CandidatesRehearsed(incident=incident, rehearsals=(rehearsal(action_id),)))
    driver.feed(signed(action_id), broadcast(action_id))
    return action_id


def loaded(mode: Literal["shadow", "propose", "enforce"]) -> ConfigurationLoaded:
    return ConfigurationLoaded(settings=h(1), policy=h(2), code_version="same", mode=mode)


def record(driver: Driver, action_id: str) -> ActionRecord:
    return driver.core.state.actions[action_id]


def test_a_response_is_chased_at_each_head_and_later_at_every_tenth() -> None:
    driver = core(thief())
    sent(driver)
    chased = sum(len(driver.feed(head(n)).chase) for n in range(11, 40))
    assert chased == MOST_CHASES + 1  # in 11 to 20, and in 30


def test_bytes_that_nobody_took_stay_signed_and_are_chased() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(broadcast(action_id, accepted_by=(), refused_by=("node-1: full",)))
    assert driver.feed(head(11)).chase


def test_shadow_mode_withholds_and_does_not_ask_again() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(broadcast(action_id, accepted_by=(), refused_by=("shadow",)))
    assert record(driver, action_id).stage == "withheld"
    assert not driver.feed(head(11), mined(2, block=11)).rehearse


def test_what_shadow_withheld_is_asked_again_once_enforce_begins() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(broadcast(action_id, accepted_by=(), refused_by=("shadow",)), loaded("enforce"))
    assert driver.feed(head(11)).rehearse[0].actions[0].id == action_id


def test_what_shadow_withheld_has_cost_no_rate_and_no_cooldown() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(broadcast(action_id, accepted_by=(), refused_by=("shadow",)))
    assert driver.core.state.acts.entries
    driver.feed(loaded("enforce"))
    assert not driver.core.state.acts.entries


def test_a_restart_in_shadow_leaves_withheld_what_was() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(broadcast(action_id, accepted_by=(), refused_by=("propose",)), loaded("shadow"))
    assert not driver.feed(head(11)).rehearse
    assert record(driver, action_id).stage == "withheld"


def test_a_restart_in_enforce_keeps_what_was_sent_and_its_rate() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(loaded("enforce"))
    assert record(driver, action_id).stage == "sent"
    assert len(driver.core.state.acts.entries) == 1


def test_a_response_that_reverts_is_planned_anew_under_a_new_id() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(included(action_id, ok=False))
    step = driver.feed(head(12))
    assert step.rehearse[0].actions[0].id == f"{action_id}/2"


def test_checks_are_due_one_three_and_twelve_blocks_after() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(included(action_id))
    due = [(n, c.after_blocks) for n in range(11, 26) for c in driver.feed(head(n)).verify]
    assert due == [(12, 1), (14, 3), (23, 12)]


def test_a_late_head_asks_only_for_the_newest_check() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(included(action_id))
    assert [c.after_blocks for c in driver.feed(head(15)).verify] == [3]


def test_an_attack_that_goes_on_under_a_pause_has_it_looked_at_again_at_once() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    driver.feed(head(20))
    step = driver.feed(mined(2, block=20))
    assert [(c.action_id, c.after_blocks) for c in step.verify] == [(action_id, 9)]
    assert driver.feed(mined(3, block=20)).verify == ()


def test_an_attack_of_the_pauses_own_block_is_not_doubted() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(head(11), included(action_id))
    assert driver.feed(mined(2, block=11)).verify == ()


def test_what_is_seen_of_another_asset_does_not_doubt_a_pause() -> None:
    driver = core(Says(lambda s, c: [signal(asset="other")], watches=("PendingSimulated",)), thief())
    feed_to_containment(driver)
    driver.feed(head(20))
    assert driver.feed(pending(5)).verify == ()


def test_a_pause_that_somebody_lifted_is_made_anew_when_the_attack_goes_on() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    driver.feed(head(20), mined(2, block=20))
    step = driver.feed(verified(action_id, holds="fails", why="not paused"))
    assert step.rehearse[0].actions[0].id == f"{action_id}/2"


def test_a_pause_that_is_lifted_after_somebody_disarmed_is_not_made_anew() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    driver.feed(Disarmed(by="ann", reason="to resume"), head(13))
    step = driver.feed(verified(action_id, after_blocks=3, holds="fails", why="not paused"))
    assert record(driver, action_id).stage == "lapsed"
    assert not step.rehearse
    assert not driver.feed(Armed(by="ann", reason="resumed"), head(14)).rehearse
    assert step.incidents[0].state == "contained"


def test_a_pause_that_a_person_lifted_is_made_anew_once_the_attack_goes_on() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    driver.feed(Disarmed(by="ann", reason="to resume"), Armed(by="ann", reason="resumed"), head(20), mined(2, block=20))
    step = driver.feed(verified(action_id, after_blocks=9, holds="fails", why="not paused"))
    assert step.rehearse[0].actions[0].id == f"{action_id}/2"


def test_what_a_person_answers_for_does_not_begin_again_when_it_runs_out() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    record(driver, action_id).attack_pays_usd = Usd(5_000_000)
    driver.feed(Disarmed(by="ann", reason="it is handled"))
    driver.feed(head_at(2_000, record(driver, action_id).lapses_at_s + 1))
    assert record(driver, action_id).stage == "lapsed"
    assert driver.core.state.incidents[action_id.split("/")[0]].stage == "contained"


def test_inclusion_that_is_told_twice_counts_once() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(included(action_id), head(12), included(action_id))
    assert record(driver, action_id).checks == [1]


def test_a_failed_verification_ends_the_action_and_says_so() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(included(action_id), verified(action_id, holds="fails", why="not paused"))
    assert record(driver, action_id).gate == "verification"


def test_a_verification_without_a_verdict_changes_no_stage() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(included(action_id), verified(action_id, holds="UNPROVEN"))
    assert record(driver, action_id).stage == "included"


def test_a_response_that_left_the_chain_is_sent_again() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(included(action_id))
    driver.feed(ResponseDropped(chain_id=CHAIN, action_id=action_id, hash=h(77), why="reorg"))
    assert driver.feed(head(13)).chase


def paused(driver: Driver) -> str:
    """Paused in block 11 for an hour, verified, and the attack still pays."""
    action_id = sent(driver)
    driver.feed(included(action_id), head(12), verified(action_id, attack_pays_usd=Usd(5_000_000)))
    return action_id


def at(number: int, seconds: int) -> Any:
    found = head(number)
    from msgspec.structs import replace

    return replace(found, header=replace(found.header, timestamp=seconds))


def test_a_pause_near_its_end_is_checked_and_held_while_the_attack_pays() -> None:
    driver = core(thief())
    action_id = paused(driver)
    near = START + 11 * 12 + 3_600 - 300
    step = driver.feed(at(20, near))
    assert [c.action_id for c in step.verify] == [action_id]
    step = driver.feed(verified(action_id, after_blocks=9, attack_pays_usd=Usd(5_000_000)))
    (extension,) = step.rehearse[0].actions
    assert isinstance(extension, ExtendPause)
    again = driver.feed(verified(action_id, after_blocks=9, attack_pays_usd=Usd(5_000_000)))
    assert not again.rehearse
    driver.feed(CandidatesRehearsed(incident=action_id.split("/")[0], rehearsals=(rehearsal(extension.id),)))
    driver.feed(included(extension.id, block=21))
    assert record(driver, action_id).lapses_at_s == START + 21 * 12 + 3_600


def test_a_pause_whose_attack_no_longer_pays_is_let_go() -> None:
    driver = core(thief())
    action_id = paused(driver)
    driver.feed(at(20, START + 11 * 12 + 3_600 - 300))
    assert not driver.feed(verified(action_id, after_blocks=9)).rehearse
    driver.feed(at(30, START + 11 * 12 + 3_700))
    assert record(driver, action_id).stage == "lapsed"


def test_after_a_lapse_an_attack_that_still_pays_is_paused_again_at_once() -> None:
    driver = core(thief())
    action_id = paused(driver)
    step = driver.feed(at(30, START + 11 * 12 + 3_700))
    assert step.rehearse[0].actions[0].id == f"{action_id}/2"


def test_after_a_lapse_an_attack_that_comes_again_is_paused_again() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(included(action_id), head(12), verified(action_id))
    assert not driver.feed(at(30, START + 11 * 12 + 3_700)).rehearse
    step = driver.feed(mined(2, block=30))
    assert step.rehearse[0].actions[0].id == f"{action_id}/2"


def test_an_attack_on_a_sister_joins_the_incident_and_waits_for_the_other_sisters() -> None:
    sisters = (vault(), vault("vault-2", 2), vault("vault-3", 3))
    ask = Request(key="try", chain_id=CHAIN, transactions=(tx(),))

    def say(stamped: Any, _: Any) -> list[Any]:
        event = stamped.event
        if isinstance(event, SimulationDone):
            return [signal("vault-2", roots=("tx:2",)), signal("vault-3", roots=("tx:3",))]
        return [signal(attack=event.transaction), ask]

    driver = core(Says(say, watches=("TransactionMined", "SimulationDone")), assets=sisters)
    step = driver.feed(head(10), mined())
    assert step.requests == (ask,)
    assert not driver.feed(mined(2)).requests  # asked already
    step = driver.feed(SimulationDone(chain_id=CHAIN, key="try", base=h(1), base_number=10, effects=()))
    (wanted,) = step.rehearse
    assert wanted.actions[0].assets == ("vault-2", "vault-3")
    assert len(driver.core.state.incidents) == 1


def test_a_request_that_fails_frees_its_key() -> None:
    ask = Request(key="try", chain_id=CHAIN, transactions=(tx(),))
    driver = core(Says(lambda s, c: [ask], watches=("TransactionMined",)))
    driver.feed(mined())
    driver.feed(RequestFailed(chain_id=CHAIN, key="try", why="late"))
    assert driver.feed(mined(2)).requests == (ask,)


def test_a_request_that_nobody_answers_is_given_up_after_a_minute() -> None:
    ask = Request(key="try", chain_id=CHAIN, transactions=(tx(),))
    driver = core(Says(lambda s, c: [ask], watches=("TransactionMined",)))
    driver.feed(mined())
    driver.feed(Tick(), every_s=61)
    assert driver.feed(mined(2)).requests == (ask,)


def test_a_pending_proof_ends_when_no_later_head_confirms_it() -> None:
    driver = core(
        Says(lambda s, c: [signal(attack=s.event.transaction, is_mined=False)], watches=("PendingSimulated",))
    )
    driver.feed(head(10), pending())
    step = driver.feed(head(11), head(12), head(13))
    assert step.assessments[0].p < 0.01


def test_a_mined_transaction_takes_its_pending_claim_back() -> None:
    driver = core(seen_pending())
    driver.feed(head(10), pending(), mined(1))
    (hypothesis,) = driver.core.state.hypotheses.values()
    assert not hypothesis.held


def test_old_evidence_is_forgotten() -> None:
    soft = signal(evidence="fakeable", weight=2.0, half_life_s=60, prior="asset")
    driver = core(Says(lambda s, c: [soft], watches=("TransactionMined",)))
    driver.feed(mined())
    driver.feed(head(11), every_s=601)
    assert not driver.core.state.hypotheses


def test_a_weak_signal_opens_no_incident() -> None:
    soft = signal(evidence="fakeable", weight=2.0, half_life_s=60, prior="asset")
    assert not core(Says(lambda s, c: [soft])).feed(mined()).incidents


def test_incidents_of_one_owner_and_threat_are_one() -> None:
    wallets = (wallet(), wallet("hot-2", 10))
    both = [signal(w.name, threat="stolen_key", roots=(w.name,)) for w in wallets]
    driver = core(Says(lambda s, c: both), assets=wallets)
    driver.feed(mined())
    assert len(driver.core.state.incidents) == 1


def test_strangers_have_incidents_of_their_own() -> None:
    assets = (vault(owner="one", family=""), vault("other", 2, owner="two", family=""))
    both = [signal(x.name, roots=(x.name,)) for x in assets]
    driver = core(Says(lambda s, c: both), assets=assets)
    driver.feed(mined())
    assert len(driver.core.state.incidents) == 2


def test_blindness_is_an_incident_of_its_own_and_calls_for_no_pause() -> None:
    blind = signal("", threat="blind", evidence="strong", weight=9.0, prior="movement", roots=("source:1",))
    other = signal("vault", threat="exploit", roots=("tx:9",))
    second = signal("", threat="blind", evidence="strong", weight=9.0, prior="movement", detector="d", roots=("s:2",))
    driver = core(Says(lambda s, c: [blind, second, other]))
    step = driver.feed(mined())
    assert len(step.incidents) == 2
    assert len(step.rehearse) == 1


def test_people_are_told_when_it_becomes_more_serious_and_not_again() -> None:
    driver = core(thief())
    first = driver.feed(head(10), mined())
    assert [n.severity for n in first.notify if isinstance(n, Notify)] == ["critical"]
    assert not driver.feed(mined(2)).notify


def severities(weight: float, *, threat: Any = "exploit") -> list[str]:
    found = signal(evidence="strong", weight=weight, prior="movement", threat=threat)
    more = signal(evidence="strong", weight=weight, prior="movement", threat=threat, detector="other", roots=("x",))
    step = core(Says(lambda s, c: [found, more])).feed(mined())
    return [n.severity for n in step.notify if isinstance(n, Notify)]


def test_severity_follows_probability() -> None:
    assert severities(2.5) == ["info"]
    assert severities(3.2) == ["warning"]
    assert severities(4.2) == ["page"]
    assert severities(4.6, threat="blind") == ["page"]
    assert severities(2.5, threat="blind") == ["warning"]


def test_a_quiet_incident_closes_and_takes_its_evidence_with_it() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(included(action_id), head(12), verified(action_id))
    driver.feed(Tick(), every_s=1_801)
    assert [i.stage for i in driver.core.state.incidents.values()] == ["closed"]
    assert not driver.core.state.hypotheses


def test_an_incident_whose_attack_still_pays_stays_open_however_quiet() -> None:
    """What a pause alone holds back is no new incident when it comes again, and no second use of the pause."""
    driver = core(thief())
    action_id = paused(driver)
    driver.feed(Tick(), every_s=1_801)
    step = driver.feed(mined(2, block=12))
    assert [i.id for i in step.incidents] == [action_id.split("/")[0]]
    assert not step.rehearse


def test_new_evidence_reopens_a_contained_incident() -> None:
    driver = core(thief())
    action_id = sent(driver)
    driver.feed(included(action_id), head(12), verified(action_id))
    assert driver.feed(mined(5, block=12)).incidents[0].state == "responding"


def test_what_a_restart_must_take_up_is_what_was_not_included() -> None:
    driver = core(thief())
    action_id = sent(driver)
    assert [r.action.id for r in driver.core.unfinished()] == [action_id]
    driver.feed(included(action_id))
    assert not driver.core.unfinished()


def test_outcomes_of_unknown_actions_are_ignored() -> None:
    driver = core()
    events = (verified("9/pause/x"), NotificationSent(action_id="9/pause/x", channel="c", ok=True))
    assert all(driver.feed(e).quiet for e in events)
    report = CandidatesRehearsed(incident="9", rehearsals=(rehearsal("9/pause/x"),))
    assert driver.feed(report, Fault(where="x", what="y")).quiet


def test_a_report_that_comes_twice_clears_once() -> None:
    driver = core(thief())
    action_id = driver.feed(head(10), mined()).rehearse[0].actions[0].id
    report = CandidatesRehearsed(incident=action_id.split("/")[0], rehearsals=(rehearsal(action_id),))
    assert driver.feed(report).clear
    assert not driver.feed(report).clear


def test_an_orphan_that_was_never_seen_changes_nothing() -> None:
    driver = core()
    driver.feed(head(10))
    before = driver.core.snapshot()
    driver.feed(BlockOrphaned(chain_id=ChainId(99), number=10, hash=block_hash(10)))
    driver.core.state.seq, driver.core.state.now = 1, Instant(driver.fed[0].seen_at)
    assert driver.core.snapshot() == before


def test_the_ring_forgets_events_before_its_oldest_snapshot() -> None:
    driver = core()
    driver.feed(*(head(n) for n in range(1, 200)))
    oldest = driver.core.oldest()
    assert oldest is not None
    assert oldest[0] >= 199 - 65


def test_before_the_first_head_there_is_no_snapshot() -> None:
    assert core().core.oldest() is None


def test_telemetry_that_recovers_is_remembered() -> None:
    driver = core()
    driver.feed(HealthSeen(component="head:devnet", level=0.5, why="slow"))
    assert driver.core.state.lowered_at["head:devnet"] == driver.core.state.now


def test_the_memory_of_acts_is_bounded() -> None:
    acts = Acts()
    for n in range(5_000):
        acts.add(Act(str(n), str(n), "Pause", "vault", 2, Instant(n * SECOND), 0, free=True))
    assert len(acts.entries) == 4_096


def test_before_the_first_head_nothing_is_looked_at_again() -> None:
    driver = core(seen_pending())
    action_id = driver.feed(pending(1)).rehearse[0].actions[0].id
    driver.feed(CandidatesRehearsed(incident=action_id.split("/")[0], rehearsals=(rehearsal(action_id),)))
    driver.feed(signed(action_id), broadcast(action_id), included(action_id))
    assert not driver.feed(pending(2)).verify
