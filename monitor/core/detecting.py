"""Detectors around one event: who watches it, what they say, and the fence around one that fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite

from monitor.core.context import CoreContext
from monitor.core.state import CoreState
from monitor.model.events import Request, Stamped
from monitor.model.ports import Detector
from monitor.model.signals import Signal

SUSPEND_AFTER = 3
SUSPEND_WITHIN = 100  # events
MOST_SIGNALS = 256  # of one detector for one event


@dataclass(slots=True)
class Found:
    signals: list[Signal] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def by_event(detectors: Sequence[Detector]) -> dict[str, tuple[Detector, ...]]:
    """Which detectors watch which event class, in catalogue order."""
    names = sorted({name for d in detectors for name in d.about.watches})
    return {name: tuple(d for d in detectors if name in d.about.watches) for name in names}


def inspect(watchers: Sequence[Detector], stamped: Stamped, context: CoreContext, state: CoreState) -> Found:
    """Ask each detector. One that raises is left out of this event; three times in a hundred events suspends it."""
    found = Found()
    for detector in watchers:
        if detector.about.id in state.suspended:
            continue
        try:
            said = _bounded(detector, stamped, context)
        except Exception as error:  # noqa: BLE001 - the first of the three supervised boundaries
            found.faults.append(_fault(state, detector.about.id, stamped.seq, error))
            continue
        for claim in said:
            if isinstance(claim, Request):
                found.requests.append(claim)
            else:
                found.signals.append(claim)
    return found


def _bounded(detector: Detector, stamped: Stamped, context: CoreContext) -> list[Signal | Request]:
    said: list[Signal | Request] = []
    for claim in detector.inspect(stamped, context):
        said.append(_checked(claim))
        if len(said) >= MOST_SIGNALS:
            break
    return said


def _checked(claim: Signal | Request) -> Signal | Request:
    """A claim that can be held and written down. A plugin's word is not trusted to be one."""
    if isinstance(claim, Request):
        return claim
    if not isinstance(claim, Signal):
        raise TypeError(f"a detector says Signals and Requests, not {type(claim).__name__}")
    if not isfinite(claim.weight):
        raise ValueError(f"a weight of {claim.weight} is no number")
    return claim


def _fault(state: CoreState, detector: str, seq: int, error: Exception) -> str:
    recent = [s for s in state.faults.get(detector, []) if seq - s < SUSPEND_WITHIN]
    state.faults[detector] = [*recent, seq]
    text = f"detector {detector} raised {type(error).__name__} on event {seq}"
    if len(state.faults[detector]) >= SUSPEND_AFTER and detector not in state.suspended:
        state.suspended.append(detector)
        text += f"; suspended after {SUSPEND_AFTER} faults in {SUSPEND_WITHIN} events"
    return text
