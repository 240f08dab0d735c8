"""`drawbridge replay`: the journal through the core again, with the configurations that were in force at the time.

Each process start is re-enacted as it was: from the newest snapshot, with the configuration that the journal recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from monitor.cli_differences import lines
from monitor.cli_show import Bar, console, say, table, warn, when
from monitor.clock import ManualClock
from monitor.core.step import Core
from monitor.model.errors import ConfigurationError, JournalLost
from monitor.model.events import ConfigurationLoaded, Stamped
from monitor.model.ports import Journal
from monitor.model.units import Hash
from monitor.settings import Settings, load
from monitor.shell.replay import Difference, replay, restored_before
from monitor.shell.story import told
from monitor.store.journal import SqlJournal
from monitor.version import CODE_VERSION
from monitor.wiring_core import core_of

SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Range:
    """What the command line wants compared. A time is RFC 3339 or a sequence number."""

    first: str | None
    last: str | None
    incident: str | None


def run(path: str, chosen: Range, *, other: str | None) -> int:
    """0 same, 1 different, 3 written by another code version."""
    settings = load(path, secrets=False)
    instead = load(other, secrets=False) if other is not None else None
    return asyncio.run(_replayed(settings, chosen, instead))


async def _replayed(settings: Settings, chosen: Range, instead: Settings | None) -> int:
    async with await SqlJournal.read_only(settings.store) as journal:
        scan = await _Scan.of(journal)
        first, last = await _bounds(journal, chosen, scan)
        starts = [start for start in scan.starts if start.seq <= last]
        since = max((start.seq for start in starts if start.seq <= first), default=1)
        foreign = _versions(start for start in starts if start.seq >= since) - {CODE_VERSION}
        if foreign and instead is None:
            warn(f"events {since} to {last} were written by code {', '.join(sorted(foreign))}; this is {CODE_VERSION}")
            warn("check that version out to replay them, or give --from an event after the upgrade")
            return 3
        with Bar("replaying", last) as bar:
            found = _Replay(settings, journal, instead, bar.at).differences(first, last, since)
            differences = [difference async for difference in found]
    _show(differences, (first, last), decisions_only=instead is not None)
    return 1 if differences else 0


@dataclass(slots=True)
class _Scan:
    """What one look over the events found: where processes started, and how far it goes."""

    starts: list[Stamped]
    last: int

    @classmethod
    async def of(cls, journal: Journal) -> _Scan:
        last, _ = await journal.last()
        if last == 0:
            raise JournalLost("this journal is empty: there is nothing to replay")
        starts: list[Stamped] = []
        with Bar("reading", last) as bar:
            async for stamped, _ in journal.read(1, last):
                bar.at(stamped.seq)
                if isinstance(stamped.event, ConfigurationLoaded):
                    starts.append(stamped)
        return cls(starts, last)


class _Replay:
    """Cores by recorded configuration, or one core by another configuration."""

    def __init__(
        self, settings: Settings, journal: SqlJournal, instead: Settings | None, progress: Callable[[int], None]
    ) -> None:
        self._settings, self._journal, self._instead, self._progress = settings, journal, instead, progress
        self._current: Hash | None = None

    async def differences(self, first: int, last: int, since: int) -> AsyncIterator[Difference]:
        """Every event on which the decision differs."""
        if self._instead is not None:
            core, since = core_of(self._instead, clock=ManualClock()), 1
        else:
            core = core_of(self._settings, clock=ManualClock())
        reconfigured = self._reconfigured if self._instead is None else self._unchanged
        run = replay(core, self._journal, first=first, last=last, since=since, reconfigured=reconfigured)
        async for difference in run:
            self._progress(difference.stamped.seq)
            yield difference

    async def _unchanged(self, core: Core, _: Stamped) -> Core:
        return core

    async def _reconfigured(self, core: Core, stamped: Stamped) -> Core:
        """The core of the configuration that this event loaded, as a restart found it."""
        event: Any = stamped.event
        if event.settings == self._current:
            return core
        self._current = event.settings
        settings = await self._recorded(event)
        fresh = core_of(settings, clock=ManualClock(stamped.seen_at))
        await restored_before(fresh, self._journal, stamped.seq)
        return fresh

    async def _recorded(self, event: ConfigurationLoaded) -> Settings:
        content = await self._journal.get_blob(event.settings)
        if content is not None:
            settings = self._settings.recorded(content)
            if settings.label_digests != self._settings.label_digests:
                warn("the label files are not those of the journal: differences may come from them")
            return settings
        if event.settings == self._settings.digest:
            return self._settings
        name = event.settings.hex()[:16]
        raise JournalLost(f"configuration {name} is not in this journal's blobs; give the file that it was as CONFIG")


async def _bounds(journal: SqlJournal, chosen: Range, scan: _Scan) -> tuple[int, int]:
    first, last = 1, scan.last
    if chosen.incident is not None:
        story = await told(journal, chosen.incident)
        if story is None or not story.moments:
            raise ConfigurationError((f"--incident {chosen.incident}: no such incident in this journal",))
        first, last = story.moments[0].seq, story.moments[-1].seq
    if chosen.first is not None:
        first = max(first, await _seq(journal, "--from", chosen.first, scan.last))
    if chosen.last is not None:
        last = min(last, await _seq(journal, "--to", chosen.last, scan.last))
    if first > last:
        raise ConfigurationError((f"--from {first} --to {last}: nothing lies between",))
    return first, last


async def _seq(journal: SqlJournal, option: str, text: str, last: int) -> int:
    """A sequence number, or that of the first event at or after an instant."""
    if text.isdecimal() and len(text) < 19:
        return max(1, min(int(text), last))
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigurationError((f"{option} {text!r}: must be a sequence number or RFC 3339 with a zone",))
    wanted = int(moment.timestamp() * 1_000_000) * 1_000
    low, high = 1, last
    while low < high:
        middle = (low + high) // 2
        if await _seen_at(journal, middle) < wanted:
            low = middle + 1
        else:
            high = middle
    return low


async def _seen_at(journal: SqlJournal, seq: int) -> int:
    async for stamped, _ in journal.read(seq, seq):
        return stamped.seen_at
    raise JournalLost(f"journal: row {seq} is missing; run `drawbridge audit verify`")


def _versions(starts: Iterable[Stamped]) -> set[str]:
    return {start.event.code_version for start in starts if isinstance(start.event, ConfigurationLoaded)}


def _show(differences: list[Difference], compared: tuple[int, int], *, decisions_only: bool) -> None:
    first, last = compared
    if not differences:
        say(f"same: the steps of events {first:,} to {last:,} came out byte for byte as journalled, by {CODE_VERSION}")
        return
    rows = [
        (str(difference.stamped.seq), when(difference.stamped.seen_at), type(difference.stamped.event).__name__, line)
        for difference in differences
        for line in lines(difference, decisions_only=decisions_only)
    ]
    if rows:
        console().print(table("", ("event", "at", "on", "journalled (-) and replayed (+)"), rows[:SHOWN]))
    if len(rows) > SHOWN:
        say(f"{len(rows) - SHOWN} lines more")
    start, count = differences[0].stamped.seq, last - first + 1
    say(f"DIFFERENT: {len(differences):,} of {count:,} steps, the first at event {start}")
