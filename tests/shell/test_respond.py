"""The response path piece by piece: what stops it, what it does again, and where a restart takes it up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from monitor.core.state import ActionRecord
from monitor.model.actions import Check, Plan, Rehearsal
from monitor.model.assets import Level
from monitor.model.codec import encode
from monitor.model.errors import Unreachable
from monitor.model.events import (
    ActionFailed,
    Armed,
    CandidatesRehearsed,
    Disarmed,
    Fault,
    ResponseBroadcast,
    ResponseDropped,
    ResponseSigned,
)
from tests.core.builders import block_hash, core, h, head, mined, rehearsal, signed, vault
from tests.shell.fakes import (
    FakeLab,
    FakeResponder,
    FakeSubmit,
    MemoryJournal,
    World,
    built,
    thief,
    turning,
)


def record(world: World) -> ActionRecord:
    return next(iter(world.core.state.actions.values()))


def failures(world: World) -> list[tuple[str, str]]:
    return [(event.stage, event.why) for event in world.journal.events(ActionFailed)]


def asked_about_incidents(world: World) -> list[str]:
    return [incident for incident, _ in world.lab.asked if incident != "prearm"]


async def test_the_kill_file_stops_right_before_the_signature() -> None:
    async with turning() as world:
        world.kill = "kill file /run/kill is there"
        await world.says(head(10), mined())
        assert world.stage() == "refused"
    assert "signed" not in world.log
    assert failures(world) == [("execution", "Refused: kill switch: kill file /run/kill is there")]


async def test_a_kill_file_that_comes_while_the_key_signs_keeps_the_bytes_inside() -> None:
    class Slow(FakeSubmit):
        async def sign(self, *args: Any) -> Any:
            made = await super().sign(*args)
            world.kill = "kill file is there"
            return made

    async with turning(submit=Slow()) as world:
        await world.says(head(10), mined())
        assert world.stage() == "refused"
    assert "signed" in world.log
    assert "sent" not in world.log
    assert not world.journal.events(ResponseSigned)


async def test_disarmed_between_clearance_and_signature_nothing_is_signed() -> None:
    class Disarming(FakeLab):
        async def probe(self, plan: Plan) -> Any:
            await world.inbox.post(Disarmed(by="ops", reason="wrong"))
            return await super().probe(plan)

    older = FakeLab(finds=lambda plan: rehearsal(plan.action.id, block_hash=block_hash(9)))
    lab = Disarming(finds=older.finds)
    async with turning(lab=lab) as world:
        await world.says(head(10), mined())
        assert failures(world) == [("execution", "Refused: kill switch: disarmed")]
        await world.says(Armed(by="ops", reason="right after all"), head(11))
    assert "signed" not in world.log[: world.log.index("journalled Armed")]


async def test_disarmed_what_is_out_is_looked_for_and_neither_sent_again_nor_raised() -> None:
    async with turning() as world:
        await world.says(head(10), mined())
        await world.says(Disarmed(by="ops", reason="drill"))
        sends = world.log.count("sent")
        for number in range(11, 16):
            await world.says(head(number))
        assert world.log.count("looked") == 5
        assert (world.log.count("sent"), world.log.count("bumped")) == (sends, 0)
        world.submit.mined[h(7_001)] = 15
        await world.says(head(16))
        assert world.stage() == "included", "observation goes on"


async def test_a_response_that_no_block_shows_goes_out_again_and_then_at_a_higher_fee_on_its_nonce() -> None:
    async with turning() as world:
        await world.says(head(10), mined())
        await world.says(head(11))
        assert (world.log.count("sent"), world.log.count("bumped")) == (2, 0)
        await world.says(head(12))
        assert (world.log.count("sent"), world.log.count("bumped")) == (3, 1)
        first, raised = record(world).sent
        assert (raised.nonce, raised.replaces) == (first.nonce, first.hash)
        world.submit.mined[raised.hash] = 13
        await world.says(head(13))
        assert world.stage() == "included"


async def test_a_bid_that_is_spent_raises_nothing() -> None:
    async with turning(submit=FakeSubmit(bumps=False)) as world:
        for event in (head(10), mined(), head(11), head(12)):
            await world.says(event)
        assert world.log.count("bumped") == 1
        assert len(record(world).sent) == 1


async def test_what_is_below_on_the_key_is_raised_and_journalled_too() -> None:
    below = signed("elsewhere/pause", n=501)
    async with turning(submit=FakeSubmit(below=[below])) as world:
        await world.says(head(10), mined())
    order = [line for line in world.log if line in ("journalled ResponseSigned", "sent")]
    assert order == ["journalled ResponseSigned", "sent"] * 2
    assert world.journal.events(ResponseSigned)[1] == below


async def test_nobody_who_takes_it_leaves_it_signed_and_the_next_head_sends_it_again() -> None:
    submit = FakeSubmit(accepted=())
    async with turning(submit=submit) as world:
        await world.says(head(10), mined())
        assert world.stage() == "signed"
        submit.accepted = ("node-2",)
        await world.says(head(11))
        assert world.stage() == "sent"
    assert len(world.journal.events(ResponseSigned)) == 1


async def test_a_send_that_raises_is_no_failure_of_what_was_signed() -> None:
    submit = FakeSubmit(send_fails=Unreachable("no node answers"))
    async with turning(submit=submit) as world:
        await world.says(head(10), mined())
        assert world.stage() == "signed"
        submit.send_fails = None
        await world.says(head(11))
        assert world.stage() == "sent"
    assert len(world.journal.events(ResponseSigned)) == 1


async def test_a_clearance_for_what_was_not_rehearsed_here_fails() -> None:
    async with turning() as world:
        await world.says(head(10), mined())
        clearance = record(world).clearance
        assert clearance is not None
        world.respond._ready.clear()
        await world.respond.execute(clearance)
    assert "not rehearsed in this process" in failures(world)[-1][1]


async def test_a_clearance_that_expired_is_not_signed() -> None:
    async with turning() as world:
        await world.says(head(10), mined())
        clearance = record(world).clearance
        assert clearance is not None
        await world.says(head(clearance.expires_block + 1))
        before = world.log.count("signed")
        await world.respond.execute(clearance)
        assert world.log.count("signed") == before
    assert failures(world)[-1][1].startswith("Refused: expiry")


async def test_what_the_chain_would_refuse_now_is_not_signed() -> None:
    lab = FakeLab(finds=lambda plan: rehearsal(plan.action.id, block_hash=block_hash(9)), accepts=False)
    async with turning(lab=lab) as world:
        await world.says(head(10), mined())
    assert failures(world)[0] == ("execution", "Refused: authority: on block 11: not the pauser any more")
    assert "signed" not in world.log


async def test_a_reorg_that_drops_it_sends_the_same_bytes_again() -> None:
    async with turning() as world:
        await world.says(head(10), mined())
        world.submit.mined[h(7_001)] = 11
        await world.says(head(11))
        world.submit.mined.clear()
        await world.says(head(12))
        assert [e.why for e in world.journal.events(ResponseDropped)] == ["not on the canonical chain any more"]
        await world.says(head(13))
        world.submit.mined[h(7_001)] = 14
        await world.says(head(14))
        assert world.stage() == "included"
    assert world.log.count("signed") == 1
    assert {e.hash for e in world.journal.events(ResponseBroadcast)} == {h(7_001)}


class Blind(FakeSubmit):
    """Signs and sends, and cannot say what is in a block."""

    async def find(self, *args: Any) -> Any:
        raise Unreachable("no receipt from any node")


async def test_a_look_that_fails_is_told_and_the_bytes_go_out_again_all_the_same() -> None:
    async with turning(submit=Blind()) as world:
        for event in (head(10), mined(), head(11), head(12)):
            await world.says(event)
        assert world.stage() == "sent"
        assert (world.log.count("sent"), world.log.count("bumped")) == (3, 1)
    faults = [(f.where, f.what, f.on) for f in world.journal.events(Fault)]
    assert faults == [("respond", "no receipt from any node", record(world).action.id)] * 2


async def test_what_nobody_can_see_is_not_taken_for_dropped() -> None:
    async with turning() as world:
        await world.says(head(10))
        await world.says(mined())
        world.submit.mined[h(7_001)] = 11
        await world.says(head(11))
        world.respond._submit = Blind()
        await world.says(head(12))
        assert world.stage() == "included"
    assert not world.journal.events(ResponseDropped)
    assert world.journal.events(Fault)


async def test_an_unknown_action_is_neither_chased_nor_verified() -> None:
    async with turning() as world:
        await world.says(head(10), mined())
        clearance = record(world).clearance
        assert clearance is not None
        world.core.state.actions.clear()
        await world.respond.chase(clearance)
        await world.respond.verify(Check(clearance.action_id, 1))
    assert "looked" not in world.log


@pytest.mark.parametrize(("plans", "why"), [(0, "needs 0 plans"), (2, "needs 2 plans")])
async def test_an_action_that_does_not_come_to_one_plan_is_refused(plans: int, why: str) -> None:
    async with turning(responders=(FakeResponder(plans=plans),)) as world:
        await world.says(head(10), mined())
        assert world.stage() == "refused"
    (report,) = world.journal.events(CandidatesRehearsed)
    assert why in report.rehearsals[0].why
    assert not asked_about_incidents(world)


async def test_an_action_without_a_responder_is_refused() -> None:
    async with turning(responders=()) as world:
        await world.says(head(10), mined())
        assert record(world).reason.endswith("no responder is configured for Pause")


def journal_until(*events: Any) -> MemoryJournal:
    """What a process that was killed after these events left behind."""
    driver, journal = core(thief()), MemoryJournal()
    for event in events:
        driver.feed(event)
    journal.rows = [(stamped, encode(step)) for stamped, step in zip(driver.fed, driver.steps, strict=True)]
    return journal


def first_action() -> tuple[str, str]:
    driver = core(thief())
    (wanted,) = driver.feed(head(10), mined()).rehearse
    return wanted.incident, wanted.actions[0].id


def found_valid() -> CandidatesRehearsed:
    incident, action_id = first_action()
    return CandidatesRehearsed(incident=incident, rehearsals=(rehearsal(action_id),))


async def test_a_restart_asks_the_lab_again_about_what_was_being_rehearsed() -> None:
    async with turning(journal=journal_until(head(10), mined())) as world:
        await world.quiet()
        assert world.stage() == "sent"
    assert world.log.count("signed") == 1
    assert world.lab.asked[0][1] is not None, "with the attack"


async def test_a_restart_signs_what_was_cleared_and_not_signed() -> None:
    async with turning(journal=journal_until(head(10), mined(), found_valid())) as world:
        await world.quiet()
        assert world.stage() == "sent"
    assert (world.log.count("signed"), len(world.lab.asked)) == (1, 1)
    assert not world.journal.events(CandidatesRehearsed)[1:], "the core is not asked anew"


async def test_a_restart_with_a_lab_that_fails_goes_on_and_proposes_anew() -> None:
    lab = FakeLab(fails=Unreachable("no head was seen yet"))
    async with turning(journal=journal_until(head(10), mined(), found_valid()), lab=lab) as world:
        await world.quiet()
        assert world.stage() == "refused"
        lab.fails = None
        await world.says(head(11))
        assert world.stage() == "sent"
    assert [fault.what for fault in world.journal.events(Fault)] == ["Unreachable: no head was seen yet"]


@pytest.mark.parametrize("mined_meanwhile", [False, True])
async def test_a_restart_finds_or_sends_what_was_signed_and_signs_nothing(mined_meanwhile: bool) -> None:
    _, action_id = first_action()
    journal = journal_until(head(10), mined(), found_valid(), signed(action_id))
    submit = FakeSubmit(mined={h(77): 11} if mined_meanwhile else {})
    async with turning(journal=journal, submit=submit) as world:
        await world.quiet()
        assert world.stage() == ("included" if mined_meanwhile else "sent")
    assert "signed" not in world.log
    assert world.log.count("sent") == (0 if mined_meanwhile else 1)
    assert {e.hash for e in world.journal.events(ResponseBroadcast)} <= {h(77)}


async def test_a_restart_verifies_with_the_journalled_rehearsal() -> None:
    journal = MemoryJournal()
    async with turning(journal=journal) as before:
        await before.says(head(10), mined())
    submit = FakeSubmit(mined={h(7_001): 11})
    async with turning(journal=journal, submit=submit) as world:
        await world.says(head(12))
        assert world.stage() == "verified"
    assert "recalled" in world.log
    assert "signed" not in world.log


async def test_without_a_journalled_rehearsal_nothing_is_verified() -> None:
    async with turning() as world:
        await world.says(head(10), mined())
        world.submit.mined[h(7_001)] = 11
        await world.says(head(11))
        world.respond._ready.clear()
        record(world).rehearsal = None
        await world.says(head(12))
        assert world.stage() == "included"
    assert "no journalled rehearsal" in world.journal.events(Fault)[0].what


async def test_an_attack_of_an_incident_that_is_gone_is_none() -> None:
    world = await built()
    assert world.respond._attack(vault_pause()) is None


def vault_pause() -> Any:
    driver = core(thief())
    (wanted,) = driver.feed(head(10), mined()).rehearse
    return wanted.actions[0]


# pre-armed


def automatic() -> Any:
    return vault(autonomy=(Level.AUTOMATIC,) * 4)


async def test_with_a_proof_the_pre_armed_pause_is_out_before_the_lab_has_answered() -> None:
    class Waiting(FakeLab):
        async def rehearse(self, incident: str, plans: Any, attack: Any) -> Any:
            if incident != "prearm":
                await world.until(lambda: "sent" in world.log)
            return await super().rehearse(incident, plans, attack)

    def at_head(plan: Plan) -> Rehearsal:
        return rehearsal(plan.action.id, block_number=10, block_hash=block_hash(10))

    async with turning(lab=Waiting(finds=at_head), assets=(automatic(),)) as world:
        await world.says(head(10))
        assert world.respond.prearmed.ready == {"vault": True}
        await world.says(mined())
        assert world.stage() == "sent"
    reports = world.journal.events(CandidatesRehearsed)
    assert [r.rehearsals[0].why[:9] for r in reports] == ["pre-armed", ""], "the whole rehearsal is journalled after"
    assert world.log.count("signed") == 1


def valid_at_ten(plan: Plan) -> Rehearsal:
    return rehearsal(plan.action.id, block_number=10, block_hash=block_hash(10))


async def test_the_whole_rehearsal_begins_only_when_the_pre_armed_pause_is_out() -> None:
    async with turning(lab=FakeLab(finds=valid_at_ten), assets=(automatic(),)) as world:
        await world.says(head(10))
        await world.says(mined())
        (incident,) = asked_about_incidents(world)
    assert world.log.index("sent") < world.log.index(f"rehearsed {incident}")


async def test_a_pre_armed_pause_that_goes_nowhere_holds_the_whole_rehearsal_up_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("monitor.shell.respond.AHEAD_S", 0.01)
    async with turning(lab=FakeLab(finds=valid_at_ten), assets=(automatic(),)) as world:
        await world.says(head(10))
        world.respond.execute = lambda clearance: asyncio.sleep(0)  # type: ignore[method-assign]
        world.feed.say(mined())
        await world.until(lambda: asked_about_incidents(world))
    assert "signed" not in world.log


async def test_a_pre_armed_pause_of_an_older_head_is_not_used() -> None:
    def old(plan: Plan) -> Rehearsal:
        return rehearsal(plan.action.id, block_number=7, block_hash=block_hash(7))

    async with turning(lab=FakeLab(finds=old), assets=(automatic(),)) as world:
        await world.says(head(10))
        await world.says(mined())
        assert world.stage() == "sent"
    assert len(world.journal.events(CandidatesRehearsed)) == 1


async def test_a_pause_that_would_not_be_valid_is_not_ready() -> None:
    lab = FakeLab(finds=lambda plan: rehearsal(plan.action.id, valid="fails"))
    async with turning(lab=lab, assets=(automatic(),)) as world:
        await world.says(head(10))
        assert world.respond.prearmed.ready == {"vault": False}


async def test_an_asset_whose_pause_a_person_must_approve_is_not_kept_ready() -> None:
    asset = vault(autonomy=(Level.AUTOMATIC, Level.AUTOMATIC, Level.WITH_APPROVAL, Level.OBSERVE))
    async with turning(assets=(asset,)) as world:
        await world.says(head(10))
        assert world.respond.prearmed.ready == {}


async def test_a_lab_that_fails_at_a_head_is_a_fault_and_the_next_head_tries_again() -> None:
    lab = FakeLab(fails=Unreachable("node-1 does not answer"))
    async with turning(lab=lab, assets=(automatic(),)) as world:
        await world.says(head(10))
        assert [fault.on for fault in world.journal.events(Fault)] == ["prearm"]
        lab.fails = None
        await world.says(head(11))
        assert world.respond.prearmed.ready == {"vault": True}
