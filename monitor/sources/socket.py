"""A subscription WebSocket to one node, on a socket of its own, that always comes back.

One for heads and one for pending transactions, so that a flood of the pool never delays a block; calls go elsewhere
(facts/node.md). Messages are bounded in size, the link is pinged with a deadline, a lost one is opened again after a
jittered, bounded wait. What a node sends wrong is counted and dropped. The event loop gets its turn between messages,
however many wait. This never decodes a payload and never decides what is true.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from monitor.model.errors import Unreachable
from monitor.model.ports import Clock
from monitor.model.units import ChainId
from monitor.sources.envelope import Conversation, Notice, Topic
from monitor.sources.faults import FaultTally

QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)  # Linux only
TURN_NS: Final = 5_000_000  # longest work on waiting messages before others get the loop


class SocketLimits(Struct, frozen=True):
    """What a node may send and how long it may take."""

    max_message: int = 1 << 20
    open_s: float = 5.0
    answer_s: float = 5.0
    ping_s: float = 5.0  # between pings, and until the pong
    first_wait_s: float = 0.05
    longest_wait_s: float = 5.0


class Opened(Struct, frozen=True):
    """Connected, on the right chain, subscribed; `topics` are those taken."""

    topics: tuple[Topic, ...]


class Closed(Struct, frozen=True):
    """The link is down. It will be opened again unless `wrong_chain`, which is tried at the longest wait."""

    why: str
    wrong_chain: bool = False


class SubscriptionSocket:
    """Subscribes at one node, for ever: to the first set of topics in `choices` that the node takes."""

    def __init__(
        self,
        url: str,
        choices: Sequence[Sequence[Topic]],
        *,
        node: str,
        chain_id: ChainId,
        clock: Clock,
        jitter: Callable[[], float],
        faults: FaultTally,
        limits: SocketLimits | None = None,
    ) -> None:
        """`jitter` gives numbers in [0, 1), as random.Random(seed).random does."""
        self._url = url
        self._choices = tuple(tuple(choice) for choice in choices)
        self._node = node
        self._chain_id = chain_id
        self._clock = clock
        self._jitter = jitter
        self._faults = faults
        self._limits = limits or SocketLimits()
        self._choice = 0

    async def notices(self) -> AsyncGenerator[Opened | Notice | Closed, None]:
        """What the node says, with Opened and Closed around each connection. Ends only when closed."""
        failures = 0
        while True:
            ended = Closed("closed")
            async with aclosing(self._connection()) as connection:
                async for word in connection:
                    failures = 0 if isinstance(word, Opened) else failures
                    if isinstance(word, Closed):
                        ended = word
                    else:
                        yield word
            failures += 1
            self._faults.note("subscription lost", on=self._node, detail=ended.why)
            yield ended
            await self._clock.sleep(self._wait_s(failures, ended))

    def _wait_s(self, failures: int, ended: Closed) -> float:
        longest = self._limits.longest_wait_s
        wait = longest if ended.wrong_chain else min(longest, self._limits.first_wait_s * 2 ** min(failures - 1, 16))
        return wait * (0.5 + self._jitter() / 2)

    async def _connection(self) -> AsyncGenerator[Opened | Notice | Closed, None]:
        try:
            connection = await self._open()
        except (OSError, WebSocketException, TimeoutError) as error:
            yield Closed(f"cannot connect: {type(error).__name__}")
            return
        topics = self._choices[self._choice]
        talk = Conversation(topics, self._chain_id, node=self._node, faults=self._faults)
        try:
            for notice in await self._subscribe(connection, talk):
                yield notice
            yield Opened(topics)
            async with aclosing(self._listen(connection, talk)) as heard:
                async for notice in heard:
                    yield notice
        except Unreachable as error:
            yield Closed(str(error), wrong_chain=bool(talk.wrong_chain))
        except (ConnectionClosed, TimeoutError, OSError) as error:
            yield Closed(f"{type(error).__name__}: {error}"[:160])
        finally:
            connection.transport.abort()

    async def _open(self) -> ClientConnection:
        limits = self._limits
        async with asyncio.timeout(limits.open_s):
            connection = await connect(
                self._url,
                compression=None,
                max_size=limits.max_message,
                ping_interval=limits.ping_s,
                ping_timeout=limits.ping_s,
                open_timeout=None,
                close_timeout=1,
                proxy=None,
            )
        plain = connection.transport.get_extra_info("socket")
        if plain is not None and plain.family in (socket.AF_INET, socket.AF_INET6):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    async def _subscribe(self, connection: ClientConnection, talk: Conversation) -> list[Notice]:
        """Ask, and wait until all is answered; notices that came early are kept. Raises Unreachable."""
        early: list[Notice] = []
        async with asyncio.timeout(self._limits.answer_s):
            for question in talk.questions():
                await connection.send(question, text=True)
            while not talk.ready:
                early += talk.read(await _receive(connection))
                self._check(talk)
        return early

    def _check(self, talk: Conversation) -> None:
        if talk.wrong_chain:
            raise Unreachable(f"node {self._node} {talk.wrong_chain}")
        if talk.refused is not None:
            self._choice = (self._choice + 1) % len(self._choices)
            raise Unreachable(f"node {self._node} does not offer the subscription: {talk.refused[1]}")

    async def _listen(self, connection: ClientConnection, talk: Conversation) -> AsyncGenerator[Notice, None]:
        turn = self._clock.monotonic_ns()
        while True:
            message = await _receive(connection)
            for notice in talk.read(message):
                yield notice
            if self._clock.monotonic_ns() - turn > TURN_NS:
                await asyncio.sleep(0)
                turn = self._clock.monotonic_ns()


async def _receive(connection: ClientConnection) -> bytes:
    """The next message. Linux clears TCP_QUICKACK by itself: it is armed again before each (facts/node.md)."""
    plain = connection.transport.get_extra_info("socket")
    if QUICKACK is not None and plain is not None and plain.family in (socket.AF_INET, socket.AF_INET6):
        plain.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
    return await connection.recv(decode=False)
