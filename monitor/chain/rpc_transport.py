"""How frames reach one node: a small pool of WebSockets, or HTTP.

A connection carries one request at a time, so a slow simulation never stands before a fast one and no reader task is
needed. Connections open when first used; after a failure the next attempt waits a bounded, doubling time. A reply
over the size cap, or one cut off by its deadline, costs the connection. Addresses are never shown: they hold keys.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, PayloadTooBig, WebSocketException
from websockets.protocol import State

from monitor.model.errors import Undecodable, Unreachable
from monitor.model.ports import Clock

T = TypeVar("T")

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0
QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)  # Linux only


class Transport(Protocol):
    async def exchange(self, frame: bytes, read: Callable[[bytes], T]) -> T:
        """Send one frame and read its reply. The caller sets the deadline. Raises Unreachable, Undecodable."""

    async def close(self) -> None: ...


class Backoff:
    """When the next connection may be tried: at once, then 50 ms after a failure, doubling up to 2 s."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pause_s = 0.0
        self._ready_ns = 0

    async def wait(self) -> None:
        """Sleep until the next attempt is due; the caller's deadline bounds it."""
        left_ns = self._ready_ns - self._clock.monotonic_ns()
        if left_ns > 0:
            await self._clock.sleep(left_ns / 1e9)

    def failed(self) -> None:
        self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._ready_ns = self._clock.monotonic_ns() + int(self._pause_s * 1e9)

    def succeeded(self) -> None:
        self._pause_s = 0.0
        self._ready_ns = 0


class WebSocketTransport:
    """Up to `pool` sockets to one node, each with one request in flight."""

    def __init__(self, url: str, *, name: str, clock: Clock, pool: int, max_bytes: int) -> None:
        self._url = url
        self._name = name
        self._max_bytes = max_bytes
        self._backoff = Backoff(clock)
        self._free = asyncio.Semaphore(pool)
        self._idle: list[ClientConnection] = []

    async def exchange(self, frame: bytes, read: Callable[[bytes], T]) -> T:
        async with self._free:
            connection = await self._connection()
            whole = False
            try:
                await connection.send(frame, text=True)
                acknowledge_at_once(connection)
                value = read(await connection.recv(decode=False))
                whole = True
            except PayloadTooBig as error:
                raise self._too_big() from error
            except ConnectionClosed as error:
                raise self._closed(error) from error
            finally:
                if not whole:
                    connection.transport.abort()
            self._idle.append(connection)
            return value

    async def close(self) -> None:
        while self._idle:
            self._idle.pop().transport.abort()

    async def _connection(self) -> ClientConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.state is State.OPEN:
                return connection
        await self._backoff.wait()
        try:
            connection = await connect(
                self._url, compression=None, max_size=self._max_bytes, proxy=None, open_timeout=None, close_timeout=1
            )
        except (OSError, WebSocketException) as error:
            self._backoff.failed()
            raise Unreachable(f"node {self._name}: cannot connect: {type(error).__name__}") from error
        self._backoff.succeeded()
        return connection

    def _closed(self, error: ConnectionClosed) -> Unreachable | Undecodable:
        if isinstance(error.__cause__, PayloadTooBig) or (error.sent is not None and error.sent.code == 1009):
            return self._too_big()
        return Unreachable(f"node {self._name}: closed the connection before it answered")

    def _too_big(self) -> Undecodable:
        return Undecodable(f"node {self._name}: reply over {self._max_bytes} bytes")


class HttpTransport:
    """HTTP POST for nodes without a WebSocket."""

    def __init__(self, url: str, *, name: str, clock: Clock, pool: int, max_bytes: int) -> None:
        self._url = url
        self._name = name
        self._max_bytes = max_bytes
        self._backoff = Backoff(clock)
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=pool, max_keepalive_connections=pool),
            headers={"content-type": "application/json", "accept-encoding": "identity"},
            timeout=None,  # noqa: S113 - every exchange runs under the caller's deadline
            trust_env=False,
            verify=url.startswith("https:"),
        )

    async def exchange(self, frame: bytes, read: Callable[[bytes], T]) -> T:
        await self._backoff.wait()
        try:
            async with self._client.stream("POST", self._url, content=frame) as response:
                body = await self._body(response)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            self._backoff.failed()
            raise Unreachable(f"node {self._name}: cannot post: {type(error).__name__}") from error
        self._backoff.succeeded()
        if response.status_code != 200 and body[:1] not in (b"{", b"["):
            raise Unreachable(f"node {self._name}: answered HTTP {response.status_code}")
        return read(body)

    async def close(self) -> None:
        await self._client.aclose()

    async def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > self._max_bytes:
                raise Undecodable(f"node {self._name}: reply over {self._max_bytes} bytes")
        return bytes(body)


def acknowledge_at_once(connection: ClientConnection) -> None:
    """Re-arm TCP_QUICKACK, which Linux clears by itself: without it a burst of replies waits 40 ms (facts/node.md)."""
    plain = connection.transport.get_extra_info("socket")
    if QUICKACK is not None and plain is not None and plain.family in (socket.AF_INET, socket.AF_INET6):
        plain.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
