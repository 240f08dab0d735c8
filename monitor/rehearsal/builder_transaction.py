"""A signed transaction as the builder sees it: decoded once from its raw bytes, then trusted.

Types 0, 1, 2 and 4 (legacy, EIP-2930, EIP-1559, EIP-7702). Blob transactions are refused. The raw
bytes are kept as they came, since they and nothing else go into a block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import rlp
from coincurve import PublicKey
from eth_utils.crypto import keccak
from rlp.exceptions import DecodingError

from monitor.model.errors import DrawbridgeError

Json: TypeAlias = dict[str, Any]

_PRICED = ("nonce", "gasPrice", "gas", "to", "value", "input")
_CAPPED = (
    "chainId",
    "nonce",
    "maxPriorityFeePerGas",
    "maxFeePerGas",
    "gas",
    "to",
    "value",
    "input",
)
_LAYOUTS: Final = {
    0: _PRICED,
    1: ("chainId", *_PRICED, "accessList"),
    2: (*_CAPPED, "accessList"),
    4: (*_CAPPED, "accessList", "authorizationList"),
}
_CALL_FIELDS: Final = (
    "from",
    "to",
    "gas",
    "value",
    "input",
    "nonce",
    "gasPrice",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "accessList",
    "authorizationList",
)
_CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_BUMP_PERCENT: Final = 10


class Rejected(DrawbridgeError):
    """The sender of this request was wrong; ``code`` and text are what geth answers."""

    def __init__(self, message: str, *, code: int = -32_000) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Transaction:
    """A decoded, signed transaction; fees in wei per gas, ``body`` as JSON-RPC shows it."""

    raw: bytes
    hash: bytes
    sender: bytes
    chain_id: int | None
    to: bytes | None
    nonce: int
    gas: int
    max_fee: int
    max_priority: int
    value: int
    body: Json = field(repr=False, compare=False)

    @property
    def cost(self) -> int:
        """Return the wei that the sender must own: the whole gas at the fee cap, and the value."""
        return self.gas * self.max_fee + self.value

    def tip(self, base_fee: int) -> int:
        """Return the effective tip in wei per gas at this base fee; negative when not includable."""
        return min(self.max_priority, self.max_fee - base_fee)

    def may_replace(self, other: Transaction) -> bool:
        """Return whether both caps are at least 10 % up on ``other``, as geth asks."""
        return all(
            ours > theirs and ours >= theirs * (100 + _BUMP_PERCENT) // 100
            for ours, theirs in (
                (self.max_fee, other.max_fee),
                (self.max_priority, other.max_priority),
            )
        )

    def call(self) -> Json:
        """Return the call object that simulates this transaction."""
        return {name: self.body[name] for name in _CALL_FIELDS if self.body.get(name) is not None}


def decode(raw: bytes) -> Transaction:
    """Decode raw bytes and recover the sender; raises Rejected on anything that is not canonical."""
    kind = raw[0] if raw and raw[0] < 0x80 else 0
    layout = _LAYOUTS.get(kind)
    if layout is None:
        raise Rejected(f"transaction type {kind} not supported by this builder")
    items = _items(raw[1:] if kind else raw, len(layout) + 3)
    fields = dict(zip(layout, items, strict=False))
    chain_id, parity = _chain_and_parity(kind, fields, items)
    sender = _recover(_signing_hash(kind, items, chain_id), items[-2:], parity)
    return _transaction(raw, kind, fields, sender=sender, chain_id=chain_id, signature=items[-3:])


def _items(payload: bytes, count: int) -> list[Any]:
    try:
        items = rlp.decode(payload)
    except DecodingError as error:
        raise Rejected(f"rlp: {error}") from None
    if not isinstance(items, list) or len(items) != count:
        raise Rejected(f"rlp: expected a list of {count} items")
    return items


def _chain_and_parity(kind: int, fields: Json, items: list[Any]) -> tuple[int | None, int]:
    v = _integer(items[-3])
    if kind:
        return _integer(fields["chainId"]), v
    if v in (27, 28):
        return None, v - 27
    return (v - 35) // 2, (v - 35) % 2


def _signing_hash(kind: int, items: list[Any], chain_id: int | None) -> bytes:
    if kind:
        return bytes(keccak(bytes([kind]) + rlp.encode(items[:-3])))
    replay = [] if chain_id is None else [chain_id, 0, 0]  # EIP-155
    return bytes(keccak(rlp.encode([*items[:-3], *replay])))


def _recover(digest: bytes, signature: list[bytes], parity: int) -> bytes:
    r, s = (_integer(part) for part in signature)
    if parity not in (0, 1) or not 0 < r < _CURVE_ORDER or not 0 < s <= _CURVE_ORDER // 2:
        raise Rejected("invalid transaction v, r, s values")
    packed = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
    try:
        key = PublicKey.from_signature_and_message(packed, digest, hasher=None)
    except ValueError:
        raise Rejected("invalid sender") from None
    return bytes(keccak(key.format(compressed=False)[1:])[12:])


def _transaction(
    raw: bytes,
    kind: int,
    fields: Json,
    *,
    sender: bytes,
    chain_id: int | None,
    signature: list[bytes],
) -> Transaction:
    price = fields.get("gasPrice")
    max_fee = _integer(fields["maxFeePerGas"] if price is None else price)
    max_priority = _integer(fields["maxPriorityFeePerGas"] if price is None else price)
    if max_priority > max_fee:
        raise Rejected("max priority fee per gas higher than max fee per gas")
    tx_hash = bytes(keccak(raw))
    return Transaction(
        raw=raw,
        hash=tx_hash,
        sender=sender,
        chain_id=chain_id,
        to=fields["to"] or None,
        nonce=_integer(fields["nonce"]),
        gas=_integer(fields["gas"]),
        max_fee=max_fee,
        max_priority=max_priority,
        value=_integer(fields["value"]),
        body=_body(fields, kind=kind, tx_hash=tx_hash, sender=sender, signature=signature)
        | ({"chainId": hex(chain_id)} if chain_id is not None else {}),
    )


def _body(fields: Json, *, kind: int, tx_hash: bytes, sender: bytes, signature: list[bytes]) -> Json:
    v, r, s = (hex(_integer(part)) for part in signature)
    body: Json = {name: _shown(name, value) for name, value in fields.items() if name != "chainId"}
    body |= {"type": hex(kind), "hash": _hex(tx_hash), "from": _hex(sender), "v": v, "r": r, "s": s}
    body |= {"blockHash": None, "blockNumber": None, "transactionIndex": None}
    if kind:
        body["yParity"] = v
    return body


def _shown(name: str, value: Any) -> Any:
    match name:
        case "to":
            return _hex(value) if value else None
        case "input":
            return _hex(value)
        case "accessList":
            return [{"address": _hex(a), "storageKeys": [_hex(k) for k in ks]} for a, ks in value]
        case "authorizationList":
            return [_authorization(item) for item in value]
        case _:
            return hex(_integer(value))


def _authorization(item: list[bytes]) -> Json:
    """Show one EIP-7702 authorization tuple."""
    chain_id, address, nonce, parity, r, s = item
    shown = {"chainId": chain_id, "nonce": nonce, "yParity": parity, "r": r, "s": s}
    return {name: hex(_integer(value)) for name, value in shown.items()} | {"address": _hex(address)}


def _integer(value: bytes) -> int:
    if not isinstance(value, bytes) or value[:1] == b"\0":
        raise Rejected("rlp: not a canonical integer")
    return int.from_bytes(value, "big")


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
