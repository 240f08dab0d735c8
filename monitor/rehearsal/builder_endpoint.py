"""One node endpoint over the builder's chain: JSON-RPC over HTTP POST and WebSocket on one port.

The first endpoint is an honest node. Others over the same chain can be made to lie, stall, slow
down or be cut at runtime, as real nodes do. It answers nothing itself: it frames, masks and
delivers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType, web

from monitor.rehearsal.anvil import free_port
from monitor.rehearsal.builder_faults import Faults, Mask
from monitor.rehearsal.builder_methods import Backend
from monitor.rehearsal.builder_subscription import Subscription, Topic, parse
from monitor.rehearsal.builder_transaction import Json, Rejected, Transaction
from monitor.rehearsal.builder_upstream import UpstreamError

_MAX_FRAMES: Final = 50_000
_MAX_IN_FLIGHT: Final = 1_024
_MAX_REQUEST_BYTES: Final = 64 * 1024 * 1024
_WRITE_DEADLINE_S: Final = 30.0
_INVALID_PARAMS: Final = -32_602
_PARSE_ERROR: Final = -32_700


class Request(msgspec.Struct, gc=False):
    """A JSON-RPC request whose id and params stay raw."""

    method: str
    id: msgspec.Raw = msgspec.Raw(b"null")
    params: msgspec.Raw = msgspec.Raw(b"[]")


class Session:
    """One client's WebSocket: its subscriptions, and its frames in the order they were made."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket = socket
        self.in_flight = asyncio.Semaphore(_MAX_IN_FLIGHT)
        self._active: dict[str, Subscription] = {}
        self._fresh: list[Subscription] = []
        self._made = 0
        self._frames: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MAX_FRAMES)
        self._transport = request.transport
        self._now = asyncio.get_running_loop().time

    def push(self, frame: bytes, *, delay_s: float) -> None:
        """Send a frame after ``delay_s``; a client that does not read its frames is cut off."""
        try:
            self._frames.put_nowait((self._now() + delay_s, frame))
        except asyncio.QueueFull:
            self.abort()

    def subscribe(self, params: list[Any]) -> str:
        """Make a subscription; it starts with ``start_fresh``, after its id was sent."""
        self._made += 1
        made = parse(hex(self._made), params)
        self._fresh.append(made)
        return made.id

    def start_fresh(self) -> None:
        """Start what was subscribed to since the last call."""
        self._active.update((made.id, made) for made in self._fresh)
        self._fresh.clear()

    def unsubscribe(self, subscription_id: str) -> bool:
        """End a subscription; say whether there was one."""
        return self._active.pop(subscription_id, None) is not None

    def subscribed(self, topic: Topic) -> tuple[Subscription, ...]:
        """Return the live subscriptions to a topic."""
        return tuple(s for s in self._active.values() if s.topic is topic)

    def abort(self) -> None:
        """Drop the connection without a closing handshake."""
        if self._transport is not None:
            self._transport.abort()

    async def write(self) -> None:
        """Write frames until cancelled or the client is gone."""
        while True:
            due, frame = await self._frames.get()
            if (wait := due - self._now()) > 0:
                await asyncio.sleep(wait)
            try:
                async with asyncio.timeout(_WRITE_DEADLINE_S):
                    await self.socket.send_frame(frame, WSMsgType.TEXT)
            except (ConnectionError, TimeoutError):
                self.abort()
                return


