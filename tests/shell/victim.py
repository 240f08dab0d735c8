"""A drawbridge that dies: the real program over a real chain, killed by its own hand at one named instant.

Nothing in the program knows of it: methods are wrapped here, in the process that is about to die. As a script it runs
until it is stopped: python victim.py CONFIG [POINT SIDE NTH DELAY_US]
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from monitor.chain.lab import ForkLab
from monitor.chain.signers import RemoteSigner
from monitor.chain.submit import EnforceSubmit
from monitor.model.events import (
    ResponseBroadcast,
    ResponseIncluded,
    ResponseSigned,
    ResponseVerified,
    Stamped,
)
from monitor.model.incidents import Step
from monitor.settings import load
from monitor.store.journal import SqlJournal
from monitor.wiring import open_drawbridge

Side = Literal["before", "after", "amid"]
TURNING = "turning"
WENT_WRONG = "went-wrong.txt"
_OUTCOMES = {
    ResponseSigned: "append signed",
    ResponseBroadcast: "append broadcast",
    ResponseIncluded: "append included",
    ResponseVerified: "append verified",
}


class Cut(Struct, frozen=True):
    """Where the process ends: before or after the nth passage of a point, or so long after that passage began."""

    point: str
    side: Side
    nth: int = 1
    delay_us: int = 0

    def __str__(self) -> str:
        when = f"{self.delay_us} µs into" if self.side == "amid" else self.side
        return f"{when} {self.point}" + (f" #{self.nth}" if self.nth > 1 else "")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Knife:
    """Counts passages and strikes at the one that it is set to: by default, it kills this very process."""

    def __init__(
        self, cut: Cut, strike: Callable[[], None] = die, put: Callable[[Any, str, Any], None] = setattr
    ) -> None:
        self._cut, self._deal, self._put = cut, strike, put
        self._passed: Counter[tuple[str, str]] = Counter()

    def wrap(self, owner: type, method: str, named: Callable[..., Sequence[str]]) -> None:
        """`named` says which points a call is, given its arguments and, afterwards, what it returned."""
        whole = getattr(owner, method)

        async def passing(this: Any, *args: Any, **options: Any) -> Any:
            self._pass(named(None, *args), ("before", "amid"))
            returned = await whole(this, *args, **options)
            self._pass(named(returned, *args), ("after",))
            return returned

        self._put(owner, method, passing)

    def _pass(self, points: Sequence[str], sides: tuple[Side, ...]) -> None:
        for point in points:
            for side in sides:
                self._passed[point, side] += 1
                if (point, side, self._passed[point, side]) == (self._cut.point, self._cut.side, self._cut.nth):
                    self._strike()

    def _strike(self) -> None:
        if self._cut.side == "amid":
            threading.Thread(target=self._wait_and_deal, daemon=True).start()
        else:
            self._deal()

    def _wait_and_deal(self) -> None:
        time.sleep(self._cut.delay_us / 1e6)
        self._deal()


def arm(knife: Knife) -> None:
    """Wrap what writes, rehearses, signs, sends, looks and verifies. A look that finds something passes `found`."""
    knife.wrap(SqlJournal, "append", lambda _, entries: tuple(_appended(entries)))
    knife.wrap(ForkLab, "rehearse", lambda _, incident, *rest: ("lab.rehearse",) if incident[0].isdigit() else ())
    knife.wrap(ForkLab, "verify", lambda *_: ("lab.verify",))
    knife.wrap(EnforceSubmit, "sign", lambda *_: ("submit.sign",))
    knife.wrap(RemoteSigner, "sign", lambda *_: ("signer.sign",))
    knife.wrap(EnforceSubmit, "send", lambda *_: ("submit.send",))
    knife.wrap(EnforceSubmit, "find", lambda found, *_: ("submit.look",) if found is None else ("submit.found",))


def _appended(entries: Sequence[tuple[Stamped, Step]]) -> Iterator[str]:
    for stamped, step in entries:
        if step.rehearse:
            yield "append decision"
        if step.clear:
            yield "append clearance"
        if type(stamped.event) in _OUTCOMES:
            yield _OUTCOMES[type(stamped.event)]


def live(config: str, cut: Cut | None) -> None:
    """Run the program of this configuration until killed."""
    folder = Path(config).parent
    try:
        if cut is not None:
            arm(Knife(cut))
        asyncio.run(_turn(config, folder))
    except BaseException:
        (folder / WENT_WRONG).write_text(traceback.format_exc())
        raise


async def _turn(config: str, folder: Path) -> None:
    async with open_drawbridge(load(config, environment={})) as drawbridge, asyncio.TaskGroup() as group:
        group.create_task(drawbridge.loop.run())
        await drawbridge.loop.turning.wait()
        (folder / TURNING).touch()


if __name__ == "__main__":
    point = sys.argv[2:]
    live(sys.argv[1], Cut(point[0], point[1], int(point[2]), int(point[3])) if point else None)  # type: ignore[arg-type]
