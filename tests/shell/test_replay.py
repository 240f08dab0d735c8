"""Replay: the same code and policy give the same bytes; another policy shows where the decision differs."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.core.step import Core
from monitor.model.codec import encode
from monitor.model.events import CandidatesRehearsed, ConfigurationLoaded, Stamped
from monitor.model.policy import Policy
from monitor.model.units import NO_HASH
from monitor.shell.replay import replay, restored_before
from tests.core.builders import Driver, core, head, mined, rehearsal, signed
from tests.shell.fakes import MemoryJournal, thief
from tests.shell.test_restore import journal_of, storied

START = ConfigurationLoaded(settings=NO_HASH, policy=NO_HASH, code_version="1", mode="enforce")


async def differing(fresh: Core, journal: MemoryJournal, **options: int) -> list[int]:
    return [difference.stamped.seq async for difference in replay(fresh, journal, **options)]  # type: ignore[arg-type]


def strict() -> Policy:
    """A policy under which no pause is automatic."""
    shipped = Policy()
    classes = tuple(replace(rule, automatic=False) for rule in shipped.classes)
    return replace(shipped, classes=classes)


def decided() -> MemoryJournal:
    driver = core(thief())
    (wanted,) = driver.feed(head(10), mined()).rehearse
    found = rehearsal(wanted.actions[0].id)
    driver.feed(CandidatesRehearsed(incident=wanted.incident, rehearsals=(found,)), signed(found.action_id), head(11))
    return journal_of(driver)


async def test_a_journal_replays_to_the_same_bytes() -> None:
    driver, _ = storied()
    assert await differing(core(thief()).core, journal_of(driver)) == []


async def test_another_policy_shows_where_it_would_have_decided_otherwise() -> None:
    found = [d async for d in replay(core(thief(), policy=strict()).core, decided())]
    first = found[0]
    assert first.journalled.clear or first.journalled.rehearse
    assert not first.replayed.clear
    assert encode(first.replayed) != encode(first.journalled)


async def test_steps_before_the_first_wanted_are_run_and_not_compared() -> None:
    journal = decided()
    assert await differing(core(thief(), policy=strict()).core, journal, first=len(journal.rows) + 1) == []
    everything = await differing(core(thief(), policy=strict()).core, journal)
    assert await differing(core(thief(), policy=strict()).core, journal, last=everything[0]) == everything[:1]


async def test_each_start_goes_on_with_the_configuration_that_was_in_force() -> None:
    """A journal of two processes: the second ran under another policy."""
    first = core(thief())
    first.feed(START, head(10))
    second = core(thief(), policy=strict())
    second.core.restore(first.core.snapshot())
    goes_on = Driver(second.core, first.seq, first.seconds)
    goes_on.feed(START, mined(), head(11))
    first.fed, first.steps = first.fed + goes_on.fed, first.steps + goes_on.steps
    journal, policies = journal_of(first), [Policy(), strict()]

    async def reconfigured(before: Core, stamped: Stamped) -> Core:
        fresh = core(thief(), policy=policies.pop(0)).core
        await restored_before(fresh, journal, stamped.seq)
        return fresh

    assert [d async for d in replay(core(thief()).core, journal, reconfigured=reconfigured)] == []
    assert policies == []


async def test_a_restart_before_an_event_is_found_with_a_snapshot_or_without() -> None:
    driver, snapshots = storied()
    journal = journal_of(driver)
    plain, short = core(thief()).core, core(thief()).core
    await restored_before(plain, journal, driver.seq - 3)
    journal.snapshots = snapshots
    await restored_before(short, journal, driver.seq - 3)
    assert plain.snapshot() == short.snapshot()
    beginning = core(thief()).core
    await restored_before(beginning, MemoryJournal(), 1)
    assert beginning.snapshot() == core(thief()).core.snapshot()
