"""Pending transactions as one node tells them: whole where it can, else by hash and fetched in batches.

By subscription on a socket of its own, or by polling a filter where the node has no WebSocket. Bodies stay undecoded
hexadecimal until the watch index has looked at them. What is wrong is counted; nothing a node does ends its feed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

from msgspec import Raw

from monitor.chain.rpc import Rpc, RpcError
from monitor.evm import hexes
from monitor.evm.wire import WireTransaction, decode
from monitor.model.errors import Undecodable, Unreachable
from monitor.model.ports import Clock
from monitor.model.units import ChainId
from monitor.sources.envelope import Notice
from monitor.sources.faults import FaultTally
from monitor.sources.feed import Endpoint
from monitor.sources.pending import SeenHashes
from monitor.sources.socket import SocketLimits, SubscriptionSocket

CHOICES: Final = ((("newPendingTransactions", True),), (("newPendingTransactions",),))
MAX_BODY: Final = 1 << 20  # bytes of JSON for one transaction
BATCH: Final = 64
MOST_WAITING: Final = 4096  # hashes to fetch; more are shed
POLL_S: Final = 0.25


class PendingFeed:
    """Tells each transaction whose hash is not yet in `seen`, which all feeds of a chain share.

    Whoever is told adds to it, once the transaction has proven to be what it says: a liar who is first hides nothing.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        rpc: Rpc,
        tell: Callable[[str, WireTransaction], Awaitable[None]],
        *,
        chain_id: ChainId,
        seen: SeenHashes,
        clock: Clock,
        jitter: Callable[[], float],
        faults: FaultTally,
        limits: SocketLimits | None = None,
    ) -> None:
        self.name = endpoint.name
        self._endpoint = endpoint
        self._rpc = rpc
        self._tell = tell
        self._chain_id = chain_id
        self._seen = seen
        self._clock = clock
        self._faults = faults
        self._wanted: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)
        self._socket = SubscriptionSocket(
            endpoint.url,
            CHOICES,
            node=endpoint.name,
            chain_id=chain_id,
            clock=clock,
            jitter=jitter,
            faults=faults,
            limits=limits,
        )

    async def run(self) -> None:
        """Tell until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fetch_always())
            group.create_task(self._listen() if self._endpoint.subscribes else self._poll_always())

    async def _listen(self) -> None:
        async with aclosing(self._socket.notices()) as words:
            async for word in words:
                if isinstance(word, Notice):
                    await self._notice(word.result)

    async def _notice(self, result: Raw) -> None:
        try:
            if bytes(memoryview(result)[:1]) == b'"':
                self._want(decode(result, str, max_bytes=128))
            else:
                await self._body(decode(result, WireTransaction, max_bytes=MAX_BODY))
        except Undecodable as error:
            self._faults.note("undecodable pending transaction", on=self.name, detail=str(error))

    async def _body(self, wire: WireTransaction) -> None:
        if wire.hash.lower() not in self._seen:
            await self._tell(self.name, wire)

    def _want(self, text: str) -> None:
        hexes.hash32(text)
        if text.lower() in self._seen:
            return
        if self._wanted.full():
            self._faults.note("pending transaction shed: too many to fetch", on=self.name)
        else:
            self._wanted.put_nowait(text)

    async def _fetch_always(self) -> None:
        while True:
            wanted = [await self._wanted.get()]
            while not self._wanted.empty() and len(wanted) < BATCH:
                wanted.append(self._wanted.get_nowait())
            await self._fetch(list(dict.fromkeys(text for text in wanted if text.lower() not in self._seen)))

    async def _fetch(self, hashes: Sequence[str]) -> None:
        """Bodies of these; a hash that has none any more was mined or dropped meanwhile."""
        calls = [("eth_getTransactionByHash", (text,)) for text in hashes]
        try:
            for answer in await self._rpc.batch(calls, into=WireTransaction | None):
                if isinstance(answer, WireTransaction):
                    await self._body(answer)
        except (RpcError, Unreachable, Undecodable) as error:
            self._faults.note("pending transactions not fetched", on=self.name, detail=str(error), count=len(hashes))

    async def _poll_always(self) -> None:
        while True:
            try:
                await self._poll_filter()
            except (RpcError, Unreachable, Undecodable) as error:
                self._faults.note("pending transactions not heard", on=self.name, detail=str(error))
                await self._clock.sleep(2 * POLL_S)

    async def _poll_filter(self) -> None:
        """Poll one filter until it fails: nodes forget filters."""
        said = hexes.quantity(await self._rpc.call("eth_chainId", into=str), 64)
        if said != self._chain_id:
            raise Undecodable(f"serves chain {said}, not {self._chain_id}")
        number = await self._rpc.call("eth_newPendingTransactionFilter", into=str)
        while True:
            for text in await self._rpc.call("eth_getFilterChanges", (number,), into=list[str]):
                self._want(text)
            await self._clock.sleep(POLL_S)
