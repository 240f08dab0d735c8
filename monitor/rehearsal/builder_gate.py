"""Keep clients off the node while a block is being made, so that none sees a trial or a private one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

_DRAIN_DEADLINE_S = 60.0


class Gate:
    """Let any number of requests through, or one maker alone."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._inside = 0

    async def wait_open(self) -> None:
        """Wait until requests may pass; returns at once nearly always."""
        while not self._open.is_set():
            await self._open.wait()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Count a request as under way; after ``wait_open``, with no await between."""
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if self._inside == 0:
                self._empty.set()

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Shut requests out and wait for those under way; only one maker at a time may do this."""
        self._open.clear()
        try:
            async with asyncio.timeout(_DRAIN_DEADLINE_S):
                await self._empty.wait()
            yield
        finally:
            self._open.set()
