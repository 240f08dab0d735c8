"""What every request and answer is held to: bounded bodies, no caching, one line for an error and never a traceback."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.model.errors import DrawbridgeError

MAX_BODY: Final = 16_384
_TOO_LARGE: Final = f"a body of at most {MAX_BODY} bytes"
_HEADERS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Bounded:
    """ASGI middleware: refuses a body over MAX_BYTES, declared or streamed, and marks every answer as private."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        if _declared(scope) > MAX_BODY:
            await error(413, _TOO_LARGE)(scope, receive, marked)
        else:
            await self._app(scope, _counted(receive), marked)


def error(status: int, said: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """One line, always in the same shape."""
    return JSONResponse({"error": said[:500]}, status, headers)


def add_error_answers(app: FastAPI) -> None:
    """Every way to fail, as one line of JSON."""

    async def refused(_: Request, why: Exception) -> JSONResponse:
        known = why if isinstance(why, HTTPException) else HTTPException(500)
        return error(known.status_code, str(known.detail), dict(known.headers or {}))

    async def invalid(_: Request, why: Exception) -> JSONResponse:
        first = why.errors()[0] if isinstance(why, RequestValidationError) and why.errors() else {}
        where = ".".join(str(part) for part in first.get("loc", ()))
        return error(422, f"{where}: {first.get('msg', 'not what is expected')}")

    async def unavailable(_: Request, why: Exception) -> JSONResponse:
        return error(503, str(why).splitlines()[0] if str(why) else "not available")

    async def broken(_: Request, why: Exception) -> JSONResponse:
        return error(500, f"internal fault: {type(why).__name__}")

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(DrawbridgeError, unavailable)
    app.add_exception_handler(Exception, broken)


def _declared(scope: Scope) -> int:
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length) if length.isdigit() and len(length) < 20 else MAX_BODY + 1


def _counted(receive: Receive) -> Receive:
    streamed = 0

    async def counted() -> Message:
        nonlocal streamed
        message = await receive()
        streamed += len(message.get("body", b""))
        if streamed > MAX_BODY:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return counted
