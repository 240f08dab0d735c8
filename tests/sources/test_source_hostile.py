"""A thousand hostile messages: every one counted, the loop turning, honest ones heard all the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from monitor.chain.simulate import NodeSimulator
from monitor.evm.watch import Protected
from monitor.model.events import HeadSeen, PendingSimulated
from monitor.sources.blocks import BlockSource
from monitor.sources.feed import Endpoint
from monitor.sources.follower import ChainPlan
from monitor.sources.latest import Latest
from monitor.sources.mempool import MempoolSource
from monitor.sources.watch import Watch
from tests.sources.hostile_messages import hostile, notice
from tests.sources.live_chain import CHAIN, CLOCK, LIMITS, asset, listening, nodes_of, staged

pytestmark = [pytest.mark.chain, pytest.mark.slow]
COUNT = 1_000


Poison = Callable[[str, Any], Iterable[bytes]]


@asynccontextmanager
async def poisoned(upstream: str, poison: Poison) -> AsyncIterator[str]:
    """Passes everything on, and before the first honest notice of each topic says what `poison` gives."""
    done: set[str] = set()

    async def handle(client: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async with connect(upstream, compression=None, max_size=None) as node:
                await both_ways(client, node)

    async def both_ways(client: ServerConnection, node: ClientConnection) -> None:
        async with asyncio.TaskGroup() as group:
            down = group.create_task(downwards(node, client))
            with suppress(ConnectionClosed):
                async for message in client:
                    await node.send(message)
            down.cancel()

    async def downwards(node: ClientConnection, client: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in node:
                params: dict[str, Any] = json.loads(message).get("params") or {}
                topic = "head" if "parentHash" in params.get("result", ()) else "transaction"
                if params and topic not in done:
                    done.add(topic)
                    for bad in poison(params["subscription"], params["result"]):
                        await client.send(bad, text=True)
                await client.send(message, text=True)

    async with serve(handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        yield f"ws://{host}:{port}"


async def widest_gap_ms(stop: asyncio.Event) -> float:
    """The longest that a coroutine had to wait for its turn."""
    widest, last = 0, CLOCK.monotonic_ns()
    while not stop.is_set():
        await asyncio.sleep(0)
        now = CLOCK.monotonic_ns()
        widest, last = max(widest, now - last), now
    return widest / 1e6


async def test_a_thousand_hostile_messages_are_each_counted_and_stall_nothing(tmp_path: Path) -> None:
    def poison(subscription: str, honest: Any) -> Iterable[bytes]:
        return hostile(Random(5), subscription, honest, count=COUNT)

    async with staged(tmp_path) as stage, poisoned(stage.builder.ws_url, poison) as url:
        owner = await stage.person("owner")
        endpoints = (Endpoint("node", url),)
        plan = ChainPlan(name="devnet", chain_id=CHAIN, endpoints=endpoints, limits=LIMITS)
        nodes, watch = nodes_of([Endpoint("node", stage.builder.ws_url)]), Watch(CHAIN, Protected([asset("h", owner)]))
        latest, jitter = Latest(), Random(2).random
        blocks = BlockSource(plan, nodes, watch, clock=CLOCK, jitter=jitter, latest=latest)
        simulator = NodeSimulator(nodes, clock=CLOCK)
        mempool = MempoolSource(plan, nodes, watch, simulator, clock=CLOCK, jitter=jitter, latest=latest)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group, listening(blocks, mempool) as heard:
            await heard.head(0)
            gap = group.create_task(widest_gap_ms(stop))
            await stage.end_slot()
            await heard.until(lambda: any(seen.header.number == 1 for seen in heard.of(HeadSeen)))
            await stage.send(owner, stage.admin.address, "", value=1, gas=21_000)
            await heard.until(lambda: bool(heard.of(PendingSimulated)))
            stop.set()
        print(f"widest gap of the loop: {await gap:.1f} ms")  # noqa: T201 - the figure that the issue asks for
        bad_heads = sum(blocks.faults.totals().values()) - blocks.faults.total("node left out")
        assert bad_heads - blocks.faults.total("node admitted again") == COUNT
        assert sum(mempool.faults.totals().values()) == COUNT
        assert await gap < 500
        assert "subscription lost" not in blocks.faults.totals()


async def test_a_message_over_the_cap_costs_the_connection_and_no_more(tmp_path: Path) -> None:
    def poison(subscription: str, honest: Any) -> Iterable[bytes]:
        yield notice(subscription, "0x" + "00" * (1 << 20))

    async with staged(tmp_path) as stage, poisoned(stage.builder.ws_url, poison) as url:
        plan = ChainPlan(name="devnet", chain_id=CHAIN, endpoints=(Endpoint("node", url),), limits=LIMITS)
        nodes, watch = nodes_of([Endpoint("node", stage.builder.ws_url)]), Watch(CHAIN, Protected([]))
        source = BlockSource(plan, nodes, watch, clock=CLOCK, jitter=Random(2).random, latest=Latest())
        async with listening(source) as heard:
            await heard.head(0)
            await stage.end_slot()
            await heard.head(1)
            await stage.end_slot()
            await heard.head(2)
        assert source.faults.total("subscription lost") == 1
        assert [header.number for header in heard.chain()] == [0, 1, 2]
