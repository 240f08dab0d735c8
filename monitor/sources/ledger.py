"""Rows of one feed of authorised withdrawals, as they come, and how far the feed is complete.

Rows go out before the watermark that covers them. A feed that cannot be read is a Fault and bad health, and is tried
again after a growing pause; nothing is assumed about what it did not say.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from monitor.model.errors import Unreachable
from monitor.model.events import AnyEvent, LedgerComplete
from monitor.model.ports import Clock, LedgerReader
from monitor.model.units import SECOND
from monitor.sources.faults import FaultTally
from monitor.sources.health import HealthTable, age_level
from monitor.sources.outlet import Outlet

BATCH: Final = 1000
LONGEST_PAUSE_S: Final = 30.0


class LedgerSource:
    """Implements model.ports.Source for one ledger."""

    def __init__(
        self, reader: LedgerReader, *, clock: Clock, poll_s: float = 1.0, max_age_s: int = 300, after: int = 0
    ) -> None:
        """`after`: the sequence up to which the journal holds the rows. `max_age_s`: how old a watermark may be."""
        self.name = f"ledger:{reader.name}"
        self._reader = reader
        self._clock = clock
        self._poll_s = poll_s
        self._max_age_ns = max_age_s * SECOND
        self._after = after
        self._complete: LedgerComplete | None = None
        self.faults = FaultTally(self.name, clock)
        self._health = HealthTable(clock)

    async def events(self) -> AsyncGenerator[AnyEvent, None]:
        """WithdrawalAuthorised and LedgerComplete, until cancelled."""
        outlet = Outlet(self.faults, self._clock)
        async for event in outlet.stream(lambda: self._run(outlet)):
            yield event

    async def _run(self, outlet: Outlet) -> None:
        pause_s = self._poll_s
        while True:
            try:
                await self._read(outlet)
                pause_s = self._poll_s
            except Unreachable as error:
                self.faults.note("ledger not readable", detail=str(error))
                pause_s = min(pause_s * 2, max(LONGEST_PAUSE_S, self._poll_s))
            await self._say_health(outlet)
            await self._clock.sleep(pause_s)

    async def _read(self, outlet: Outlet) -> None:
        """All rows that there are, then the watermark where it moved."""
        while rows := await self._reader.after(self._after, BATCH):
            for row in rows:
                await outlet.put(row)
                self._after = max(self._after, row.sequence)
        complete = await self._reader.watermark()
        if complete is not None and complete != self._complete and complete.sequence <= self._after:
            self._complete = complete
            await outlet.put(complete)

    async def _say_health(self, outlet: Outlet) -> None:
        age = None if self._complete is None else max(0, self._clock.now() - self._complete.at)
        level = age_level(age, limit_ns=self._max_age_ns, noun="watermark")
        for event in self._health.report(self.name, level):
            await outlet.put(event)
