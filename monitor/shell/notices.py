"""Telling people, off the response path: a bounded queue in front of the notifier, the most urgent first."""

from __future__ import annotations

import asyncio

from monitor.model.actions import Notify
from monitor.model.events import Fault, NotificationSent
from monitor.model.incidents import Step
from monitor.model.ports import Notifier
from monitor.shell.inbox import Inbox
from monitor.shell.supervise import fenced

MOST_WAITING = 1_000
_SEVERITIES = ("critical", "page", "warning", "info")


class Notices:
    def __init__(self, notifier: Notifier, inbox: Inbox) -> None:
        self._notifier, self._inbox = notifier, inbox
        self._waiting: asyncio.PriorityQueue[tuple[int, int, Notify]] = asyncio.PriorityQueue()
        self._count = 0

    def tell(self, step: Step) -> None:
        """Queue what the step wants told. A flood past the bound loses notices, which the journal still has."""
        for action in step.notify:
            if isinstance(action, Notify) and self._waiting.qsize() < MOST_WAITING:
                self._count += 1
                self._waiting.put_nowait((_SEVERITIES.index(action.severity), self._count, action))

    async def run(self) -> None:
        """Send for ever."""
        while True:
            _, _, notice = await self._waiting.get()
            failed = await fenced(self._send(notice))
            if failed:
                await self._inbox.put(Fault(where="notify", what=failed))

    async def _send(self, notice: Notify) -> None:
        for channel in await self._notifier.send(notice):
            await self._inbox.put(NotificationSent(action_id=notice.id, channel=channel, ok=True))
