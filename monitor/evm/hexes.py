"""Hexadecimal text of JSON-RPC to bytes and integers: strict, bounded, and always Undecodable when it is not that.

Python's own `int` and `bytes.fromhex` accept spaces, underscores and signs; a node that sends those is wrong, or worse.
"""

from __future__ import annotations

from binascii import unhexlify

from monitor.model.errors import Undecodable
from monitor.model.units import Address, Hash


def quantity(text: str, bits: int = 256) -> int:
    """A quantity of at most `bits` bits. Raises Undecodable."""
    digits = text[2:]
    if text[:2] != "0x" or len(digits) > 64 or not (digits.isalnum() and digits.isascii()):
        raise _bad("quantity", text)
    try:
        value = int(digits, 16)
    except ValueError:
        raise _bad("quantity", text) from None
    if value.bit_length() > bits:
        raise _bad(f"quantity of at most {bits} bits", text)
    return value


def optional(text: str | None, bits: int = 256) -> int:
    """A quantity, 0 where absent."""
    return quantity(text, bits) if text is not None else 0


def octets(text: str) -> bytes:
    """Bytes of any length. Raises Undecodable."""
    if text[:2] != "0x":
        raise _bad("data", text)
    try:
        return unhexlify(text[2:])
    except ValueError:
        raise _bad("data", text) from None


def address(text: str) -> Address:
    """20 bytes. Raises Undecodable."""
    if len(text) != 42:
        raise _bad("address", text)
    return Address(octets(text))


def hash32(text: str) -> Hash:
    """32 bytes. Raises Undecodable."""
    if len(text) != 66:
        raise _bad("hash", text)
    return Hash(octets(text))


def word(text: str) -> Hash:
    """At most 32 bytes, padded on the left: some nodes strip leading zeros from slots. Raises Undecodable."""
    return Hash(quantity(text).to_bytes(32, "big"))


def _bad(noun: str, text: str) -> Undecodable:
    return Undecodable(f"not a {noun}: {text[:80]!r}")
