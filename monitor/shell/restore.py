"""Where to go on after a restart: the newest snapshot, and every event that was journalled after it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from monitor.core.step import Core
from monitor.model.chain import Header
from monitor.model.events import AnyEvent, BlockOrphaned, HeadSeen
from monitor.model.ports import Journal
from monitor.model.units import Instant

KEPT_HEADERS = 64


@dataclass(slots=True)
class Restored:
    """Where the journal ends, and the canonical headers that it knows, oldest first."""

    seq: int
    seen_at: Instant
    headers: dict[int, deque[Header]] = field(default_factory=dict)

    def note(self, event: AnyEvent) -> None:
        if isinstance(event, HeadSeen):
            self.headers.setdefault(event.chain_id, deque(maxlen=KEPT_HEADERS)).append(event.header)
        elif isinstance(event, BlockOrphaned):
            known = self.headers.get(event.chain_id, deque())
            while known and known[-1].number >= event.number:
                known.pop()


async def restore(core: Core, journal: Journal) -> Restored:
    """Bring the core to where the journal ends: newest snapshot, then every event after it."""
    restored = Restored(*await journal.last())
    kept = await journal.latest_snapshot(restored.seq)
    first = 1
    if kept is not None:
        core.restore(kept[1])
        first = kept[0] + 1
    if first <= restored.seq:
        async for stamped, _ in journal.read(first, restored.seq):
            core.step(stamped)
            restored.note(stamped.event)
    return restored
