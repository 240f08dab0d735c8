"""What a running monitor shows and takes while it runs: for the HTTP server, which knows nothing of the core.

Reads the core's state and the journal; whatever changes something goes through the inbox like any other event.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final, NamedTuple

from monitor.core.incidents import shown
from monitor.core.state import CoreState
from monitor.model.errors import Unreachable
from monitor.model.events import ActionApproved, ActionRejected, Armed, Disarmed, Stamped
from monitor.model.incidents import Incident, Step
from monitor.model.units import MINUTE, SECOND
from monitor.shell.commands import cannot_decide
from monitor.shell.run import Loop
from monitor.shell.story import Story, concluded, told

TURNS_WITHIN_S: Final = 10  # a Tick comes every second
HEAD_SLOTS: Final = 3  # heads older than this many slots are stale
MOST_READ: Final = 200_000  # events of one story over HTTP
POLL_S: Final = 0.25
TAKEN_WITHIN_S: Final = 5.0


class Figure(NamedTuple):
    """One metric with its samples; labels are name and value pairs."""

    name: str
    help: str
    counter: bool
    samples: tuple[tuple[tuple[tuple[str, str], ...], float], ...]


class Overview:
    """The view of one loop."""

    def __init__(self, loop: Loop, *, version: str, mode: str, slots: dict[int, tuple[str, int]]) -> None:
        """`slots` gives name and slot length in seconds by chain id."""
        self._loop, self._version, self._mode, self._slots = loop, version, mode, slots
        self._reading = asyncio.Semaphore(2)

    @property
    def _state(self) -> CoreState:
        return self._loop.core.state

    def turns(self) -> bool:
        """Whether the loop decided something in the last seconds."""
        age = self._loop.clock.now() - self._state.now
        return self._loop.turning.is_set() and age < TURNS_WITHIN_S * SECOND

    def unready(self) -> tuple[str, ...]:
        """What is not fresh; empty when every source is."""
        return tuple(self._stale())

    def incidents(self) -> tuple[Incident, ...]:
        """Those in memory, newest first."""
        return tuple(shown(self._state, record) for record in reversed(self._state.incidents.values()))

    def actions(self) -> tuple[dict[str, Any], ...]:
        """Actions that wait for a person."""
        waiting = ((id, record) for id, record in self._state.actions.items() if record.stage == "waiting")
        return tuple({"id": id, "action": r.action, "gate": r.gate, "reason": r.reason} for id, r in waiting)

    async def story(self, incident_id: str) -> Story | None:
        """One incident whole, from the journal; `cut` where it is longer than one answer may be."""
        digits = incident_id.rstrip("+")
        if not digits.isdecimal() or len(digits) > 18:
            return None
        async with self._reading:
            story = await told(self._loop.journal, incident_id, last=int(digits) + MOST_READ)
        if story is not None and story.until < self._state.seq:
            story.cut = story.cut or story.until >= int(digits) + MOST_READ
        return story

    async def approve(self, action_id: str, by: str) -> str:
        """Why not; empty once it is journalled."""
        why = cannot_decide(self._state, action_id)
        return why or await self._take(ActionApproved(action_id=action_id, by=by))

    async def reject(self, action_id: str, by: str, reason: str) -> str:
        """Why not; empty once it is journalled."""
        why = cannot_decide(self._state, action_id)
        return why or await self._take(ActionRejected(action_id=action_id, by=by, reason=reason))

    async def disarm(self, by: str, reason: str) -> str:
        return await self._take(Disarmed(by=by, reason=reason))

    async def arm(self, by: str, reason: str) -> str:
        return await self._take(Armed(by=by, reason=reason))

    async def steps(self, after: int | None) -> AsyncGenerator[tuple[Stamped, Step] | None]:
        """Steps that conclude something, behind event `after` or from now on; None now and then, to show life.

        Read from the journal as the caller takes them: a slow one costs nothing here, and finds all of them later.
        """
        seq = self._state.seq if after is None else after
        while True:
            newest = (await self._loop.journal.last())[0]
            if newest > seq:
                async for stamped, step in concluded(self._loop.journal, seq + 1, min(newest, seq + 1_000)):
                    seq = stamped.seq
                    if not step.quiet:
                        yield stamped, step
            if newest <= seq:
                yield None
                await self._loop.clock.sleep(POLL_S)

    def figures(self) -> Iterator[Figure]:
        """What Prometheus scrapes."""
        state, inbox = self._state, self._loop.inbox
        yield _one("build", "Version and mode, as labels", 1, version=self._version, mode=self._mode)
        yield _one("events_total", "Events decided", state.seq, counter=True)
        yield _one("shed_total", "Pending transactions dropped because the inbox was full", inbox.shed, counter=True)
        yield _one("clock_backwards_total", "Times that the clock went back", inbox.backwards, counter=True)
        yield _one("armed", "1 unless the kill switch is on", int(state.armed))
        yield _one("responding", "Work under way on the response path", self._loop.busy)
        yield _one("decided_at_seconds", "Unix time of the last event", state.now / SECOND)
        yield _by("health", "0, 0.5 or 1 by component", "component", {c: h.level for c, h in state.health.items()})
        yield _by("incidents", "Incidents by state", "state", Counter(i.stage for i in state.incidents.values()))
        yield _by("actions", "Actions by stage", "stage", Counter(a.stage for a in state.actions.values()))
        yield _by("head_number", "Newest block by chain", "chain", self._heads("number"))
        yield _by("head_seconds", "Unix time of the newest block by chain", "chain", self._heads("timestamp"))
        authority = {name: float(seen.ok) for name, seen in state.authority.items()}
        yield _by("authority", "1 where a response would be accepted on chain", "response", authority)
        uses = {name: float(seen.uses_left) for name, seen in state.authority.items() if seen.uses_left >= 0}
        yield _by("uses_left", "Pauses left before people re-arm", "response", uses)

    def _heads(self, what: str) -> dict[str, float]:
        return {self._named(id): float(getattr(head.header, what)) for id, head in self._state.heads.items()}

    def _named(self, chain_id: int) -> str:
        return self._slots[chain_id][0] if chain_id in self._slots else str(chain_id)

    def _stale(self) -> Iterator[str]:
        state, now = self._state, self._loop.clock.now()
        if not self.turns():
            yield "the loop does not turn"
        for chain_id, (name, slot_s) in self._slots.items():
            head = state.heads.get(chain_id)
            if head is None:
                yield f"{name}: no block seen yet"
            elif now - head.header.timestamp * SECOND > max(HEAD_SLOTS * slot_s * SECOND, MINUTE // 4):
                yield f"{name}: block {head.header.number} is {(now // SECOND) - head.header.timestamp} s old"
        for component, seen in sorted(state.health.items()):
            if seen.level < 1:
                yield f"{component}: {seen.why}"

    async def _take(self, event: ActionApproved | ActionRejected | Disarmed | Armed) -> str:
        try:
            async with asyncio.timeout(TAKEN_WITHIN_S):
                await self._loop.inbox.post(event)
        except TimeoutError:
            raise Unreachable(f"the loop did not take it within {TAKEN_WITHIN_S:g} s; use the kill file") from None
        return ""


def _one(name: str, help: str, value: float, *, counter: bool = False, **labels: str) -> Figure:
    return Figure(f"drawbridge_{name}", help, counter, ((tuple(labels.items()), float(value)),))


def _by(name: str, help: str, label: str, values: dict[str, float] | Counter[Any]) -> Figure:
    samples = tuple((((label, str(key)),), float(value)) for key, value in sorted(values.items()))
    return Figure(f"drawbridge_{name}", help, False, samples)
