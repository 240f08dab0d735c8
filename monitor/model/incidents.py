"""Incidents, assessments and steps: what the core says after each event."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from monitor.model.actions import AnyAction, Attack, Check, Clearance, Refusal
from monitor.model.events import Request
from monitor.model.signals import Signal, Subject, Threat
from monitor.model.units import Instant, Usd


class Contribution(Struct, frozen=True):
    """One term of the sum: what one signal adds to the log-odds after caps, decay and discount."""

    detector: str
    group: int
    weight: float  # as the detector gave it
    counted: float  # as it entered the sum
    because: str


class Assessment(Struct, frozen=True):
    """Two numbers, never blended: how likely, and how sure of it."""

    subject: Subject
    threat: Threat
    prior: float
    logit: float
    p: float
    groups: int  # independent groups with positive evidence
    strong_groups: int
    proof: bool
    lower: float
    upper: float
    terms: tuple[Contribution, ...]


State = Literal["open", "responding", "contained", "waiting", "closed"]


class Incident(Struct, frozen=True):
    """One threat to one owner's assets, from first evidence to the last verification."""

    id: str  # shard:seq of the first signal's event
    threat: Threat
    subject: Subject
    assets: tuple[str, ...]
    opened_at: Instant
    state: State
    p: float
    proof: bool
    loss_seen_usd: Usd
    actions: tuple[str, ...]


class Candidates(Struct, frozen=True):
    """Rehearse these, lowest class first, against this attack: the lab answers with CandidatesRehearsed."""

    incident: str
    actions: tuple[AnyAction, ...]
    attack: Attack | None


class Step(Struct, frozen=True):
    """Everything that the core concluded from one event. The same event on the same state gives the same bytes."""

    seq: int
    signals: tuple[Signal, ...] = ()
    requests: tuple[Request, ...] = ()
    assessments: tuple[Assessment, ...] = ()
    incidents: tuple[Incident, ...] = ()  # opened or changed
    rehearse: tuple[Candidates, ...] = ()
    clear: tuple[Clearance, ...] = ()
    refuse: tuple[Refusal, ...] = ()
    verify: tuple[Check, ...] = ()
    chase: tuple[Clearance, ...] = ()  # sent and not seen in a block: look for it, send again, raise the fee
    notify: tuple[AnyAction, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def quiet(self) -> bool:
        """Whether nothing was concluded."""
        return self == Step(self.seq)
