"""The newest head of one chain and what was mined lately, shared by this chain's sources. Holds no task, no socket."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from monitor.model.chain import Header
from monitor.model.units import Hash

KEPT: Final = 64  # blocks whose transactions a slow reader can still learn


class Latest:
    """Written by the block source; read by whoever simulates on the head."""

    def __init__(self) -> None:
        self._head: Header | None = None
        self._moved = asyncio.Event()
        self._mined: deque[tuple[int, frozenset[Hash]]] = deque(maxlen=KEPT)
        self._blocks = 0

    @property
    def head(self) -> Header | None:
        """The newest block that a quorum agrees on; its body may not be read yet."""
        return self._head

    def agree(self, head: Header) -> None:
        """Set the head and wake whoever waits for it."""
        self._head = head
        self._moved.set()
        self._moved = asyncio.Event()

    def mine(self, hashes: frozenset[Hash]) -> None:
        """Say which transactions a canonical block holds."""
        self._blocks += 1
        self._mined.append((self._blocks, hashes))

    def mined_since(self, mark: int) -> tuple[int, frozenset[Hash]]:
        """Transactions mined after `mark`, and the next mark. Start with mark 0."""
        found = [hashes for block, hashes in self._mined if block > mark]
        return self._blocks, frozenset().union(*found)

    async def moved(self, seen: Header | None) -> Header:
        """The head, once it is another than `seen`."""
        while self._head is None or self._head == seen:
            await self._moved.wait()
        return self._head
