"""What a reorg goes back to: a snapshot from before each head, and every event since the oldest of them.

Bounded: so many heads of each chain, so that a fast chain does not push out a slow one's, and so many events in all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from monitor.model.events import AnyEvent, BlockOrphaned, HeadSeen, Stamped
from monitor.model.units import ChainId, Hash

RING = 64  # snapshots of each chain, one a head
MOST_REMEMBERED = 200_000  # events


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot taken right before a head was applied; rebuilt in a rewind, it lacks what is carried over after it."""

    chain_id: ChainId
    number: int
    seq: int
    data: bytes
    rebuilt: bool


class History:
    def __init__(self, *, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._kept: deque[Kept] = deque()
        self._events: deque[Stamped] = deque()

    def mark(self, head: HeadSeen, seq: int, data: bytes, *, rebuilt: bool = False) -> None:
        """Keep the state from before this head."""
        same = [kept for kept in self._kept if kept.chain_id == head.chain_id]
        if len(same) >= RING:
            self._kept.remove(same[0])
        self._kept.append(Kept(head.chain_id, head.header.number, seq, data, rebuilt))
        while self._events and self._events[0].seq < self._kept[0].seq:
            self._events.popleft()

    def note(self, stamped: Stamped) -> None:
        """Keep an event. A snapshot whose events are not all here any more is no way back."""
        self._events.append(stamped)
        if len(self._events) > self._most:
            self._events.popleft()
            while self._kept and self._kept[0].seq < self._events[0].seq:
                self._kept.popleft()

    def oldest(self) -> Kept | None:
        """The oldest snapshot that a restart may begin from."""
        return next((kept for kept in self._kept if not kept.rebuilt), None)

    def before(self, orphan: BlockOrphaned) -> tuple[bytes, list[Stamped]] | None:
        """The state from before a block, and what came since without what belongs to it; both are forgotten here.

        None where no snapshot is that old. What was simulated on the block stays: the fork gate asks the new head.
        """
        found = next(
            (k for k in reversed(self._kept) if k.chain_id == orphan.chain_id and k.number <= orphan.number), None
        )
        if found is None:
            return None
        while self._kept and self._kept[-1].seq >= found.seq:
            self._kept.pop()
        since: deque[Stamped] = deque()
        while self._events and self._events[-1].seq >= found.seq:
            since.appendleft(self._events.pop())
        return found.data, [stamped for stamped in since if not _of_block(stamped.event, orphan.hash)]


def _of_block(event: AnyEvent, block_hash: Hash) -> bool:
    if isinstance(event, HeadSeen):
        return event.header.hash == block_hash
    return getattr(event, "block_hash", None) == block_hash
