"""Values with one interesting field: transactions, logs, assets, words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monitor.model.assets import Asset, Token
from monitor.model.chain import Effects, Log, Probe, Reading, Transaction, Transfer
from monitor.model.units import Address, ChainId, Hash, Usd, Wei

Rows = Callable[[str], Iterator[dict[str, Any]]]  # of a corpus file by its path

CHAIN = ChainId(1)
ALICE = Address(b"\xa1" * 20)
BOB = Address(b"\xb0" * 20)
VAULT = Address(b"\x7a" * 20)
DAI = Address(b"\xda" * 20)
SHARE = VAULT
HASH = "0x" + "ab" * 32


def shown(raw: bytes) -> str:
    return "0x" + raw.hex()


def word(value: int | bytes) -> bytes:
    return value.rjust(32, b"\0") if isinstance(value, bytes) else (value % 2**256).to_bytes(32, "big")


def tx(**changed: Any) -> Transaction:
    """A transaction that our own check passes, but for what is changed."""
    fields: dict[str, Any] = {
        "hash": Hash(b"\x01" * 32),
        "sender": ALICE,
        "to": BOB,
        "nonce": 7,
        "value": Wei(5),
        "gas": 100_000,
        "max_fee": 30,
        "max_priority_fee": 2,
    }
    return Transaction(**(fields | changed))


def body(**changed: Any) -> dict[str, Any]:
    """The JSON body of a type-2 transaction."""
    fields = {
        "hash": HASH,
        "from": shown(ALICE),
        "to": shown(BOB),
        "nonce": "0x7",
        "value": "0x5",
        "gas": "0x186a0",
        "type": "0x2",
        "gasPrice": "0x14",
        "maxFeePerGas": "0x1e",
        "maxPriorityFeePerGas": "0x2",
        "input": "0x",
    }
    return fields | changed


def block(*transactions: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    fields = {
        "number": "0x10",
        "hash": HASH,
        "parentHash": "0x" + "cd" * 32,
        "timestamp": "0x64",
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x5208",
        "miner": shown(BOB),
        "mixHash": "0x" + "ef" * 32,
        "baseFeePerGas": "0x7",
        "transactions": list(transactions),
    }
    return fields | changed


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def log_of(*topics: bytes, data: bytes = b"", address: Address = DAI) -> Log:
    return Log(address, topics, data)


def vault(**changed: Any) -> Asset:
    fields: dict[str, Any] = {
        "name": "vault",
        "kind": "contract",
        "chain_id": CHAIN,
        "address": VAULT,
        "tokens": (Token(DAI),),
    }
    return Asset(**(fields | changed))


def effects(*transfers: Transfer, readings: tuple[Reading, ...] = ()) -> Effects:
    return Effects(ok=True, gas_used=21_000, transfers=transfers, readings=readings)


def reading(probe: Probe, before: int, after: int) -> Reading:
    return Reading(probe, word(before), word(after))


class FixedPrices:
    """Micro-dollars for one smallest unit, by token."""

    def __init__(self, prices: Mapping[Address, int]) -> None:
        self._prices = prices

    def usd(self, chain_id: ChainId, token: Address, amount: Wei) -> Usd | None:
        price = self._prices.get(token)
        return None if price is None else Usd(price * amount)
