"""`drawbridge run`: the loop and the HTTP server until told to stop. Signals are handled here and nowhere else.

A reload is a restart inside the process: the new file is judged first, then the loop drains, lets go of everything, and
goes on from its journal with the new configuration as its first event. What does not open falls back to the old one.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from monitor.cli_show import warn
from monitor.clock import SystemClock
from monitor.http.app import make_app
from monitor.http.server import address_of, bound, serve
from monitor.model.errors import ConfigurationError, Unreachable
from monitor.model.events import Fault
from monitor.settings import Settings, load
from monitor.shell.overview import Overview
from monitor.store.database import place
from monitor.version import VERSION
from monitor.wiring import Drawbridge, open_drawbridge
from monitor.wiring_core import core_of

DRAIN_S: Final = 5.0
LAST_RESORT_S: Final = 9.5  # after SIGTERM the process is gone by then, whatever hangs
POLL_S: Final = 0.02


def run(path: str, *, for_s: float | None, mode: str | None) -> int:
    """0 when stopped. Raises what kept it from starting, and JournalLost."""
    settings = load(path, mode=mode)
    for warning in settings.warnings:
        warn(f"warning: {warning}")
    asyncio.run(_Run(settings, mode, for_s).until_stopped())
    return 0


class Wishes:
    """What signals and the clock ask for."""

    def __init__(self) -> None:
        self.stop, self.reload, self.changed = False, False, asyncio.Event()

    def want_stop(self) -> None:
        """SIGTERM, SIGINT, or the end of --for. Past the last resort SIGALRM ends the process."""
        if not self.stop:
            signal.setitimer(signal.ITIMER_REAL, LAST_RESORT_S)
        self.stop = True
        self.changed.set()

    def want_reload(self) -> None:
        self.reload = True
        self.changed.set()


def spare_from_collection() -> None:
    """Leave what is here for good out of garbage collection: one of everything takes 100 ms, and may hit a response."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class _Run:
    def __init__(self, settings: Settings, mode: str | None, for_s: float | None) -> None:
        self._settings, self._mode, self._for_s = settings, mode, for_s
        self._previous: Settings | None = None
        self._wishes = Wishes()
        self._clock = SystemClock()

    async def until_stopped(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._wishes.want_stop)
        loop.add_signal_handler(signal.SIGHUP, self._wishes.want_reload)
        if self._for_s is not None:
            loop.call_later(self._for_s, self._wishes.want_stop)
        try:
            while not self._wishes.stop:
                await self._generation()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    async def _generation(self) -> None:
        """One configuration's life; falls back to the former one where this does not open."""
        settings = self._settings
        try:
            async with opened(settings, self._clock) as drawbridge:
                self._previous = None
                await self._turn(drawbridge)
        except (ConfigurationError, Unreachable) as error:
            if self._previous is None:
                raise
            warn(f"reload failed: {error}; going on with the former configuration")
            self._settings, self._previous = self._previous, None

    async def _turn(self, drawbridge: Drawbridge) -> None:
        stop = asyncio.Event()
        console = drawbridge.settings.console
        listening = bound(console.host, console.port) if console is not None else None
        async with asyncio.TaskGroup() as group:
            turning = group.create_task(drawbridge.loop.run())
            if listening is not None:
                app = make_app(_overview(drawbridge), drawbridge.settings.operators, clock=self._clock)
                group.create_task(serve(app, listening, stop=stop))
            await drawbridge.loop.turning.wait()
            spare_from_collection()
            where = f"; console {address_of(listening)}" if listening is not None else ""
            warn(_announced(drawbridge.settings) + where)
            await self._until_wanted(drawbridge)
            await drained(drawbridge, self._clock)
            turning.cancel()
            stop.set()
        warn("stopped" if self._wishes.stop else "loading the new configuration")

    async def _until_wanted(self, drawbridge: Drawbridge) -> None:
        while True:
            await self._wishes.changed.wait()
            self._wishes.changed.clear()
            if self._wishes.stop:
                return
            self._wishes.reload = False
            if await self._reloaded(drawbridge):
                return

    async def _reloaded(self, drawbridge: Drawbridge) -> bool:
        """Whether the file is good; a bad one is told and journalled, and changes nothing."""
        try:
            fresh = await asyncio.to_thread(load, self._settings.path, mode=self._mode)
            await asyncio.to_thread(core_of, fresh, clock=self._clock)
        except ConfigurationError as error:
            for line in error.faults:
                warn(f"reload refused: {line}")
            await drawbridge.loop.inbox.put(Fault(where="reload", what=error.faults[0][:500], count=len(error.faults)))
            return False
        self._settings, self._previous = fresh, self._settings
        return True


@asynccontextmanager
async def opened(settings: Settings, clock: SystemClock) -> AsyncIterator[Drawbridge]:
    """A drawbridge whose every chain has a node that is there and is of that chain. Raises Unreachable."""
    async with open_drawbridge(settings, clock=clock, tell=_notice) as drawbridge:
        for name, chain in drawbridge.chains.items():
            faults = await chain.nodes.check()
            if len(faults) >= len(chain.shape.rpc):
                raise Unreachable(f"chain {name}: no node can be used: {'; '.join(faults)}")
            for fault in faults:
                warn(f"warning: chain {name}: {fault}")
        yield drawbridge


async def drained(drawbridge: Drawbridge, clock: SystemClock) -> None:
    """Wait until nothing is queued and no response is under way, for a few seconds at most."""
    try:
        async with asyncio.timeout(DRAIN_S):
            while not drawbridge.loop.idle:
                await clock.sleep(POLL_S)
    except TimeoutError:
        warn(f"still busy after {DRAIN_S:g} s; what is signed is journalled and goes on at the next start")


def _overview(drawbridge: Drawbridge) -> Overview:
    slots = {chain.rule.chain_id: (name, chain.rule.slot_s) for name, chain in drawbridge.chains.items()}
    return Overview(drawbridge.loop, version=VERSION, mode=drawbridge.settings.mode, slots=slots)


def _announced(settings: Settings) -> str:
    chains = ", ".join(chain.name for chain in settings.chains)
    count = len(settings.assets)
    assets = f"{count} asset{'' if count == 1 else 's'}"
    return f"drawbridge {VERSION} turns: {settings.mode}, {assets} on {chains}; journal {place(settings.store).shown}"


def _notice(text: str) -> None:
    """A notice to whoever started us, whether or not another channel took it."""
    for line in text.splitlines():
        warn(line)
