"""The fence: a source starts again, work that raises is one line, and a lost journal is never swallowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from monitor.clock import ManualClock
from monitor.model.errors import JournalLost, Unreachable
from monitor.model.events import AnyEvent, Fault, Tick
from monitor.shell.inbox import Inbox
from monitor.shell.supervise import LONGEST_PAUSE_S, fenced, supervise


class Flaky:
    """Says one event and then raises or ends, for the first `times`; then says a last one and waits."""

    name = "flaky"

    def __init__(self, *, times: int, error: Exception | None = None) -> None:
        self.starts, self._times, self._error = 0, times, error

    async def events(self) -> AsyncIterator[AnyEvent]:
        self.starts += 1
        yield Tick()
        if self.starts > self._times:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error


class Naps(ManualClock):
    """A clock that remembers how long was slept."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)


async def supervised(source: Flaky, clock: ManualClock) -> list[AnyEvent]:
    """What comes of a source until it stops failing."""
    box = Inbox(clock)
    found: list[AnyEvent] = []
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(supervise(source, box, clock))
        while sum(isinstance(event, Tick) for event in found) <= source._times:
            found += [stamped.event for stamped, _ in await box.take()]
        watching.cancel()
    return found


async def test_a_flaky_source_starts_again_and_each_failure_is_a_fault() -> None:
    source = Flaky(times=2, error=Unreachable("node-1 hung up"))
    found = await supervised(source, ManualClock())
    faults = [(event.where, event.what) for event in found if isinstance(event, Fault)]
    assert faults == [("source:flaky", "Unreachable: node-1 hung up")] * 2
    assert source.starts == 3


async def test_a_source_that_ends_by_itself_is_started_again_too() -> None:
    found = await supervised(Flaky(times=1), ManualClock())
    assert [event.what for event in found if isinstance(event, Fault)] == ["ended by itself"]


async def test_the_pause_between_starts_doubles_up_to_a_bound() -> None:
    clock = Naps()
    await supervised(Flaky(times=9, error=OSError("no")), clock)
    assert clock.slept[:3] == [0.5, 1.0, 2.0]
    assert max(clock.slept) == LONGEST_PAUSE_S


async def test_after_a_good_minute_the_pause_is_short_again() -> None:
    clock = Naps()

    class GoodForAMinute(Flaky):
        async def events(self) -> AsyncIterator[AnyEvent]:
            clock.advance(61)
            async for event in super().events():
                yield event

    await supervised(GoodForAMinute(times=4, error=OSError("no")), clock)
    assert clock.slept == [0.5] * 4


async def raising(error: BaseException) -> None:
    raise error


async def test_work_that_raises_is_one_line() -> None:
    assert await fenced(raising(ValueError("x" * 2_000))) == ("ValueError: " + "x" * 2_000)[:500]


async def test_of_a_group_the_first_thing_that_went_wrong_is_told() -> None:
    group = ExceptionGroup("several", [ExceptionGroup("inner", [Unreachable("node-2 is gone")]), ValueError("later")])
    assert await fenced(raising(group)) == "Unreachable: node-2 is gone"


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_lost_journal_passes_also_out_of_a_group(hidden: bool) -> None:
    lost: Exception = JournalLost("the disk is full")
    if hidden:
        lost = ExceptionGroup("several", [ValueError("first"), ExceptionGroup("inner", [lost])])
    with pytest.raises((JournalLost, ExceptionGroup)) as passed:
        await fenced(raising(lost))
    assert isinstance(passed.value, JournalLost) or passed.group_contains(JournalLost)


async def test_cancelling_passes() -> None:
    with pytest.raises(asyncio.CancelledError):
        await fenced(raising(asyncio.CancelledError()))
