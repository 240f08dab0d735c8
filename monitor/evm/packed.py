"""A packed table of addresses: a million in 50 MB, a look-up in half a microsecond whatever the size.

Open addressing over byte arrays. `homes` has a byte by slot with one of eight bits for each entry that belongs there,
so that a miss, the common case by far, reads one byte and compares nothing; `tags` has a byte of the hash of the entry
that lies there, 0 for none. The hash multiplies by an odd number from the seed (multiply-shift, a universal family), so
who does not know the seed cannot aim; an entry lies at most `MAX_PROBE` slots from its own, else the next number is
taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from monitor.evm.transactions import keccak
from monitor.model.errors import ConfigurationError
from monitor.model.units import Address

MAX_ENTRIES: Final = 4_000_000
MAX_PROBE: Final = 192
MAX_RESEEDS: Final = 8
_BITS: Final = 160
_FULLEST: Final = 0.6


class AddressTable:
    """Addresses, each with `width` bytes of the owner's own. Entries are never taken out: build a new table instead."""

    __slots__ = (
        "_count",
        "_entries",
        "_homes",
        "_key",
        "_mask",
        "_round",
        "_seed",
        "_shift",
        "_size",
        "_tags",
        "_width",
    )

    def __init__(self, *, width: int = 0, capacity: int = 0, seed: bytes = b"") -> None:
        self._width = 20 + width
        self._seed = seed
        self._round = 0
        self._count = 0
        self._reset(max(4, (int(capacity / _FULLEST)).bit_length()))

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        return len(self._homes) + len(self._tags) + len(self._entries)

    def find(self, number: int) -> int:
        """Where the entry of this address (as a big-endian number) starts; -1 where there is none."""
        mixed = number * self._key >> self._shift & self._mask
        slot = mixed >> 8
        if not self._homes[slot] >> (mixed >> 5 & 7) & 1 or number >> 160:
            return -1
        return self._search(slot, number.to_bytes(20, "big"), tag=mixed & 0xFF or 1)

    def holds_any(self, numbers: Iterable[int]) -> bool:
        """Whether one of these addresses (as big-endian numbers) has an entry: a third of what `find` costs each."""
        homes, key, shift, mask = self._homes, self._key, self._shift, self._mask
        for number in numbers:
            mixed = number * key >> shift & mask
            if homes[mixed >> 8] >> (mixed >> 5 & 7) & 1 and self.find(number) >= 0:
                return True
        return False

    def put(self, address: Address, payload: bytes = b"") -> None:
        """Add an address, or replace its payload."""
        if len(address) != 20 or len(payload) != self._width - 20:
            raise ValueError(f"an address and {self._width - 20} bytes expected, not {len(address)} and {len(payload)}")
        at = self.find(int.from_bytes(address, "big"))
        if at >= 0:
            self._entries[at + 20 : at + self._width] = payload
            return
        if self._count >= MAX_ENTRIES:
            raise ConfigurationError((f"addresses: more than {MAX_ENTRIES} in one table; split them",))
        bits = self._size.bit_length() - 1
        if self._count >= self._size * _FULLEST:
            self._rebuild(bits + 1)
        while not self._place(address + payload):
            self._round += 1
            self._rebuild(bits)
        self._count += 1

    def payload(self, at: int) -> bytes:
        """The owner's bytes of the entry at `at`, which `find` gave."""
        return bytes(self._entries[at + 20 : at + self._width])

    def entries(self) -> Iterator[bytes]:
        """Every address with its payload, in slot order."""
        return _entries(self._tags, self._entries, self._width)

    def _search(self, home: int, address: bytes, *, tag: int) -> int:
        for slot in range(home, home + MAX_PROBE):
            found = self._tags[slot]
            if not found:
                break
            at = slot * self._width
            if found == tag and self._entries[at : at + 20] == address:
                return at
        return -1

    def _place(self, entry: bytes) -> bool:
        mixed = int.from_bytes(entry[:20], "big") * self._key >> self._shift & self._mask
        home = mixed >> 8
        slot = self._tags.find(0, home, home + MAX_PROBE)
        if slot < 0:
            return False
        self._homes[home] |= 1 << (mixed >> 5 & 7)
        self._tags[slot] = mixed & 0xFF or 1
        self._entries[slot * self._width : (slot + 1) * self._width] = entry
        return True

    def _rebuild(self, bits: int) -> None:
        """Move all to 2**bits slots, under the first multiplier that places each near its own."""
        tags, entries = self._tags, self._entries
        while self._round <= MAX_RESEEDS:
            self._reset(bits)
            if all(self._place(entry) for entry in _entries(tags, entries, self._width)):
                return
            self._round += 1
        raise ConfigurationError((f"addresses: they collide under {MAX_RESEEDS} multipliers; set another seed",))

    def _reset(self, bits: int) -> None:
        self._size = 1 << bits
        self._mask = (self._size << 8) - 1
        self._shift = _BITS - bits - 8
        self._key = int.from_bytes(keccak(self._seed + bytes((self._round,)))[:20], "big") | 1
        self._homes = bytearray(self._size)
        self._tags = bytearray(self._size + MAX_PROBE)  # probes run past the end instead of round it
        self._entries = bytearray(len(self._tags) * self._width)


def _entries(tags: bytearray, entries: bytearray, width: int) -> Iterator[bytes]:
    for slot, tag in enumerate(tags):
        if tag:
            yield bytes(entries[slot * width : (slot + 1) * width])
