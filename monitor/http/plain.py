"""Our values as JSON for people and machines: checksummed addresses, 0x hashes, dollars, and UTC in RFC 3339."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import msgspec
from eth_utils.address import to_checksum_address
from msgspec import Struct

from monitor.model.units import DOLLAR, NATIVE, SECOND

_INSTANTS: Final = frozenset({"at", "seen_at", "opened_at", "authorised_at"})
MOST_BYTES: Final = 4_096  # of one field; calldata of an attack may be 128 kB


def plain(value: Any, name: str = "") -> Any:
    """`value` as what json.dumps takes. Field names say what a number is."""
    if isinstance(value, Struct):
        return _fields(value)
    if isinstance(value, bytes):
        return shown_bytes(value)
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | frozenset):
        return [plain(inner) for inner in value]
    if type(value) is int and name in _INSTANTS:
        return utc(value)
    if type(value) is int and name.endswith("_usd"):
        return value / DOLLAR
    return value


def utc(instant: int) -> str:
    """RFC 3339 with milliseconds: '2026-03-01T04:00:00.123Z'."""
    seconds, nanos = divmod(instant, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos // 1_000_000:03d}Z"


def shown_bytes(raw: bytes) -> str:
    """20 bytes as an address with its EIP-55 checksum, all else as 0x hex, cut where it is very long."""
    if len(raw) == 20:
        return "native" if raw == NATIVE else str(to_checksum_address(raw))
    cut = f"… ({len(raw)} bytes)" if len(raw) > MOST_BYTES else ""
    return "0x" + raw[:MOST_BYTES].hex() + cut


def _fields(value: Struct) -> dict[str, Any]:
    info = msgspec.structs.fields(value)
    config = type(value).__struct_config__
    tagged = {} if config.tag is None else {"kind": config.tag}
    return tagged | {field.name: plain(getattr(value, field.name), field.name) for field in info}
