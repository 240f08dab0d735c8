"""Each gate, red and green: what stops an action, in which order, and what a person may still approve."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from monitor.core.limits import Act
from monitor.model.actions import ActionClass, Tighten
from monitor.model.assets import Level
from monitor.model.chain import Effects, Transfer
from monitor.model.events import (
    ActionApproved,
    ActionFailed,
    ActionRejected,
    Armed,
    AuthorityProbed,
    CandidatesRehearsed,
    Disarmed,
    HealthSeen,
    PriceSeen,
    Tick,
)
from monitor.model.incidents import Step
from monitor.model.policy import Policy
from monitor.model.units import DOLLAR, NATIVE, SECOND, Instant, Usd
from tests.core.builders import (
    CHAIN,
    Driver,
    Says,
    a,
    core,
    head,
    mined,
    pending,
    rehearsal,
    signal,
    strong,
    vault,
    wallet,
)


def says(*signals: Any) -> Says:
    return Says(lambda s, c: list(signals), watches=("TransactionMined", "PendingSimulated"))


def attacked(driver: Driver) -> tuple[str, Step]:
    """An attack mined in block 10; the id of the first candidate, if there is one."""
    step = driver.feed(head(10), mined())
    return (step.rehearse[0].actions[0].id if step.rehearse else ""), step


def answered(driver: Driver, action_id: str, **found: Any) -> Step:
    report = CandidatesRehearsed(incident=action_id.split("/")[0], rehearsals=(rehearsal(action_id, **found),))
    return driver.feed(report)


def health(component: str, level: float) -> HealthSeen:
    return HealthSeen(component=component, level=level, why="test")


def test_class_two_without_a_proof_waits_for_a_person_however_likely() -> None:
    strong = [
        signal(detector=f"d{n}", evidence="strong", weight=4.6, roots=(f"tx:{n}",), prior="movement") for n in range(4)
    ]
    driver = core(says(*strong))
    action_id, _ = attacked(driver)
    step = answered(driver, action_id)
    assert not step.clear
    assert (step.refuse[0].gate, step.refuse[0].recoverable) == ("evidence", True)


def test_class_one_needs_two_strong_groups_or_a_proof() -> None:
    two = [
        signal("hot", detector=f"d{n}", evidence="strong", weight=4.6, roots=(f"t:{n}",), threat="stolen_key")
        for n in range(2)
    ]
    driver = core(says(*two), assets=(wallet(),))
    action_id, step = attacked(driver)
    assert isinstance(step.rehearse[0].actions[0], Tighten)
    assert answered(driver, action_id).clear


def test_the_lowest_class_that_stops_the_loss_is_taken() -> None:
    driver = core(says(signal("hot", threat="stolen_key")), assets=(wallet(),))
    _, step = attacked(driver)
    kinds = [type(x) for x in step.rehearse[0].actions]
    assert [x.__name__ for x in kinds] == ["Tighten", "Pause"]
    tighten, pause = (x.id for x in step.rehearse[0].actions)
    both = tuple(rehearsal(i) for i in (tighten, pause))
    step = driver.feed(CandidatesRehearsed(incident=tighten.split("/")[0], rehearsals=both))
    assert [c.action_id for c in step.clear] == [tighten]
    assert step.refuse[0].gate == "planner"


def test_where_no_class_stops_all_of_it_the_one_that_saves_most_is_taken() -> None:
    driver = core(says(signal("hot", threat="stolen_key")), assets=(wallet(),))
    _, step = attacked(driver)
    tighten, pause = (x.id for x in step.rehearse[0].actions)
    found = (
        rehearsal(tighten, loss_with_usd=Usd(500_000 * DOLLAR), loss_verdict="fails"),
        rehearsal(pause, loss_with_usd=Usd(1 * DOLLAR), loss_verdict="fails"),
    )
    step = driver.feed(CandidatesRehearsed(incident=pause.split("/")[0], rehearsals=found))
    assert [c.action_id for c in step.clear] == [pause]


def test_a_cheap_theft_is_not_worth_a_dear_outage() -> None:
    poor = vault(value_usd=Usd(10 * DOLLAR), outage_usd_per_min=Usd(100_000 * DOLLAR))
    driver = core(says(signal()), assets=(poor,))
    action_id, _ = attacked(driver)
    step = answered(driver, action_id, loss_without_usd=Usd(10 * DOLLAR))
    assert step.refuse[0].gate == "thresholds"


def test_what_has_no_price_is_decided_by_class_and_evidence_alone() -> None:
    driver = core(says(signal()), assets=(vault(value_usd=None),))
    action_id, _ = attacked(driver)
    assert answered(driver, action_id, loss_without_usd=Usd(0), loss_verdict="UNPROVEN").clear


@pytest.mark.parametrize(
    ("component", "level", "goes"),
    [
        ("head:devnet", 1.0, True),
        ("head:devnet", 0.5, True),  # reduced: class 2 on a proof
        ("head:devnet", 0.0, False),
        ("head:elsewhere", 0.0, True),
        ("gas:guardian-key", 0.0, False),
        ("gas:other-key", 0.0, True),
        ("ledger:main", 0.0, True),  # a silent ledger only silences its own detector
        ("clock", 0.0, False),
    ],
)
def test_telemetry_lowers_authority(component: str, level: float, goes: bool) -> None:
    driver = core(says(signal()))
    driver.feed(health(component, level))
    action_id, _ = attacked(driver)
    assert bool(answered(driver, action_id).clear) is goes


def test_reduced_scope_takes_no_class_one_without_a_proof() -> None:
    two = [
        signal("hot", detector=f"d{n}", evidence="strong", weight=4.6, roots=(f"t:{n}",), threat="stolen_key")
        for n in range(2)
    ]
    driver = core(says(*two), assets=(wallet(),))
    driver.feed(health("nodes:devnet", 0.5))
    action_id, _ = attacked(driver)
    assert answered(driver, action_id).refuse[0].gate == "telemetry"


def test_after_full_health_the_scope_stays_reduced_for_ten_minutes() -> None:
    driver = core(says(signal()))
    driver.feed(health("head:devnet", 0.0), health("head:devnet", 1.0))
    action_id, _ = attacked(driver)
    assert answered(driver, action_id).clear


def test_without_a_journal_nothing_is_even_rehearsed() -> None:
    driver = core(says(signal()))
    driver.feed(health("journal", 0.0))
    _, step = attacked(driver)
    assert step.refuse[0].gate == "health"


@pytest.mark.parametrize("level", [Level.OBSERVE, Level.RECOMMEND, Level.WITH_APPROVAL])
def test_below_full_autonomy_a_person_decides(level: Level) -> None:
    driver = core(says(signal()), assets=(vault(autonomy=(level,) * 4),))
    action_id, _ = attacked(driver)
    step = answered(driver, action_id)
    assert (step.refuse[0].gate, step.refuse[0].recoverable) == ("autonomy", True)


def waiting(driver: Driver) -> str:
    action_id, _ = attacked(driver)
    answered(driver, action_id)
    return action_id


def below() -> Driver:
    return core(says(signal()), assets=(vault(autonomy=(Level.WITH_APPROVAL,) * 4),))


def test_an_approved_action_is_rehearsed_again_and_goes() -> None:
    driver = below()
    action_id = waiting(driver)
    step = driver.feed(ActionApproved(action_id=action_id, by="ann"))
    assert [x.id for x in step.rehearse[0].actions] == [action_id]
    assert [c.action_id for c in answered(driver, action_id).clear] == [action_id]


def test_a_rejected_action_is_not_asked_again() -> None:
    driver = below()
    action_id = waiting(driver)
    driver.feed(ActionRejected(action_id=action_id, by="bob", reason="a drill"))
    assert not driver.feed(head(11), Tick()).rehearse


def test_an_approval_that_nobody_gives_expires() -> None:
    driver = below()
    action_id = waiting(driver)
    driver.feed(Tick(), every_s=301)
    assert driver.core.state.actions[action_id].gate == "approval"
    assert not driver.feed(ActionApproved(action_id=action_id, by="ann")).rehearse


def test_approving_what_is_unknown_does_nothing() -> None:
    assert driver_step(ActionApproved(action_id="nothing", by="ann")).quiet


def driver_step(event: Any) -> Step:
    return core(says()).feed(event)


def test_disarmed_between_rehearsal_and_clearance_stops_it() -> None:
    driver = core(says(signal()))
    action_id, _ = attacked(driver)
    driver.feed(Disarmed(by="ops", reason="drill"))
    assert answered(driver, action_id).refuse[0].gate == "kill switch"
    assert driver.feed(Armed(by="ops", reason="over")).seq


def test_the_same_refusal_is_said_once() -> None:
    driver = core(says(signal()))
    driver.feed(Disarmed(by="ops", reason="drill"))
    _, first = attacked(driver)
    assert first.refuse
    assert not driver.feed(head(11)).refuse


def test_a_plan_that_fails_is_tried_again_at_the_next_head_and_not_for_ever() -> None:
    driver = core(says(signal()))
    action_id, _ = attacked(driver)
    tried = 0
    for number in range(11, 30):
        answered(driver, action_id, valid="fails", why="node trouble")
        tried += 1
        if not driver.feed(head(number)).rehearse:
            break
    assert tried == 5


def test_a_failed_rehearsal_counts_as_a_try() -> None:
    driver = core(says(signal()))
    action_id, _ = attacked(driver)
    driver.feed(ActionFailed(action_id=action_id, stage="rehearsal", why="node trouble"))
    assert driver.core.state.actions[action_id].tries == 1


def past(
    driver: Driver, *, incident: str, asset: str = "vault", ago_s: int = 60, free: bool = True, outage_s: int = 0
) -> None:
    at = Instant(int(driver.seconds - ago_s) * SECOND)
    driver.core.state.acts.add(Act(f"{incident}/pause", incident, "Pause", asset, 2, at, outage_s, free))


def test_a_second_incident_on_an_asset_cools_down_first() -> None:
    driver = core(says(signal()))
    past(driver, incident="old")
    action_id, _ = attacked(driver)
    step = answered(driver, action_id)
    assert step.refuse[0].gate == "budgets"
    assert "cools down" in step.refuse[0].reason


def test_a_third_incident_in_a_day_is_over_the_rate() -> None:
    driver = core(says(signal()))
    for n in (1, 2):
        past(driver, incident=f"old-{n}", ago_s=20_000)
    action_id, _ = attacked(driver)
    assert "incidents on vault" in answered(driver, action_id).refuse[0].reason


def test_an_old_act_is_forgotten_by_the_cooldown() -> None:
    driver = core(says(signal()))
    past(driver, incident="old", ago_s=20_000)
    action_id, _ = attacked(driver)
    assert answered(driver, action_id).clear


def test_the_last_use_of_a_pause_is_kept_for_a_person() -> None:
    driver = core(says(signal()))
    driver.feed(
        AuthorityProbed(
            chain_id=CHAIN, asset="vault", kind="Pause", signer="k", ok=True, why="", block_number=9, uses_left=1
        )
    )
    action_id, _ = attacked(driver)
    assert "kept for a person" in answered(driver, action_id).refuse[0].reason


def test_a_spent_outage_budget_never_silences_a_proof() -> None:
    driver = core(says(signal()))
    past(driver, incident="old", ago_s=90_000, free=False, outage_s=30_000)
    action_id, _ = attacked(driver)
    assert answered(driver, action_id).clear


def test_a_spent_outage_budget_asks_a_person_where_there_is_no_proof() -> None:
    two = [
        signal("hot", detector=f"d{n}", evidence="strong", weight=4.6, roots=(f"t:{n}",), threat="stolen_key")
        for n in range(4)
    ]
    driver = core(says(*two), assets=(wallet(tighten=None),))
    past(driver, incident="old", asset="hot", ago_s=90_000, free=False, outage_s=30_000)
    action_id, _ = attacked(driver)
    assert "budget" in answered(driver, action_id).refuse[0].reason


def test_a_single_node_caps_automatic_action_below_class_three() -> None:
    driver = core(says(signal()), quorum=1)
    action_id, _ = attacked(driver)
    assert answered(driver, action_id).clear


def ether(usd: int = 4_000) -> PriceSeen:
    return PriceSeen(chain_id=CHAIN, token=NATIVE, usd=Usd(usd * DOLLAR), decimals=18, source="static")


def test_the_bid_outranks_a_rival_that_is_seen() -> None:
    pays = Effects(True, 2_000_000, transfers=(Transfer(NATIVE, a(0xBAD), a(7), 10**19),))  # type: ignore[arg-type]
    driver = core(Says(lambda s, c: [signal(attack=s.event.transaction, is_mined=False)]))
    driver.feed(ether(), head(10))
    step = driver.feed(pending(effects=pays, tip=50 * 10**9))
    (clearance,) = answered(driver, step.rehearse[0].actions[0].id).clear
    rival = (50 * 10**9 * 2_000_000 + 10**19) // 2_000_000
    assert clearance.bid.tip == int(rival * 1.15) + 1
    assert clearance.bid.max_cost == 2 * 10**18


def bid_for(stake_usd: int, *, price: bool = True) -> Any:
    driver = core(says(signal()), assets=(vault(value_usd=Usd(stake_usd * DOLLAR), outage_usd_per_min=Usd(0)),))
    if price:
        driver.feed(ether())
    action_id, _ = attacked(driver)
    return answered(driver, action_id, loss_without_usd=Usd(stake_usd * DOLLAR)).clear[0].bid


def test_the_bid_is_a_share_of_what_is_saved_and_never_above_the_limit() -> None:
    assert bid_for(100_000).max_cost <= 100_000 * 10**18 * 2 // 100 // 4_000
    assert bid_for(100_000_000).max_cost == 2 * 10**18
    assert bid_for(100_000).tip <= bid_for(100_000).max_tip


def test_a_response_may_always_cost_a_little_even_where_nothing_has_a_price() -> None:
    assert bid_for(500).max_cost == bid_for(100_000, price=False).max_cost == 2 * 10**16


@pytest.mark.parametrize(
    ("action_class", "approvable"), [(ActionClass.GLOBAL, True), (ActionClass.IRREVERSIBLE, False)]
)
def test_nothing_of_class_three_or_above_is_ever_cleared_by_itself(action_class: ActionClass, approvable: bool) -> None:
    """Whatever the evidence and the autonomy: a proof, four groups, level 3."""
    driver = core(says(signal(), *(strong(n) for n in range(4))))
    action_id, _ = attacked(driver)
    record = driver.core.state.actions[action_id]
    record.action = replace(record.action, action_class=action_class)
    step = answered(driver, action_id)
    assert not step.clear
    assert (step.refuse[0].gate, step.refuse[0].recoverable) == ("autonomy", approvable)


def test_what_cannot_be_undone_is_not_sent_even_where_a_person_approves() -> None:
    driver = core(says(signal()))
    action_id, _ = attacked(driver)
    record = driver.core.state.actions[action_id]
    record.action, record.approved_by = replace(record.action, action_class=ActionClass.IRREVERSIBLE), "ann"
    assert not answered(driver, action_id).clear


def test_a_single_node_asks_a_person_above_the_class_that_it_is_trusted_with() -> None:
    driver = core(says(signal()), quorum=1, policy=Policy(single_node_max_class=1))
    action_id, _ = attacked(driver)
    assert "single node" in answered(driver, action_id).refuse[0].reason
