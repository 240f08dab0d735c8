"""A bridge under attack on a real chain, a Guardian that may pause it, and a configured drawbridge before it.

One stage serves many sieges, one after the other: each has contracts, a journal and an anchor of its own, and the same
responder key, so that its nonces go on. The chain's side is the judge: what the responder has in blocks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.clock import SystemClock
from monitor.model.errors import JournalLost
from monitor.model.events import AnyEvent
from monitor.rehearsal.builder_slot import LOOPBACK
from monitor.rehearsal.defence import Defence
from monitor.rehearsal.scenario import Play, Script
from monitor.rehearsal.scenarios.bridge_forgery import TOTAL, BridgeForgery, forge, honest_message
from monitor.rehearsal.stage import Stage
from monitor.rehearsal.undefended import open_stage
from monitor.settings import Settings, load
from monitor.shell.replay import replay
from monitor.store.audit import AuditResult, verify
from monitor.store.journal import SqlJournal, steps
from monitor.wiring import Drawbridge, open_drawbridge
from monitor.wiring_core import core_of

CLOCK = SystemClock()
MOST_SLOTS = 12
USES = 3  # of a fresh Guardian


@dataclass
class Siege:
    """One bridge, its attackers, and the configuration of the drawbridge that protects it."""

    stage: Stage
    script: Script
    folder: Path
    store: str
    first_nonce: int
    forged: int = 0

    @property
    def config(self) -> Path:
        return self.folder / "drawbridge.yaml"

    @property
    def anchor(self) -> Path:
        return self.folder / "anchor.jsonl"

    def settings(self) -> Settings:
        return load(str(self.config), environment={})

    async def attack(self) -> None:
        """One more forged message, by the next copycat."""
        thieves = self.script.cast["thieves"]
        thief = thieves[self.forged % len(thieves)]
        self.forged += 1
        await forge(self.stage, self.script, thief, 1_000 + self.forged, TOTAL * 5 // 1000, private=True)

    async def besieged_slot(self) -> None:
        """A slot with a forged message in it."""
        await self.attack()
        await self.stage.builder.seal()

    async def responses(self) -> list[dict[str, Any]]:
        """The responder's transactions on the canonical chain since the siege began, with their receipts."""
        own, found = self.stage.responder.address.lower(), []
        for block in self.stage.builder.blocks:
            for body, receipt in zip(block.mined.block["transactions"], block.mined.receipts, strict=True):
                if body["from"].lower() == own and int(body["nonce"], 16) >= self.first_nonce:
                    found.append(body | {"status": receipt["status"]})
        return found

    def sent(self) -> int:
        """How often anything of the responder reached the builder."""
        own = bytes.fromhex(self.stage.responder.address[2:])
        return sum(arrival.sender == own for arrival in self.stage.builder.arrivals)

    async def nonces(self) -> tuple[int, int]:
        """The responder's next nonce, in blocks and with what is pending."""
        who = self.stage.responder.address
        latest = await self.stage.rpc("eth_getTransactionCount", who, "latest")
        own = bytes.fromhex(who[2:])
        waiting = sum(sender == own for sender in self.stage.builder.pool.senders())
        return int(latest, 16), int(latest, 16) + waiting

    async def paused(self) -> bool:
        return bool(await self.stage.read(self.script.cast["bridge"], "paused()", returns=("bool",)))

    async def uses_left(self) -> int:
        guardian = self.script.assets[0]["pause"]["guardian"]
        return int(await self.stage.read(guardian, "usesLeft()", returns=("uint32",)))

    async def events(self) -> list[AnyEvent]:
        async with await SqlJournal.read_only(self.store) as journal:
            return [stamped.event async for stamped, _ in steps(journal)]

    async def audited(self) -> AuditResult:
        return await verify(self.store, self.anchor)

    async def replayed(self) -> tuple[int, int]:
        """Events replayed through a fresh core, and on how many of them the step is not byte for byte the same."""
        settings = self.settings()
        async with await SqlJournal.read_only(self.store) as journal:
            differing = [d.stamped.seq async for d in replay(core_of(settings, clock=CLOCK), journal)]
            return (await journal.last())[0], len(differing)


