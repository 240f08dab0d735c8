"""The source of orders: drains the commands table, judges who ordered what, and makes events of it.

An order is answered only once its event is durable, so a crash in between repeats it rather than loses it. The kill
file is watched here too: when it appears the core is told, and stays disarmed until somebody arms it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, Protocol

from monitor.core.state import CoreState
from monitor.model.errors import Refused, Unreachable
from monitor.model.events import ActionApproved, ActionRejected, AnyEvent, Armed, Disarmed, Fault
from monitor.model.operators import Operator
from monitor.model.ports import Clock
from monitor.shell.orders import MAX_REASON, Order, opened

POLL_S: Final = 0.1
REMEMBERED: Final = 4_096  # nonces; an order is good for two minutes only


class Filed(Protocol):
    """One row of the table."""

    @property
    def id(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def body(self) -> bytes: ...


class Table(Protocol):
    """store.commands.Commands, as seen from here."""

    async def drain(self) -> Sequence[Filed]: ...

    async def finish(self, id: int, *, ok: bool, text: str) -> None: ...


class CommandSource:
    """Implements model.ports.Source. Orders are posted to the inbox; what it yields are faults."""

    name = "commands"

    def __init__(
        self,
        table: Table,
        *,
        operators: Sequence[Operator],
        state: Callable[[], CoreState],
        post: Callable[[AnyEvent], Awaitable[int]],
        killed: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._table, self._operators, self._state = table, tuple(operators), state
        self._post, self._killed, self._clock = post, killed, clock
        self._nonces: deque[str] = deque(maxlen=REMEMBERED)
        self._owed: dict[int, tuple[bool, str]] = {}  # answers that the store did not take yet
        self._silent = False
        self._was_killed = ""

    async def events(self) -> AsyncIterator[AnyEvent]:
        """For ever: a round every tenth of a second."""
        while True:
            await self._watch_kill_file()
            for fault in await self._round():
                yield fault
            await self._clock.sleep(POLL_S)

    async def _watch_kill_file(self) -> None:
        why = self._killed()
        if why and not self._was_killed:
            await self._post(Disarmed(by="kill file", reason=why[:MAX_REASON]))
        self._was_killed = why

    async def _round(self) -> list[Fault]:
        refused: list[str] = []
        try:
            await self._pay()
            for filed in await self._table.drain():
                ok, text = await self._obey(filed)
                self._owed[filed.id] = ok, text
                if not ok:
                    refused.append(text)
            await self._pay()
        except Unreachable as error:
            return self._fell_silent(str(error))
        self._silent = False
        return [Fault(where="commands", what=refused[0], count=len(refused))] if refused else []

    def _fell_silent(self, why: str) -> list[Fault]:
        told, self._silent = self._silent, True
        return [] if told else [Fault(where="commands", what=why)]

    async def _pay(self) -> None:
        for id, (ok, text) in list(self._owed.items()):
            await self._table.finish(id, ok=ok, text=text)
            del self._owed[id]

    async def _obey(self, filed: Filed) -> tuple[bool, str]:
        try:
            order = opened(filed.kind, filed.body, operators=self._operators, now=self._clock.now())
            if order.nonce in self._nonces:
                raise Refused("order", f"{order.kind} by {order.by}: given twice")
            event = self._event(order)
        except Refused as why:
            return False, str(why)
        self._nonces.append(order.nonce)
        seq = await self._post(event)
        return True, f"{order.kind} by {order.by}: journalled as event {seq}"

    def _event(self, order: Order) -> AnyEvent:
        reason = order.reason[:MAX_REASON]
        match order.kind:
            case "disarm":
                return Disarmed(by=order.by, reason=reason)
            case "arm":
                return Armed(by=order.by, reason=reason)
            case "approve":
                self._waits(order.action_id)
                return ActionApproved(action_id=order.action_id, by=order.by)
            case "reject":
                self._waits(order.action_id)
                return ActionRejected(action_id=order.action_id, by=order.by, reason=reason)

    def _waits(self, action_id: str) -> None:
        why = cannot_decide(self._state(), action_id)
        if why:
            raise Refused("approval", why)


def cannot_decide(state: CoreState, action_id: str) -> str:
    """Why nobody can approve or reject this action now; empty where it waits for a person."""
    record = state.actions.get(action_id)
    if record is None:
        waiting = [known for known, other in state.actions.items() if other.stage == "waiting"]
        return f"no action {action_id[:80]!r}; waiting: {', '.join(waiting[:10]) or 'none'}"
    if record.stage != "waiting":
        said = f" ({record.gate}: {record.reason})" if record.reason else ""
        return f"action {action_id} does not wait for a person: it is {record.stage}{said}"
    return ""
