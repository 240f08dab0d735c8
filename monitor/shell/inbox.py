"""The inbox: one total order of events for a shard. Bounded, with a written policy for when it is full.

Answers and outcomes go first and are few. Blocks and logs wait: the source is held back. Pending transactions are shed,
and counted. Whoever posts an outcome may wait until it is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from monitor.model.events import (
    AnyEvent,
    BlockOrphaned,
    HeadSeen,
    LedgerComplete,
    LogSeen,
    PendingSimulated,
    PriceSeen,
    Stamped,
    StateRead,
    Tick,
    TransactionMined,
    TransactionPending,
    WithdrawalAuthorised,
)
from monitor.model.ports import Clock
from monitor.model.units import Instant

_ORDINARY = (
    HeadSeen,
    BlockOrphaned,
    TransactionMined,
    LogSeen,
    StateRead,
    Tick,
    PriceSeen,
    WithdrawalAuthorised,
    LedgerComplete,
)
_SHEDDABLE = (TransactionPending, PendingSimulated)


@dataclass(slots=True)
class Waiting:
    """An event in the queue, and who waits for it to be durable."""

    event: AnyEvent
    done: asyncio.Future[int] | None = None


class Inbox:
    """Queues in front of the one consumer. `seen_at` never goes back; a clock that does is counted."""

    def __init__(self, clock: Clock, *, size: int = 20_000, most_pending: int = 5_000) -> None:
        self._clock = clock
        self._size, self._most_pending = size, most_pending
        self._urgent: deque[Waiting] = deque()
        self._ordinary: deque[Waiting] = deque()
        self._pending: deque[Waiting] = deque()
        self._arrived, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self.seq, self._last_seen = 0, Instant(0)
        self.shed = 0
        self.backwards = 0

    def resume(self, *, seq: int, seen_at: Instant) -> None:
        """Go on after the last journalled event."""
        self.seq, self._last_seen = seq, seen_at

    async def put(self, event: AnyEvent) -> None:
        """From a source. Waits while there is no room; sheds the oldest pending transaction instead of waiting."""
        if isinstance(event, _SHEDDABLE):
            if len(self._pending) >= self._most_pending:
                self._pending.popleft()
                self.shed += 1
            self._pending.append(Waiting(event))
        elif isinstance(event, _ORDINARY):
            while len(self._ordinary) >= self._size:
                self._room.clear()
                await self._room.wait()
            self._ordinary.append(Waiting(event))
        else:
            self._urgent.append(Waiting(event))
        self._arrived.set()

    async def post(self, event: AnyEvent) -> int:
        """Ahead of the queue; returns the seq once the event is durable."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._urgent.append(Waiting(event, done))
        self._arrived.set()
        return await done

    async def take(self, most: int = 256) -> list[tuple[Stamped, Waiting]]:
        """The next events in order, at least one."""
        while not (self._urgent or self._ordinary or self._pending):
            self._arrived.clear()
            await self._arrived.wait()
        batch: list[tuple[Stamped, Waiting]] = []
        for queue in (self._urgent, self._ordinary, self._pending):
            while queue and len(batch) < most:
                waiting = queue.popleft()
                batch.append((self._stamp(waiting.event), waiting))
        if len(self._ordinary) < self._size // 2:
            self._room.set()
        return batch

    @property
    def idle(self) -> bool:
        return not (self._urgent or self._ordinary or self._pending)

    def _stamp(self, event: AnyEvent) -> Stamped:
        now = self._clock.now()
        if now < self._last_seen:
            self.backwards += 1
            now = self._last_seen
        self.seq, self._last_seen = self.seq + 1, now
        return Stamped(self.seq, now, event)