@asynccontextmanager
async def besieged_chain(folder: Path) -> AsyncIterator[Stage]:
    """A chain with a builder before it and two honest nodes, for any number of sieges."""
    play = Play(BridgeForgery(), 1, "enforce", LOOPBACK)
    async with open_stage(play, folder) as stage:
        for name in ("node-0", "node-1"):
            stage.nodes[name] = await stage.builder.endpoint(name)
        yield stage


async def lay_siege(stage: Stage, folder: Path, store: str = "") -> Siege:
    """Fresh contracts and a fresh configuration; nothing has been attacked yet."""
    await asyncio.to_thread(folder.mkdir, parents=True)
    script = await BridgeForgery().prepare(stage)
    nonce = int(await stage.rpc("eth_getTransactionCount", stage.responder.address, "latest"), 16)
    siege = Siege(stage, script, folder, store or f"sqlite:///{folder}/drawbridge.db", nonce)
    siege.config.write_text(json.dumps(configuration(siege), indent=1))
    return siege


def configuration(siege: Siege) -> dict[str, Any]:
    """What the owner of the bridge would write."""
    stage, script = siege.stage, siege.script
    token = script.tokens[0]
    return {
        "version": 1,
        "mode": "enforce",
        "store": siege.store,
        "anchor": str(siege.anchor),
        "chains": [
            {
                "name": "devnet",
                "chain_id": stage.anvil.options.chain_id,
                "rpc": [node.ws_url for _, node in sorted(stage.nodes.items())],
                "block_time_ms": stage.builder.profile.slot_ms,
                "rpc_quorum": 2,
                "mempool": True,
            }
        ],
        "prices": {
            "static": {
                "devnet:native": {"usd": 4_000, "decimals": 18},
                f"devnet:{token.address}": {"usd": token.usd / 10**6, "decimals": token.decimals},
            }
        },
        "assets": script.assets,
        "signers": {"guardian-key": {"rpc": stage.anvil.http_url, "address": stage.responder.address}},
        "responders": {"pause": {"signer": "guardian-key"}},
    }


@asynccontextmanager
async def turning(siege: Siege) -> AsyncIterator[Defence]:
    """The program of a siege, turning in this process until the block ends."""
    async with _opened(siege.settings()) as drawbridge, asyncio.TaskGroup() as group:
        running = group.create_task(drawbridge.loop.run())
        await asyncio.wait_for(drawbridge.loop.turning.wait(), 20)
        try:
            yield Defence(drawbridge, siege.stage, siege.script)
        finally:
            running.cancel()


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Drawbridge]:
    """PostgreSQL notices a killed client when it next speaks to it: ask again for a while, as a supervisor would."""
    async with asyncio.timeout(20):
        while True:
            opening = open_drawbridge(settings)
            try:
                drawbridge = await opening.__aenter__()
                break
            except JournalLost as error:
                if "writes it already" not in str(error):
                    raise
            await asyncio.sleep(0.02)
    try:
        yield drawbridge
    finally:
        await opening.__aexit__(None, None, None)


async def until(ready: Callable[[], bool], *, within_s: float = 60) -> None:
    """Look now and then until this holds."""
    async with asyncio.timeout(within_s):
        while True:
            if ready():
                return
            await asyncio.sleep(0.02)


async def fend_off(siege: Siege) -> None:
    """Start the program on whatever journal there is, and end slots, each with an attack, until its pause is verified.

    Two slots more, so that a second response would show.
    """
    async with turning(siege) as defence:
        left = 2
        for _ in range(MOST_SLOTS):
            await siege.attack()
            await defence.settle(True)
            await siege.stage.builder.seal()
            actions = defence.drawbridge.core.state.actions.values()
            left -= any(record.stage == "verified" for record in actions)
            if left < 0:
                break
        await defence.settle(True)


__all__ = ["USES", "Siege", "besieged_chain", "fend_off", "honest_message", "lay_siege", "turning", "until"]
