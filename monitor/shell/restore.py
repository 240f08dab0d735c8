"""Where to go on after a restart: the newest snapshot, and every event that was journalled after it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from monitor.core.step import Core
from monitor.model.chain import Header
from monitor.model.events import AnyEvent, BlockOrphaned, HeadSeen, StateRead, TransactionMined
from monitor.model.ports import Journal
from monitor.model.units import Hash, Instant

KEPT_HEADERS = 64


@dataclass(slots=True)
class Restored:
    """Where the journal ends, and the canonical headers that it knows, oldest first."""

    seq: int
    seen_at: Instant
    headers: dict[int, deque[Header]] = field(default_factory=dict)
    told: dict[int, set[Hash]] = field(default_factory=dict)  # of the newest block, until its state, which comes last

    def note(self, event: AnyEvent) -> None:
        match event:
            case HeadSeen(chain_id=chain_id, header=header):
                self.headers.setdefault(chain_id, deque(maxlen=KEPT_HEADERS)).append(header)
                self.told[chain_id] = set()
            case TransactionMined(chain_id=chain_id) if self._newest(chain_id) == event.block_hash:
                self.told.get(chain_id, set()).add(event.transaction.hash)
            case StateRead(chain_id=chain_id) if self._newest(chain_id) == event.block_hash:
                self.told.pop(chain_id, None)
            case BlockOrphaned(chain_id=chain_id, number=number):
                self.told.pop(chain_id, None)
                known = self.headers.get(chain_id, deque())
                while known and known[-1].number >= number:
                    known.pop()
            case _:
                return

    def half_told(self, chain_id: int) -> tuple[Header, frozenset[Hash]] | None:
        """The newest block, where the process ended between its head and its state, and what was told of it."""
        known = self.headers.get(chain_id)
        return (known[-1], frozenset(self.told[chain_id])) if known and chain_id in self.told else None

    def whole(self, chain_id: int) -> tuple[Header, ...]:
        """Canonical headers whose blocks were told to their ends, oldest first."""
        known = tuple(self.headers.get(chain_id, ()))
        return known[:-1] if chain_id in self.told else known

    def _newest(self, chain_id: int) -> Hash | None:
        known = self.headers.get(chain_id)
        return known[-1].hash if known else None


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
