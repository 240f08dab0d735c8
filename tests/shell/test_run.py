"""The loop over fakes: one order, durable before anyone acts, and what fails outside stays outside."""

from __future__ import annotations

import asyncio

import pytest

from monitor.model.errors import JournalLost, Unreachable
from monitor.model.events import (
    ActionFailed,
    CandidatesRehearsed,
    Fault,
    NotificationSent,
    Request,
    RequestFailed,
    ResponseBroadcast,
    ResponseSigned,
    ResponseVerified,
    Tick,
)
from monitor.shell.run import SNAPSHOT_EVERY
from tests.core.builders import CHAIN, Says, h, head, mined, rehearsal, signal, tx
from tests.shell.fakes import FakeAsker, FakeLab, FakeSubmit, MemoryJournal, built, turning, vault_core


async def test_a_proof_becomes_a_verified_response_without_a_person() -> None:
    async with turning() as world:
        await world.says(head(10), mined())
        assert world.stage() == "sent"
        world.submit.mined[h(7_001)] = 11
        await world.says(head(11))
        assert world.stage() == "included"
        await world.says(head(12))
        assert world.stage() == "verified"
    assert [e.after_blocks for e in world.journal.events(ResponseVerified)] == [1]
    assert world.journal.events(NotificationSent)


async def test_the_signed_bytes_are_journalled_before_they_are_sent() -> None:
    async with turning() as world:
        await world.says(head(10), mined())
    order = [line for line in world.log if line in ("signed", "journalled ResponseSigned", "sent")]
    assert order == ["signed", "journalled ResponseSigned", "sent"]


async def test_nothing_is_sent_while_the_journal_has_not_returned() -> None:
    journal = MemoryJournal()
    async with turning(journal=journal) as world:
        await world.says(head(10))
        world.feed.say(mined())
        await world.until(lambda: "journalled TransactionMined" in world.log)
        journal.slow = asyncio.Event()
        for _ in range(50):
            await asyncio.sleep(0)
        assert "sent" not in world.log
        assert "signed" not in world.log, "the clearance itself is not durable yet"
        journal.slow.set()
        await world.until(lambda: "sent" in world.log)


async def test_a_decision_acts_only_once_it_is_journalled() -> None:
    async with turning() as world:
        await world.says(head(10), mined())
    assert world.log.index("journalled TransactionMined") < world.log.index(f"rehearsed {incident_of(world)}")
    assert world.log.index("journalled CandidatesRehearsed") < world.log.index("signed")


def incident_of(world: object) -> str:
    state = world.core.state  # type: ignore[attr-defined]
    return str(next(iter(state.incidents)))


async def test_a_lost_journal_ends_the_loop_and_nothing_acts() -> None:
    journal = MemoryJournal(fails=JournalLost("journal: disk is full; free disk space"))
    world = await built(journal=journal)
    world.feed.say(head(10), mined())
    with pytest.raises(ExceptionGroup) as lost:
        async with asyncio.timeout(5):
            await world.loop.run()
    assert lost.group_contains(JournalLost, match="disk is full")
    assert "signed" not in world.log
    assert not world.lab.asked


async def test_before_the_loop_turns_nothing_may_act() -> None:
    world = await built()
    work = world.inbox.put(Tick())
    with pytest.raises(JournalLost, match="does not turn yet"):
        world.loop._spawn(work)
    work.close()


async def test_events_of_the_start_come_before_all_others() -> None:
    async with turning(first_events=(Tick(), Tick())) as world:
        await world.says(head(10))
    names = [line for line in world.log if line.startswith("journalled")]
    assert names[:3] == ["journalled Tick", "journalled Tick", "journalled HeadSeen"]


async def test_a_raising_detector_becomes_a_fault_and_the_rest_goes_on() -> None:
    def broken(stamped: object, context: object) -> list[object]:
        raise ZeroDivisionError("of mine")

    core = vault_core(Says(broken, name="broken"), Says(lambda s, c: [signal(attack=s.event.transaction)]))  # type: ignore[arg-type]
    async with turning(core=core) as world:
        await world.says(head(10), mined())
        assert world.stage() == "sent"
    (fault,) = world.journal.events(Fault)
    assert fault.what.startswith("detector broken raised ZeroDivisionError")


def asking() -> Says:
    wanted = Request("sister", CHAIN, (tx(),))
    return Says(lambda s, c: [wanted], watches=("TransactionMined",))


async def test_a_request_is_answered_as_an_event() -> None:
    async with turning(core=vault_core(asking())) as world:
        await world.says(head(10), mined())
    assert [e.why for e in world.journal.events(RequestFailed)] == ["not today"]


async def test_an_asker_that_raises_is_an_answer_too() -> None:
    asker = FakeAsker(fails=RuntimeError("a fault of mine"))
    async with turning(core=vault_core(asking()), asker=asker) as world:
        await world.says(head(10), mined())
        assert not world.core.state.asked
    assert [e.why for e in world.journal.events(RequestFailed)] == ["RuntimeError: a fault of mine"]


async def test_a_snapshot_is_kept_now_and_then_and_never_of_the_empty_beginning() -> None:
    async with turning() as world:
        await world.says(head(SNAPSHOT_EVERY))
        assert world.journal.snapshots == [], "before the first head there is nothing to go back to"
        for number in range(SNAPSHOT_EVERY + 1, 4 * SNAPSHOT_EVERY + 1):
            await world.says(head(number))
    assert world.journal.snapshots
    assert all(seq > 0 for seq, _ in world.journal.snapshots)


async def test_a_restart_goes_on_where_the_journal_ends() -> None:
    journal = MemoryJournal()
    async with turning(journal=journal) as before:
        await before.says(head(10), mined())
        assert before.stage() == "sent"
    submit = FakeSubmit(mined={h(7_001): 11})
    async with turning(journal=journal, submit=submit) as after:
        await after.quiet()
        assert after.stage() == "included"
        assert after.core.state.seq > before.core.state.seq
    assert "signed" not in after.log, "it was out already"
    seqs = [stamped.seq for stamped, _ in journal.rows]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_shadow_mode_signs_nothing_and_says_so_in_the_journal() -> None:
    async with turning(submit=FakeSubmit(withheld="shadow")) as world:
        await world.says(head(10), mined())
        assert world.stage() == "withheld"
    assert [e.refused_by for e in world.journal.events(ResponseBroadcast)] == [("shadow",)]
    assert not world.journal.events(ResponseSigned)
    assert "signed" not in world.log


async def test_a_failing_lab_fails_the_action_and_is_asked_again_at_the_next_head() -> None:
    lab = FakeLab(fails=Unreachable("node-1 does not answer"))
    async with turning(lab=lab) as world:
        await world.says(head(10), mined())
        assert world.stage() == "refused"
        assert [(e.stage, e.why) for e in world.journal.events(ActionFailed)] == [
            ("rehearsal", "Unreachable: node-1 does not answer")
        ]
        lab.fails = None
        await world.says(head(11))
        assert world.stage() == "sent"
    assert len(world.journal.events(CandidatesRehearsed)) == 1


async def test_what_the_fork_refuses_is_never_signed() -> None:
    lab = FakeLab(finds=lambda plan: rehearsal(plan.action.id, valid="fails", why="not the pauser"))
    async with turning(lab=lab) as world:
        await world.says(head(10), mined())
        assert world.stage() == "refused"
    assert "signed" not in world.log
