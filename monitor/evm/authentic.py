"""Whether a transaction is what its own signature says: a node, or whoever sits before it, cannot make one up.

The raw bytes are built again from the JSON body; their hash must be the one that was announced, and the signature must
recover to the announced sender. No proof rests on a pending transaction that fails here.
"""

from __future__ import annotations

from monitor.evm import hexes, rlp
from monitor.evm.rlp import Encodable
from monitor.evm.transactions import decode_raw
from monitor.evm.wire import Short, WireAccess, WireAuthorization, WireTransaction, listed, parity
from monitor.model.chain import Transaction
from monitor.model.errors import Undecodable


def authentic(wire: WireTransaction, *, chain_id: int) -> Transaction:
    """The transaction by its own signature: 0.1 ms, so for what matters. Raises Undecodable where it is not as told."""
    tx = decode_raw(raw_of(wire), chain_id=chain_id if hexes.optional(wire.type) or _protected(wire) else None)
    if tx.hash != hexes.hash32(wire.hash):
        raise Undecodable(f"transaction {wire.hash} is not what its fields hash to")
    if tx.sender != hexes.address(wire.sender):
        raise Undecodable(f"transaction {wire.hash} was not signed by {wire.sender}")
    return tx


def raw_of(wire: WireTransaction) -> bytes:
    """The signed bytes, as they are hashed (a blob transaction without its blobs). Raises Undecodable."""
    kind = hexes.optional(wire.type, 8)
    if kind > 4:
        raise Undecodable(f"transaction of type {wire.type}, which has no signature that we know")
    if wire.r is None or wire.s is None:
        raise Undecodable(f"transaction {wire.hash} without a signature")
    return (bytes((kind,)) if kind else b"") + rlp.encode([*_body(wire, kind), *_signature(wire, kind)])


def _body(wire: WireTransaction, kind: int) -> list[Encodable]:
    shared: list[Encodable] = [
        hexes.optional(wire.gas, 64),
        hexes.address(wire.to) if wire.to else b"",
        hexes.optional(wire.value),
        hexes.octets(wire.input),
    ]
    nonce = hexes.optional(wire.nonce, 64)
    if kind == 0:
        return [nonce, hexes.optional(wire.gas_price), *shared]
    head = [hexes.optional(wire.chain_id, 64), nonce]
    if kind == 1:
        return [*head, hexes.optional(wire.gas_price), *shared, _access(wire)]
    tip, cap = hexes.optional(wire.max_priority_fee_per_gas), hexes.optional(wire.max_fee_per_gas)
    return [*head, tip, cap, *shared, _access(wire), *_extra(wire, kind)]


def _extra(wire: WireTransaction, kind: int) -> list[Encodable]:
    if kind == 3:
        hashes = [hexes.hash32(each) for each in listed(wire.blob_versioned_hashes, list[Short])]
        return [hexes.optional(wire.max_fee_per_blob_gas), hashes]
    if kind == 4:
        return [[_authorization(each) for each in listed(wire.authorization_list, list[WireAuthorization])]]
    return []


def _signature(wire: WireTransaction, kind: int) -> list[Encodable]:
    sign = parity(wire) if kind else hexes.optional(wire.v)
    return [sign, hexes.optional(wire.r), hexes.optional(wire.s)]


def _protected(wire: WireTransaction) -> bool:
    """Whether a legacy transaction is bound to one chain (EIP-155)."""
    return hexes.optional(wire.v) >= 35


def _access(wire: WireTransaction) -> list[Encodable]:
    entries = listed(wire.access_list, list[WireAccess])
    return [[hexes.address(each.address), [hexes.hash32(key) for key in each.storage_keys or ()]] for each in entries]


def _authorization(wire: WireAuthorization) -> list[Encodable]:
    terms: list[Encodable] = [
        hexes.quantity(wire.chain_id),
        hexes.address(wire.address),
        hexes.quantity(wire.nonce, 64),
    ]
    return [*terms, parity(wire), hexes.quantity(wire.r), hexes.quantity(wire.s)]
