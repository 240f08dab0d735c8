"""One pipelined WebSocket to the node behind the builder.

Many requests are in flight at once, each with an id of ours; params and results pass as raw bytes.
Delayed acknowledgements are switched off before every read, since a burst of small replies would
otherwise wait 40 ms for each other (facts/node.md).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from monitor.model.errors import DrawbridgeError

_EMPTY: Final = msgspec.Raw(b"")
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)
_INTERNAL_ERROR: Final = -32_603
_GONE: Final = "the node behind the builder is gone"


class UpstreamError(DrawbridgeError):
    """The node behind the builder answered with an error, or is gone; ``raw`` is the error as sent."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw.decode(errors="replace"))
        self.raw = raw


class Reply(msgspec.Struct, gc=False):
    """A JSON-RPC reply of which only the id is looked at."""

    id: int | None = None
    result: msgspec.Raw = _EMPTY
    error: msgspec.Raw = _EMPTY


class _QuickConnection(ClientConnection):
    """A connection that acknowledges every segment at once, where the system can."""

    def data_received(self, data: bytes) -> None:
        if _QUICKACK is not None:
            self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        super().data_received(data)


class Upstream:
    """Send JSON-RPC to one node; use inside ``async with``, and run ``read`` in a task group."""

    def __init__(self, url: str, *, deadline_s: float = 60.0) -> None:
        self._url = url
        self._deadline_s = deadline_s
        self._next_id = 0
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._connection: ClientConnection | None = None
        self._replies = msgspec.json.Decoder(list[Reply])
        self._reply = msgspec.json.Decoder(Reply)

    async def __aenter__(self) -> Self:
        self._connection = await connect(
            self._url,
            create_connection=_QuickConnection,
            compression=None,
            max_size=None,
            max_queue=None,
            ping_interval=None,
            open_timeout=10,
            close_timeout=1,
            proxy=None,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            await self._connection.close()
        self._fail_waiting()

    async def read(self) -> None:
        """Deliver replies until cancelled; raises ConnectionClosed when the node goes away."""
        assert self._connection is not None, "enter the Upstream before reading"
        try:
            while True:
                self._deliver(await self._connection.recv(decode=False))
        except ConnectionClosed:
            self._fail_waiting()
            raise

    async def forward(self, method: str, params: bytes) -> bytes:
        """Return the raw result of one request; raises UpstreamError with the node's raw error."""
        request_id, future = self._reserve()
        return await self._exchange(_frame(request_id, method, params), request_id, future)

    async def call(self, method: str, *params: object) -> Any:
        """Return the decoded result of one request."""
        return msgspec.json.decode(await self.forward(method, msgspec.json.encode(params)))

    async def batch(self, requests: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        """Return the decoded results of requests sent as one frame; the node may run them at once."""
        if not requests:
            return []
        reserved = [self._reserve() for _ in requests]
        frames = (
            _frame(request_id, method, msgspec.json.encode(params))
            for (request_id, _), (method, params) in zip(reserved, requests, strict=True)
        )
        try:
            async with self._deadline():
                await self._send(b"[" + b",".join(frames) + b"]")
                replies = [await future for _, future in reserved]
        finally:
            for request_id, _ in reserved:
                self._waiting.pop(request_id, None)
        return [msgspec.json.decode(_result(reply)) for reply in replies]

    @asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline_s):
                yield
        except TimeoutError:
            raise UpstreamError(_error(f"no answer within {self._deadline_s} s")) from None

    async def _exchange(self, frame: bytes, request_id: int, future: asyncio.Future[Reply]) -> bytes:
        try:
            async with self._deadline():
                await self._send(frame)
                return _result(await future)
        finally:
            self._waiting.pop(request_id, None)

    async def _send(self, frame: bytes) -> None:
        if self._connection is None:
            raise UpstreamError(_error(_GONE))
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed:
            raise UpstreamError(_error(_GONE)) from None

    def _reserve(self) -> tuple[int, asyncio.Future[Reply]]:
        self._next_id += 1
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[self._next_id] = future
        return self._next_id, future

    def _deliver(self, frame: bytes) -> None:
        batched = frame[:1] == b"["
        for reply in self._replies.decode(frame) if batched else (self._reply.decode(frame),):
            future = None if reply.id is None else self._waiting.get(reply.id)
            if future is not None and not future.done():
                future.set_result(reply)

    def _fail_waiting(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_result(Reply(error=msgspec.Raw(_error(_GONE))))


def _frame(request_id: int, method: str, params: bytes) -> bytes:
    head = b'{"jsonrpc":"2.0","id":%d,"method":' % request_id
    return head + msgspec.json.encode(method) + b',"params":' + params + b"}"


def _result(reply: Reply) -> bytes:
    if len(memoryview(reply.error)):
        raise UpstreamError(bytes(reply.error))
    return bytes(reply.result)


def _error(message: str) -> bytes:
    return msgspec.json.encode({"code": _INTERNAL_ERROR, "message": message})
