"""JSON-RPC bodies as they come off the socket, and what they become.

`decode` turns bytes into Structs whose fields are still hexadecimal text: a million transactions a second. Only what
touches the watch index is then converted to the nouns of monitor.model. Everything here is hostile until converted:
sizes, depths and widths are bounded and every fault is Undecodable. Call trees and state diffs are in traces.py.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, field

from monitor.evm import hexes
from monitor.evm.transactions import Signature, recover_authority
from monitor.model.chain import Authorization, Header, Log, Transaction
from monitor.model.errors import Undecodable
from monitor.model.units import NO_HASH, Address, Hash, Wei

T = TypeVar("T")

MAX_MESSAGE: Final = 32 << 20  # bytes
MAX_NESTING: Final = 5_000
MAX_AUTHORIZATIONS: Final = 1024
_ABSENT: Final = Raw(b"")

Short = Annotated[str, Meta(max_length=66)]  # a quantity, an address or a hash
Topics = Annotated[list[Short], Meta(max_length=4)]


class WireTransaction(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """A transaction of any type, types that we do not know included."""

    hash: Short
    sender: Short = field(name="from")
    to: Short | None = None
    nonce: Short | None = None
    value: Short | None = None
    gas: Short | None = None
    input: str = "0x"
    type: Short | None = None
    gas_price: Short | None = None
    max_fee_per_gas: Short | None = None
    max_priority_fee_per_gas: Short | None = None
    max_fee_per_blob_gas: Short | None = None
    access_list: Raw = _ABSENT
    authorization_list: Raw = _ABSENT
    blob_versioned_hashes: Raw = _ABSENT
    chain_id: Short | None = None
    v: Short | None = None
    y_parity: Short | None = None
    r: Short | None = None
    s: Short | None = None


class WireHeader(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """A header; nodes send null for hash and number of a pending one, which does not convert."""

    number: Short | None = None
    hash: Short | None = None
    parent_hash: Short
    timestamp: Short
    gas_limit: Short
    gas_used: Short
    miner: Short = "0x" + "00" * 20
    mix_hash: Short | None = None
    base_fee_per_gas: Short | None = None


class WireBlock(WireHeader, frozen=True, kw_only=True, gc=False, rename="camel"):
    """A block with whole transactions."""

    transactions: list[WireTransaction] = []


class WireBlockHashes(WireHeader, frozen=True, kw_only=True, gc=False, rename="camel"):
    """A block with the hashes of its transactions."""

    transactions: list[Short] = []


class WireLog(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    address: Short
    topics: Topics = []
    data: str = "0x"
    log_index: Short | None = None
    block_number: Short | None = None
    block_hash: Short | None = None
    transaction_hash: Short | None = None
    removed: bool = False


class WireReceipt(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    transaction_hash: Short
    gas_used: Short
    logs: list[WireLog] = []
    status: Short | None = None
    effective_gas_price: Short | None = None
    block_number: Short | None = None
    block_hash: Short | None = None
    transaction_index: Short | None = None
    contract_address: Short | None = None


class WireError(Struct, frozen=True, kw_only=True, gc=False):
    code: int = 0
    message: str = ""
    data: Raw = _ABSENT


class WireSimulatedCall(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    status: Short = "0x0"
    return_data: str = "0x"
    gas_used: Short = "0x0"
    logs: list[WireLog] = []
    error: WireError | None = None


class WireSimulatedBlock(WireHeader, frozen=True, kw_only=True, gc=False, rename="camel"):
    """One block of eth_simulateV1's answer."""

    calls: list[WireSimulatedCall] = []


class WireParams(Struct, frozen=True, gc=False):
    """What a subscription delivers."""

    subscription: str
    result: Raw


class WireMessage(Struct, frozen=True, kw_only=True, gc=False):
    """The envelope: an answer (id, result or error) or a notice (method, params). Decode `result` with its own type."""

    id: int | str | None = None
    result: Raw = _ABSENT
    error: WireError | None = None
    method: str = ""
    params: WireParams | None = None


class WireAccess(Struct, frozen=True, gc=False, rename="camel"):
    """One entry of an access list (EIP-2930)."""

    address: Short
    storage_keys: list[Short] | None = None


