"""Units: what an amount, an instant or an address is. Raw bytes and integers; shown to people only at the edge."""

from __future__ import annotations

from binascii import unhexlify
from typing import Final, NewType

Address = NewType("Address", bytes)  # 20 raw bytes; EIP-55 only where shown
Hash = NewType("Hash", bytes)  # 32 raw bytes
Wei = NewType("Wei", int)  # smallest unit of ether or of a token
Usd = NewType("Usd", int)  # micro-dollars
Instant = NewType("Instant", int)  # nanoseconds since the Unix epoch, UTC
Seconds = NewType("Seconds", int)
ChainId = NewType("ChainId", int)  # EIP-155

NATIVE: Final = Address(b"\xee" * 20)  # the chain's own coin, written as ERC-7528 does
NOBODY: Final = Address(b"\x00" * 20)
NO_HASH: Final = Hash(b"\x00" * 32)
DOLLAR: Final = 1_000_000  # micro-dollars
SECOND: Final = 1_000_000_000  # nanoseconds
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE


def address(text: str) -> Address:
    """Parse 0x and 40 hex digits; the checksum is not judged here. Raises ValueError."""
    return Address(_bytes(text, 20, "address"))


def hash32(text: str) -> Hash:
    """Parse 0x and 64 hex digits. Raises ValueError."""
    return Hash(_bytes(text, 32, "hash"))


def shown(raw: bytes) -> str:
    """Lower-case 0x hex, for logs and reports where a checksum is not worth its 17 microseconds."""
    return "0x" + raw.hex()


def _bytes(text: str, size: int, noun: str) -> bytes:
    if not text.startswith("0x") or len(text) != 2 + 2 * size:
        raise ValueError(f"{noun} must be 0x and {2 * size} hex digits, not {text[:80]!r}")
    try:
        return unhexlify(text[2:])  # fromhex would skip spaces, and return fewer bytes
    except ValueError:
        raise ValueError(f"{noun} must be hexadecimal, not {text[:80]!r}") from None
