"""Reorgs: back to before the lost block, forward without it; what was sent stays sent, what is wanted is asked for."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from monitor.core.history import RING, History
from monitor.core.step import Core
from monitor.model.actions import Notify
from monitor.model.assets import Asset, Level, PauseRoute
from monitor.model.codec import encode
from monitor.model.events import (
    AuthorityProbed,
    BlockOrphaned,
    HeadSeen,
    Request,
    RequestFailed,
    Stamped,
    Tick,
    TransactionMined,
)
from monitor.model.units import ChainId, Instant
from tests.core.builders import (
    CHAIN,
    Driver,
    Says,
    a,
    answered,
    block_hash,
    broadcast,
    core,
    feed_to_containment,
    feed_to_sent,
    head,
    included,
    mined,
    orphaned,
    pending,
    proposed,
    signal,
    signed,
    tx,
    vault,
    verified,
)

FAST = ChainId(10)


def thief(*names: str) -> Says:
    """Proves every mined transaction an attack on these assets."""

    def say(stamped: Any, _: Any) -> list[Any]:
        return [signal(name, attack=stamped.event.transaction) for name in names or ("vault",)]

    return Says(say, watches=("TransactionMined",))


def of_other_guardian() -> Asset:
    return vault("other", 2, pause=PauseRoute("guardian", a(2), a(0x61), 3600, "other-key"))


def by_root() -> Says:
    """Proves every transaction an attack, each a claim of its own."""

    def say(stamped: Any, _: Any) -> list[Any]:
        event = stamped.event
        is_mined = isinstance(event, TransactionMined)
        return [signal(attack=event.transaction, is_mined=is_mined, roots=(f"tx:{event.transaction.nonce}",))]

    return Says(say)


def fast(number: int) -> HeadSeen:
    return replace(head(number), chain_id=FAST)


def orphaned_fast(number: int) -> BlockOrphaned:
    return replace(orphaned(number), chain_id=FAST)


def test_an_action_that_only_the_run_without_the_orphans_wants_is_asked_for() -> None:
    """The first attack opened the incident in a block that is gone; a pending one goes on alone."""
    driver = core(by_root())
    driver.feed(head(9), head(10), mined(1), pending(2))
    step = driver.feed(orphaned(10))
    action_id = proposed(step)
    assert action_id.startswith("4/")
    driver.feed(head(10, fork=1), head(11, fork=1))
    assert answered(driver, action_id).clear


def test_people_are_told_of_an_incident_that_only_the_run_without_the_orphans_knows() -> None:
    driver = core(by_root())
    driver.feed(head(9), head(10), mined(1), pending(2))
    told = [n for n in driver.feed(orphaned(10)).notify if isinstance(n, Notify)]
    assert [(n.incident, n.severity) for n in told] == [("4", "critical")]


def test_people_are_not_told_twice_of_the_same_incident() -> None:
    driver = core(by_root())
    driver.feed(head(9), mined(1, block=9), head(10), pending(2))
    assert not driver.feed(orphaned(10)).notify


def test_people_are_not_told_twice_of_the_same_response_or_lost_authority() -> None:
    lost = AuthorityProbed(
        chain_id=CHAIN, asset="vault", kind="Pause", signer="k", ok=False, why="not the pauser", block_number=9
    )
    driver = core(thief(), assets=(vault(autonomy=(Level.WITH_APPROVAL,) * 4),))
    driver.feed(fast(1), head(9), fast(2))
    assert driver.feed(lost).notify
    answered(driver, proposed(driver.feed(mined(1, block=9))))
    assert not driver.feed(orphaned_fast(2)).notify


def test_people_are_told_of_a_response_that_only_the_run_without_the_orphans_knows() -> None:
    """Its incident was another's before, and as serious."""
    driver = core(by_root(), assets=(vault(autonomy=(Level.WITH_APPROVAL,) * 4),))
    driver.feed(head(9), head(10), mined(1), pending(2))
    answered(driver, "4/pause/" + next(iter(driver.core.state.actions)).split("/")[2])
    told = [n.title for n in driver.feed(orphaned(10)).notify if isinstance(n, Notify)]
    assert told == ["exploit on vault", "pause of vault waits for a person: approve or reject it"]


def test_a_clearance_that_only_the_run_without_the_orphans_gives_is_rehearsed_first() -> None:
    """The incident that the lab had answered about was another's before the reorg."""
    driver = core(by_root())
    driver.feed(head(9), head(10))
    action_id = proposed(driver.feed(mined(1, block=9)))
    driver.core.state.armed = False
    answered(driver, action_id)
    driver.core.state.armed = True
    step = driver.feed(orphaned(10))
    assert driver.core.state.actions[action_id].stage == "rehearsing"
    assert not step.clear
    assert proposed(step) == action_id


