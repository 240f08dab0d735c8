"""One Tick a second, so that silence is an event that pure code can see."""

from __future__ import annotations

from collections.abc import AsyncIterator

from monitor.model.events import AnyEvent, Tick
from monitor.model.ports import Clock
from monitor.model.units import SECOND


class TickSource:
    """Ticks on whole periods since its start; a period that was missed is skipped, not made up for."""

    name = "ticks"

    def __init__(self, clock: Clock, *, period_s: float = 1.0) -> None:
        self._clock = clock
        self._period = int(period_s * SECOND)

    async def events(self) -> AsyncIterator[AnyEvent]:
        due = self._clock.monotonic_ns()
        while True:
            late = max(0, self._clock.monotonic_ns() - due)
            due += self._period * (1 + late // self._period)
            await self._clock.sleep(max(0.0, (due - self._clock.monotonic_ns()) / SECOND))
            yield Tick()
