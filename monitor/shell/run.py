"""The loop: sources → inbox → core.step → journal → dispatch. One consumer, one order, written before anyone acts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitor.core.step import Core
from monitor.model.errors import JournalLost
from monitor.model.events import AnyEvent, Fault, HeadSeen, Request, RequestFailed, Stamped
from monitor.model.incidents import Step
from monitor.model.ports import Asker, Clock, Journal, Source
from monitor.shell.inbox import Inbox, Waiting
from monitor.shell.notices import Notices
from monitor.shell.respond import Respond
from monitor.shell.restore import Restored
from monitor.shell.supervise import fenced, supervise

SNAPSHOT_EVERY = 32  # heads


@dataclass(slots=True)
class Loop:
    """Everything that turns, given by wiring."""

    core: Core
    journal: Journal
    inbox: Inbox
    sources: Sequence[Source]
    asker: Asker
    respond: Respond
    notices: Notices
    clock: Clock
    restored: Restored
    first_events: Sequence[AnyEvent] = ()
    turning: asyncio.Event = field(default_factory=asyncio.Event)
    busy: int = 0  # tasks on the response path
    _group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Turn until cancelled; the core was restored before. Raises JournalLost."""
        self.inbox.resume(seq=self.restored.seq, seen_at=self.restored.seen_at)
        async with asyncio.TaskGroup() as group:
            self._group = group
            for event in self.first_events:
                await self.inbox.put(event)
            group.create_task(self._decide())
            group.create_task(self.notices.run())
            for record in self.core.unfinished():
                self._spawn(self.respond.take_up(record))
            for source in self.sources:
                group.create_task(supervise(source, self.inbox, self.clock))
            self.turning.set()

    @property
    def idle(self) -> bool:
        """Nothing queued and no response under way: a rehearsal may end its slot early."""
        return self.inbox.idle and self.busy == 0 and all(getattr(source, "idle", True) for source in self.sources)

    async def _decide(self) -> None:
        while True:
            batch = await self.inbox.take()
            self.busy += 1
            try:
                await self._turn(batch)
            finally:
                self.busy -= 1

    async def _turn(self, batch: Sequence[tuple[Stamped, Waiting]]) -> None:
        entries = [(stamped, self.core.step(stamped)) for stamped, _ in batch]
        await self.journal.append(entries)
        for stamped, waiting in batch:
            if waiting.done is not None and not waiting.done.done():
                waiting.done.set_result(stamped.seq)
        for stamped, step in entries:
            self._dispatch(stamped, step)

    def _dispatch(self, stamped: Stamped, step: Step) -> None:
        for clearance in step.clear:
            self._spawn(self.respond.execute(clearance))
        for wanted in step.rehearse:
            self._spawn(self.respond.rehearse(wanted))
        for request in step.requests:
            self._spawn(self._answer(request))
        for check in step.verify:
            self._spawn(self.respond.verify(check))
        for clearance in step.chase:
            self._spawn(self.respond.chase(clearance))
        if isinstance(stamped.event, HeadSeen):
            self._spawn(self.respond.at_head(stamped.event.chain_id))
            self._spawn(self._keep(stamped.event))
        self.notices.tell(step)
        for text in step.faults:
            self._spawn(self.inbox.put(Fault(where="detector", what=text)))

    async def _answer(self, request: Request) -> None:
        failed = await fenced(self._asked(request))
        if failed:
            await self.inbox.put(RequestFailed(chain_id=request.chain_id, key=request.key, why=failed))

    async def _asked(self, request: Request) -> None:
        await self.inbox.put(await self.asker.answer(request))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if self._group is None:
            raise JournalLost("the loop does not turn yet: nothing may act")
        self._group.create_task(self._counted(work))

    async def _counted(self, work: Coroutine[Any, Any, None]) -> None:
        self.busy += 1
        try:
            await work
        finally:
            self.busy -= 1

    async def _keep(self, event: HeadSeen) -> None:
        """Now and then a snapshot, beside the loop: what it holds is journalled long since."""
        if event.header.number % SNAPSHOT_EVERY == 0:
            oldest = self.core.oldest()
            if oldest is not None and oldest[0] > 0:
                await self.journal.save_snapshot(*oldest)
