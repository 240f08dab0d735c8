"""Commands from other processes: each reaches the writer once, is answered once, and never fires late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from monitor.clock import ManualClock
from monitor.model.errors import JournalLost, Refused
from monitor.store.commands import MAX_BODY, Answer, Commands, submit_command
from tests.store.store_under_test import Store


@asynccontextmanager
async def table(store: Store, clock: ManualClock | None = None) -> AsyncIterator[Commands]:
    opened = Commands(store.url, clock=clock or ManualClock())
    try:
        yield opened
    finally:
        await opened.close()


async def test_a_command_reaches_the_writer_with_its_body(store: Store) -> None:
    clock = ManualClock()
    id = await submit_command(store.url, "disarm", b'{"by":"ann"}', clock=clock)
    async with table(store, clock) as commands:
        [found] = await commands.drain()
    assert (found.id, found.kind, found.body, found.submitted_at) == (id, "disarm", b'{"by":"ann"}', clock.now())


async def test_commands_come_in_order_and_each_once(store: Store) -> None:
    async with table(store) as commands:
        first = await commands.submit("disarm", b"1")
        second = await commands.submit("arm", b"2")
        assert [found.id for found in await commands.drain()] == [first, second]
        assert await commands.drain() == ()
        third = await commands.submit("approve", b"3")
        assert [found.id for found in await commands.drain()] == [third]


async def test_an_unfinished_command_comes_again_after_a_restart(store: Store) -> None:
    async with table(store) as commands:
        id = await commands.submit("reject", b"")
        await commands.drain()
    async with table(store) as commands:
        assert [found.id for found in await commands.drain()] == [id]
        await commands.finish(id, ok=True, text="done")
    async with table(store) as commands:
        assert await commands.drain() == ()


async def test_the_answer_reaches_who_asked(store: Store) -> None:
    clock = ManualClock()
    async with table(store, clock) as commands, table(store, clock) as asker:
        id = await asker.submit("approve", b"")
        assert await asker.result(id) is None
        await commands.drain()
        await commands.finish(id, ok=False, text="not your role")
        assert await asker.result(id) == Answer(False, "not your role", clock.now())


async def test_the_first_answer_stays(store: Store) -> None:
    async with table(store) as commands:
        id = await commands.submit("feedback", b"")
        await commands.finish(id, ok=True, text="first")
        await commands.finish(id, ok=False, text="second")
        answer = await commands.result(id)
        assert answer is not None
        assert (answer.ok, answer.text) == (True, "first")


async def test_an_old_command_never_fires(store: Store) -> None:
    clock = ManualClock()
    async with table(store, clock) as commands:
        id = await commands.submit("arm", b"")
        clock.advance(61)
        assert await commands.drain() == ()
        answer = await commands.result(id)
    assert answer is not None
    assert not answer.ok
    assert answer.text.startswith("expired")


async def test_a_command_that_was_taken_in_time_may_be_answered_late(store: Store) -> None:
    clock = ManualClock()
    async with table(store, clock) as commands:
        id = await commands.submit("arm", b"")
        await commands.drain()
        clock.advance(61)
        assert await commands.drain() == ()
        await commands.finish(id, ok=True, text="armed")
        answer = await commands.result(id)
    assert answer is not None
    assert answer.ok


async def test_an_unknown_command_is_refused(store: Store) -> None:
    async with table(store) as commands:
        with pytest.raises(Refused, match="'format' is no command; allowed: disarm, arm"):
            await commands.submit("format", b"")  # type: ignore[arg-type]


async def test_a_body_too_large_is_refused(store: Store) -> None:
    async with table(store) as commands:
        await commands.submit("approve", b"x" * MAX_BODY)
        with pytest.raises(Refused, match="too large"):
            await commands.submit("approve", b"x" * (MAX_BODY + 1))


async def test_what_somebody_put_into_the_table_by_hand_is_not_believed(store: Store) -> None:
    columns = "(kind, body, submitted_at, expires_at)"
    async with table(store) as commands:
        for kind, body in (("own", b""), ("arm", b"x" * (MAX_BODY + 1))):
            await store.execute(f"INSERT INTO commands {columns} VALUES ('{kind}', $1, 0, {2**62})", body)
        assert await commands.drain() == ()


async def test_an_answer_of_an_unknown_command_is_none(store: Store) -> None:
    async with table(store) as commands:
        assert await commands.result(99) is None


async def test_without_a_store_there_is_nobody_to_tell(tmp_path_url: str) -> None:
    with pytest.raises(JournalLost, match="no such file"):
        await submit_command(tmp_path_url, "disarm", b"", clock=ManualClock())
