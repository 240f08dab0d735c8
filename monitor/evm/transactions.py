"""Transactions by their own bytes: types 0 to 4 decoded with the sender recovered, and whether one can be mined.

A node says who sent a transaction; only the signature proves it. A node's simulation checks neither nonce, fee nor
gas (facts/node.md), and a forged "attack" that can never be mined must not make us pause: so `not_includable`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import coincurve
from eth_hash.auto import keccak as _keccak

from monitor.evm import rlp
from monitor.evm.rlp import Encodable, Item, integer, items, octets
from monitor.model.chain import Authorization, Transaction, TransactionRequest
from monitor.model.errors import Undecodable
from monitor.model.units import Address, Hash, Wei

CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
MAX_NONCE: Final = 2**64 - 2  # EIP-2681
MAX_INITCODE: Final = 49_152  # EIP-3860
GAS_PER_BLOB: Final = 131_072

_TAIL: Final = ("parity", "r", "s")
_FEES: Final = ("chain_id", "nonce", "tip", "fee", "gas", "to", "value", "data", "access")
_FIELDS: Final = {
    0: ("nonce", "fee", "gas", "to", "value", "data", "v", "r", "s"),
    1: ("chain_id", "nonce", "fee", "gas", "to", "value", "data", "access", *_TAIL),
    2: (*_FEES, *_TAIL),
    3: (*_FEES, "blob_fee", "blobs", *_TAIL),
    4: (*_FEES, "authorizations", *_TAIL),
}


class Signature(NamedTuple):
    """secp256k1, parity 0 or 1 (27 and 28 are also taken)."""

    r: int
    s: int
    parity: int


def keccak(data: bytes) -> Hash:
    return Hash(_keccak(data))


def recover(digest: Hash, signature: Signature) -> Address | None:
    """Who signed this digest; None where nobody can have, high s included (EIP-2)."""
    parity = signature.parity - 27 if signature.parity in (27, 28) else signature.parity
    if parity not in (0, 1) or not 0 < signature.r < CURVE_ORDER or not 0 < signature.s <= CURVE_ORDER // 2:
        return None
    compact = signature.r.to_bytes(32, "big") + signature.s.to_bytes(32, "big") + bytes((parity,))
    try:
        key = coincurve.PublicKey.from_signature_and_message(compact, digest, hasher=None)
    except ValueError:
        return None
    return Address(_keccak(key.format(compressed=False)[1:])[12:])


def recover_authority(chain_id: int, delegate: Address, nonce: int, *, signature: Signature) -> Address | None:
    """Whose account this EIP-7702 tuple delegates; None where it does not recover."""
    return recover(keccak(b"\x05" + rlp.encode([chain_id, delegate, nonce])), signature)


def decode_raw(raw: bytes, *, chain_id: int | None = None) -> Transaction:
    """The transaction that these signed bytes are, its sender recovered. Raises Undecodable, also for another chain.

    Takes the pool's form of a blob transaction as well as the mined one.
    """
    kind, fields = _fields(bytes(raw))
    signature, digest, signed_for = _signing(kind, fields)
    if chain_id is not None and signed_for != chain_id:
        raise Undecodable(f"transaction signed for chain {signed_for}, not {chain_id}")
    sender = recover(digest, signature)
    if sender is None:
        raise Undecodable("transaction whose signature recovers to nobody")
    fee = integer(fields["fee"])
    return Transaction(
        hash=_hash(kind, fields),
        sender=sender,
        to=_recipient(fields["to"]),
        nonce=integer(fields["nonce"], 64),
        value=Wei(integer(fields["value"])),
        gas=integer(fields["gas"], 64),
        max_fee=fee,
        max_priority_fee=integer(fields.get("tip", fields["fee"])),
        data=octets(fields["data"]),
        kind=kind,
        authorizations=tuple(_authorization(entry) for entry in items(fields.get("authorizations", []))),
        access_gas=_access_gas(fields.get("access", [])),
        blobs=len(items(fields.get("blobs", []))),
        max_blob_fee=integer(fields.get("blob_fee", b"")),
    )


def not_includable(
    tx: Transaction,
    *,
    next_nonce: int,
    balance: int,
    base_fee: int,
    gas_limit: int,
    sender_has_code: bool = False,
    blob_base_fee: int = 0,
) -> str:
    """Why this transaction cannot be in the next block; '' where nothing that we check forbids it.

    `base_fee` is the next block's. `gas_limit` is the block's, or the chain's lower cap for one transaction (EIP-7825).
    `sender_has_code` excludes an EIP-7702 delegation, which may send.
    """
    if tx.kind not in _FIELDS:
        return f"type 0x{tx.kind:02x} never comes from a pool"
    if sender_has_code:
        return "the sender is a contract (EIP-3607)"
    return (
        _nonce_fault(tx.nonce, next_nonce)
        or _fee_fault(tx, base_fee, blob_base_fee)
        or _gas_fault(tx, gas_limit)
        or _shape_fault(tx)
        or _funds_fault(tx, balance)
    )


def intrinsic_gas(tx: Transaction) -> int:
    """Gas that is charged before the first instruction, EIP-7623's floor included."""
    zeros = tx.data.count(0)
    tokens = zeros + 4 * (len(tx.data) - zeros)
    creation = 32_000 + 2 * ((len(tx.data) + 31) // 32) if tx.to is None else 0
    used = 21_000 + 4 * tokens + creation + tx.access_gas + 25_000 * len(tx.authorizations)
    return max(used, 21_000 + 10 * tokens)


def max_cost(tx: Transaction) -> Wei:
    """What the sender must own: value, gas at the fee cap, blobs at theirs."""
    return Wei(tx.value + tx.gas * tx.max_fee + tx.blobs * GAS_PER_BLOB * tx.max_blob_fee)


def encode_unsigned(request: TransactionRequest) -> bytes:
    """What an EIP-1559 signer hashes and signs."""
    return b"\x02" + rlp.encode(_request_fields(request))


def encode_signed(request: TransactionRequest, signature: Signature) -> bytes:
    """The raw bytes to broadcast."""
    tail: list[Encodable] = [signature.parity % 27, signature.r, signature.s]
    return b"\x02" + rlp.encode(_request_fields(request) + tail)


def _request_fields(request: TransactionRequest) -> list[Encodable]:
    return [
        request.chain_id,
        request.nonce,
        request.max_priority_fee,
        request.max_fee,
        request.gas,
        request.to,
        request.value,
        request.data,
        [],
    ]


def _fields(raw: bytes) -> tuple[int, dict[str, Item]]:
    if not raw:
        raise Undecodable("no transaction: no bytes")
    kind = raw[0] if raw[0] < 0x80 else 0
    if kind not in _FIELDS or (kind == 0 and raw[0] < 0xC0):
        raise Undecodable(f"transaction of type 0x{raw[0]:02x}, which we do not know")
    body = items(rlp.decode(raw if kind == 0 else raw[1:]))
    if kind == 3 and body and isinstance(body[0], list):
        body = body[0]  # EIP-4844's pool form: body, blobs, commitments, proofs
    names = _FIELDS[kind]
    return kind, dict(zip(names, items(body, len(names)), strict=True))


def _hash(kind: int, fields: dict[str, Item]) -> Hash:
    return keccak(_prefix(kind) + rlp.encode(list(fields.values())))


def _signing(kind: int, fields: dict[str, Item]) -> tuple[Signature, Hash, int]:
    """Signature, what it signs, and the chain id (0: signed for every chain, before EIP-155)."""
    r, s = integer(fields["r"]), integer(fields["s"])
    body = list(fields.values())[:-3]
    if kind:
        signature = Signature(r, s, _parity(integer(fields["parity"], 8)))
        return signature, keccak(_prefix(kind) + rlp.encode(body)), integer(fields["chain_id"], 64)
    v = integer(fields["v"], 72)
    if v in (27, 28):
        return Signature(r, s, v - 27), keccak(rlp.encode(body)), 0
    if v < 35:
        raise Undecodable(f"legacy transaction with v = {v}")
    chain_id = (v - 35) // 2
    return Signature(r, s, (v - 35) % 2), keccak(rlp.encode([*body, chain_id, b"", b""])), chain_id


def _parity(value: int) -> int:
    if value > 1:
        raise Undecodable(f"transaction with parity {value}")
    return value


def _prefix(kind: int) -> bytes:
    return bytes((kind,)) if kind else b""


def _recipient(item: Item) -> Address | None:
    raw = octets(item)
    return _address(raw) if raw else None


def _address(item: Item) -> Address:
    raw = octets(item)
    if len(raw) != 20:
        raise Undecodable(f"address of {len(raw)} bytes")
    return Address(raw)


def _authorization(item: Item) -> Authorization:
    chain_id, delegate, nonce, parity, r, s = items(item, 6)
    signature = Signature(integer(r), integer(s), _parity(integer(parity, 8)))
    terms = integer(chain_id), _address(delegate), integer(nonce, 64)
    return Authorization(*terms, recover_authority(*terms, signature=signature))


def _access_gas(item: Item) -> int:
    """Intrinsic gas of an access list (EIP-2930)."""
    entries = [items(entry, 2) for entry in items(item)]
    return sum(2400 + 1900 * len(items(keys)) for _, keys in entries)


def _nonce_fault(nonce: int, next_nonce: int) -> str:
    if nonce > MAX_NONCE:
        return "the nonce is above what EIP-2681 allows"
    if nonce != next_nonce:
        return f"nonce {nonce}, but the sender's next is {next_nonce}"
    return ""


def _fee_fault(tx: Transaction, base_fee: int, blob_base_fee: int) -> str:
    if tx.max_fee < base_fee:
        return f"max fee {tx.max_fee} is below the next base fee {base_fee}"
    if tx.max_priority_fee > tx.max_fee:
        return f"tip {tx.max_priority_fee} is above the max fee {tx.max_fee}"
    if tx.blobs and tx.max_blob_fee < blob_base_fee:
        return f"max blob fee {tx.max_blob_fee} is below the next {blob_base_fee}"
    return ""


def _gas_fault(tx: Transaction, gas_limit: int) -> str:
    if tx.gas > gas_limit:
        return f"gas {tx.gas} is over the block's {gas_limit}"
    needed = intrinsic_gas(tx)
    return f"gas {tx.gas} is below the intrinsic {needed}" if tx.gas < needed else ""


def _shape_fault(tx: Transaction) -> str:
    if tx.to is None and len(tx.data) > MAX_INITCODE:
        return f"initcode of {len(tx.data)} bytes is over {MAX_INITCODE}"
    if tx.kind in (3, 4) and tx.to is None:
        return f"type {tx.kind} cannot deploy"
    if (tx.kind == 3) != bool(tx.blobs) or (tx.kind == 4) != bool(tx.authorizations):
        return f"type {tx.kind} with {tx.blobs} blobs and {len(tx.authorizations)} authorizations"
    return ""


def _funds_fault(tx: Transaction, balance: int) -> str:
    cost = max_cost(tx)
    return f"costs up to {cost} wei, but the sender has {balance}" if cost > balance else ""
