"""The defence in a rehearsal: the real program, configured by a file as an owner would, over the builder's nodes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from monitor.model.events import Stamped
from monitor.model.incidents import Step
from monitor.rehearsal.scenario import Play, Priced, Script
from monitor.rehearsal.scenarios.exchange import Exchange
from monitor.rehearsal.stage import ETHER_ASSET, Stage
from monitor.settings import load
from monitor.store.journal import steps
from monitor.wiring import Drawbridge, open_drawbridge

LEAST_S = 0.08  # of each slot, so that what is on its way arrives
MOST_S = 12.0  # a slot of mainnet
POLL_S = 0.003
QUIET_POLLS = 4


class Defence:
    """A running Drawbridge and how to wait for it."""

    def __init__(self, drawbridge: Drawbridge, stage: Stage, script: Script) -> None:
        self.drawbridge, self._stage = drawbridge, stage
        self._exchange: Exchange | None = script.cast.get("exchange")

    async def settle(self, patient: bool) -> None:
        """Until the loop has nothing to do, or a whole slot has passed in real time."""
        began = asyncio.get_running_loop().time()
        quiet = 0
        while (elapsed := asyncio.get_running_loop().time() - began) < (MOST_S if patient else LEAST_S):
            if self._exchange is not None:
                await self._exchange.complete()
            await asyncio.sleep(POLL_S)
            quiet = quiet + 1 if self.drawbridge.loop.idle and (not patient or await self._sees_head()) else 0
            if quiet >= QUIET_POLLS and elapsed >= LEAST_S:
                return

    async def _sees_head(self) -> bool:
        chain_id = self._stage.anvil.options.chain_id
        known = self.drawbridge.core.state.heads.get(chain_id)
        head = await self._stage.builder.head()
        return known is not None and "0x" + known.header.hash.hex() == head["hash"]

    async def story(self) -> list[tuple[Stamped, Step]]:
        """The journal so far."""
        return [entry async for entry in steps(self.drawbridge.journal)]


@asynccontextmanager
async def defend(play: Play, stage: Stage, script: Script) -> AsyncIterator[Defence]:
    """Start the program on the stage; stop it at the end, whatever happened."""
    path = stage.folder / "drawbridge.yaml"
    configuration = await configure(play, stage, script)
    await asyncio.to_thread(path.write_text, json.dumps(configuration, indent=1))
    settings = load(str(path), environment=script.secrets)
    async with open_drawbridge(settings) as drawbridge:
        defence = Defence(drawbridge, stage, script)
        running = asyncio.ensure_future(drawbridge.loop.run())  # ended right below, also on failure
        try:
            await asyncio.wait_for(drawbridge.loop.turning.wait(), 20)
            stage.wait = defence.settle
            yield defence
        finally:
            stage.wait = None
            running.cancel()
            await asyncio.wait([running], timeout=10)
        if running.done() and not running.cancelled() and running.exception() is not None:
            raise RuntimeError("the loop ended by itself") from running.exception()


async def configure(play: Play, stage: Stage, script: Script) -> dict[str, Any]:
    """What an owner would write."""
    urls = []
    for i in range(script.nodes):
        endpoint = await stage.builder.endpoint(f"node-{i}")
        stage.nodes[endpoint.name] = endpoint
        urls.append(endpoint.ws_url)
    return {
        "version": 1,
        "mode": play.mode,
        "store": f"sqlite:///{stage.folder / 'drawbridge.db'}",
        "anchor": str(stage.folder / "anchor.jsonl"),
        "chains": [
            {
                "name": "devnet",
                "chain_id": stage.anvil.options.chain_id,
                "rpc": urls,
                "block_time_ms": play.profile.slot_ms,
                "rpc_quorum": 2,
                "mempool": play.profile.public_mempool,
            }
        ],
        "prices": {"static": {_price_key(t): {"usd": t.usd / 10**6, "decimals": t.decimals} for t in _priced(script)}},
        "ledgers": script.ledgers,
        "labels": script.labels,
        "assets": script.assets,
        "signers": {
            "guardian-key": {"rpc": stage.anvil.http_url, "address": stage.responder.address},
            "tighten-key": {"rpc": stage.anvil.http_url, "address": stage.tightener.address},
        },
        "responders": {"pause": {"signer": "guardian-key"}, "tighten": {"signer": "tighten-key"}},
    }


def _priced(script: Script) -> list[Priced]:
    found = {t.address: t for t in script.tokens}
    found.setdefault(ETHER_ASSET, Priced(ETHER_ASSET, 18, 4_000 * 10**6))
    return list(found.values())


def _price_key(token: Priced) -> str:
    return "devnet:native" if token.address == ETHER_ASSET else f"devnet:{token.address}"
