"""The walking path of the core: a proof becomes a rehearsal, a clearance, a verified response, and replays."""

from __future__ import annotations

from typing import Any

from monitor.core.step import Core
from monitor.model.codec import encode
from monitor.model.events import BlockOrphaned, CandidatesRehearsed, Disarmed
from monitor.model.incidents import Step
from tests.core.builders import (
    CHAIN,
    Driver,
    Says,
    block_hash,
    broadcast,
    core,
    head,
    included,
    mined,
    rehearsal,
    signal,
    signed,
    verified,
)


def thief() -> Says:
    """Proves every mined transaction an attack on the vault."""
    return Says(lambda s, c: [signal(attack=s.event.transaction)], watches=("TransactionMined",))


def proven(driver: Driver) -> str:
    """An attack mined in block 10; returns the id of the pause that the core wants rehearsed."""
    step = driver.feed(head(10), mined())
    (wanted,) = step.rehearse
    return wanted.actions[0].id


def cleared(driver: Driver, **found: Any) -> tuple[str, Step]:
    action_id = proven(driver)
    incident = action_id.split("/")[0]
    step = driver.feed(CandidatesRehearsed(incident=incident, rehearsals=(rehearsal(action_id, **found),)))
    return action_id, step


def test_a_proof_is_rehearsed_and_then_cleared() -> None:
    driver = core(thief())
    action_id, step = cleared(driver)
    assert [c.action_id for c in step.clear] == [action_id]
    assert step.incidents[0].state == "responding"


def test_a_plan_that_fails_on_the_fork_is_never_cleared() -> None:
    _, step = cleared(core(thief()), valid="fails", why="not the pauser")
    assert not step.clear
    assert step.refuse[0].gate == "fork"


def test_disarmed_nothing_is_rehearsed() -> None:
    driver = core(thief())
    driver.feed(Disarmed(by="ops", reason="drill"))
    step = driver.feed(head(10), mined())
    assert not step.rehearse
    assert step.refuse[0].gate == "kill switch"


def test_a_response_is_followed_to_containment() -> None:
    driver = core(thief())
    action_id, _ = cleared(driver)
    driver.feed(signed(action_id), broadcast(action_id))
    assert [c.action_id for c in driver.feed(head(11)).chase] == [action_id]
    driver.feed(included(action_id))
    step = driver.feed(head(12))
    assert [(c.action_id, c.after_blocks) for c in step.verify] == [(action_id, 1)]
    assert driver.feed(verified(action_id)).incidents[0].state == "contained"


def test_the_same_incident_is_not_answered_twice() -> None:
    driver = core(thief())
    cleared(driver)
    step = driver.feed(mined(2), mined(3))
    assert not step.rehearse


def test_replay_of_the_events_reproduces_every_step() -> None:
    driver = core(thief())
    action_id, _ = cleared(driver)
    driver.feed(signed(action_id), broadcast(action_id), head(11), included(action_id), head(12), verified(action_id))
    again = core(thief())
    assert [encode(again.core.step(s)) for s in driver.fed] == [encode(s) for s in driver.steps]


def test_a_snapshot_continues_exactly_where_it_was_taken() -> None:
    driver = core(thief())
    action_id, _ = cleared(driver)
    other: Core = core(thief()).core
    other.restore(driver.core.snapshot())
    assert other.snapshot() == driver.core.snapshot()
    driver.feed(signed(action_id))
    assert encode(other.step(driver.fed[-1])) == encode(driver.steps[-1])


def test_after_a_reorg_the_state_is_that_of_a_run_without_the_orphans() -> None:
    saw, never = core(Says(lambda s, c: [])), core(Says(lambda s, c: []))
    saw.feed(head(9), head(10), mined(1), head(11), mined(2, block=11))
    saw.feed(BlockOrphaned(chain_id=CHAIN, number=11, hash=block_hash(11)))
    saw.feed(BlockOrphaned(chain_id=CHAIN, number=10, hash=block_hash(10)), head(10, fork=1), mined(1, fork=1))
    keep = [s for s in saw.fed if s.seq not in (2, 3, 4, 5)]
    for stamped in keep:
        never.core.step(stamped)
    assert saw.core.snapshot() == never.core.snapshot()


def test_a_response_lost_in_a_reorg_is_chased_and_not_decided_again() -> None:
    driver = core(thief())
    action_id, _ = cleared(driver)
    driver.feed(signed(action_id), broadcast(action_id), head(11), included(action_id))
    driver.feed(BlockOrphaned(chain_id=CHAIN, number=11, hash=block_hash(11)))
    driver.feed(BlockOrphaned(chain_id=CHAIN, number=10, hash=block_hash(10)))
    steps = [driver.feed(head(10, fork=1)), driver.feed(mined(1, fork=1)), driver.feed(head(11, fork=1))]
    assert not any(s.rehearse for s in steps)
    assert [c.action_id for c in steps[0].chase] == [action_id]


def test_a_detector_that_raises_is_left_out_and_then_suspended() -> None:
    def boom(*_: Any) -> list[Any]:
        raise ValueError("hostile bytes")

    driver = core(Says(boom, name="broken"), thief())
    steps = [driver.feed(mined(i)) for i in (1, 2, 3, 4)]
    assert [len(s.faults) for s in steps] == [1, 1, 1, 0]
    assert steps[0].rehearse
    assert driver.core.state.suspended == ["broken"]
