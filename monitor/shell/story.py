"""The story of an incident as the journal tells it: evidence, judgement, decisions, rehearsals, outcomes, in order.

Built from events and steps alone, so that it reads the same while it happens and a year later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from msgspec import Struct, field

from monitor.model.actions import AnyAction
from monitor.model.codec import decode
from monitor.model.events import (
    ActionApproved,
    ActionFailed,
    ActionRejected,
    AnyEvent,
    Armed,
    CandidatesRehearsed,
    ConfigurationLoaded,
    Disarmed,
    Fault,
    NotificationSent,
    ResponseBroadcast,
    ResponseDropped,
    ResponseIncluded,
    ResponseSigned,
    ResponseVerified,
    Stamped,
)
from monitor.model.incidents import Incident, Step
from monitor.model.ports import Journal
from monitor.model.units import Hash, Instant

Progress = Callable[[int], None]

MOST_MOMENTS: Final = 5_000
LONGEST_SILENCE: Final = 1_000  # events after the one that names an incident; a reorg may tell it late
_OF_ACTIONS: Final = (
    ActionApproved,
    ActionRejected,
    ResponseSigned,
    ResponseBroadcast,
    ResponseIncluded,
    ResponseDropped,
    ResponseVerified,
    ActionFailed,
    NotificationSent,
)
_OF_ALL: Final = (Disarmed, Armed, ConfigurationLoaded)


class Moment(Struct, frozen=True):
    """One thing that was seen or concluded, at one event. `by` names the event, `shows` its transaction."""

    seq: int
    at: Instant
    kind: str  # signal, assessment, action, rehearsal, clearance, refusal, check, notice, outcome, person, fault
    value: Any  # the model's own value
    by: str = ""
    shows: Hash | None = None


class Story(Struct):
    """One incident whole. `incident` is as it was last told."""

    incident: Incident
    moments: list[Moment] = field(default_factory=list)
    actions: dict[str, AnyAction] = field(default_factory=dict)
    until: int = 0  # last event that was read
    cut: bool = False  # more happened than is kept here


class Teller:
    """Hears every entry of a journal in order, and keeps what belongs to one incident."""

    def __init__(self, incident_id: str) -> None:
        self._id = incident_id
        self._subjects: set[tuple[Any, str]] = set()
        self.story: Story | None = None

    def hear(self, stamped: Stamped, step: Step) -> None:
        """One entry."""
        told = next((i for i in step.incidents if i.id == self._id), None)
        if told is not None:
            self.story = self.story or Story(told)
            self.story.incident = told
        if self.story is None:
            return
        self.story.until = stamped.seq
        for kind, value in self._seen(stamped.event):
            self._add(stamped, kind, value)
        for kind, value in self._concluded(step, touched=told is not None):
            self._add(stamped, kind, value)

    def _add(self, stamped: Stamped, kind: str, value: Any) -> None:
        if self.story is None:
            return
        if len(self.story.moments) >= MOST_MOMENTS:
            self.story.cut = True
            return
        event = stamped.event
        shows = getattr(getattr(event, "transaction", None), "hash", None) or getattr(event, "hash", None)
        self.story.moments.append(Moment(stamped.seq, stamped.seen_at, kind, value, type(event).__name__, shows))

    def _seen(self, event: AnyEvent) -> Iterator[tuple[str, Any]]:
        known = self.story.actions if self.story else {}
        if isinstance(event, CandidatesRehearsed) and event.incident == self._id:
            yield from (("rehearsal", rehearsal) for rehearsal in event.rehearsals)
        elif isinstance(event, ActionApproved | ActionRejected) and event.action_id in known:
            yield "person", event
        elif isinstance(event, _OF_ACTIONS) and event.action_id in known:
            yield "outcome", event
        elif isinstance(event, _OF_ALL):
            yield "person", event
        elif isinstance(event, Fault) and event.on in known:
            yield "fault", event

    def _concluded(self, step: Step, *, touched: bool) -> Iterator[tuple[str, Any]]:
        story = self.story
        if story is None:
            return
        if touched:
            yield from self._evidence(step, story)
        for assessment in step.assessments:
            if (assessment.subject, assessment.threat) in self._subjects:
                yield "assessment", assessment
        for candidates in step.rehearse:
            for action in candidates.actions if candidates.incident == self._id else ():
                story.actions[action.id] = action
                yield "action", action
        of_actions = (("clearance", step.clear), ("refusal", step.refuse), ("check", step.verify))
        for kind, values in of_actions:
            yield from ((kind, value) for value in values if value.action_id in story.actions or self._owns(value))
        for notice in step.notify:
            if notice.incident == self._id:
                story.actions[notice.id] = notice
                yield "notice", notice

    def _evidence(self, step: Step, story: Story) -> Iterator[tuple[str, Any]]:
        for signal in step.signals:
            if signal.asset in story.incident.assets or signal.subject == story.incident.subject:
                self._subjects.add((signal.subject, signal.threat))
                yield "signal", signal

    def _owns(self, value: Any) -> bool:
        """An action that was refused before the lab was asked is known by its id alone."""
        return str(value.action_id).startswith(f"{self._id}/")


class Listed(Struct):
    """An incident in a list: as it was last told, when, and how likely it was at its worst."""

    incident: Incident
    seq: int
    at: Instant
    highest: float = 0.0
    proven: bool = False


async def told(
    journal: Journal, incident_id: str, *, last: int | None = None, progress: Progress = lambda _: None
) -> Story | None:
    """The story of one incident, from its first signal on; None where the journal knows none."""
    digits = incident_id.rstrip("+")
    if not digits.isdecimal() or len(digits) > 18:
        return None
    teller = Teller(incident_id)
    async for stamped, step in concluded(journal, int(digits), last):
        progress(stamped.seq)
        teller.hear(stamped, step)
        if teller.story is None and stamped.seq > int(digits) + LONGEST_SILENCE:
            return None
    return teller.story


async def listed(journal: Journal, *, progress: Progress = lambda _: None) -> list[Listed]:
    """Every incident of the journal, in the order in which they opened."""
    found: dict[str, Listed] = {}
    async for stamped, step in concluded(journal):
        progress(stamped.seq)
        for now in step.incidents:
            was = found.get(now.id) or Listed(now, 0, now.opened_at)
            highest, proven = max(was.highest, now.p), was.proven or now.proof
            found[now.id] = Listed(now, stamped.seq, stamped.seen_at, highest, proven)
    return list(found.values())


async def concluded(journal: Journal, first: int = 1, last: int | None = None) -> AsyncIterator[tuple[Stamped, Step]]:
    """Entries with their steps as values."""
    async for stamped, raw in journal.read(first, last):
        yield stamped, decode(raw, Step)
