"""Telling people, off the response path: a bounded queue in front of the notifier, the most urgent first."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from monitor.core.incidents import shown
from monitor.core.state import ActionRecord, CoreState, Stage
from monitor.model.actions import Notify
from monitor.model.events import Fault, NotificationSent
from monitor.model.incidents import Assessment, Incident, Step
from monitor.model.ports import Notifier
from monitor.shell.inbox import Inbox
from monitor.shell.supervise import fenced

MOST_WAITING = 1_000
_SEVERITIES = ("critical", "page", "warning", "info")
_DONE: Final[dict[Stage, str]] = {
    "rehearsing": "is being rehearsed on a fork",
    "refused": "was refused by {gate}: {reason}",
    "waiting": "waits for a person: {reason}",
    "cleared": "is decided and about to be signed",
    "signed": "is signed and about to go out",
    "sent": "went out; no block shows it yet",
    "included": "is in block {block}, not verified yet",
    "verified": "is in force since block {block}, verified",
    "withheld": "was not sent: {reason} mode",
    "lapsed": "is over: {reason}",
    "failed": "FAILED at {gate}: {reason}",
}


_TODO: Final = {
    "kill switch": ("If it should not be so: drawbridge arm or drawbridge disarm, with a reason.",),
    "authority": ("drawbridge authority says what fails: give the key its role, uses or gas back.",),
}


class Known(NamedTuple):
    """An incident, its strongest judgement, what was done about it, and what a person should do."""

    incident: Incident | None = None
    assessment: Assessment | None = None
    done: tuple[str, ...] = ()
    todo: tuple[str, ...] = ()


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


def known(state: CoreState, notice: Notify) -> Known:
    """What there is to say of a notice by now."""
    record = state.incidents.get(notice.incident)
    if record is None:
        return Known(todo=_TODO.get(notice.incident, ()))
    judged = (state.hypotheses[key].last for key in record.hypotheses if key in state.hypotheses)
    strongest = max((a for a in judged if a is not None), key=lambda a: a.p, default=None)
    done = tuple(_told(state.actions[action_id]) for action_id in record.actions if action_id in state.actions)
    waiting = [a for a in record.actions if a in state.actions and state.actions[a].stage == "waiting"]
    asked = tuple(f"drawbridge approve {a}, or drawbridge reject {a} --reason …" for a in waiting)
    return Known(shown(state, record), strongest, done, asked)


def _told(record: ActionRecord) -> str:
    action = record.action
    reason = record.reason or "its time ran out"
    said = _DONE[record.stage].format(gate=record.gate, reason=reason, block=record.included_block)
    return f"{type(action).__name__} of {', '.join(action.assets)} {said}"
