"""The one server's application: health, metrics, incidents, decisions and the kill switch, behind a credential.

It knows nothing of the core: a view shows and takes everything. Nothing here decides.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final, Protocol

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Path, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from monitor.http.auth import Doorkeeper
from monitor.http.limits import Bounded, add_error_answers
from monitor.http.metrics import CONTENT_TYPE, Figure, exposition
from monitor.http.plain import plain
from monitor.model.events import Stamped
from monitor.model.incidents import Incident, Step
from monitor.model.operators import Operator
from monitor.model.ports import Clock

MOST_LISTENERS: Final = 16
Id = Annotated[str, Path(max_length=200)]


class View(Protocol):
    """What the server shows and takes. Texts say why not; empty is yes."""

    def turns(self) -> bool: ...
    def unready(self) -> Sequence[str]: ...
    def incidents(self) -> Sequence[Incident]: ...
    def actions(self) -> Sequence[Any]: ...
    async def story(self, incident_id: str) -> Any | None: ...
    async def approve(self, action_id: str, by: str) -> str: ...
    async def reject(self, action_id: str, by: str, reason: str) -> str: ...
    async def disarm(self, by: str, reason: str) -> str: ...
    async def arm(self, by: str, reason: str) -> str: ...
    def steps(self, after: int | None) -> AsyncGenerator[tuple[Stamped, Step] | None]: ...
    def figures(self) -> Iterable[Figure]: ...


class Decision(BaseModel):
    """A person's word on a waiting action."""

    model_config = ConfigDict(extra="forbid")
    approve: bool
    reason: Annotated[str, Field(max_length=500)] = ""


class Reason(BaseModel):
    """Why the kill switch is turned."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(min_length=1, max_length=500)]


class Taken(BaseModel):
    """It is journalled."""

    by: str


def make_app(view: View, operators: Sequence[Operator], *, clock: Clock) -> FastAPI:
    """The application. Everything but /livez needs a bearer token of one of `operators`."""
    app = FastAPI(title="Drawbridge", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    add_error_answers(app)
    door = Doorkeeper(operators, clock=clock)
    app.include_router(_health(view, door, app))
    app.include_router(_incidents(view, door), prefix="/api/v1")
    app.include_router(_orders(view, door), prefix="/api/v1")
    app.add_middleware(Bounded)
    return app


def _health(view: View, door: Doorkeeper, app: FastAPI) -> APIRouter:
    router = APIRouter()
    reads = [Depends(door.requires("read"))]

    @router.get("/livez")
    async def livez() -> Response:
        """Whether the loop turns. Needs no credential, and says nothing else."""
        turns = view.turns()
        return JSONResponse({"live": turns}, 200 if turns else 503)

    @router.get("/readyz", dependencies=reads)
    async def readyz() -> Response:
        """Whether every source is fresh; if not, which is not."""
        stale = list(view.unready())
        return JSONResponse({"ready": not stale, "stale": stale}, 503 if stale else 200)

    @router.get("/metrics", dependencies=reads)
    async def metrics() -> Response:
        """Prometheus."""
        return Response(exposition(view.figures), media_type=CONTENT_TYPE)

    @router.get("/openapi.json", dependencies=reads, include_in_schema=False)
    async def openapi() -> Response:
        return JSONResponse(app.openapi())

    return router


def _incidents(view: View, door: Doorkeeper) -> APIRouter:
    router = APIRouter(dependencies=[Depends(door.requires("read"))])
    listeners = _Listeners()

    @router.get("/incidents")
    async def incidents() -> Response:
        """Incidents in memory, newest first, and the actions that wait for a person."""
        return JSONResponse({"incidents": plain(view.incidents()), "waiting": plain(view.actions())})

    @router.get("/incidents/{incident_id}")
    async def incident(incident_id: Id) -> Response:
        """One incident whole, as the journal tells it."""
        story = await view.story(incident_id)
        if story is None:
            raise HTTPException(404, f"no incident {incident_id}")
        return JSONResponse(plain(story))

    @router.get("/events")
    async def events(request: Request) -> Response:
        """Steps as they are concluded, as server-sent events; Last-Event-ID continues behind an event."""
        listeners.enter()
        last = request.headers.get("last-event-id", "")
        after = int(last) if last.isascii() and last.isdigit() and len(last) <= 18 else None
        return StreamingResponse(listeners.sent(view.steps(after)), media_type="text/event-stream")

    return router


def _orders(view: View, door: Doorkeeper) -> APIRouter:
    router = APIRouter()

    @router.post("/approvals/{action_id:path}", dependencies=[Depends(door.requires("approve"))])
    async def decide(action_id: Id, decision: Decision, request: Request) -> Taken:
        """Approve or reject an action that waits for a person."""
        by = request.state.operator.name
        if decision.approve:
            return _taken(by, await view.approve(action_id, by))
        return _taken(by, await view.reject(action_id, by, decision.reason))

    @router.post("/disarm", dependencies=[Depends(door.requires("disarm"))])
    async def disarm(given: Reason, request: Request) -> Taken:
        """Stop all actions before the next signature; observation goes on."""
        by = request.state.operator.name
        return _taken(by, await view.disarm(by, given.reason))

    @router.post("/arm", dependencies=[Depends(door.requires("arm"))])
    async def arm(given: Reason, request: Request) -> Taken:
        """Let actions happen again."""
        by = request.state.operator.name
        return _taken(by, await view.arm(by, given.reason))

    return router


def _taken(by: str, why_not: str) -> Taken:
    if why_not:
        raise HTTPException(409, why_not)
    return Taken(by=by)


class _Listeners:
    """Clients of the event stream: few, and each at its own pace, since nothing is queued for them."""

    def __init__(self) -> None:
        self._count = 0

    def enter(self) -> None:
        if self._count >= MOST_LISTENERS:
            raise HTTPException(503, f"{MOST_LISTENERS} clients listen already", {"Retry-After": "5"})

    async def sent(self, steps: AsyncGenerator[tuple[Stamped, Step] | None]) -> AsyncIterator[bytes]:
        self._count += 1
        try:
            yield b"retry: 1000\n\n"
            async with aclosing(steps) as opened:
                async for entry in opened:
                    yield b": alive\n\n" if entry is None else _event(*entry)
        finally:
            self._count -= 1


def _event(stamped: Stamped, step: Step) -> bytes:
    told = {"event": type(stamped.event).__name__, "seen_at": stamped.seen_at, **plain(step)}
    return f"id: {stamped.seq}\nevent: step\ndata: {json.dumps(plain(told))}\n\n".encode()