class WireAuthorization(Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """One tuple of a type-4 transaction (EIP-7702)."""

    chain_id: Short
    address: Short
    nonce: Short
    r: Short
    s: Short
    y_parity: Short | None = None
    v: Short | None = None


class Receipt(Struct, frozen=True):
    """A receipt; `ok` is also true where the chain had no status yet (before Byzantium)."""

    transaction: Hash
    ok: bool
    gas_used: int
    effective_gas_price: int
    block_number: int
    block_hash: Hash
    index: int
    logs: tuple[Log, ...]
    contract: Address | None = None


@lru_cache(maxsize=64)
def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The typed decoder of `kind`, made once."""
    return msgspec.json.Decoder(kind)


def decode(data: bytes | Raw, kind: type[T], *, max_bytes: int = MAX_MESSAGE) -> T:
    """The `kind` that these bytes hold. Raises Undecodable; unknown fields are skipped."""
    if memoryview(data).nbytes > max_bytes:
        raise Undecodable(f"message of {memoryview(data).nbytes} bytes; at most {max_bytes}")
    if sys.getrecursionlimit() > MAX_NESTING:
        sys.setrecursionlimit(MAX_NESTING)  # py-evm sets 100,000: deep JSON would then end the process, not raise
    try:
        value: T = decoder(kind).decode(data)  # type: ignore[arg-type]  # a type is hashable
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Undecodable(f"not a {getattr(kind, '__name__', kind)}: {error}") from error
    return value


def listed(raw: Raw, kind: type[list[T]]) -> list[T]:
    """The members of a list that was left undecoded; none where it is absent or null. Raises Undecodable."""
    if raw == _ABSENT or bytes(raw) == b"null":
        return []
    return decode(raw, kind)


def header(wire: WireHeader) -> Header:
    """Raises Undecodable, also for a pending header without hash or number."""
    if wire.hash is None or wire.number is None:
        raise Undecodable("a header without hash or number: the node sent a pending one")
    return Header(
        number=hexes.quantity(wire.number, 64),
        hash=hexes.hash32(wire.hash),
        parent=hexes.hash32(wire.parent_hash),
        timestamp=hexes.quantity(wire.timestamp, 64),
        base_fee=hexes.optional(wire.base_fee_per_gas),
        gas_limit=hexes.quantity(wire.gas_limit, 64),
        gas_used=hexes.quantity(wire.gas_used, 64),
        coinbase=hexes.address(wire.miner),
        prev_randao=hexes.hash32(wire.mix_hash) if wire.mix_hash else NO_HASH,
    )


def transaction(wire: WireTransaction) -> Transaction:
    """The model's transaction. Types that we do not know keep what they share with the others. Raises Undecodable."""
    price = hexes.optional(wire.gas_price)
    max_fee = hexes.quantity(wire.max_fee_per_gas) if wire.max_fee_per_gas is not None else price
    tip = wire.max_priority_fee_per_gas
    return Transaction(
        hash=hexes.hash32(wire.hash),
        sender=hexes.address(wire.sender),
        to=hexes.address(wire.to) if wire.to else None,
        nonce=hexes.optional(wire.nonce, 64),
        value=Wei(hexes.optional(wire.value)),
        gas=hexes.optional(wire.gas, 64),
        max_fee=max_fee,
        max_priority_fee=hexes.quantity(tip) if tip is not None else max_fee,
        data=hexes.octets(wire.input),
        kind=hexes.optional(wire.type, 8),
        authorizations=authorizations(wire),
        access_gas=_access_gas(wire.access_list),
        blobs=len(listed(wire.blob_versioned_hashes, list[Short])),
        max_blob_fee=hexes.optional(wire.max_fee_per_blob_gas),
    )


def authorizations(wire: WireTransaction) -> tuple[Authorization, ...]:
    """The EIP-7702 tuples with recovered authorities: 60 µs each, so ask only for type 4. Raises Undecodable."""
    entries = listed(wire.authorization_list, list[WireAuthorization])
    if len(entries) > MAX_AUTHORIZATIONS:
        raise Undecodable(f"{len(entries)} authorizations in one transaction; at most {MAX_AUTHORIZATIONS}")
    return tuple(_authorization(entry) for entry in entries)


def parity(wire: WireTransaction | WireAuthorization) -> int:
    """The y parity of a typed signature, which older nodes call v. Raises Undecodable."""
    return hexes.optional(wire.y_parity if wire.y_parity is not None else wire.v, 8)


def log(wire: WireLog) -> Log:
    """Raises Undecodable."""
    return Log(
        address=hexes.address(wire.address),
        topics=tuple(hexes.hash32(topic) for topic in wire.topics),
        data=hexes.octets(wire.data),
        index=hexes.optional(wire.log_index, 64),
    )


def receipt(wire: WireReceipt) -> Receipt:
    """Raises Undecodable."""
    return Receipt(
        transaction=hexes.hash32(wire.transaction_hash),
        ok=wire.status is None or hexes.quantity(wire.status) != 0,
        gas_used=hexes.quantity(wire.gas_used, 64),
        effective_gas_price=hexes.optional(wire.effective_gas_price),
        block_number=hexes.optional(wire.block_number, 64),
        block_hash=hexes.hash32(wire.block_hash) if wire.block_hash else NO_HASH,
        index=hexes.optional(wire.transaction_index, 64),
        logs=tuple(log(entry) for entry in wire.logs),
        contract=hexes.address(wire.contract_address) if wire.contract_address else None,
    )


def _access_gas(raw: Raw) -> int:
    """Intrinsic gas of an access list (EIP-2930)."""
    return sum(2400 + 1900 * len(entry.storage_keys or ()) for entry in listed(raw, list[WireAccess]))


def _authorization(wire: WireAuthorization) -> Authorization:
    chain_id, nonce = hexes.quantity(wire.chain_id), hexes.quantity(wire.nonce, 64)
    delegate = hexes.address(wire.address)
    signature = Signature(hexes.quantity(wire.r), hexes.quantity(wire.s), parity(wire))
    return Authorization(chain_id, delegate, nonce, recover_authority(chain_id, delegate, nonce, signature=signature))
