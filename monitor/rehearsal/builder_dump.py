"""Write the whole chain of a rehearsal to files that need nothing else to be understood."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from monitor.rehearsal.builder_chain import Chain
from monitor.rehearsal.builder_maker import BuiltBlock, Placed
from monitor.rehearsal.builder_slot import Arrival
from monitor.rehearsal.builder_transaction import Json


async def dump(
    directory: Path,
    chain: Chain,
    arrivals: Iterable[Arrival],
    blocks: tuple[Sequence[BuiltBlock], Sequence[BuiltBlock]],
    balances_of: Sequence[str],
) -> None:
    """Write blocks.json, receipts.json, state.json and built.json; ``blocks`` is (kept, orphaned)."""
    first, last = await chain.first_number(), int((await chain.head())["number"], 16)
    every = [await chain.block(number) for number in range(first, last + 1)]
    kept, orphaned = blocks
    files: dict[str, Any] = {
        "blocks.json": [one.block for one in every],
        "receipts.json": [receipt for one in every for receipt in one.receipts],
        "state.json": {
            "accounts": await chain.state(),
            "balances": await chain.balances(balances_of, first=first, last=last),
        },
        "built.json": {
            "arrivals": [_arrival(arrival) for arrival in arrivals],
            "blocks": [_block(block) for block in kept],
            "orphans": [_block(one) | {"block": one.mined.block, "receipts": one.mined.receipts} for one in orphaned],
        },
    }
    await asyncio.to_thread(_write, directory, files)


def _write(directory: Path, files: dict[str, Any]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = msgspec.json.format(msgspec.json.encode(content), indent=1)
        (directory / name).write_bytes(text + b"\n")


def _arrival(arrival: Arrival) -> Json:
    return {
        "sequence": arrival.sequence,
        "hash": _hex(arrival.hash),
        "sender": _hex(arrival.sender),
        "lane": arrival.lane,
        "slot": arrival.slot,
        "slot_time_ms": round(arrival.slot_time_ms, 3),
        "eligible_slot": arrival.eligible_slot,
    }


def _block(block: BuiltBlock) -> Json:
    return {
        "number": block.number,
        "hash": _hex(block.hash),
        "slot": block.slot,
        "timestamp": block.timestamp,
        "base_fee": block.base_fee,
        "placed": [_placed(placed) for placed in block.placed],
        "voided": [_hex(voided) for voided in block.voided],
        "refused": {_hex(tx_hash): why for tx_hash, why in block.refused.items()},
    }


def _placed(placed: Placed) -> Json:
    return {
        "hash": _hex(placed.transaction.hash),
        "sender": _hex(placed.transaction.sender),
        "lane": placed.lane,
        "payment": str(placed.payment),
        "value_per_gas": str(placed.value_per_gas),
        "gas_used": placed.gas_used,
        "succeeded": placed.succeeded,
        "bundle": None if placed.bundle is None else _hex(placed.bundle),
    }


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
