"""Hashes and roots of real mainnet blocks come out as the chain has them."""

from __future__ import annotations

import json
import lzma
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.evm.authentic import raw_of
from monitor.evm.wire import WireReceipt, WireTransaction, decode, receipt
from monitor.sources.header_hash import FullHeader, bloom_of, hash_of, roots_of
from monitor.sources.ordered_root import ordered_root

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "blocks"
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.exists(), reason="the corpus is not here"),
]


@lru_cache(maxsize=1)
def rows() -> list[dict[str, Any]]:
    with lzma.open(DATA / "mainnet_full.jsonl.xz") as file:
        return [json.loads(line) for line in file]


def wires(row: dict[str, Any]) -> list[WireTransaction]:
    return decode(msgspec.json.encode(row["block"]["transactions"]), list[WireTransaction])


def test_every_header_hashes_to_its_own_hash() -> None:
    for row in rows():
        wire = decode(msgspec.json.encode(row["block"]), FullHeader)
        assert "0x" + hash_of(wire).hex() == wire.hash


def test_a_changed_field_changes_the_hash() -> None:
    block = rows()[0]["block"] | {"gasUsed": "0x1"}
    wire = decode(msgspec.json.encode(block), FullHeader)
    assert "0x" + hash_of(wire).hex() != wire.hash


def test_every_transactions_root_comes_from_the_transactions() -> None:
    for row in rows():
        root = ordered_root([raw_of(wire) for wire in wires(row)])
        assert "0x" + root.hex() == row["block"]["transactionsRoot"]


def test_a_hidden_transaction_changes_the_root() -> None:
    row = rows()[-1]
    root = ordered_root([raw_of(wire) for wire in wires(row)][:-1])
    assert "0x" + root.hex() != row["block"]["transactionsRoot"]


def test_every_bloom_comes_from_the_logs() -> None:
    seen = 0
    for row in rows():
        receipts = [receipt(wire) for wire in decode(msgspec.json.encode(row["receipts"] or []), list[WireReceipt])]
        if receipts:
            header = decode(msgspec.json.encode(row["block"]), FullHeader)
            assert bloom_of(log for each in receipts for log in each.logs) == roots_of(header).bloom
            seen += 1
    assert seen > 20
