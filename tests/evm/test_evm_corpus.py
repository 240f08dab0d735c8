"""Real blocks: every transaction decodes, and what the chain holds is what we rebuild from it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from monitor.evm import hexes, traces, wire
from monitor.evm.authentic import authentic
from monitor.evm.rlp import encode
from monitor.evm.tokens import transfers_of
from monitor.evm.transactions import keccak, max_cost, not_includable
from monitor.evm.watch import WatchIndex
from monitor.evm.wire import WireBlock, WireReceipt, decode
from monitor.model.errors import Undecodable
from monitor.model.units import NATIVE, Address
from tests.evm.evm_builders import Rows, encoded

pytestmark = [pytest.mark.data, pytest.mark.timeout(300)]

FULL = "blocks/mainnet_full.jsonl.xz"
PRAGUE = 22_431_084
CONSECUTIVE = "blocks/mainnet_consecutive_18090205-18090212.jsonl.xz"
OTHERS = "blocks/other_chains_txonly.jsonl.xz"


def test_every_mainnet_transaction_is_authentic(corpus: Rows) -> None:
    """The raw bytes that we rebuild hash to what the chain says, and recover to its sender."""
    count = 0
    for row in (*corpus(FULL), *corpus(CONSECUTIVE)):
        block = decode(encoded(row["block"]), WireBlock)
        for each in block.transactions:
            tx = authentic(each, chain_id=1)
            assert tx == wire.transaction(each)
            count += 1
    assert count > 10_000


def test_nothing_that_was_mined_since_prague_is_said_to_be_impossible(corpus: Rows) -> None:
    count = 0
    for row in corpus(FULL):
        block = decode(encoded(row["block"]), WireBlock)
        head = wire.header(block)
        for tx in map(wire.transaction, block.transactions if head.number >= PRAGUE else ()):
            limits = {"base_fee": head.base_fee, "gas_limit": head.gas_limit, "blob_base_fee": 1}
            assert not not_includable(tx, next_nonce=tx.nonce, balance=max_cost(tx), sender_has_code=False, **limits)
            count += 1
    assert count > 100


def test_transactions_of_other_chains_decode_whatever_their_type(corpus: Rows) -> None:
    kinds = set()
    for row in corpus(OTHERS):
        for each in decode(encoded(row["block"]), WireBlock).transactions:
            kinds.add(wire.transaction(each).kind)
    assert {0, 2, 3, 0x6A, 0x7E} <= kinds


def test_authentic_refuses_only_system_transactions(corpus: Rows) -> None:
    """Rollup deposits and a few system transactions carry no signature; everything else is proven."""
    refused = []
    for row in corpus(OTHERS):
        for each in decode(encoded(row["block"]), WireBlock).transactions:
            try:
                assert authentic(each, chain_id=row["chainId"]) == wire.transaction(each)
            except Undecodable:
                refused.append(each)
    assert len(refused) < 50
    assert all(hexes.optional(each.type) > 4 or not hexes.optional(each.gas_price) for each in refused)


def test_receipts_and_traces_of_one_transaction_tell_the_same_story(corpus: Rows) -> None:
    """A plain payment's ether in the trace is the transaction's own value, and all logs are read."""
    logs = payments = 0
    for row in corpus(FULL):
        transactions = decode(encoded(row["block"]), WireBlock).transactions
        trees = row["calls"] or [None] * len(transactions)
        for each, answer, tree in zip(transactions, row["receipts"] or (), trees, strict=False):
            found = wire.receipt(decode(encoded(answer), WireReceipt))
            logs += len(found.logs)
            if tree is None or not found.ok:
                continue
            frames = traces.call_frames(encoded(tree))
            moved = [each for each in transfers_of(found.logs, None, frames) if each.token == NATIVE]
            if len(frames) == 1 and wire.transaction(each).value:
                assert moved == list(transfers_of((), wire.transaction(each)))
                payments += 1
    assert logs > 7_000
    assert payments > 1_000


def test_header_hashes_are_what_the_chain_says(corpus: Rows) -> None:
    """Before the Merge and London a header is fifteen fields; that is enough to show that nothing is misread."""
    checked = 0
    for row in corpus(FULL):
        block = row["block"]
        if "baseFeePerGas" not in block:
            assert keccak(encode(_header_fields(block))) == wire.header(decode(encoded(block), WireBlock)).hash
            checked += 1
    assert checked > 0


def _header_fields(block: dict[str, Any]) -> list[bytes | int]:
    octets = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom")
    numbers = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")
    return [
        *(hexes.octets(block[name]) for name in octets),
        *(hexes.quantity(block[name]) for name in numbers),
        *(hexes.octets(block[name]) for name in ("extraData", "mixHash", "nonce")),
    ]


def test_the_index_says_the_same_before_and_after_conversion(corpus: Rows) -> None:
    """Watch what one block names, and look at the others through it."""
    blocks = [decode(encoded(row["block"]), WireBlock) for row in corpus(CONSECUTIVE)]
    named = {hexes.address(each.to) for each in blocks[0].transactions if each.to}
    index = WatchIndex(named)
    touched = 0
    for each in (each for block in blocks for each in block.transactions):
        assert index.touches_wire(each) == index.touches(wire.transaction(each))
        touched += index.touches_wire(each)
    assert touched > 100


@pytest.mark.slow
def test_no_transaction_of_the_corpus_touches_strangers(corpus: Rows) -> None:
    rng = random.Random(5)
    index = WatchIndex(Address(rng.randbytes(20)) for _ in range(1000))
    blocks = [decode(encoded(row["block"]), WireBlock) for row in corpus(FULL)]
    assert not any(index.touches_wire(each) for block in blocks for each in block.transactions)
