"""The fence around what may fail outside: a source starts again, a piece of work becomes a Fault; the rest goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from monitor.model.errors import JournalLost
from monitor.model.events import Fault
from monitor.model.ports import Clock, Source
from monitor.shell.inbox import Inbox

LONGEST_PAUSE_S = 30.0


async def supervise(source: Source, inbox: Inbox, clock: Clock) -> None:
    """Pump one source for ever; only cancelling ends it."""
    pause_s = 0.5
    while True:
        started = clock.monotonic_ns()
        what = await fenced(_pump(source, inbox)) or "ended by itself"
        if clock.monotonic_ns() - started > 60 * 1_000_000_000:
            pause_s = 0.5
        await inbox.put(Fault(where=f"source:{source.name}", what=what))
        await clock.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


async def fenced(work: Coroutine[Any, Any, None]) -> str:
    """Await the work; what it raised, as one line. A lost journal passes: nothing may go on without it."""
    try:
        await work
    except JournalLost:
        raise
    except Exception as error:  # noqa: BLE001 - the supervised boundary outside the core
        return _innermost(error)
    return ""


def _innermost(error: BaseException) -> str:
    """The first thing that went wrong inside a group, as one line. A lost journal in it passes on."""
    while isinstance(error, BaseExceptionGroup):
        lost = error.subgroup(JournalLost)
        if lost is not None:
            raise lost
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:500]


async def _pump(source: Source, inbox: Inbox) -> None:
    events = source.events()
    try:
        async for event in events:
            await inbox.put(event)
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()  # a cancelled source stops at once
