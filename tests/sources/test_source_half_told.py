"""A block of which a crash let only the beginning into the journal: told to its end, or orphaned, and never twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.model.chain import Header
from monitor.model.events import AnyEvent, BlockOrphaned, HeadSeen, StateRead, TransactionMined
from monitor.model.units import ChainId
from monitor.rehearsal.stage import Stage
from monitor.sources.blocks import HalfTold
from tests.sources.live_chain import Heard, asset, block_source, listening, staged

pytestmark = pytest.mark.chain
CHAIN = ChainId(31_337)


async def told_before(stage: Stage, blocks: int) -> tuple[list[Header], list[TransactionMined]]:
    """What a process told before it died: `blocks` blocks with two payments of the hot wallet in each."""
    async with listening(block_source([stage.builder.ws_url], [asset("hot", stage.admin)])) as heard:
        await heard.head(0)
        for number in range(1, blocks + 1):
            for _ in range(2):
                await stage.send(stage.admin, stage.responder.address, "", value=number)
            await stage.end_slot()
            await heard.until(lambda n=number: any(r.block_number == n for r in heard.of(StateRead)))  # type: ignore[misc]
    return heard.chain(), heard.of(TransactionMined)


def of_block(heard: Heard, header: Header) -> list[AnyEvent]:
    return [event for event in heard.events if getattr(event, "block_hash", None) == header.hash]


async def test_what_is_missing_of_a_block_is_told_and_its_head_is_not_told_again(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        headers, mined = await told_before(stage, 2)
        half = HalfTold(headers[-1], frozenset({mined[-2].transaction.hash}))
        await stage.end_slot()
        source = block_source([stage.builder.ws_url], [asset("hot", stage.admin)], known=headers[:-1], half_told=half)
        async with listening(source) as heard:
            await heard.until(lambda: any(read.block_number == 3 for read in heard.of(StateRead)))
        assert [head.header.number for head in heard.of(HeadSeen)] == [3]
        first, second = of_block(heard, headers[-1])
        assert isinstance(first, TransactionMined)
        assert first.transaction == mined[-1].transaction
        assert isinstance(second, StateRead)
        assert all(reading.before is not None for reading in second.readings)
        assert not heard.of(BlockOrphaned)


async def test_the_first_block_of_a_journal_is_told_to_its_end_too(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        headers, _ = await told_before(stage, 1)
        await stage.end_slot()
        source = block_source([stage.builder.ws_url], [asset("hot", stage.admin)], half_told=HalfTold(headers[-1]))
        async with listening(source) as heard:
            await heard.until(lambda: any(read.block_number == 2 for read in heard.of(StateRead)))
        assert [head.header.number for head in heard.of(HeadSeen)] == [2], "no gap behind it"
        assert len(of_block(heard, headers[-1])) == 3


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_block_that_was_told_in_part_and_is_gone_is_orphaned_first(tmp_path: Path, depth: int) -> None:
    async with staged(tmp_path) as stage:
        headers, mined = await told_before(stage, 2)
        await stage.builder.reorg(depth, drop=frozenset({mined[-2].transaction.hash, mined[0].transaction.hash}))
        await stage.end_slot()
        half = HalfTold(headers[-1])
        source = block_source([stage.builder.ws_url], [asset("hot", stage.admin)], known=headers[:-1], half_told=half)
        async with listening(source) as heard:
            await heard.until(lambda: any(read.block_number == 3 for read in heard.of(StateRead)))
        assert [orphan.hash for orphan in heard.of(BlockOrphaned)] == [h.hash for h in headers[: -1 - depth : -1]]
        assert [head.header.number for head in heard.of(HeadSeen)] == list(range(3 - depth, 4))
        assert not of_block(heard, headers[-1])
