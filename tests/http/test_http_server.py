"""The server inside a task group: serves, stops when told, and lets go when cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import httpx
import pytest

from monitor.http.server import address_of, bound, serve
from monitor.model.errors import Unreachable
from monitor.model.events import Stamped
from monitor.model.incidents import Step
from tests.http.http_builders import FakeView, app_of, entry

VIEWER = {"Authorization": "Bearer token-of-viewer"}


class EndlessView(FakeView):
    """Steps that never end."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = asyncio.Event()

    async def steps(self, after: int | None) -> AsyncGenerator[tuple[Stamped, Step] | None]:
        try:
            yield entry(1)
            await asyncio.Event().wait()
        finally:
            self.steps_closed += 1
            self.closed.set()


async def test_it_serves_until_it_is_told_to_stop() -> None:
    listening, stop = bound("127.0.0.1", 0), asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        serving = group.create_task(serve(app_of(FakeView()), listening, stop=stop))
        async with httpx.AsyncClient(base_url=address_of(listening), trust_env=False) as http:
            answer = await http.get("/livez")
            assert answer.json() == {"live": True}
            assert "server" not in answer.headers
        stop.set()
        await serving
    assert listening.fileno() == -1


async def test_an_open_event_stream_does_not_keep_it_from_stopping() -> None:
    view, listening, stop = EndlessView(), bound("127.0.0.1", 0), asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(serve(app_of(view), listening, stop=stop))
        async with (
            httpx.AsyncClient(base_url=address_of(listening), trust_env=False, headers=VIEWER) as http,
            http.stream("GET", "/api/v1/events") as answer,
        ):
            lines = answer.aiter_lines()
            assert await anext(lines) == "retry: 1000"
            stop.set()
            with suppress(httpx.HTTPError):
                async for line in lines:
                    assert line is not None
    assert view.steps_closed == 1


async def test_a_client_that_goes_away_ends_its_stream() -> None:
    view, listening, stop = EndlessView(), bound("127.0.0.1", 0), asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(serve(app_of(view), listening, stop=stop))
        async with httpx.AsyncClient(base_url=address_of(listening), trust_env=False, headers=VIEWER) as http:
            async with http.stream("GET", "/api/v1/events") as answer:
                await anext(answer.aiter_lines())
            await view.closed.wait()
        stop.set()


async def test_cancelling_closes_the_socket() -> None:
    listening, stop = bound("127.0.0.1", 0), asyncio.Event()
    serving = asyncio.create_task(serve(app_of(FakeView()), listening, stop=stop))
    async with asyncio.timeout(10), httpx.AsyncClient(base_url=address_of(listening), trust_env=False) as http:
        await http.get("/livez")
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    assert listening.fileno() == -1


def test_a_port_that_is_taken_is_one_line() -> None:
    first = bound("127.0.0.1", 0)
    port = first.getsockname()[1]
    with pytest.raises(Unreachable, match=rf"console: cannot listen on 127\.0\.0\.1:{port}: .*console\.port"):
        bound("127.0.0.1", port)
    first.close()


async def test_listeners_are_few() -> None:
    view, listening, stop = EndlessView(), bound("127.0.0.1", 0), asyncio.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(serve(app_of(view), listening, stop=stop))
        async with httpx.AsyncClient(base_url=address_of(listening), trust_env=False, headers=VIEWER) as http:
            streams = [http.stream("GET", "/api/v1/events") for _ in range(16)]
            answers = [await stream.__aenter__() for stream in streams]
            for answer in answers:
                await anext(answer.aiter_lines())
            assert (await http.get("/api/v1/events")).status_code == 503
            for stream in streams:
                await stream.__aexit__(None, None, None)
            stop.set()
