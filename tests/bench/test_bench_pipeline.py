"""The pipeline figures do the work that they claim: real decoding, a share that touches, steps that are decided."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.bench import _corpus
from monitor.bench.canned import NAME, canned
from monitor.bench.corpus import FIRST, SLOT_S, Corpus, as_mined, chain, read, told
from monitor.bench.pipeline import Rig, measure
from monitor.bench.protect import CHAIN, assets_of, others
from monitor.bench.replaying import measure as measure_replay
from monitor.bench.watching import measure as measure_watching
from monitor.chain.rpc import RpcError
from monitor.evm.wire import decode
from monitor.model.events import HeadSeen, LedgerComplete, StateRead, Tick, TransactionMined, WithdrawalAuthorised
from monitor.sources.block_reader import WireBody
from monitor.sources.header_hash import FullHeader, hash_of, roots_of


def said(_text: str) -> None:
    return None


@pytest.fixture(scope="module")
def synthetic() -> Corpus:
    return read(None)


@pytest.fixture(scope="module")
def real() -> Corpus:
    folder = _corpus(None)
    if folder is None:
        pytest.skip("no corpus beside the checkout; set DRAWBRIDGE_DATA")
    return read(folder)


def test_without_a_corpus_the_blocks_are_synthetic_and_said_to_be(synthetic: Corpus) -> None:
    assert not synthetic.real
    assert synthetic.origin == "30 synthetic blocks"
    assert synthetic.transactions == 9_000


def test_blocks_follow_each_other_and_no_transaction_comes_twice(synthetic: Corpus) -> None:
    blocks = list(chain(synthetic, rounds=2))
    assert [block.number for block in blocks] == list(range(FIRST, FIRST + 60))
    assert {later.timestamp - earlier.timestamp for earlier, later in itertools.pairwise(blocks)} == {SLOT_S}
    bodies = [decode(block.block, WireBody) for block in (blocks[0], blocks[1], blocks[30])]
    assert bodies[1].parent_hash == bodies[0].hash
    hashes = [tx.hash for body in bodies for tx in body.transactions]
    assert len(set(hashes)) == len(hashes)
    assert bodies[0].transactions[0].input == bodies[2].transactions[0].input


def test_about_one_transaction_in_a_hundred_touches_and_every_event_is_there(synthetic: Corpus) -> None:
    rig = Rig(assets_of(synthetic), others_watched=100)
    kinds: list[type] = []

    async def go() -> None:
        for block in chain(synthetic, rounds=1):
            kinds.extend(type(stamped.event) for stamped, _ in await rig.block(block, await rig.news(block)))

    asyncio.run(go())
    assert 0.007 < rig.touching / synthetic.transactions < 0.013
    assert kinds.count(HeadSeen) == kinds.count(StateRead) == kinds.count(LedgerComplete) == 30
    assert kinds.count(TransactionMined) == rig.touching
    assert kinds.count(Tick) == 30 * SLOT_S
    assert kinds.count(WithdrawalAuthorised) == rig.rows > 0


@pytest.mark.data
def test_the_real_blocks_are_proven_by_their_own_headers_and_touched_by_one_in_a_hundred(real: Corpus) -> None:
    rig = Rig(assets_of(real), strict=True)

    async def go() -> None:
        for source in real.blocks:
            block = as_mined(source)
            header = decode(block.block, FullHeader)
            assert "0x" + hash_of(header).hex() == header.hash
            await rig.block(block, roots=roots_of(header))

    asyncio.run(go())
    assert real.transactions == 9_079
    assert 0.009 < rig.touching / real.transactions < 0.011


async def test_the_canned_node_answers_as_a_node_does(synthetic: Corpus) -> None:
    transport, nodes = canned(CHAIN)
    block = transport.told = told(synthetic.blocks[0], 0, mark="0000")
    one = next(iter(block.receipts))
    receipt = await nodes.named(NAME).call("eth_getTransactionReceipt", (one,))
    assert receipt["transactionHash"] == one
    calls = [("eth_getLogs", ({},)), ("trace_block", ("0x1",))]
    logs, trace = await nodes.named(NAME).batch(calls)
    assert len(logs) == 200
    assert isinstance(trace, RpcError)


def test_every_pipeline_row_has_a_rate_and_says_on_what() -> None:
    figures = measure(None, quick=True, progress=said).figures
    assert figures.keys() == {"pipeline_tx_per_s", "pipeline_journalled_tx_per_s"}
    for each in figures.values():
        assert each.value is not None
        assert each.value > 0
        assert "30 synthetic blocks" in each.note


def test_the_watch_rows_compare_two_sizes_and_weigh_the_larger() -> None:
    figures = measure_watching(None, quick=True, progress=said).figures
    assert figures["watch_cost_ratio"].value is not None
    increment = figures["watch_increment_mb"].value
    assert increment is not None
    assert 1 < increment < 30


def test_a_journal_of_these_blocks_replays_to_the_same_bytes() -> None:
    (row,) = measure_replay(None, quick=True, progress=said).figures.values()
    assert row.value is not None
    assert "every step equal" in row.note


def test_other_addresses_are_the_same_in_every_run_and_all_different() -> None:
    def some() -> Iterator[bytes]:
        return others(1_000, b"seed")

    assert list(some()) == list(some())
    assert len(set(some())) == 1_000


def test_a_folder_that_is_not_there_is_no_corpus(tmp_path: Path) -> None:
    assert read(tmp_path / "none").real is False
