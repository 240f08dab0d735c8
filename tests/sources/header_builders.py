"""Builders of headers and of trees of them, for tests that need no node."""

from __future__ import annotations

import hashlib

from monitor.model.chain import Header
from monitor.model.units import NO_HASH, NOBODY, Hash


def header(number: int, parent: Hash = NO_HASH, *, branch: str = "") -> Header:
    """A header whose hash follows from its number, parent and branch name."""
    digest = Hash(hashlib.sha256(f"{number}|{parent.hex()}|{branch}".encode()).digest())
    return Header(
        number=number,
        hash=digest,
        parent=parent,
        timestamp=1_700_000_000 + 12 * number,
        base_fee=10**9,
        gas_limit=30_000_000,
        gas_used=15_000_000,
        coinbase=NOBODY,
    )


def chain(length: int, *, on: Header | None = None, branch: str = "") -> list[Header]:
    """`length` headers, each the parent of the next; the first stands on `on` or is number 1."""
    made: list[Header] = []
    for _ in range(length):
        below = made[-1] if made else on
        made.append(header(below.number + 1, below.hash, branch=branch) if below else header(1, branch=branch))
    return made
