"""The inbox: one order, bounded, with a policy for each kind of event when it is full."""

from __future__ import annotations

import asyncio

import pytest

from monitor.clock import ManualClock
from monitor.model.events import AnyEvent, Fault, HeadSeen, PendingSimulated, Tick, TransactionPending
from monitor.model.units import SECOND, Instant
from monitor.shell.inbox import Inbox
from tests.core.builders import CHAIN, head, mined, pending, tx


def inbox(**options: int) -> tuple[Inbox, ManualClock]:
    clock = ManualClock()
    return Inbox(clock, **options), clock


def seen(number: int) -> TransactionPending:
    return TransactionPending(chain_id=CHAIN, transaction=tx(number))


async def taken(box: Inbox, most: int = 256) -> list[AnyEvent]:
    return [stamped.event for stamped, _ in await box.take(most)]


async def test_events_are_numbered_in_the_order_in_which_they_are_taken() -> None:
    box, _ = inbox()
    box.resume(seq=41, seen_at=Instant(0))
    await box.put(Tick())
    await box.put(head(10))
    assert [stamped.seq for stamped, _ in await box.take()] == [42, 43]


async def test_answers_come_before_blocks_and_blocks_before_pending_transactions() -> None:
    box, _ = inbox()
    events = (pending(1), head(10), Fault(where="x", what="y"), mined(2), seen(3))
    for event in events:
        await box.put(event)
    kinds = [type(event) for event in await taken(box)]
    assert kinds == [Fault, HeadSeen, type(mined()), PendingSimulated, TransactionPending]


async def test_a_batch_is_bounded_and_the_rest_keeps_its_order() -> None:
    box, _ = inbox()
    for number in range(1, 11):
        await box.put(head(number))
    first, second = await taken(box, 4), await taken(box, 256)
    assert [e.header.number for e in (*first, *second) if isinstance(e, HeadSeen)] == list(range(1, 11))
    assert len(first) == 4


async def test_the_oldest_pending_transaction_is_shed_and_counted() -> None:
    box, _ = inbox(most_pending=3)
    for number in range(5):
        await box.put(seen(number))
    assert box.shed == 2
    left = [e.transaction.nonce for e in await taken(box) if isinstance(e, TransactionPending)]
    assert left == [2, 3, 4]


async def test_a_full_inbox_holds_blocks_back_and_loses_none() -> None:
    box, _ = inbox(size=4)
    arrived: list[int] = []

    async def source() -> None:
        for number in range(1, 13):
            await box.put(head(number))
            arrived.append(number)

    async with asyncio.TaskGroup() as group:
        group.create_task(source())
        for _ in range(20):
            await asyncio.sleep(0)
        assert arrived == [1, 2, 3, 4]
        found: list[AnyEvent] = []
        while len(found) < 12:
            found += await taken(box, 2)
    assert [e.header.number for e in found if isinstance(e, HeadSeen)] == list(range(1, 13))


async def test_a_full_inbox_still_takes_answers_at_once() -> None:
    box, _ = inbox(size=1)
    await box.put(head(1))
    async with asyncio.timeout(1):
        await box.put(Fault(where="x", what="y"))
    assert isinstance((await taken(box, 1))[0], Fault)


async def test_a_clock_that_goes_back_is_counted_and_time_stands_still() -> None:
    box, clock = inbox()
    await box.put(Tick())
    await box.put(Tick())
    ((first, _),) = await box.take(1)
    clock.advance(-5)
    ((second, _),) = await box.take(1)
    assert (second.seen_at, box.backwards) == (first.seen_at, 1)
    clock.advance(6)
    await box.put(Tick())
    ((third, _),) = await box.take(1)
    assert third.seen_at == first.seen_at + SECOND


async def test_time_does_not_go_back_behind_the_journal() -> None:
    box, clock = inbox()
    box.resume(seq=7, seen_at=Instant(clock.now() + 3 * SECOND))
    await box.put(Tick())
    ((stamped, _),) = await box.take()
    assert (stamped.seq, stamped.seen_at) == (8, clock.now() + 3 * SECOND)


async def test_who_posts_waits_until_the_event_is_durable() -> None:
    box, _ = inbox()
    async with asyncio.TaskGroup() as group:
        posting = group.create_task(box.post(Tick()))
        ((stamped, waiting),) = await box.take()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not posting.done()
        assert waiting.done is not None
        waiting.done.set_result(stamped.seq)
    assert posting.result() == stamped.seq == 1


async def test_taking_waits_for_the_next_event() -> None:
    box, _ = inbox()
    assert box.idle
    async with asyncio.TaskGroup() as group:
        taking = group.create_task(box.take())
        await asyncio.sleep(0)
        assert not taking.done()
        await box.put(Tick())
    assert len(taking.result()) == 1
    assert box.idle


async def test_whoever_gives_up_posting_does_not_disturb_the_consumer() -> None:
    box, _ = inbox()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await box.post(Tick())
    ((_, waiting),) = await box.take()
    assert waiting.done is not None
    assert waiting.done.cancelled()
