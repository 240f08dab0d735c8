"""Telemetry health to operating mode: how much may be done without a person, given how well we see.

A component that is down asks for approval; one that is half well, or was below 1 in the last ten minutes, reduces the
scope to class 2 on a proof. A silent ledger lowers nothing here: it only makes its own detector silent.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from monitor.core.state import CoreState
from monitor.model.events import HealthSeen
from monitor.model.units import MINUTE

Mode = Literal["full", "reduced", "approval", "alert"]
RECOVERY = 10 * MINUTE
_BY_CHAIN = ("head", "nodes", "fork")
_BY_SIGNER = ("signer", "gas")
_LOWERING = (*_BY_CHAIN, *_BY_SIGNER, "clock", "journal")


def note_health(state: CoreState, seen: HealthSeen) -> None:
    state.health[seen.component] = seen
    if seen.level < 1.0:
        state.lowered_at[seen.component] = state.now


def mode(state: CoreState, chain: str, signers: Collection[str] = ()) -> tuple[Mode, str]:
    """The mode for actions on one chain by these signers, and which component sets it."""
    worst: tuple[Mode, str] = ("full", "")
    for component in sorted(state.health):
        kind, _, of = component.partition(":")
        if kind not in _LOWERING or (kind in _BY_CHAIN and of != chain) or (kind in _BY_SIGNER and of not in signers):
            continue
        worst = max(worst, _mode_of(state, component), key=lambda found: _ORDER[found[0]])
    return worst


_ORDER: dict[Mode, int] = {"full": 0, "reduced": 1, "approval": 2, "alert": 3}


def _mode_of(state: CoreState, component: str) -> tuple[Mode, str]:
    seen = state.health[component]
    if seen.level <= 0.0:
        return ("alert" if component == "journal" else "approval"), f"{component} is down: {seen.why}"
    if seen.level < 1.0:
        return "reduced", f"{component} is degraded: {seen.why}"
    if component in state.lowered_at and state.now - state.lowered_at[component] < RECOVERY:
        return "reduced", f"{component} recovered less than 10 min ago"
    return "full", ""