def test_what_the_lab_is_working_on_is_not_asked_twice() -> None:
    driver = core(by_root())
    driver.feed(head(9), head(10))
    action_id = proposed(driver.feed(mined(1, block=9)))
    assert not driver.feed(orphaned(10)).rehearse
    driver.feed(head(10, fork=1), head(11, fork=1))
    assert answered(driver, action_id).clear


def test_a_question_that_only_the_run_without_the_orphans_asks_is_asked() -> None:
    """It was asked and answered in the lost block; now the next transaction asks first."""

    def say(stamped: Any, context: Any) -> list[Any]:
        return [Request(key=f"at-{context.head(CHAIN).number}", chain_id=CHAIN, transactions=(tx(),))]

    driver = core(Says(say, watches=("PendingSimulated",)))
    driver.feed(head(9), head(10), pending(1))
    assert [r.key for r in driver.feed(orphaned(10)).requests] == ["at-9"]


def test_a_question_that_is_out_is_not_asked_again() -> None:
    ask = Request(key="same", chain_id=CHAIN, transactions=(tx(),))
    driver = core(Says(lambda s, c: [ask], watches=("PendingSimulated",)))
    driver.feed(head(9), head(10), pending(1))
    assert not driver.feed(orphaned(10)).requests
    driver.feed(RequestFailed(chain_id=CHAIN, key="same", why="late"), head(10, fork=1), pending(2))
    assert not driver.feed(RequestFailed(chain_id=CHAIN, key="same", why="late"), orphaned(10, fork=1)).requests


def test_after_a_reorg_decisions_wait_for_two_consistent_heads() -> None:
    driver = core(thief())
    driver.feed(head(9), head(10), orphaned(10), head(10, fork=1))
    step = driver.feed(mined(1, fork=1))
    assert [(r.gate, r.recoverable) for r in step.refuse] == [("health", False)]
    step = driver.feed(head(11, fork=1))
    assert answered(driver, proposed(step)).clear


def test_an_answer_that_comes_right_after_a_reorg_waits_too() -> None:
    driver = core(by_root())
    driver.feed(head(9), mined(1, block=9), head(10))
    action_id = next(iter(driver.core.state.actions))
    driver.feed(orphaned(10))
    assert [r.gate for r in answered(driver, action_id).refuse] == ["health"]
    step = driver.feed(head(10, fork=1), head(11, fork=1))
    assert answered(driver, proposed(step)).clear


def test_a_response_that_reverted_in_a_lost_block_is_looked_for_again() -> None:
    driver = core(thief())
    action_id = feed_to_sent(driver)
    driver.feed(head(11), included(action_id, ok=False), orphaned(11))
    assert driver.core.state.actions[action_id].stage == "sent"
    assert [c.action_id for c in driver.feed(head(11, fork=1)).chase] == [action_id]


def test_a_response_in_an_older_block_stays_where_it_is() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    driver.feed(head(13), orphaned(13))
    assert driver.core.state.actions[action_id].stage == "verified"


def test_a_response_on_another_chain_stays_where_it_is() -> None:
    driver = core(thief())
    driver.feed(fast(1))
    action_id = feed_to_sent(driver)
    driver.feed(head(11), included(action_id), fast(2))
    driver.feed(orphaned_fast(2))
    assert driver.core.state.actions[action_id].stage == "included"


def test_an_incident_of_a_lost_block_whose_pause_was_sent_stays_and_is_not_contained() -> None:
    driver = core(thief())
    driver.feed(head(9))
    action_id = feed_to_sent(driver)
    driver.feed(head(11), included(action_id), head(12), verified(action_id))
    driver.feed(orphaned(12), orphaned(11), orphaned(10))
    (incident,) = driver.core.state.incidents.values()
    assert (incident.stage, incident.actions) == ("responding", [action_id])


def test_an_attack_of_a_lost_block_is_pending_again() -> None:
    """The lab replays it on the head, and does not look for the block that held it."""
    driver = core(thief())
    driver.feed(head(9))
    feed_to_sent(driver)
    driver.feed(orphaned(10))
    (incident,) = driver.core.state.incidents.values()
    assert [attack.mined for attack in incident.attacks.values()] == [False]
    assert not incident.loss_seen


