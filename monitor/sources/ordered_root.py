"""The root in which a header commits to its transactions: binds a body from one node to what a quorum agreed on.

The Merkle Patricia trie of RLP(place) to bytes (Yellow Paper, appendix D), of which only the root is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from eth_hash.auto import keccak

from monitor.evm import rlp
from monitor.model.units import Hash

_EMPTY: Final = rlp.encode(b"")

Leaf = tuple[bytes, bytes]  # nibbles left, value


def ordered_root(values: Sequence[bytes]) -> Hash:
    """Root of the trie that holds each value at its place in the list."""
    leaves = sorted((_nibbles(rlp.encode(place)), value) for place, value in enumerate(values))
    return Hash(keccak(_node(leaves, 0) if leaves else _EMPTY))


def _node(leaves: Sequence[Leaf], depth: int) -> bytes:
    """RLP of the node for sorted leaves that share their first `depth` nibbles."""
    first, last = leaves[0][0], leaves[-1][0]
    if len(leaves) == 1:
        return rlp.encode([_compact(first[depth:], leaf=True), leaves[0][1]])
    shared = depth
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        body = _compact(first[depth:shared], leaf=False)
        return _list(rlp.encode(body) + _reference(_node(leaves, shared)))
    return _branch(leaves, depth)


def _branch(leaves: Sequence[Leaf], depth: int) -> bytes:
    parts = [_EMPTY] * 17
    start = 0
    if len(leaves[0][0]) == depth:
        parts[16] = rlp.encode(leaves[0][1])
        start = 1
    while start < len(leaves):
        nibble, end = leaves[start][0][depth], start
        while end < len(leaves) and leaves[end][0][depth] == nibble:
            end += 1
        parts[nibble] = _reference(_node(leaves[start:end], depth + 1))
        start = end
    return _list(b"".join(parts))


def _list(body: bytes) -> bytes:
    if len(body) <= 55:
        return bytes((0xC0 + len(body),)) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((0xF7 + len(size),)) + size + body


def _reference(node: bytes) -> bytes:
    """A node inside its parent: itself where shorter than a hash."""
    return node if len(node) < 32 else rlp.encode(keccak(node))


def _nibbles(key: bytes) -> bytes:
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _compact(nibbles: bytes, *, leaf: bool) -> bytes:
    """Hex-prefix encoding."""
    flag = 2 if leaf else 0
    whole = bytes((flag + 1,)) + nibbles if len(nibbles) % 2 else bytes((flag, 0)) + nibbles
    return bytes((high << 4) | low for high, low in zip(whole[::2], whole[1::2], strict=True))
