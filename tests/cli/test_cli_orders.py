"""Orders through the commands table: who gave them, whether they count, and that none is lost or repeated."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.core.state import ActionRecord, CoreState
from monitor.model.actions import ActionClass, Pause
from monitor.model.codec import decode, encode
from monitor.model.errors import Refused, Unreachable
from monitor.model.events import ActionApproved, ActionRejected, AnyEvent, Armed, Disarmed, Fault
from monitor.model.operators import Operator, Role, recognised
from monitor.model.units import Instant
from monitor.shell.commands import REMEMBERED, CommandSource, cannot_decide
from monitor.shell.orders import GOOD_FOR_S, Order, OrderKind, opened, permit, signed

ROLES: tuple[Role, ...] = ("viewer", "operator", "approver", "admin")


def sha(role: str) -> str:
    return hashlib.sha256(f"token of {role}".encode()).hexdigest()


OPERATORS = tuple(Operator(role, role, sha(role)) for role in ROLES)
NOW = ManualClock().now()


def order(kind: OrderKind = "disarm", by: str = "admin", **fields: str | int) -> Order:
    given = Order(kind, by, NOW, "n1", action_id="9/pause/ab" if kind in ("approve", "reject") else "", reason="drill")
    return msgspec.structs.replace(given, **fields)


def filed(kind: OrderKind = "disarm", by: str = "admin", **fields: str | int) -> bytes:
    return signed(order(kind, by, **fields), sha(by))


def waiting(stage: str = "waiting") -> CoreState:
    action = Pause(
        id="9/pause/ab",
        incident="9",
        assets=("vault",),
        action_class=ActionClass.SCOPED,
        cause=9,
        because="",
        duration_s=60,
    )
    record = ActionRecord(action, 1, stage, Instant(0), 0.9, True, gate="autonomy", reason="a person decides")  # type: ignore[arg-type]
    return CoreState(actions={action.id: record})


@dataclass
class Row:
    id: int
    kind: str
    body: bytes


@dataclass
class FakeTable:
    rows: list[Row] = field(default_factory=list)
    answers: dict[int, tuple[bool, str]] = field(default_factory=dict)
    silent: bool = False
    deaf: bool = False  # takes no answers
    drained: set[int] = field(default_factory=set)

    async def drain(self) -> Sequence[Row]:
        if self.silent:
            raise Unreachable("commands: no answer within 5 s")
        fresh = [row for row in self.rows if row.id not in self.drained and row.id not in self.answers]
        self.drained.update(row.id for row in fresh)
        return fresh

    async def finish(self, id: int, *, ok: bool, text: str) -> None:
        if self.deaf:
            raise Unreachable("commands: no answer within 5 s")
        self.answers.setdefault(id, (ok, text))

    def file(self, kind: str, body: bytes) -> int:
        self.rows.append(Row(len(self.rows) + 1, kind, body))
        return len(self.rows)


class Rounds(ManualClock):
    """A clock that cancels whoever sleeps after so many rounds."""

    left = 0

    async def sleep(self, seconds: float) -> None:
        self.left -= 1
        self.advance(seconds)
        if self.left <= 0:
            raise asyncio.CancelledError


class Desk:
    """A source over a fake table, with everything that it posts."""

    def __init__(self, state: CoreState | None = None) -> None:
        self.table, self.clock, self.posted = FakeTable(), Rounds(), list[AnyEvent]()
        self.state, self.kill = state or CoreState(), ""
        self.source = CommandSource(
            self.table,
            operators=OPERATORS,
            state=lambda: self.state,
            post=self.post,
            killed=lambda: self.kill,
            clock=self.clock,
        )

    async def post(self, event: AnyEvent) -> int:
        self.posted.append(event)
        return len(self.posted)

    async def rounds(self, count: int = 1) -> list[AnyEvent]:
        """Faults of so many rounds; then the source is cancelled, as a loop does."""
        self.clock.left, faults = count, list[AnyEvent]()
        with suppress(asyncio.CancelledError):
            async for fault in self.source.events():
                faults.append(fault)
        return faults


def test_an_order_comes_back_as_it_was_given() -> None:
    assert opened("disarm", filed(), operators=OPERATORS, now=NOW) == order()


def test_the_token_is_not_in_what_is_filed() -> None:
    assert b"token of admin" not in filed()
    assert sha("admin").encode() not in filed()


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (b"", "disarm", "is no order"),
        (b"[" * 60_000, "disarm", "is no order"),
        (encode({"order": 1, "mac": ""}), "disarm", "is no order"),
        (filed(), "arm", "filed as arm, but signed as disarm"),
        (filed(by="nobody"), "disarm", "not signed with a token"),
        (signed(order(), sha("operator")), "disarm", "not signed with a token"),
        (filed().replace(b"drill", b"haha!"), "disarm", "not signed with a token"),
        (filed().replace(b'"by":"admin"', b'"by":"viewer"'), "disarm", "not signed with a token"),
        (filed(at=NOW - (GOOD_FOR_S + 1) * 10**9), "disarm", "older than"),
        (filed(at=NOW + (GOOD_FOR_S + 1) * 10**9), "disarm", "older than"),
        (filed(by="viewer"), "disarm", "viewer is viewer; disarm needs operator"),
        (filed("approve", "operator"), "approve", "approve needs approver"),
    ],
)
def test_an_order_that_proves_nothing_is_refused(body: bytes, kind: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        opened(kind, body, operators=OPERATORS, now=NOW)


@given(body=st.binary(max_size=300))
def test_any_bytes_are_an_order_or_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        opened("disarm", body, operators=OPERATORS, now=NOW)


@given(at=st.integers(0, len(filed()) - 1), bit=st.integers(0, 7))
def test_no_bit_of_a_signed_order_can_be_changed(at: int, bit: int) -> None:
    body = bytearray(filed())
    body[at] ^= 1 << bit
    try:
        got = opened("disarm", bytes(body), operators=OPERATORS, now=NOW)
    except Refused:
        return
    assert got == order()  # a change that JSON does not see, such as a letter's case in an escape


def test_nobody_without_a_token_can_order() -> None:
    nameless = Operator("ghost", "admin")
    with pytest.raises(Refused):
        opened("disarm", signed(order(by="ghost"), "00" * 32), operators=[nameless], now=NOW)
    assert recognised([nameless], "") is None


def test_a_token_is_recognised_and_a_wrong_one_is_not() -> None:
    assert recognised(OPERATORS, "token of approver") == OPERATORS[2]
    assert recognised(OPERATORS, "token of approve") is None
    assert recognised(OPERATORS, sha("approver")) is None


@pytest.mark.parametrize(("role", "kind"), [("viewer", "arm"), ("operator", "reject")])
def test_a_role_that_is_too_low_is_told_the_one_it_needs(role: Role, kind: OrderKind) -> None:
    with pytest.raises(Refused, match="or above"):
        permit(Operator(role, role), kind)


async def test_an_order_is_answered_once_its_event_is_durable() -> None:
    desk = Desk()
    number = desk.table.file("disarm", filed())
    assert await desk.rounds() == []
    assert desk.posted == [Disarmed(by="admin", reason="drill")]
    assert desk.table.answers[number] == (True, "disarm by admin: journalled as event 1")


async def test_arming_approving_and_rejecting_become_events() -> None:
    desk = Desk(waiting())
    desk.table.file("arm", filed("arm", "operator", nonce="a"))
    desk.table.file("approve", filed("approve", "approver", nonce="b"))
    desk.table.file("reject", filed("reject", "approver", nonce="c"))
    await desk.rounds()
    assert desk.posted == [
        Armed(by="operator", reason="drill"),
        ActionApproved(action_id="9/pause/ab", by="approver"),
        ActionRejected(action_id="9/pause/ab", by="approver", reason="drill"),
    ]


async def test_the_same_order_filed_twice_counts_once() -> None:
    desk = Desk()
    first, second = desk.table.file("disarm", filed()), desk.table.file("disarm", filed())
    faults = await desk.rounds()
    assert len(desk.posted) == 1
    assert desk.table.answers[first][0]
    assert "given twice" in desk.table.answers[second][1]
    assert isinstance(faults[0], Fault)


async def test_who_was_refused_is_told_why_and_the_journal_too() -> None:
    desk = Desk()
    numbers = [desk.table.file("disarm", b"junk") for _ in range(5)]
    (fault,) = await desk.rounds()
    assert isinstance(fault, Fault)
    assert (fault.where, fault.count) == ("commands", 5)
    assert all(not desk.table.answers[number][0] for number in numbers)
    assert desk.posted == []


async def test_an_action_that_does_not_wait_cannot_be_approved() -> None:
    desk = Desk(waiting("sent"))
    number = desk.table.file("approve", filed("approve"))
    await desk.rounds()
    assert desk.posted == []
    assert "does not wait for a person: it is sent" in desk.table.answers[number][1]
    assert "waiting: none" in cannot_decide(CoreState(), "nonesuch")
    assert cannot_decide(waiting(), "9/pause/ab") == ""
    assert "9/pause/ab" in cannot_decide(waiting(), "other")


async def test_a_store_that_is_silent_is_one_fault_and_orders_go_on_when_it_is_back() -> None:
    desk = Desk()
    desk.table.silent = True
    assert len(await desk.rounds(5)) == 1
    desk.table.silent = False
    desk.table.file("disarm", filed(at=desk.clock.now()))
    assert await desk.rounds() == []
    assert len(desk.posted) == 1


async def test_an_answer_that_could_not_be_given_is_given_later_and_the_order_is_not_repeated() -> None:
    desk = Desk()
    number = desk.table.file("disarm", filed())
    desk.table.deaf = True
    assert len(await desk.rounds(3)) == 1
    assert len(desk.posted) == 1
    desk.table.deaf = False
    await desk.rounds()
    assert len(desk.posted) == 1
    assert desk.table.answers[number][0]


async def test_the_kill_file_disarms_once_when_it_appears() -> None:
    desk = Desk()
    desk.kill = "kill file /x is there"
    await desk.rounds(3)
    assert desk.posted == [Disarmed(by="kill file", reason="kill file /x is there")]
    desk.kill = ""
    await desk.rounds(2)
    assert len(desk.posted) == 1
    desk.kill = "kill file /x is there"
    await desk.rounds()
    assert len(desk.posted) == 2


async def test_what_it_remembers_is_bounded() -> None:
    desk = Desk()
    for i in range(REMEMBERED + 10):
        desk.table.file("disarm", filed(nonce=f"n{i}"))
    await desk.rounds()
    assert len(desk.source._nonces) == REMEMBERED


def test_an_order_survives_the_codec() -> None:
    assert decode(encode(order()), Order) == order()
