"""A view that remembers what it was told, and operators of every role."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
from fastapi import FastAPI

from monitor.clock import ManualClock
from monitor.http.app import make_app
from monitor.model.errors import Unreachable
from monitor.model.events import Stamped, Tick
from monitor.model.incidents import Incident, Step
from monitor.model.operators import Operator, Role
from monitor.model.signals import Subject
from monitor.model.units import Instant, Usd

ROLES: tuple[Role, ...] = ("viewer", "operator", "approver", "admin")
OPERATORS = tuple(Operator(role, role, hashlib.sha256(f"token-of-{role}".encode()).hexdigest()) for role in ROLES)
KEY = "ab" * 20


class Figure(NamedTuple):
    name: str
    help: str
    counter: bool
    samples: tuple[tuple[tuple[tuple[str, str], ...], float], ...]


def incident(id: str = "7") -> Incident:
    subject = Subject("key", KEY)
    return Incident(id, "exploit", subject, ("vault",), Instant(0), "open", 0.9, True, Usd(1_500_000), ())


class FakeView:
    """Implements http.app.View."""

    def __init__(self) -> None:
        self.live, self.stale = True, list[str]()
        self.told = list[tuple[str, ...]]()
        self.why_not = ""
        self.unreachable = False
        self.steps_closed = 0
        self.more: list[tuple[Stamped, Step] | None] = []
        self.asked_after: int | None = -1

    def turns(self) -> bool:
        return self.live

    def unready(self) -> list[str]:
        return self.stale

    def incidents(self) -> list[Incident]:
        return [incident()]

    def actions(self) -> list[Any]:
        return [{"id": "7/pause/ab", "gate": "autonomy", "reason": "a person decides"}]

    async def story(self, incident_id: str) -> Any | None:
        if self.unreachable:
            raise Unreachable("journal: no answer within 5 s")
        if incident_id == "broken":
            raise ZeroDivisionError("a secret in a traceback")
        return incident(incident_id) if incident_id == "7" else None

    async def approve(self, action_id: str, by: str) -> str:
        return self._take("approve", action_id, by)

    async def reject(self, action_id: str, by: str, reason: str) -> str:
        return self._take("reject", action_id, by, reason)

    async def disarm(self, by: str, reason: str) -> str:
        return self._take("disarm", by, reason)

    async def arm(self, by: str, reason: str) -> str:
        return self._take("arm", by, reason)

    async def steps(self, after: int | None) -> AsyncGenerator[tuple[Stamped, Step] | None]:
        self.asked_after = after
        try:
            for entry in self.more:
                yield entry
        finally:
            self.steps_closed += 1

    def figures(self) -> Iterable[Figure]:
        yield Figure("drawbridge_events_total", "Events", True, (((), 12.0),))
        yield Figure("drawbridge_health", "Health", False, (((("component", 'head:"x"'),), 0.5),))
        yield Figure("drawbridge_heads", "Heads", False, ())

    def _take(self, *said: str) -> str:
        if not self.why_not:
            self.told.append(said)
        return self.why_not


def app_of(view: FakeView, clock: ManualClock | None = None) -> FastAPI:
    return make_app(view, OPERATORS, clock=clock or ManualClock())


@asynccontextmanager
async def client(
    view: FakeView, *, role: str = "", clock: ManualClock | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer token-of-{role}"} if role else {}
    transport = httpx.ASGITransport(app_of(view, clock), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as opened:
        yield opened


def entry(seq: int) -> tuple[Stamped, Step]:
    return Stamped(seq, Instant(seq), Tick()), Step(seq, faults=("something",))
