"""Canonical JSON: equal values give equal bytes, on every machine and in every run.

Struct fields keep their declared order, dict keys and sets are sorted, bytes are base64, integers are exact.
The journal's hash chain and replay both rest on this.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from monitor.model.errors import Undecodable
from monitor.model.units import Hash

T = TypeVar("T")

_encoder = msgspec.json.Encoder(order="deterministic")


def encode(value: Any) -> bytes:
    """Canonical bytes of a Struct, tuple, dict or scalar."""
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """The value of `kind` that these bytes hold. Raises Undecodable."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Undecodable(f"not a {getattr(kind, '__name__', kind)}: {error}") from error


def digest(data: bytes) -> Hash:
    """SHA-256, the hash of the journal, of blobs and of snapshots."""
    return Hash(hashlib.sha256(data).digest())
