"""What a chain holds: transactions, logs, transfers, calls, and the effects of running one."""

from __future__ import annotations

from msgspec import Struct

from monitor.model.units import NATIVE, NO_HASH, Address, ChainId, Hash, Wei


class Authorization(Struct, frozen=True):
    """One EIP-7702 tuple of a type-4 transaction; `authority` is recovered by us, None where it does not recover."""

    chain_id: int
    address: Address
    nonce: int
    authority: Address | None = None


class Transaction(Struct, frozen=True):
    """A signed transaction. Fees in wei per gas; for legacy ones both caps are the gas price."""

    hash: Hash
    sender: Address
    to: Address | None  # None deploys
    nonce: int
    value: Wei
    gas: int
    max_fee: int
    max_priority_fee: int
    data: bytes = b""
    kind: int = 2  # EIP-2718 type
    authorizations: tuple[Authorization, ...] = ()
    access_gas: int = 0  # intrinsic gas of its access list (EIP-2930)
    blobs: int = 0  # EIP-4844
    max_blob_fee: int = 0  # wei per blob gas


class Log(Struct, frozen=True):
    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    index: int = 0


class Transfer(Struct, frozen=True):
    """Value that moved: ether at any depth, or an ERC-20 Transfer log."""

    token: Address  # NATIVE for ether
    sender: Address
    to: Address
    amount: Wei


class CallFrame(Struct, frozen=True):
    """One frame of a call tree, written in the order of entry."""

    depth: int
    kind: str  # CALL, DELEGATECALL, STATICCALL, CREATE, CREATE2, SELFDESTRUCT
    sender: Address
    to: Address | None
    value: Wei
    data: bytes  # cut to 4,096 bytes
    error: str = ""


class SlotChange(Struct, frozen=True):
    address: Address
    slot: Hash
    before: Hash
    after: Hash  # zero where cleared


class Probe(Struct, frozen=True):
    """A view call that is read each block, and before and after each simulated transaction."""

    to: Address
    data: bytes  # empty data reads the ether balance of `to`


class Reading(Struct, frozen=True):
    """What a probe returned; None where it reverted, ran out of gas or returned more than 4 kB."""

    probe: Probe
    before: bytes | None
    after: bytes | None


class Effects(Struct, frozen=True):
    """What running one transaction does, from a simulation or from the mined trace."""

    ok: bool
    gas_used: int
    transfers: tuple[Transfer, ...] = ()
    logs: tuple[Log, ...] = ()
    calls: tuple[CallFrame, ...] = ()  # empty where not traced
    storage: tuple[SlotChange, ...] = ()
    readings: tuple[Reading, ...] = ()
    error: str = ""


class Header(Struct, frozen=True):
    number: int
    hash: Hash
    parent: Hash
    timestamp: int  # seconds
    base_fee: int
    gas_limit: int
    gas_used: int
    coinbase: Address
    prev_randao: Hash = NO_HASH


class BlockContext(Struct, frozen=True):
    """The block a simulation pretends to be in. Always set in full: facts/node.md says what anvil does otherwise."""

    number: int
    timestamp: int
    coinbase: Address
    base_fee: int
    prev_randao: Hash


class Call(Struct, frozen=True):
    """A call that somebody makes. `sender` None means whichever key the responder holds."""

    to: Address
    data: bytes
    value: Wei = Wei(0)
    sender: Address | None = None
    gas: int = 0  # 0: the simulator's own cap


class TransactionRequest(Struct, frozen=True):
    """An unsigned EIP-1559 transaction, every field set: nothing is left for a signer or node to fill in."""

    chain_id: ChainId
    sender: Address
    to: Address
    nonce: int
    gas: int
    max_fee: int
    max_priority_fee: int
    data: bytes
    value: Wei = Wei(0)


class SignedTransaction(Struct, frozen=True):
    request: TransactionRequest
    hash: Hash
    raw: bytes


def next_context(head: Header, slot_s: int, *, coinbase: Address) -> BlockContext:
    """The block after `head`, by EIP-1559's base fee rule."""
    return BlockContext(
        number=head.number + 1,
        timestamp=head.timestamp + slot_s,
        coinbase=coinbase,
        base_fee=next_base_fee(head),
        prev_randao=head.hash,
    )


def next_base_fee(head: Header) -> int:
    """Base fee of the block after `head`, in wei per gas (EIP-1559, elasticity 2, denominator 8)."""
    target = head.gas_limit // 2
    if head.gas_used == target or target == 0:
        return head.base_fee
    delta = head.base_fee * abs(head.gas_used - target) // target // 8
    if head.gas_used > target:
        return head.base_fee + max(delta, 1)
    return head.base_fee - delta


def ether_probe(holder: Address) -> Probe:
    return Probe(holder, b"")


def token_probe(token: Address, holder: Address) -> Probe:
    """balanceOf(holder) of an ERC-20, or the ether balance for NATIVE."""
    if token == NATIVE:
        return ether_probe(holder)
    return Probe(token, b"\x70\xa0\x82\x31" + b"\x00" * 12 + holder)
