"""Whether a header's hash is the hash of its own fields: what binds a node's words to what other nodes agree on.

Fields that later forks added are taken in their order while they are there. A header with a field that we do not know
yet fails here; the follower waives that where most nodes fail alike, so that a fork never blinds everyone at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from eth_hash.auto import keccak
from msgspec import Struct

from monitor.evm import hexes, rlp
from monitor.evm.wire import Short, WireHeader
from monitor.model.chain import Log
from monitor.model.errors import Undecodable
from monitor.model.units import Hash

_BLOOM_BITS: Final = 2048


class FullHeader(WireHeader, frozen=True, kw_only=True, gc=False, rename="camel"):
    """A header with all fields that its hash covers."""

    sha3_uncles: Short | None = None
    state_root: Short | None = None
    transactions_root: Short | None = None
    receipts_root: Short | None = None
    logs_bloom: str = ""
    difficulty: Short = "0x0"
    extra_data: str = "0x"
    nonce: Short = "0x0000000000000000"
    withdrawals_root: Short | None = None
    blob_gas_used: Short | None = None
    excess_blob_gas: Short | None = None
    parent_beacon_block_root: Short | None = None
    requests_hash: Short | None = None

    @property
    def whole(self) -> bool:
        """Whether the fields are here that every header has; some nodes leave them out of notices."""
        return None not in (self.sha3_uncles, self.state_root, self.transactions_root, self.receipts_root) and bool(
            self.logs_bloom
        )


class Roots(Struct, frozen=True):
    """What a proven header commits its body to."""

    transactions: Hash
    bloom: bytes


def hash_of(wire: FullHeader) -> Hash:
    """Keccak of the RLP of the header (EIPs 1559, 4895, 4844, 4788, 7685). Raises Undecodable."""
    if not wire.whole:
        raise Undecodable("a header without its roots")
    return Hash(keccak(rlp.encode([*_first_fields(wire), *_later_fields(wire)])))


def roots_of(wire: FullHeader) -> Roots:
    """Raises Undecodable."""
    return Roots(hexes.hash32(wire.transactions_root or ""), hexes.octets(wire.logs_bloom))


def bloom_of(logs: Iterable[Log]) -> bytes:
    """The 256 bytes in which a header commits to the addresses and topics of its logs (Yellow Paper, 4.3.1)."""
    items = {item for log in logs for item in (log.address, *log.topics)}
    bits = 0
    for item in items:
        digest = keccak(item)
        for at in (0, 2, 4):
            bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") % _BLOOM_BITS)
    return bits.to_bytes(_BLOOM_BITS // 8, "big")


def _first_fields(wire: FullHeader) -> list[rlp.Encodable]:
    return [
        hexes.hash32(wire.parent_hash),
        hexes.hash32(wire.sha3_uncles or ""),
        hexes.address(wire.miner),
        hexes.hash32(wire.state_root or ""),
        hexes.hash32(wire.transactions_root or ""),
        hexes.hash32(wire.receipts_root or ""),
        hexes.octets(wire.logs_bloom),
        hexes.quantity(wire.difficulty),
        hexes.quantity(wire.number or "", 64),
        hexes.quantity(wire.gas_limit, 64),
        hexes.quantity(wire.gas_used, 64),
        hexes.quantity(wire.timestamp, 64),
        hexes.octets(wire.extra_data),
        hexes.hash32(wire.mix_hash or ""),
        hexes.octets(wire.nonce),
    ]


def _later_fields(wire: FullHeader) -> list[rlp.Encodable]:
    fields: list[rlp.Encodable | None] = [
        _quantity(wire.base_fee_per_gas),
        _hash(wire.withdrawals_root),
        _quantity(wire.blob_gas_used),
        _quantity(wire.excess_blob_gas),
        _hash(wire.parent_beacon_block_root),
        _hash(wire.requests_hash),
    ]
    return [field for field in fields if field is not None]


def _quantity(text: str | None) -> int | None:
    return None if text is None else hexes.quantity(text)


def _hash(text: str | None) -> Hash | None:
    return None if text is None else hexes.hash32(text)
