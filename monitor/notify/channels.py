"""Telling people: apprise for a hundred services, and the console. Never on the response path, never raises.

Every send has a deadline and runs in threads of its own, so that a service that hangs holds up neither the loop nor the
keystore. A channel is named by its kind and place (`slack-1`); its address holds a token and is in no text that this
module gives. apprise is imported with the first send, because it is slow to import.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal, Protocol

from monitor.model.actions import Notify
from monitor.model.ports import Clock
from monitor.notify.dedup import Told
from monitor.notify.templates import Details, body_of, title_of

WORKERS: Final = 4
_TYPES: Final = {"info": "info", "warning": "warning", "page": "warning", "critical": "failure"}

Severity = Literal["info", "warning", "page", "critical"]


class Channel(Protocol):
    """One way to tell people."""

    name: str

    async def deliver(self, severity: Severity, *, title: str, body: str) -> bool:
        """Whether it took it. Never raises, never outlasts its deadline."""


class ConsoleChannel:
    """Text to whoever started us."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.name = "console"
        self._write = write

    async def deliver(self, severity: Severity, *, title: str, body: str) -> bool:
        try:
            self._write(f"{title}\n{body}\n")
        except (OSError, ValueError):  # a closed or broken pipe
            return False
        return True


class AppriseChannel:
    """One apprise address."""

    def __init__(self, name: str, url: str, *, threads: ThreadPoolExecutor, deadline_s: float) -> None:
        self.name = name
        self._url, self._threads, self._deadline_s = url, threads, deadline_s
        self._service: Any = None
        self.fault = ""  # of the last try: no more than a kind, since messages may hold the address

    def __repr__(self) -> str:
        return f"AppriseChannel({self.name!r})"

    async def understood(self) -> bool:
        """Whether apprise knows what to do with the address; nothing is sent."""
        return await self._within(self._load)

    async def deliver(self, severity: Severity, *, title: str, body: str) -> bool:
        return await self._within(lambda: self._notify(severity, title, body))

    async def _within(self, work: Callable[[], bool]) -> bool:
        """What the thread says; False where it raised, is too slow, or there are no threads any more."""
        try:
            future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except RuntimeError:
            return False
        await asyncio.wait({future}, timeout=self._deadline_s)
        if not future.done():
            future.cancel()
        if future.cancelled():
            self.fault = "too slow"
            return False
        raised = future.exception()
        took = raised is None and future.result()
        self.fault = type(raised).__name__ if raised else "" if took else "refused"
        return took

    def _load(self) -> bool:
        if self._service is None:
            self._service = _service(self._url)
        return self._service is not None

    def _notify(self, severity: Severity, title: str, body: str) -> bool:
        """apprise itself turns what its services raise into a result that is false."""
        if not self._load():
            return False
        return bool(self._service.notify(body=body, title=title, notify_type=_TYPES[severity], body_format="text"))


class AppriseNotifier:
    """All channels at once; a Notifier."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        clock: Clock,
        console: Callable[[str], None] | None = None,
        details: Callable[[Notify], Details | None] = lambda notice: None,
        window_s: int = 300,
        deadline_s: float = 10.0,
    ) -> None:
        """`details` tells what is known of the incident when the notice goes out."""
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="notify")
        self._apprise = tuple(
            AppriseChannel(_name(url, place), url, threads=self._threads, deadline_s=deadline_s)
            for place, url in enumerate(urls, 1)
        )
        self._channels: tuple[Channel, ...] = (*([ConsoleChannel(console)] if console else []), *self._apprise)
        self._clock, self._details, self._told = clock, details, Told(window_s)

    async def send(self, notice: Notify) -> tuple[str, ...]:
        """The names of the channels that took it, now or, if people were told already, then; () where none did."""
        now = self._clock.now()
        earlier = self._told.earlier(notice, now)
        if earlier is not None:
            return earlier
        body = body_of(notice, self._details(notice), held_back=self._told.held_back(notice))
        title = title_of(notice)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(c.deliver(notice.severity, title=title, body=body)) for c in self._channels]
        took = tuple(c.name for c, task in zip(self._channels, tasks, strict=True) if task.result())
        self._told.note(notice, now, took)
        return took

    async def check(self) -> tuple[str, ...]:
        """A line for each address that apprise does not understand."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(channel.understood()) for channel in self._apprise]
        bad = [channel for channel, task in zip(self._apprise, tasks, strict=True) if not task.result()]
        return tuple(f"notify: {c.name}: apprise does not understand this address ({c.fault})" for c in bad)

    def close(self) -> None:
        """Wait for nothing: what hangs ends with its own deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _name(url: str, place: int) -> str:
    kind, separator, _ = url.partition("://")
    known = separator and kind.isalnum() and len(kind) < 20
    return f"{kind.lower() if known else 'unknown'}-{place}"


def _service(url: str) -> Any:
    """apprise with this one address, or None. Its log is cut off: a traceback in it may show the address."""
    import apprise

    logging.getLogger("apprise").propagate = False
    asset = apprise.AppriseAsset(
        secure_logging=True, interpret_escapes=False, interpret_emojis=False, storage_mode="memory"
    )
    service = apprise.Apprise(asset=asset)
    return service if service.add(url) else None
