"""Replay: the journal through a fresh core. Without another policy every step must come out byte for byte the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from monitor.core.step import Core
from monitor.model.codec import decode, encode
from monitor.model.events import ConfigurationLoaded, Stamped
from monitor.model.incidents import Step
from monitor.model.ports import Journal

Reconfigured = Callable[[Core, Stamped], Awaitable[Core]]


@dataclass(frozen=True, slots=True)
class Difference:
    """One event on which the decision differs."""

    stamped: Stamped
    journalled: Step
    replayed: Step


async def replay(
    core: Core,
    journal: Journal,
    *,
    first: int = 1,
    last: int | None = None,
    since: int = 1,
    reconfigured: Reconfigured | None = None,
) -> AsyncIterator[Difference]:
    """Run the events from `since` up to `last`, comparing from `first`. Steps before `first` are run, not compared.

    `core` is as it was before `since`. At each start of a process `reconfigured` says which core goes on from there.
    """
    async for stamped, recorded in journal.read(since, last):
        if reconfigured is not None and isinstance(stamped.event, ConfigurationLoaded):
            core = await reconfigured(core, stamped)
        replayed = core.step(stamped)
        if stamped.seq >= first and encode(replayed) != recorded:
            yield Difference(stamped, decode(recorded, Step), replayed)


async def restored_before(core: Core, journal: Journal, seq: int) -> None:
    """Bring a fresh core to where a restart right before event `seq` found it: newest snapshot, then what followed."""
    kept = await journal.latest_snapshot(seq - 1)
    first = 1
    if kept is not None:
        core.restore(kept[1])
        first = kept[0] + 1
    if first < seq:
        async for stamped, _ in journal.read(first, seq - 1):
            core.step(stamped)
