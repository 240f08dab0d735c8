"""A node over WebSocket that says what a test tells it to say, on a real loopback socket."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve

Answers = Callable[[str, list[Any]], Any]


class Refusal:
    """Answer with a JSON-RPC error."""

    def __init__(self, message: str, *, code: int = -32000, data: Any = None) -> None:
        self.error = {"code": code, "message": message, "data": data}


class Bytes:
    """Answer with exactly these bytes, whatever was asked."""

    def __init__(self, body: bytes) -> None:
        self.body = body


class Silence:
    """Do not answer."""


class HangUp:
    """Close the connection instead of answering."""


class FakeNode:
    """`answers(method, params)` gives a result, or one of the values above."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.connections = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = next(iter(self._server.sockets)).getsockname()[:2]
        return f"ws://{host}:{port}"

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        async for frame in connection:
            asked = msgspec.json.decode(frame)
            outcome = self._outcome(asked)
            if isinstance(outcome, HangUp):
                await connection.close()
                return
            if isinstance(outcome, Silence):
                await connection.wait_closed()
                return
            body = outcome.body if isinstance(outcome, Bytes) else msgspec.json.encode(outcome)
            await connection.send(body, text=True)

    def _outcome(self, asked: Any) -> Any:
        if isinstance(asked, dict):
            return self._one(asked)
        replies = [self._one(request) for request in reversed(asked)]  # a batch may be answered in any order
        special = [reply for reply in replies if not isinstance(reply, dict)]
        return special[0] if special else replies

    def _one(self, request: dict[str, Any]) -> Any:
        self.asked.append(request["method"])
        result = self.answers(request["method"], request["params"])
        head = {"jsonrpc": "2.0", "id": request["id"]}
        if isinstance(result, Refusal):
            return head | {"error": result.error}
        if isinstance(result, (Bytes, Silence, HangUp)):
            return result
        return head | {"result": result}


def says(**results: Any) -> Answers:
    """A node that knows these methods and nothing else."""
    return lambda method, _params: results.get(method, Refusal("method not found", code=-32601))
