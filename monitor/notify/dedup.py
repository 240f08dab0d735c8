"""What people were told lately, so that a flood of notices does not bury the one that matters. Pure.

One window for each incident and severity. An equal title within it is told once; of different titles the first few get
through ("paused", then "the pause failed" must not be swallowed), the rest are counted, and the count is told with the
next one. A higher severity has a window of its own, so an escalation always gets through.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from monitor.model.actions import Notify
from monitor.model.units import SECOND, Instant

MAX_KEPT: Final = 1_024
BURST: Final = 3


@dataclass(slots=True)
class Window:
    opened_at: Instant
    told: dict[str, tuple[str, ...]] = field(default_factory=dict)  # channels by title
    held: int = 0


class Told:
    """The windows, oldest first; at most 1,024 of them."""

    def __init__(self, window_s: int) -> None:
        self._length = window_s * SECOND
        self._windows: OrderedDict[tuple[str, str], Window] = OrderedDict()

    def earlier(self, notice: Notify, now: Instant) -> tuple[str, ...] | None:
        """Who was told already, () where it is one too many; None where it must be told."""
        window = self._windows.get(_key(notice))
        if window is None or now - window.opened_at >= self._length:
            return None
        if notice.title in window.told:
            return window.told[notice.title]
        if len(window.told) < BURST:
            return None
        window.held += 1
        return ()

    def note(self, notice: Notify, now: Instant, channels: tuple[str, ...]) -> None:
        """It was told. Told to nobody is not told: the next try must get through."""
        if not channels:
            return
        key = _key(notice)
        window = self._windows.get(key)
        if window is None or now - window.opened_at >= self._length:
            window = self._windows[key] = Window(now)
        self._windows.move_to_end(key)
        window.told[notice.title] = channels
        while len(self._windows) > MAX_KEPT:
            self._windows.popitem(last=False)

    def held_back(self, notice: Notify) -> int:
        """How many were held back in the last window of this kind."""
        window = self._windows.get(_key(notice))
        return window.held if window else 0


def _key(notice: Notify) -> tuple[str, str]:
    return notice.incident, notice.severity
