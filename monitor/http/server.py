"""Serves the application inside the caller's task group: own sockets, no signal handlers, no logging of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from monitor.model.errors import Unreachable

GRACE_S: Final = 1
MOST_CONNECTIONS: Final = 128


def bound(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any. Raises Unreachable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        why = error.strerror or str(error)
        raise Unreachable(
            f"console: cannot listen on {host}:{port}: {why}; free the port or change console.port"
        ) from None


def address_of(listening: socket.socket) -> str:
    """The address to open: http://127.0.0.1:8700"""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(app: ASGIApp, listening: socket.socket, *, stop: asyncio.Event) -> None:
    """Until `stop` is set, or cancelled; the socket is closed either way."""
    server = _Server(_config(app))
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve([listening]))
            ending = group.create_task(_end(server, stop))
            serving.add_done_callback(lambda _: ending.cancel())
    finally:
        server.release()
        listening.close()


async def _end(server: _Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=16_384,
    )


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the loop's owner has them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def release(self) -> None:
        """Let go of what a cancelled server leaves open."""
        for server in getattr(self, "servers", ()):
            server.close()
        for task in self.server_state.tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
