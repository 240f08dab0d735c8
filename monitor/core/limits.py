"""Rates, cooldowns, hysteresis and the outage budget: what keeps a right decision from being taken too often.

Rates count incidents, not calls: what one open incident does again is never cooled down. All state is a value.
"""

from __future__ import annotations

from msgspec import Struct, field

from monitor.model.policy import ClassRule, Policy
from monitor.model.units import SECOND, Instant

DAY_S = 86_400


class Act(Struct, frozen=True):
    """One action that was cleared: what for, on what, when, and what outage it may cost."""

    action_id: str
    incident: str
    kind: str
    asset: str
    action_class: int
    at: Instant
    outage_s: int
    free: bool  # under a proof: costs no outage budget


class Acts(Struct):
    """The memory of what was done, newest last, at most 4,096. Survives a reorg: what was sent was sent."""

    entries: list[Act] = field(default_factory=list)

    def add(self, act: Act) -> None:
        self.entries.append(act)
        del self.entries[:-4096]

    def of(self, asset: str) -> list[Act]:
        return [act for act in self.entries if act.asset == asset]


def cooldown_s(n: int, rule: ClassRule) -> int:
    """Seconds after the (n+1)-th act of a row: min(300·2ⁿ, 21600) as shipped."""
    return min(rule.cooldown_s << min(n, 40), rule.cooldown_max_s)


def schmitt(was_on: bool, p: float, *, on: float, off: float) -> bool:
    """Hysteresis: on at the floor, off only at half."""
    return p >= off if was_on else p >= on


def limited(
    acts: Acts, *, asset: str, kind: str, incident: str, rule: ClassRule, action_class: int, now: Instant
) -> str:
    """Why this act would come too soon or too often; empty where it may go."""
    earlier = [a for a in acts.of(asset) if a.incident != incident and a.action_class == action_class]
    recent = {a.incident for a in earlier if now - a.at < rule.rate_window_s * SECOND}
    if len(recent) >= rule.rate:
        return f"{len(recent)} incidents on {asset} within {rule.rate_window_s} s, {rule.rate} allowed"
    same = [a for a in earlier if a.kind == kind and now - a.at < DAY_S * SECOND]
    if not same:
        return ""
    wait_s = cooldown_s(len({a.incident for a in same}) - 1, rule)
    rest_s = wait_s - (now - same[-1].at) // SECOND
    return f"{kind} of {asset} cools down for {rest_s} s more" if rest_s > 0 else ""


def outage_spent_s(acts: Acts, *, asset: str, action_class: int, now: Instant) -> int:
    """Seconds of outage that unproven acts of this class cost in the last 30 days."""
    return sum(
        a.outage_s
        for a in acts.of(asset)
        if a.action_class == action_class and not a.free and now - a.at < 30 * DAY_S * SECOND
    )


def budget_left(acts: Acts, *, asset: str, action_class: int, policy: Policy, now: Instant) -> bool:
    allowed = policy.outage_budget_s[min(action_class, 3)]
    return allowed == 0 or outage_spent_s(acts, asset=asset, action_class=action_class, now=now) < allowed
