"""The commands table: how other processes (the CLI, a console) reach the one writer of the journal.

A command waits until the writer takes it or it expires: an `arm` that lay about while the monitor was down must not
fire when it comes back. The body is bytes from outside; who may do what is judged by whoever drains, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.model.errors import Refused, Unreachable
from monitor.model.ports import Clock
from monitor.model.units import SECOND, Instant
from monitor.store.database import Place, connect, place, reading, writing
from monitor.store.migrate import require_schema
from monitor.store.tables import commands

CommandKind = Literal["disarm", "arm", "approve", "reject", "feedback"]
KINDS: Final[tuple[CommandKind, ...]] = get_args(CommandKind)
MAX_BODY: Final = 65_536
MAX_WAITING: Final = 1_000
PATIENCE_S: Final = 60
_EXPIRED: Final = "expired: no running monitor took it in time"
_WAITING: Final = (
    select(commands)
    .where(commands.c.done_at.is_(None), func.length(commands.c.body) <= MAX_BODY)
    .order_by(commands.c.id)
    .limit(MAX_WAITING)
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command that waits. `body` is as it was submitted, unjudged."""

    id: int
    kind: CommandKind
    body: bytes
    submitted_at: Instant


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a command, and when."""

    ok: bool
    text: str
    at: Instant


class Commands:
    """One store's commands table. Connects on first use; its owner closes it."""

    def __init__(self, url: str, *, clock: Clock) -> None:
        self._where: Place = place(url)
        self._engine: AsyncEngine = connect(self._where, pool=1)
        self._clock = clock
        self._handed: frozenset[int] = frozenset()

    async def close(self) -> None:
        await self._engine.dispose()

    async def submit(self, kind: CommandKind, body: bytes, *, patience_s: int = PATIENCE_S) -> int:
        """File a command for the writer; its id. Raises Refused for one that cannot be meant, Unreachable."""
        if kind not in KINDS:
            raise Refused("command", f"{str(kind)[:40]!r} is no command; allowed: {', '.join(KINDS)}")
        if len(body) > MAX_BODY:
            raise Refused("command", f"{kind}: a body of {len(body)} bytes is too large; at most {MAX_BODY}")
        now = self._clock.now()
        row = {"kind": kind, "body": body, "submitted_at": now, "expires_at": now + patience_s * SECOND}
        async with writing(self._engine, self._what, error=Unreachable) as open:
            return int((await open.execute(insert(commands).values(row).returning(commands.c.id))).scalar_one())

    async def drain(self) -> tuple[Command, ...]:
        """Commands that this object has not handed out, oldest first; unfinished ones come again after a restart."""
        now = self._clock.now()
        async with reading(self._engine, self._what, error=Unreachable) as open:
            waiting = (await open.execute(_WAITING)).all()
        for row in waiting:
            if row.expires_at < now and row.id not in self._handed:
                await self.finish(row.id, ok=False, text=_EXPIRED)
        live = [row for row in waiting if row.expires_at >= now and row.kind in KINDS and row.id not in self._handed]
        self._handed = self._handed.intersection(row.id for row in waiting).union(row.id for row in live)
        return tuple(Command(row.id, row.kind, row.body, Instant(row.submitted_at)) for row in live)

    async def finish(self, id: int, *, ok: bool, text: str) -> None:
        """Answer a command, after its event is journalled. The first answer stays. Raises Unreachable."""
        values = {"done_at": self._clock.now(), "ok": ok, "answer": text[:2_000]}
        async with writing(self._engine, self._what, error=Unreachable) as open:
            await open.execute(update(commands).where(commands.c.id == id, commands.c.done_at.is_(None)).values(values))

    async def result(self, id: int) -> Answer | None:
        """What became of it; None while it waits. Raises Unreachable."""
        async with reading(self._engine, self._what, error=Unreachable) as open:
            row = (await open.execute(select(commands).where(commands.c.id == id))).one_or_none()
        if row is None or row.done_at is None:
            return None
        return Answer(bool(row.ok), row.answer or "", Instant(row.done_at))

    @property
    def _what(self) -> str:
        return f"commands at {self._where.shown}"


async def submit_command(url: str, kind: CommandKind, body: bytes, *, clock: Clock) -> int:
    """File one command from a process that does nothing else; its id. Raises JournalLost where there is no store."""
    table = Commands(url, clock=clock)
    try:
        await require_schema(table._engine, table._where)
        return await table.submit(kind, body)
    finally:
        await table.close()