def test_an_incident_that_stays_keeps_only_the_actions_that_do() -> None:
    """Its other action was refused, and is forgotten with the block that called for it."""
    driver = core(thief("vault", "other"), assets=(vault(), of_other_guardian()))
    driver.feed(head(9))
    first, second = (x.id for wanted in driver.feed(head(10), mined()).rehearse for x in wanted.actions)
    answered(driver, first)
    answered(driver, second, valid="fails", why="not the pauser")
    driver.feed(orphaned(10), Tick())
    (incident,) = driver.core.state.incidents.values()
    assert incident.actions == list(driver.core.state.actions) == [first]


def test_what_a_reorg_took_is_no_confirmed_attack() -> None:
    seen: list[int] = []

    def say(stamped: Any, context: Any) -> list[Any]:
        seen.append(len(context.confirmed_attacks()))
        return []

    driver = core(thief(), Says(say, watches=("Tick",), name="looks"))
    driver.feed(head(9))
    feed_to_sent(driver)
    driver.feed(Tick(), orphaned(10), Tick())
    assert seen == [1, 0, 0]  # the first tick again, without the block; then the second


def test_a_slow_chain_keeps_its_way_back_beside_a_fast_one() -> None:
    driver = core(thief())
    driver.feed(head(9), head(10), mined(), *(fast(n) for n in range(1, 3 * RING)))
    driver.feed(orphaned(10))
    assert driver.core.state.heads[CHAIN].header.number == 9
    assert driver.core.state.heads[FAST].header.number == 3 * RING - 1


def test_a_block_older_than_every_snapshot_changes_nothing_but_that_decisions_wait() -> None:
    driver = core(thief())
    driver.feed(*(head(n) for n in range(10, 90)))
    step = driver.feed(orphaned(12), mined(1, block=89))
    assert [r.gate for r in step.refuse] == ["health"]
    assert driver.core.state.heads[CHAIN].header.number == 89


def test_a_snapshot_whose_events_are_not_all_remembered_is_no_way_back() -> None:
    history = History(most=3)
    for seq in range(1, 6):
        if seq in (1, 4):
            history.mark(head(seq), seq, b"state")
        history.note(Stamped(seq, Instant(seq), Tick()))
    assert history.before(orphaned(1)) is None
    found = history.before(orphaned(4))
    assert found is not None
    assert [stamped.seq for stamped in found[1]] == [4, 5]


def test_a_restart_begins_at_no_snapshot_that_lacks_what_was_carried_over() -> None:
    """A head of another chain was marked anew while the lost block was taken out, before what was sent was put back."""
    driver = core(thief())
    driver.feed(fast(1), head(9))
    action_id = feed_to_sent(driver)
    driver.feed(fast(2), orphaned(10), head(10, fork=1), head(11, fork=1))
    same = restarted(driver)
    assert same.snapshot() == driver.core.snapshot()
    assert same.state.actions[action_id].stage == "sent"


def restarted(driver: Driver) -> Core:
    """A fresh core that begins at the oldest kept snapshot and reads the journal from there."""
    fresh, oldest = core(thief()).core, driver.core.oldest()
    assert oldest is not None
    fresh.restore(oldest[1])
    for stamped in driver.fed[oldest[0] :]:
        fresh.step(stamped)
    return fresh


def test_a_reorg_is_replayed_byte_for_byte() -> None:
    driver = core(by_root())
    driver.feed(head(9), head(10), mined(1), pending(2), orphaned(10), head(10, fork=1), mined(1, fork=1))
    action_id = next(iter(driver.core.state.actions))
    driver.feed(head(11, fork=1), signed(action_id), broadcast(action_id), included(action_id, fork=1))
    again = core(by_root())
    assert [encode(again.core.step(s)) for s in driver.fed] == [encode(s) for s in driver.steps]


def test_a_lost_block_that_is_told_again_is_lost_once() -> None:
    driver = core(thief())
    driver.feed(head(9), head(10), mined(), orphaned(10))
    before = driver.core.state.heads[CHAIN].header.hash
    driver.feed(orphaned(10))
    assert driver.core.state.heads[CHAIN].header.hash == before == block_hash(9)


def test_verifications_go_on_after_a_reorg_that_spared_the_response() -> None:
    driver = core(thief())
    action_id = feed_to_containment(driver)
    driver.feed(head(13), orphaned(13), head(13, fork=1))
    assert [c.after_blocks for c in driver.feed(head(14, fork=1)).verify] == [3]
    driver.feed(verified(action_id, after_blocks=3))
