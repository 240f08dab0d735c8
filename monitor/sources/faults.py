"""Counts of what went wrong, told at most once a second per kind.

A hostile node can send a thousand broken messages a second; the journal must not grow by one line for each,
and none may go uncounted. `what` is always a phrase of ours, never text from outside: kinds are bounded.
"""

from __future__ import annotations

from msgspec import Struct

from monitor.model.events import Fault
from monitor.model.ports import Clock
from monitor.model.units import SECOND

MAX_KINDS = 256
DETAIL_CHARS = 160


class _Kind(Struct):
    total: int = 0
    unsent: int = 0
    last_sent: int = -SECOND
    detail: str = ""


class FaultTally:
    """Counts faults of one source and says which are due to be told."""

    def __init__(self, where: str, clock: Clock) -> None:
        self.where = where
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def note(self, what: str, *, on: str = "", detail: str = "", count: int = 1) -> None:
        """Count one fault of the kind (`what`, `on`); `detail` may quote the outside and is cut."""
        kind = self._kind(what, on)
        kind.total += count
        kind.unsent += count
        kind.detail = _one_line(detail)

    def total(self, what: str) -> int:
        """How many of this kind there ever were, on anything."""
        return sum(kind.total for (name, _), kind in self._kinds.items() if name == what)

    def totals(self) -> dict[str, int]:
        """All counts by kind, for metrics."""
        return {what: self.total(what) for what in sorted({name for name, _ in self._kinds})}

    def due(self, *, everything: bool = False) -> tuple[Fault, ...]:
        """Faults to tell now: kinds with news that were silent for a second, or all with news."""
        now = self._clock.monotonic_ns()
        ready = [
            (name, kind)
            for name, kind in self._kinds.items()
            if kind.unsent and (everything or now - kind.last_sent >= SECOND)
        ]
        return tuple(self._tell(name, kind, now) for name, kind in ready)

    def _tell(self, name: tuple[str, str], kind: _Kind, now: int) -> Fault:
        what, on = name
        count, kind.unsent, kind.last_sent = kind.unsent, 0, now
        text = f"{what}: {kind.detail}" if kind.detail else what
        return Fault(where=self.where, what=text, on=on, count=count)

    def _kind(self, what: str, on: str) -> _Kind:
        known = self._kinds.get((what, on))
        if known is not None:
            return known
        name = (what, on) if len(self._kinds) < MAX_KINDS else ("other", "")
        return self._kinds.setdefault(name, _Kind())


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text[:DETAIL_CHARS])
