"""A real anvil behind the block-building proxy, sources over it, and what they said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import rlp
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from monitor.chain.rpc import Nodes, Rpc
from monitor.clock import SystemClock
from monitor.evm.watch import Protected
from monitor.model.assets import Asset, AssetKind, Token
from monitor.model.chain import Header
from monitor.model.events import AnyEvent, BlockOrphaned, HeadSeen
from monitor.model.ports import Source
from monitor.model.units import NATIVE, ChainId, address
from monitor.rehearsal.anvil import Anvil
from monitor.rehearsal.builder import Builder
from monitor.rehearsal.stage import Deployed, Person, Stage
from monitor.sources.blocks import BlockSource, HalfTold
from monitor.sources.feed import Endpoint
from monitor.sources.follower import ChainPlan
from monitor.sources.latest import Latest
from monitor.sources.socket import SocketLimits
from monitor.sources.watch import Watch

E = TypeVar("E")

CHAIN = ChainId(31337)
CLOCK = SystemClock()
LIMITS = SocketLimits(first_wait_s=0.02, longest_wait_s=0.2, ping_s=2.0)
DEADLINE_S = 20.0
_open: list[Nodes] = []


@asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """A chain with people on it."""
    async with Anvil() as anvil, Builder(anvil.ws_url) as builder:
        stage = Stage(anvil, builder, seed=7, folder=folder)
        try:
            yield stage
        finally:
            await stage.close()
            while _open:
                await _open.pop().close()


@dataclass
class Heard:
    """Every event that a source said so far."""

    events: list[AnyEvent] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, event: AnyEvent) -> None:
        self.events.append(event)
        self._more.set()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, ready: Callable[[], bool]) -> None:
        """Wait until what was heard satisfies; shows the end of it where it never does."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not ready():
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"never heard; last: {self.events[-12:]}") from None

    async def head(self, number: int) -> None:
        await self.until(lambda: any(seen.header.number == number for seen in self.of(HeadSeen)))

    async def hash(self, text: str) -> None:
        await self.until(lambda: any("0x" + seen.header.hash.hex() == text for seen in self.of(HeadSeen)))

    def chain(self) -> list[Header]:
        """The canonical chain as told; fails on a gap, a duplicate, or an orphan that is not the tip."""
        found: list[Header] = []
        for event in self.events:
            if isinstance(event, BlockOrphaned):
                assert found.pop().hash == event.hash
            if isinstance(event, HeadSeen):
                assert not found or event.header.parent == found[-1].hash
                found.append(event.header)
        return found


@asynccontextmanager
async def listening(*sources: Source) -> AsyncIterator[Heard]:
    """Run sources and collect what they say."""
    heard = Heard()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_collect(source, heard)) for source in sources]
        yield heard
        for task in tasks:
            task.cancel()


async def _collect(source: Source, heard: Heard) -> None:
    events: Any = source.events()
    async with aclosing(events) as said:
        async for event in said:
            heard.take(event)


def asset(
    name: str, at: str | Deployed | Person, *, kind: AssetKind = "hot_wallet", tokens: Sequence[str] = ()
) -> Asset:
    where = at if isinstance(at, str) else at.address
    listed = (Token(NATIVE, 18, "ETH"), *(Token(address(token.lower()), 18) for token in tokens))
    return Asset(name=name, kind=kind, chain_id=CHAIN, address=address(where.lower()), tokens=listed)


def block_source(
    urls: Sequence[str],
    assets: Sequence[Asset],
    *,
    quorum: int = 1,
    known: Sequence[Header] = (),
    half_told: HalfTold | None = None,
    first: int | None = None,
    latest: Latest | None = None,
    chain_id: ChainId = CHAIN,
    block_time_ms: int = 200,
) -> BlockSource:
    endpoints = tuple(Endpoint(f"node-{place}", url) for place, url in enumerate(urls))
    plan = ChainPlan(
        name="devnet",
        chain_id=chain_id,
        endpoints=endpoints,
        quorum=quorum,
        block_time_ms=block_time_ms,
        limits=LIMITS,
    )
    nodes = nodes_of(endpoints, chain_id)
    watch = Watch(chain_id, Protected(assets))
    jitter = Random(1).random
    board = latest or Latest()
    behind = {"known": known, "half_told": half_told, "first": first}
    return BlockSource(plan, nodes, watch, clock=CLOCK, jitter=jitter, latest=board, **behind)  # type: ignore[arg-type]


def nodes_of(endpoints: Sequence[Endpoint], chain_id: ChainId = CHAIN) -> Nodes:
    """Closed when the stage is."""
    _open.append(Nodes(chain_id, [Rpc(each.url, clock=CLOCK, name=each.name) for each in endpoints], clock=CLOCK))
    return _open[-1]


async def deploy_payer(stage: Stage, to: str) -> str:
    """A contract that pays what it is sent to an address in its code, and says nothing."""
    runtime = bytes.fromhex("5f5f5f5f3473" + to[2:] + "5af100")
    init = bytes.fromhex("60" + f"{len(runtime):02x}" + "600a5f3960" + f"{len(runtime):02x}" + "5ff3") + runtime
    nonce = stage.admin.nonce
    await stage._send(stage.admin, None, init, value=0, gas=200_000, tip=1, private=False, kind="setup")
    await stage.builder.seal()
    deployer = bytes.fromhex(stage.admin.address[2:])
    return to_checksum_address(keccak(rlp.encode([deployer, nonce]))[12:])
