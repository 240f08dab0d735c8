"""Slot time: when a transaction arrived, in milliseconds since its slot began.

Real time and chain time are apart. A rehearsal runs as fast as it can; what it spends is measured
on the injected clock, and the latency that a real network would add is added to the account and
never slept. Nothing here reads a clock by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LatencyProfile:
    """What a network adds to a reaction, and until when in the slot a builder still takes bytes."""

    name: str
    slot_ms: int
    cutoff_ms: int
    notice_ms: int
    broadcast_ms: int
    public_mempool: bool

    @property
    def slot_s(self) -> int:
        """Return the chain time from one block to the next, in whole seconds."""
        return max(1, self.slot_ms // 1_000)

    @property
    def reaction_ms(self) -> int:
        """Return what is added to anything sent over RPC: the notice and the way back."""
        return self.notice_ms + self.broadcast_ms


L1: Final = LatencyProfile(
    name="l1",
    slot_ms=12_000,
    cutoff_ms=11_500,
    notice_ms=100,
    broadcast_ms=200,
    public_mempool=True,
)
BASE: Final = LatencyProfile(
    name="base",
    slot_ms=2_000,
    cutoff_ms=1_900,
    notice_ms=100,
    broadcast_ms=100,
    public_mempool=False,
)
LOOPBACK: Final = LatencyProfile(
    name="loopback",
    slot_ms=12_000,
    cutoff_ms=11_500,
    notice_ms=0,
    broadcast_ms=0,
    public_mempool=True,
)
PROFILES: Final = {profile.name: profile for profile in (L1, BASE, LOOPBACK)}


class Lane(StrEnum):
    """How a transaction came to the builder."""

    PUBLIC = "public"
    PRIVATE = "private"
    BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One transaction reaching the builder; ``eligible_slot`` is the first slot that may include it."""

    sequence: int
    hash: bytes
    sender: bytes
    lane: Lane
    slot: int
    slot_time_ms: float
    eligible_slot: int


class SlotClock:
    """Count slots, and the milliseconds since the present one began."""

    def __init__(self, profile: LatencyProfile, clock: Callable[[], int]) -> None:
        self.profile = profile
        self.slot = 0
        self._clock = clock
        self._began_ns = clock()
        self._sequence = 0

    @property
    def now_ms(self) -> float:
        """Return the slot time: real milliseconds since the slot began, plus what was skipped."""
        return (self._clock() - self._began_ns) / _NS_PER_MS

    def skip_to(self, slot_time_ms: float) -> None:
        """Move slot time forward without waiting; a time already past is left alone."""
        behind = slot_time_ms - self.now_ms
        if behind > 0:
            self._began_ns -= round(behind * _NS_PER_MS)

    def begin_next(self) -> None:
        """Start the next slot now."""
        self.slot += 1
        self._began_ns = self._clock()

    def stamp(self, tx_hash: bytes, sender: bytes, lane: Lane, *, delay_ms: float) -> Arrival:
        """Stamp an arrival ``delay_ms`` of injected latency from now."""
        at = self.now_ms + delay_ms
        self._sequence += 1
        return Arrival(
            sequence=self._sequence,
            hash=tx_hash,
            sender=sender,
            lane=lane,
            slot=self.slot,
            slot_time_ms=at,
            eligible_slot=self.slot + self._slots_missed(at),
        )

    def _slots_missed(self, at_ms: float) -> int:
        late = at_ms - self.profile.cutoff_ms
        return 0 if late <= 0 else 1 + int(late // self.profile.slot_ms)
