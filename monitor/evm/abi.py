"""ABI words in and out. What comes from outside is decoded with bounds, because offsets let 32 kB cost seconds.

Our own reader: eth-abi follows every offset that it is shown. Bits above a type's width are dropped and not refused, as
contracts of the older coder do; an attack must not become invisible by them. What breaks a bound is Undecodable.
"""

from __future__ import annotations

from typing import Any, Final

from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError

from monitor.evm.shapes import Shape, function, shapes
from monitor.model.errors import ConfigurationError, Undecodable
from monitor.model.units import Address

MAX_INPUT: Final = 65_536  # bytes
MAX_ITEMS: Final = 1024
MAX_GROWTH: Final = 4  # decoded bytes for each byte of input


def selector(signature: str) -> bytes:
    """The first four bytes of a function's hash, from text such as 'pause(uint256)'."""
    return function(signature)[0]


def encode_call(signature: str, *args: Any) -> bytes:
    """Calldata of a call: selector and arguments. Addresses are raw bytes or text. Raises ConfigurationError."""
    prefix, types = function(signature)
    try:
        return prefix + encode(types, args)
    except (EncodingError, TypeError, ValueError) as error:
        raise ConfigurationError((f"{signature}: cannot be called with {args!r}: {error}",)) from error


def decode_bounded(types: tuple[str, ...], data: bytes) -> tuple[Any, ...]:
    """The values of these types: int, bool, bytes (addresses too), str, and tuples of them. Raises Undecodable."""
    if len(data) > MAX_INPUT:
        raise Undecodable(f"ABI data of {len(data)} bytes; at most {MAX_INPUT}")
    reader = _Reader(data)
    values = reader.members(shapes(types), 0)
    reader.refuse_overlaps()
    return values


def decode_call(signature: str, data: bytes) -> tuple[Any, ...]:
    """The arguments of calldata that starts with this function's selector. Raises Undecodable."""
    prefix, types = function(signature)
    if data[:4] != prefix:
        raise Undecodable(f"not a call of {signature}: it starts with 0x{data[:4].hex()}")
    return decode_bounded(types, data[4:])


def word(data: bytes, *, signed: bool = False) -> int:
    """The first word of what a view returned. Raises Undecodable where there is none."""
    if len(data) < 32:
        raise Undecodable(f"a word expected, not {len(data)} bytes")
    return int.from_bytes(data[:32], "big", signed=signed)


def address_word(data: bytes) -> Address:
    """The address in the first word. Raises Undecodable where there is none."""
    return Address(word(data).to_bytes(32, "big")[12:])


class _Reader:
    """Walks one input once. Each head and each tail claims its bytes; no byte may be claimed twice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._items = MAX_ITEMS
        self._budget = MAX_GROWTH * len(data)
        self._claims: list[tuple[int, int]] = []

    def members(self, members: tuple[Shape, ...], base: int) -> tuple[Any, ...]:
        """Heads in a row at `base`; offsets count from there."""
        self._claim(base, base + sum(shape.head for shape in members))
        self._spend(len(members), 0)
        values, at = [], base
        for shape in members:
            values.append(self._tail(shape, base + self._uint(at)) if shape.dynamic else self._static(shape, at))
            at += shape.head
        return tuple(values)

    def refuse_overlaps(self) -> None:
        self._claims.sort()
        for (_, end), (start, _) in zip(self._claims, self._claims[1:], strict=False):
            if start < end:
                raise Undecodable(f"ABI data read twice at byte {start}")

    def _tail(self, shape: Shape, at: int) -> Any:
        if shape.kind == "tuple":
            return self.members(shape.members, at)
        count = shape.size if shape.kind == "array" else -1
        if count < 0:
            count = self._uint(at)
            self._claim(at, at + 32)
            at += 32
        if shape.kind != "array":
            return self._text(shape, at, at + count)
        if count > self._items:
            raise Undecodable(f"ABI array of {count} members; at most {MAX_ITEMS} items in all")
        return self.members(shape.members * count, at)

    def _text(self, shape: Shape, start: int, end: int) -> bytes | str:
        self._claim(start, end)
        self._spend(0, end - start)
        raw = self._data[start:end]
        return _readable(raw) if shape.kind == "string" else raw

    def _static(self, shape: Shape, at: int) -> Any:
        """A value that stands in its head, whose bytes are claimed already."""
        if shape.kind not in ("array", "tuple"):
            self._spend(0, 32)
            return _scalar(shape, self._data[at : at + 32])
        members = shape.members * shape.size if shape.kind == "array" else shape.members
        self._spend(len(members), 0)
        values = []
        for member in members:
            values.append(self._static(member, at))
            at += member.head
        return tuple(values)

    def _uint(self, at: int) -> int:
        value = int.from_bytes(self._data[at : at + 32], "big")
        if at + 32 > len(self._data) or value > len(self._data):
            raise Undecodable(f"ABI offset or length of {value} at byte {at}, past the end of {len(self._data)} bytes")
        return value

    def _claim(self, start: int, end: int) -> None:
        if end > len(self._data):
            raise Undecodable(f"ABI data ends at byte {len(self._data)}, before {end}")
        if end > start:
            self._claims.append((start, end))

    def _spend(self, items: int, size: int) -> None:
        self._items -= items
        self._budget -= size
        if self._items < 0 or self._budget < 0:
            raise Undecodable(f"ABI data of more than {MAX_ITEMS} items or {MAX_GROWTH} times its own size")


def _readable(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # contracts do not look; replacing byte by byte would take milliseconds


def _scalar(shape: Shape, raw: bytes) -> Any:
    value = int.from_bytes(raw, "big")
    match shape.kind:
        case "address":
            return raw[12:]
        case "bool":
            return value != 0
        case "word":
            return raw[: shape.size]
        case "uint":
            return value & (1 << shape.size) - 1
        case _:
            low = value & (1 << shape.size) - 1
            return low - (1 << shape.size) if low >> (shape.size - 1) else low
