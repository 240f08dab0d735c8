"""RLP whose decoding a hostile sender cannot make slow: canonical only, bounded in bytes, items and depth.

Our own, because the rlp package recurses as deep as its input says and takes a second for a megabyte of empty lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from monitor.model.errors import Undecodable

MAX_BYTES: Final = 2 << 20  # a blob transaction with its sidecar
MAX_ITEMS: Final = 8192
MAX_DEPTH: Final = 5  # envelope, body, access list, entry, storage keys

Item = bytes | list["Item"]
Encodable = bytes | int | Sequence["Encodable"]


def decode(data: bytes) -> Item:
    """The one item that these bytes hold. Raises Undecodable."""
    if len(data) > MAX_BYTES:
        raise Undecodable(f"RLP of {len(data)} bytes; at most {MAX_BYTES}")
    kind, start, end = _span(data, 0, len(data))
    if end != len(data):
        raise Undecodable(f"RLP with {len(data) - end} bytes left over")
    if kind is bytes:
        return data[start:end]
    root: list[Item] = []
    _fill(data, root, start=start, end=end)
    return root


def encode(item: Encodable) -> bytes:
    """Canonical RLP of bytes, non-negative integers and sequences of them."""
    if isinstance(item, int):
        return encode(item.to_bytes((item.bit_length() + 7) // 8, "big"))
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _prefix(len(item), 0x80) + item
    body = b"".join(encode(inner) for inner in item)
    return _prefix(len(body), 0xC0) + body


def integer(item: Item, bits: int = 256) -> int:
    """A canonical integer of at most `bits` bits. Raises Undecodable."""
    if isinstance(item, list) or item[:1] == b"\x00" or len(item) * 8 > bits:
        raise Undecodable(f"RLP integer of at most {bits} bits expected, not {_shown(item)}")
    return int.from_bytes(item, "big")


def octets(item: Item) -> bytes:
    """Raises Undecodable where a list stands."""
    if isinstance(item, list):
        raise Undecodable("RLP bytes expected, not a list")
    return item


def items(item: Item, count: int | None = None) -> list[Item]:
    """The members of a list, exactly `count` of them if given. Raises Undecodable."""
    if isinstance(item, bytes) or (count is not None and len(item) != count):
        raise Undecodable(f"RLP list of {'any' if count is None else count} items expected, not {_shown(item)}")
    return item


def _fill(data: bytes, root: list[Item], *, start: int, end: int) -> None:
    """Depth first without recursion: each open list waits with its own end."""
    open_lists = [(root, end)]
    position, left = start, MAX_ITEMS
    while open_lists:
        target, target_end = open_lists[-1]
        if position == target_end:
            open_lists.pop()
            continue
        left -= 1
        if left < 0 or len(open_lists) > MAX_DEPTH:
            raise Undecodable(f"RLP with more than {MAX_ITEMS} items or {MAX_DEPTH} levels")
        kind, start, end = _span(data, position, target_end)
        if kind is bytes:
            target.append(data[start:end])
            position = end
        else:
            inner: list[Item] = []
            target.append(inner)
            open_lists.append((inner, end))
            position = start


def _span(data: bytes, at: int, limit: int) -> tuple[type, int, int]:
    """Kind of the item at `at`, and where its content starts and ends."""
    if at >= limit:
        raise Undecodable("RLP ends in mid-item")
    first = data[at]
    if first < 0x80:
        return bytes, at, at + 1
    kind, base = (bytes, 0x80) if first < 0xC0 else (list, 0xC0)
    start, size = at + 1, first - base
    if size > 55:
        start, size = at + 1 + size - 55, _long_size(data[at + 1 : at + 1 + size - 55])
    if start + size > limit:
        raise Undecodable("RLP ends in mid-item")
    if kind is bytes and first == 0x81 and data[start] < 0x80:
        raise Undecodable("RLP not canonical: one small byte with a prefix")
    return kind, start, start + size


def _prefix(size: int, base: int) -> bytes:
    if size <= 55:
        return bytes((base + size,))
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((base + 55 + len(length),)) + length


def _long_size(prefix: bytes) -> int:
    size = int.from_bytes(prefix, "big")
    if not prefix or prefix[0] == 0 or size <= 55:
        raise Undecodable("RLP not canonical: length written too long")
    return size


def _shown(item: Item) -> str:
    return f"a list of {len(item)}" if isinstance(item, list) else f"{len(item)} bytes"
