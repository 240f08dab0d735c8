"""Replay: the journal through a fresh core. Without another policy every step must come out byte for byte the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from monitor.core.step import Core
from monitor.model.codec import decode, encode
from monitor.model.events import Stamped
from monitor.model.incidents import Step
from monitor.model.ports import Journal


@dataclass(frozen=True, slots=True)
class Difference:
    """One event on which the decision differs."""

    stamped: Stamped
    journalled: Step
    replayed: Step


async def replay(core: Core, journal: Journal, *, first: int = 1, last: int | None = None) -> AsyncIterator[Difference]:
    """Run the events up to `last`, comparing from `first`. Steps before `first` are run, not compared."""
    async for stamped, recorded in journal.read(1, last):
        replayed = core.step(stamped)
        if stamped.seq >= first and encode(replayed) != recorded:
            yield Difference(stamped, decode(recorded, Step), replayed)
