"""What is still to be told about the canonical chain, in order. Pure.

Deciding which chain is canonical never waits for a body; telling does. A block that is orphaned before it was told is
simply never told, so readers see no orphan that they did not know.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from monitor.model.chain import Header
from monitor.sources.heads import Change


class Orphan(Struct, frozen=True):
    """Tell that this block is no longer canonical."""

    header: Header


class Block(Struct, frozen=True):
    """Read this block and tell it."""

    header: Header


Told = Orphan | Block


class Backlog:
    """Steps that wait to be told."""

    def __init__(self) -> None:
        self._steps: deque[Told] = deque()

    def __len__(self) -> int:
        return len(self._steps)

    def apply(self, change: Change) -> None:
        """Add a change of the canonical chain."""
        for header in change.orphaned:
            if self._steps and self._steps[-1] == Block(header):
                self._steps.pop()
            else:
                self._steps.append(Orphan(header))
        self._steps.extend(Block(header) for header in change.added)

    def next(self) -> Told | None:
        """The step to work on; it stays until `done`."""
        return self._steps[0] if self._steps else None

    def done(self, step: Told) -> bool:
        """Take a step that is about to be told. False where it was overtaken: tell nothing."""
        if self._steps and self._steps[0] is step:
            self._steps.popleft()
            return True
        return False