class Endpoint:
    """Serve one backend on one port; ``set_faults`` changes how it behaves from then on."""

    def __init__(self, name: str, backend: Backend, faults: Faults) -> None:
        self.name = name
        self._backend = backend
        self._mask = Mask(faults, since=backend.head_number)
        self._port = free_port()
        self._sessions: set[Session] = set()
        self._runner: web.AppRunner | None = None

    @property
    def http_url(self) -> str:
        """Return the address for HTTP POST."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        """Return the address for WebSocket."""
        return f"ws://127.0.0.1:{self._port}"

    @property
    def faults(self) -> Faults:
        """Return what is wrong with this endpoint now."""
        return self._mask.faults

    async def set_faults(self, faults: Faults) -> None:
        """Become faulty or healthy; lies and standstill count from the present head."""
        self._mask = Mask(faults, since=self._backend.head_number)
        if faults.cut:
            await self.close()
        else:
            await self.open()

    async def open(self) -> None:
        """Listen, unless listening already or cut."""
        if self._runner is not None or self.faults.cut:
            return
        app = web.Application(client_max_size=_MAX_REQUEST_BYTES)
        app.router.add_get("/", self._websocket)
        app.router.add_post("/", self._post)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def close(self) -> None:
        """Drop every client and stop listening."""
        runner, self._runner = self._runner, None
        for session in tuple(self._sessions):
            session.abort()
        if runner is not None:
            await runner.cleanup()

    def announce_pending(self, transaction: Transaction) -> None:
        """Tell subscribers of a public transaction."""
        if self.faults.stalled:
            return
        shown = {True: transaction.body, False: "0x" + transaction.hash.hex()}
        for session in self._sessions:
            for subscription in session.subscribed(Topic.PENDING):
                self._push(session, subscription.frame(shown[subscription.full]))

    def announce_head(self, header: Json) -> None:
        """Tell subscribers of a head, new or not."""
        if self.faults.stalled:
            return
        told = self._mask.header(header)
        for session in self._sessions:
            for subscription in session.subscribed(Topic.HEADS):
                self._push(session, subscription.frame(told))

    def announce_logs(self, logs: Sequence[Json]) -> None:
        """Tell subscribers of logs, which may be removed ones."""
        if self.faults.stalled:
            return
        for session in self._sessions:
            for subscription in session.subscribed(Topic.LOGS):
                for log in filter(subscription.filter.matches, logs):
                    self._push(session, subscription.frame(self._mask.log(log)))

    def _push(self, session: Session, frame: bytes) -> None:
        session.push(frame, delay_s=self.faults.slow_ms / 1_000)

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=_MAX_REQUEST_BYTES, compress=False)
        await socket.prepare(request)
        session = Session(socket, request)
        self._sessions.add(session)
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(session.write())
                async for message in socket:
                    await session.in_flight.acquire()
                    group.create_task(self._serve(message.data, session))
                writing.cancel()
        finally:
            self._sessions.discard(session)
        return socket

    async def _serve(self, frame: str | bytes, session: Session) -> None:
        try:
            self._push(session, await self._answer_frame(frame, session))
            session.start_fresh()
        finally:
            session.in_flight.release()

    async def _post(self, request: web.Request) -> web.Response:
        answer = await self._answer_frame(await request.read(), None)
        await asyncio.sleep(self.faults.slow_ms / 1_000)
        return web.Response(body=answer, content_type="application/json")

    async def _answer_frame(self, frame: str | bytes, session: Session | None) -> bytes:
        try:
            if frame[:1] not in ("[", b"["):
                return await self._answer(msgspec.json.decode(frame, type=Request), session)
            requests = msgspec.json.decode(frame, type=list[Request])
        except msgspec.MsgspecError as error:
            return _error_frame(b"null", _PARSE_ERROR, str(error))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._answer(each, session)) for each in requests]
        return b"[" + b",".join(task.result() for task in tasks) + b"]"

    async def _answer(self, request: Request, session: Session | None) -> bytes:
        request_id = bytes(request.id)
        try:
            result = await self._result(request.method, bytes(request.params), session)
        except UpstreamError as error:
            return b'{"jsonrpc":"2.0","id":' + request_id + b',"error":' + error.raw + b"}"
        except Rejected as refusal:
            return _error_frame(request_id, refusal.code, str(refusal))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            return _error_frame(request_id, _INVALID_PARAMS, f"invalid params: {error!r}")
        return b'{"jsonrpc":"2.0","id":' + request_id + b',"result":' + result + b"}"

    async def _result(self, method: str, params: bytes, session: Session | None) -> bytes:
        if method in ("eth_subscribe", "eth_unsubscribe"):
            return _subscribing(method, msgspec.json.decode(params), session)
        if self._mask.honest:
            return await self._backend.answer(method, params)
        mask = self._mask
        asked = mask.params(method, msgspec.json.decode(params))
        honest = await self._backend.answer(method, msgspec.json.encode(asked))
        return msgspec.json.encode(mask.result(method, asked, msgspec.json.decode(honest)))


def _subscribing(method: str, params: list[Any], session: Session | None) -> bytes:
    if session is None:
        raise Rejected("notifications not supported", code=-32_601)
    if method == "eth_subscribe":
        return msgspec.json.encode(session.subscribe(params))
    return msgspec.json.encode(session.unsubscribe(params[0]))


def _error_frame(request_id: bytes, code: int, message: str) -> bytes:
    error = msgspec.json.encode({"code": code, "message": message})
    return b'{"jsonrpc":"2.0","id":' + request_id + b',"error":' + error + b"}"
