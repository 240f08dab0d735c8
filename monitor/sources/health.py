"""How well we see: the table from measurements to 0, 0.5 or 1, and which changes of it are told.

    component        1                                   0.5                                0
    head:CHAIN       silent and behind ≤ max(2 blocks,   ≤ twice that                       beyond
                     3 s)
    nodes:CHAIN      a quorum agrees on the block        a quorum agrees, yet no majority   no quorum agrees
                     before the head                     of those left outvotes the rest
    ledger:NAME      watermark younger than its limit    ≤ twice that                       older, or none
    price:SYMBOL     answer younger than its limit       -                                  older, or none

Health only ever lowers authority; it never raises a score (decision.md, telemetry).
"""

from __future__ import annotations

from msgspec import Struct

from monitor.model.events import HealthSeen
from monitor.model.ports import Clock
from monitor.model.units import SECOND

REPEAT_NS = 30 * SECOND
LEAST_LAG_NS = 3 * SECOND
LAG_BLOCKS = 2


class Level(Struct, frozen=True):
    level: float
    why: str


class HealthTable:
    """Remembers each component's level; says HealthSeen when one changes, and all again every 30 s."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, tuple[Level, int]] = {}

    def report(self, component: str, level: Level) -> tuple[HealthSeen, ...]:
        """The event to emit for this measurement: none while the level stays and was told lately."""
        now = self._clock.monotonic_ns()
        told, at = self._told.get(component, (None, 0))
        if told is not None and told.level == level.level and now - at < REPEAT_NS:
            return ()
        self._told[component] = (level, now)
        return (HealthSeen(component=component, level=level.level, why=level.why),)


def lag_limit_ns(block_time_ms: int) -> int:
    """How long a head may take: max(2 blocks, 3 s); 0 for no limit where blocks are mined on demand (block time 0)."""
    return max(LAG_BLOCKS * block_time_ms * 1_000_000, LEAST_LAG_NS) if block_time_ms else 0


def head_level(*, silent_ns: int, behind: int, block_time_ms: int) -> Level:
    """Health of one chain's head by the time since it last moved, and the blocks that the nodes are ahead of it."""
    limit = lag_limit_ns(block_time_ms)
    if behind <= LAG_BLOCKS and (not limit or silent_ns <= limit):
        return Level(1.0, "head is fresh")
    why = f"{behind} blocks behind the nodes, {silent_ns / SECOND:.1f} s since the last head"
    if behind <= 2 * LAG_BLOCKS and (not limit or silent_ns <= 2 * limit):
        return Level(0.5, why)
    return Level(0.0, why)


def nodes_level(*, agreeing: int, dissenting: int, quorum: int, left_out: tuple[str, ...]) -> Level:
    """Health of one chain's nodes. Dissenting ones hold another valid block; left-out ones are not counted."""
    note = f"; left out: {', '.join(left_out)}" if left_out else ""
    if agreeing < quorum:
        return Level(0.0, f"{agreeing} of {quorum} nodes agree{note}")
    if dissenting >= agreeing:
        return Level(0.5, f"{agreeing} nodes agree, {dissenting} hold another block{note}")
    return Level(1.0, f"{agreeing} nodes agree{note}")


def age_level(age_ns: int | None, *, limit_ns: int, noun: str) -> Level:
    """Health of a feed by the age of its newest word."""
    if age_ns is None:
        return Level(0.0, f"no {noun} yet")
    if age_ns <= limit_ns:
        return Level(1.0, f"{noun} is {age_ns // SECOND} s old")
    return Level(
        0.5 if age_ns <= 2 * limit_ns else 0.0, f"{noun} is {age_ns // SECOND} s old, {limit_ns // SECOND} s allowed"
    )
