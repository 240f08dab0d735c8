"""The only reader of the clock. Everything else is given a Clock; tests give a manual one."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from monitor.model.units import Instant


@dataclass(frozen=True, slots=True)
class SystemClock:
    def now(self) -> Instant:
        return Instant(time.time_ns())

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class ManualClock:
    """A clock that tests move by hand."""

    instant: int = 1_700_000_000 * 1_000_000_000

    def now(self) -> Instant:
        return Instant(self.instant)

    def monotonic_ns(self) -> int:
        return self.instant

    def advance(self, seconds: float) -> None:
        self.instant += int(seconds * 1_000_000_000)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)
