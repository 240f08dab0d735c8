"""What tokens are worth: the owner's fixed prices, and Chainlink feeds read one block behind the head.

Never read inside a simulated transaction, nor at the head itself, where the transaction that we judge may have moved
the price (decision.md, Value). An answer that is old, not positive or missing is told as bad health, and no price goes
out: the last one stands until it is stale, and unknown is never 0.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from msgspec import Struct

from monitor.chain.rpc import Nodes, RpcError
from monitor.evm import hexes
from monitor.model.errors import Disagreement, Undecodable, Unreachable
from monitor.model.events import AnyEvent, PriceSeen
from monitor.model.ports import Clock
from monitor.model.units import DOLLAR, SECOND, Address, ChainId, Instant, Usd, shown
from monitor.sources.faults import FaultTally
from monitor.sources.health import HealthTable, Level, age_level
from monitor.sources.latest import Latest
from monitor.sources.outlet import Outlet

LATEST_ROUND: Final = "0xfeaf968c"  # latestRoundData()
DECIMALS: Final = "0x313ce567"  # decimals()
MAX_DECIMALS: Final = 36
POLL_S: Final = 5.0
WORDS: Final = 5


class FixedPrice(Struct, frozen=True):
    """A price that the owner wrote down: micro-dollars for one whole token."""

    chain_id: ChainId
    token: Address
    usd: Usd
    decimals: int = 18


class PriceFeed(Struct, frozen=True):
    """A Chainlink aggregator of `token` in dollars. `decimals` are the token's, not the feed's."""

    chain_id: ChainId
    token: Address
    aggregator: Address
    decimals: int = 18
    symbol: str = ""


class FeedChain(Struct, frozen=True):
    """What reads the feeds of one chain."""

    nodes: Nodes
    latest: Latest
    quorum: int = 1


class PriceSource:
    """Implements model.ports.Source for all prices."""

    name = "prices"

    def __init__(
        self,
        fixed: Sequence[FixedPrice],
        feeds: Sequence[PriceFeed],
        chains: dict[ChainId, FeedChain],
        *,
        clock: Clock,
        max_age_s: int = 3600,
        poll_s: float = POLL_S,
    ) -> None:
        self._fixed = tuple(fixed)
        self._feeds = tuple(feeds)
        self._chains = chains
        self._clock = clock
        self._max_age_ns = max_age_s * SECOND
        self._poll_s = poll_s
        self._decimals: dict[PriceFeed, int] = {}
        self._told: dict[PriceFeed, PriceSeen] = {}
        self.faults = FaultTally(self.name, clock)
        self._health = HealthTable(clock)

    async def events(self) -> AsyncGenerator[AnyEvent, None]:
        """PriceSeen, until cancelled."""
        outlet = Outlet(self.faults, self._clock)
        async for event in outlet.stream(lambda: self._run(outlet)):
            yield event

    async def _run(self, outlet: Outlet) -> None:
        fixed_at: int | None = None
        while True:
            now = self._clock.monotonic_ns()
            if fixed_at is None or now - fixed_at >= self._max_age_ns // 2:
                fixed_at = now
                for price in self._fixed:
                    await outlet.put(self._fixed_seen(price))
            for feed in self._feeds:
                await self._read(feed, outlet)
            await self._clock.sleep(self._poll_s)

    def _fixed_seen(self, price: FixedPrice) -> PriceSeen:
        return PriceSeen(
            chain_id=price.chain_id,
            token=price.token,
            usd=price.usd,
            decimals=price.decimals,
            source="static",
            at=self._clock.now(),
        )

    async def _read(self, feed: PriceFeed, outlet: Outlet) -> None:
        chain = self._chains.get(feed.chain_id)
        head = chain.latest.head if chain is not None else None
        if chain is None or head is None:
            return
        try:
            seen = await self._price(feed, chain, max(head.number - 1, 0))
        except (Unreachable, Undecodable, Disagreement, RpcError) as error:
            self.faults.note("price not readable", on=_name(feed), detail=str(error))
            await self._say(feed, Level(0.0, f"cannot be read: {error}"), outlet)
            return
        age = max(0, head.timestamp * SECOND - seen.at)
        level = age_level(age, limit_ns=self._max_age_ns, noun="answer")
        if level.level == 1.0 and self._is_news(feed, seen):
            self._told[feed] = seen
            await outlet.put(seen)
        await self._say(feed, level, outlet)

    async def _price(self, feed: PriceFeed, chain: FeedChain, block: int) -> PriceSeen:
        """The answer at that block. Raises Undecodable where it is not a price."""
        if feed not in self._decimals:
            (places,) = await self._words(feed, chain, DECIMALS, block=block, count=1)
            if places > MAX_DECIMALS:
                raise Undecodable(f"a price feed of {places} decimals")
            self._decimals[feed] = places
        _, answer, _, updated_at, _ = await self._words(feed, chain, LATEST_ROUND, block=block, count=WORDS)
        if not 0 < answer < 2**255:
            raise Undecodable("a price that is not positive")
        return PriceSeen(
            chain_id=feed.chain_id,
            token=feed.token,
            usd=Usd(answer * DOLLAR // 10 ** self._decimals[feed]),
            decimals=feed.decimals,
            source=f"chainlink {shown(feed.aggregator)}",
            block_number=block,
            at=Instant(updated_at * SECOND),
        )

    async def _words(self, feed: PriceFeed, chain: FeedChain, data: str, *, block: int, count: int) -> list[int]:
        call = {"to": shown(feed.aggregator), "data": data}
        text = await chain.nodes.quorum("eth_call", (call, hex(block)), need=chain.quorum, into=str)
        raw = hexes.octets(text)
        if len(raw) != 32 * count:
            raise Undecodable(f"{len(raw)} bytes where {count} words should be: is this a price feed?")
        return [int.from_bytes(raw[at : at + 32], "big") for at in range(0, len(raw), 32)]

    def _is_news(self, feed: PriceFeed, seen: PriceSeen) -> bool:
        """A new round, or the same said again before the last one grows stale."""
        told = self._told.get(feed)
        return told is None or (told.usd, told.at) != (seen.usd, seen.at)

    async def _say(self, feed: PriceFeed, level: Level, outlet: Outlet) -> None:
        for event in self._health.report(f"price:{_name(feed)}", level):
            await outlet.put(event)


def _name(feed: PriceFeed) -> str:
    return feed.symbol or shown(feed.token)
