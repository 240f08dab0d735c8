"""The same play without a defence: what is lost when nobody reacts. Its figure is the `loss_without` of the report."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from monitor.rehearsal.anvil import Anvil, AnvilOptions
from monitor.rehearsal.builder import Builder
from monitor.rehearsal.builder_endpoint import Endpoint
from monitor.rehearsal.loss import holdings, in_usd, loss_between, write_chain
from monitor.rehearsal.scenario import Play
from monitor.rehearsal.stage import Stage

GENESIS = 1_750_000_000


@dataclass(frozen=True, slots=True)
class Undefended:
    loss: dict[str, int]
    loss_usd: int
    benign_ok: frozenset[int]  # positions in the order of sending


@asynccontextmanager
async def open_stage(play: Play, folder: Path) -> AsyncIterator[Stage]:
    """A fresh chain behind a fresh builder."""
    folder.mkdir(parents=True, exist_ok=True)
    timestamp = None if play.fork_url else GENESIS
    options = AnvilOptions(balance_eth=1_000_000, timestamp=timestamp, fork_url=play.fork_url)
    async with Anvil(options) as anvil, Builder(anvil.ws_url, profile=play.profile) as builder:
        stage = Stage(anvil, builder, seed=play.seed, folder=folder)
        try:
            yield stage
        finally:
            await stage.close()


async def play_undefended(play: Play, folder: Path) -> Undefended:
    """Play to the end and measure."""
    async with open_stage(play, folder) as stage:
        script = await play.scenario.prepare(stage)
        for i in range(script.nodes):
            stage.nodes[f"node-{i}"] = await builder_endpoint(stage, i)
        before = await holdings(stage, script)
        await play.scenario.play(stage, script)
        lost = await loss_between(stage, script, before, await holdings(stage, script))
        await write_chain(stage, script, folder / "chain", before)
        return Undefended(lost, in_usd(script, lost), await succeeded(stage))


async def builder_endpoint(stage: Stage, i: int) -> Endpoint:
    return await stage.builder.endpoint(f"node-{i}")


async def succeeded(stage: Stage) -> frozenset[int]:
    """Which benign transactions, by position, were mined and did not fail."""
    ok = {r["transactionHash"] for b in stage.builder.blocks for r in b.mined.receipts if r["status"] == "0x1"}
    return frozenset(i for i, tx in enumerate(stage.sent["benign"]) if tx in ok)
