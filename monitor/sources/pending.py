"""Which pending transactions are looked at, in which order, and how many: pure bookkeeping, all of it bounded.

Everybody can fill a pool. What names something watched goes first, then code that could be an attack, then the rest; a
budget limits how many are simulated, part of it kept for the first kind; what does not fit is shed and counted.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import IntEnum
from typing import Final

from msgspec import Struct

from monitor.model.chain import Transaction
from monitor.model.units import SECOND, Address, Hash

MANY_GAS: Final = 300_000


class Suspicion(IntEnum):
    """The order in which pending transactions are simulated."""

    NAMES_WATCHED = 0
    HEAVY_CODE = 1
    OTHER_CODE = 2
    PLAIN = 3


def suspicion(tx: Transaction, *, names_watched: bool, known: bool) -> Suspicion:
    """How urgent one is. `known` is whether its target was seen often without harm."""
    if names_watched:
        return Suspicion.NAMES_WATCHED
    if tx.to is None or (tx.gas >= MANY_GAS and tx.data and not known):
        return Suspicion.HEAVY_CODE
    return Suspicion.OTHER_CODE if tx.data else Suspicion.PLAIN


class Waiting(Struct, frozen=True):
    """A pending transaction in the queue; `noticed_ns` is when a node first told it."""

    transaction: Transaction
    suspicion: Suspicion
    noticed_ns: int


class SeenHashes:
    """The last hashes told, by whichever node; notices repeat when a builder sends again."""

    def __init__(self, limit: int = 1 << 16) -> None:
        self._limit = limit
        self._seen: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, text: str) -> bool:
        return text in self._seen

    def add(self, text: str) -> bool:
        """Whether this hash is new."""
        if text in self._seen:
            self._seen.move_to_end(text)
            return False
        self._seen[text] = None
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return True


class Budget:
    """A token bucket: simulations a second, with a second's worth of burst, in two halves.

    Half is for what names something watched and half for the rest; either takes of the other's while that is more than
    half full. So a flood of one kind never starves the other, and a calm pool may use it all.
    """

    def __init__(self, per_second: float, now_ns: int) -> None:
        self._half = max(per_second / 2, 1.0)
        self._tokens = {True: self._half, False: self._half}
        self._at = now_ns

    def take(self, now_ns: int, *, urgent: bool) -> bool:
        """Whether one simulation may be made now."""
        added = max(now_ns - self._at, 0) * self._half / SECOND
        self._at = now_ns
        self._tokens = {kind: min(self._half, left + added) for kind, left in self._tokens.items()}
        for kind, floor in ((urgent, 0.0), (not urgent, self._half / 2)):
            if self._tokens[kind] - 1 >= floor:
                self._tokens[kind] -= 1
                return True
        return False

    def wait_s(self, *, urgent: bool) -> float:
        """Seconds until `take` can succeed."""
        return max(1 - self._tokens[urgent], 0.0) / self._half


class PendingQueue:
    """Waiting transactions by suspicion. Full, it sheds the oldest of the least suspicious kind."""

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._lanes: dict[Suspicion, deque[Waiting]] = {kind: deque() for kind in Suspicion}
        self.shed = 0

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    @property
    def full(self) -> bool:
        return len(self) >= self._limit

    def put(self, waiting: Waiting) -> bool:
        """False where something was shed for it."""
        self._lanes[waiting.suspicion].append(waiting)
        if len(self) <= self._limit:
            return True
        lane = next(self._lanes[kind] for kind in reversed(Suspicion) if self._lanes[kind])
        lane.popleft()
        self.shed += 1
        return False

    def take(self, most: int) -> list[Waiting]:
        """Up to so many, the most suspicious first, oldest first."""
        found: list[Waiting] = []
        for lane in self._lanes.values():
            while lane and len(found) < most:
                found.append(lane.popleft())
        return found

    def peek(self) -> Suspicion | None:
        """The kind of what `take` gives first."""
        return next((kind for kind in Suspicion if self._lanes[kind]), None)


class SenderPool:
    """Pending transactions by sender and nonce: what must run before one, and what waits for one."""

    def __init__(self, limit: int = 8192) -> None:
        self._limit = limit
        self._places: OrderedDict[tuple[Address, int], Waiting] = OrderedDict()

    def put(self, waiting: Waiting) -> None:
        """Remember one; a later one with the same nonce replaces it."""
        tx = waiting.transaction
        self._places[tx.sender, tx.nonce] = waiting
        self._places.move_to_end((tx.sender, tx.nonce))
        if len(self._places) > self._limit:
            self._places.popitem(last=False)

    def before(self, tx: Transaction, next_nonce: int, *, most: int = 4) -> tuple[Transaction, ...] | None:
        """What the same sender must send first, in order; None where one of them is not known, or they are too many."""
        if not 0 <= tx.nonce - next_nonce <= most:
            return None
        found = [self._places.get((tx.sender, nonce)) for nonce in range(next_nonce, tx.nonce)]
        return tuple(each.transaction for each in found if each is not None) if None not in found else None

    def behind(self, tx: Transaction) -> Waiting | None:
        """The same sender's next one, if it came before this one."""
        return self._places.get((tx.sender, tx.nonce + 1))

    def current(self, tx: Transaction) -> bool:
        """Whether nothing replaced it."""
        known = self._places.get((tx.sender, tx.nonce))
        return known is None or known.transaction.hash == tx.hash


class Held:
    """Pending transactions whose effects touch something watched: simulated again at each head until they are gone."""

    def __init__(self, limit: int = 256, *, most_blocks: int = 50) -> None:
        self._limit = limit
        self._most_blocks = most_blocks
        self._held: OrderedDict[Hash, tuple[Waiting, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def put(self, waiting: Waiting, block: int) -> None:
        """Hold one; the oldest goes where there are too many."""
        first = self._held.get(waiting.transaction.hash, (waiting, block))[1]
        self._held[waiting.transaction.hash] = (waiting, first)
        if len(self._held) > self._limit:
            self._held.popitem(last=False)

    def drop(self, tx_hash: Hash) -> None:
        self._held.pop(tx_hash, None)

    def again(self, block: int, *, mined: frozenset[Hash], most: int = 64) -> tuple[Waiting, ...]:
        """What to simulate at this block, newest first; the mined and the stale are let go."""
        gone = [each for each, (_, first) in self._held.items() if each in mined or block - first > self._most_blocks]
        for each in gone:
            del self._held[each]
        return tuple(waiting for waiting, _ in reversed(self._held.values()))[:most]
