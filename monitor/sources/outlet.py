"""The way out of a source: a bounded queue between its workers and whoever reads its events.

Blocks wait when the queue is full; what may be shed is shed by its producer and counted there. A worker that fails
by a bug does not cancel the reader from behind: its failure is handed over in `stream`, after what it had said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType

from monitor.model.events import AnyEvent
from monitor.model.ports import Clock
from monitor.sources.faults import FaultTally

FLUSH_S = 1.0


class Outlet:
    """One run of one source. Make a new one for each call of `events()`."""

    def __init__(self, faults: FaultTally, clock: Clock, *, limit: int = 4096) -> None:
        self.faults = faults
        self._clock = clock
        self._queue: asyncio.Queue[AnyEvent | None] = asyncio.Queue(limit)
        self._failure: BaseException | None = None

    async def put(self, event: AnyEvent) -> None:
        """Hand over one event; waits while the reader is behind."""
        await self._queue.put(event)

    def room(self) -> bool:
        """Whether an event that may be shed should still be made."""
        return not self._queue.full()

    async def stream(self, work: Callable[[], Awaitable[None]]) -> AsyncGenerator[AnyEvent, None]:
        """Run `work` and yield what it puts, with its faults each second. Raises what `work` raised."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._guarded(work)), group.create_task(self._flush())]
            try:
                async for event in self._drain():
                    yield event
            except GeneratorExit:  # a task group would report it as an error of its own
                return
            finally:
                for task in tasks:
                    task.cancel()
        if self._failure is not None:
            raise self._failure

    async def _drain(self) -> AsyncGenerator[AnyEvent, None]:
        while self._failure is None or not self._queue.empty():
            event = await self._queue.get()
            if event is not None:
                yield event

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        with _Handover(self):
            await work()
            raise RuntimeError("a source's work ended; it must only be cancelled")

    async def _flush(self) -> None:
        while True:
            await self._clock.sleep(FLUSH_S)
            for fault in self.faults.due():
                await self.put(fault)

    def fail(self, failure: BaseException) -> None:
        """End the stream with this failure once the queue is read."""
        self._failure = failure
        if not self._queue.full():
            self._queue.put_nowait(None)


class _Handover:
    """Passes a worker's failure to the reader. Cancellation goes its usual way."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(failure, Exception):
            return False
        self._outlet.fail(failure)
        return True
