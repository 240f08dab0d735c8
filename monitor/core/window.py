"""Sliding windows and bounded memory, as plain values.

What a detector remembers is made of these: sums and counts by key over chain or seen time, and a map that forgets its
oldest keys. They read no clock (the caller says `at`), hold no sets and no bytes as keys, so that equal histories
encode to equal bytes, and none grows with the number of events: an attacker can fill them, but not our memory.

A window never counts less than what lies in its span; it may count up to one bucket (a `fineness`-th) more.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct, field

V = TypeVar("V")


class Recent(Struct, Generic[V]):
    """A map of at least the `limit` keys last written, at most twice as many.

    Two generations: a write goes to the young one; when that is full it becomes the old one, and the old one is
    forgotten. Every operation is O(1), and what is kept depends on the order of writes alone.
    """

    limit: int
    young: dict[str, V] = field(default_factory=dict)
    old: dict[str, V] = field(default_factory=dict)

    def get(self, key: str) -> V | None:
        """The value, else None. Reading keeps nothing alive."""
        found = self.young.get(key)
        return self.old.get(key) if found is None else found

    def put(self, key: str, value: V) -> None:
        self.old.pop(key, None)
        if key not in self.young and len(self.young) >= self.limit:
            self.old, self.young = self.young, {}
        self.young[key] = value

    def pop(self, key: str) -> V | None:
        """Forget a key; its value, else None."""
        found = self.young.pop(key, None)
        return self.old.pop(key, None) if found is None else found

    def items(self) -> list[tuple[str, V]]:
        """All pairs, by key: the order of writes is not kept across a snapshot."""
        return sorted([*self.old.items(), *self.young.items()], key=lambda pair: pair[0])

    def __contains__(self, key: str) -> bool:
        return key in self.young or key in self.old

    def __len__(self) -> int:
        return len(self.young) + len(self.old)


class Bucket(Struct, array_like=True):
    """What fell into one slice of time."""

    index: int  # at // width
    total: int = 0
    count: int = 0


class Window(Struct):
    """Sums and counts by key over the last `span` units of time, in whichever unit and clock `at` comes.

    Times of one key may come out of order: what is older than the span, seen from the newest, is left out.
    Amounts may be of any size. At most 2 · `limit` keys of `fineness` + 1 buckets each.
    """

    span: int
    fineness: int = 60
    limit: int = 1024
    series: Recent[list[Bucket]] = field(default_factory=lambda: Recent[list[Bucket]](1024))

    def __post_init__(self) -> None:
        self.series.limit = self.limit

    def add(self, key: str, at: int, amount: int = 0) -> int:
        """Count one event of `amount`; the sum in the window that ends at the newest time of this key."""
        index = at // self._width()
        buckets = self.series.get(key) or []
        newest = max(index, buckets[-1].index if buckets else index)
        kept = [bucket for bucket in buckets if bucket.index >= newest - self.fineness]
        if index >= newest - self.fineness:
            _into(kept, index, amount)
        self.series.put(key, kept)
        return sum(bucket.total for bucket in kept)

    def total(self, key: str, at: int) -> int:
        """The sum over the span that ends at `at`."""
        return sum(bucket.total for bucket in self._within(key, at))

    def count(self, key: str, at: int) -> int:
        """How many events lie in the span that ends at `at`."""
        return sum(bucket.count for bucket in self._within(key, at))

    def forget(self, key: str) -> None:
        self.series.pop(key)

    def _within(self, key: str, at: int) -> list[Bucket]:
        last = at // self._width()
        return [b for b in self.series.get(key) or [] if last - self.fineness <= b.index <= last]

    def _width(self) -> int:
        return max(1, -(-self.span // self.fineness))


def _into(buckets: list[Bucket], index: int, amount: int) -> None:
    """Add to the bucket of `index`, keeping the list in order of time."""
    place = len(buckets)
    while place and buckets[place - 1].index > index:
        place -= 1
    if place and buckets[place - 1].index == index:
        buckets[place - 1].total += amount
        buckets[place - 1].count += 1
        return
    buckets.insert(place, Bucket(index, amount, 1))
