"""Who is asking: a bearer token, compared by SHA-256 in constant time with every operator's.

A right token always passes, whatever else the same address sent: nobody may lock an operator out of the kill switch.
Wrong ones are counted by address, and past ten a minute are answered 429. What keeps a token from being guessed is its
length (settings refuses short ones), not this.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import HTTPException, Request

from monitor.model.operators import Operator, Verb, least_role, recognised
from monitor.model.ports import Clock
from monitor.model.units import MINUTE

FAILURES_A_MINUTE: Final = 10
MOST_ADDRESSES: Final = 1_024
MAX_TOKEN: Final = 512


@dataclass(slots=True)
class _Failures:
    since: int
    count: int = 0


class Doorkeeper:
    """Lets in by role."""

    def __init__(self, operators: Sequence[Operator], *, clock: Clock) -> None:
        self._operators, self._clock = tuple(operators), clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def requires(self, verb: Verb) -> Callable[[Request], Awaitable[None]]:
        """A dependency that leaves the operator in `request.state.operator`, or answers 401, 403 or 429."""

        async def admitted(request: Request) -> None:
            found = self._known(request)
            if not found.may(verb):
                raise HTTPException(403, f"{found.name} is {found.role}; this needs {least_role(verb)} or above")
            request.state.operator = found

        return admitted

    def _known(self, request: Request) -> Operator:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and 0 < len(token) <= MAX_TOKEN:
            found = recognised(self._operators, token.strip())
            if found is not None:
                return found
        raise self._refusal(request.client.host if request.client else "")

    def _refusal(self, address: str) -> HTTPException:
        now = self._clock.monotonic_ns()
        failures = self._failures.pop(address, None)
        if failures is None or now - failures.since > MINUTE:
            failures = _Failures(now)
        failures.count += 1
        self._failures[address] = failures
        while len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)
        if failures.count > FAILURES_A_MINUTE:
            wait_s = (failures.since + MINUTE - now) // 1_000_000_000 + 1
            return HTTPException(429, "too many wrong credentials", {"Retry-After": str(wait_s)})
        return HTTPException(401, "a bearer token of an operator is needed", {"WWW-Authenticate": "Bearer"})
