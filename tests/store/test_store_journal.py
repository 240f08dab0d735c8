"""The journal's contract, the same on both engines."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.model import codec
from monitor.model.chain import Header
from monitor.model.errors import JournalLost
from monitor.model.events import AnyEvent, Fault, HeadSeen, Stamped
from monitor.model.incidents import Step
from monitor.model.ports import Journal
from monitor.model.units import NO_HASH, ChainId
from monitor.store.audit import verify
from monitor.store.journal import SqlJournal, steps
from tests.store.store_builders import entries, entry, renumbered, stamped, values_of
from tests.store.store_under_test import Store


async def test_a_new_journal_is_empty(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        assert await journal.last() == (0, 0)
        assert [found async for found in journal.read()] == []


async def test_it_is_the_journal_that_the_shell_asks_for(store: Store) -> None:
    async with await SqlJournal.open(store.url) as opened:
        journal: Journal = opened
        assert await journal.last() == (0, 0)


async def test_what_was_appended_is_read_back_byte_for_byte(store: Store) -> None:
    written = entries(1, 40)
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(written[:1])
        await journal.append(written[1:])
        found = [pair async for pair in journal.read()]
    assert found == [(event, codec.encode(step)) for event, step in written]


async def test_entries_outlive_the_writer(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 3))
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(4, 5))
        assert await journal.last() == (5, entries(5, 5)[0][0].seen_at)
    assert (await verify(store.url, None)).rows == 5


async def test_both_ends_of_a_range_are_included(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 9))
        assert [event.seq async for event, _ in journal.read(3, 5)] == [3, 4, 5]
        assert [event.seq async for event, _ in journal.read(8)] == [8, 9]
        assert [event.seq async for event, _ in journal.read(0, 1)] == [1]
        assert [event.seq async for event, _ in journal.read(10)] == []


async def test_a_long_journal_is_read_across_pages(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 1_001))
        assert [event.seq async for event, _ in journal.read()] == list(range(1, 1_002))


async def test_steps_come_back_as_values(store: Store) -> None:
    written = entries(1, 6)
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(written)
        assert [pair async for pair in steps(journal)] == written


async def test_nothing_is_written_for_no_entries(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append([])
        assert journal.head.seq == 0


async def test_integers_of_any_width_survive(store: Store) -> None:
    header = Header(2**256 - 1, NO_HASH, NO_HASH, 1, 2**200, 0, 10**400, b"\x00\xff" * 10)  # type: ignore[arg-type]
    event = HeadSeen(chain_id=ChainId(2**64), header=header)
    async with await SqlJournal.open(store.url) as journal:
        await journal.append([entry(1, event)])
        assert [found.event async for found, _ in journal.read()] == [event]


async def test_text_from_outside_survives_with_nulls_and_quotes(store: Store) -> None:
    event = Fault(where="\x00'\";--", what="é\u2028\U0001f600\\")
    async with await SqlJournal.open(store.url) as journal:
        await journal.append([entry(1, event)])
        assert [found.event async for found, _ in journal.read()] == [event]


async def test_a_quiet_step_takes_no_room_and_keeps_its_bytes(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append([entry(1), entry(2, said="loud")])
        assert [step async for _, step in journal.read()] == [
            codec.encode(Step(1)),
            codec.encode(Step(2, faults=("loud",))),
        ]
    rows = await store.execute("SELECT step IS NULL FROM journal ORDER BY seq")
    assert [bool(quiet) for (quiet,) in rows] == [True, False]


async def test_quiet_steps_of_an_older_code_version_keep_their_bytes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 2))
    monkeypatch.setattr("monitor.store.journal.quiet_tail", lambda: b',"signals":[],"later":[]}')
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(3, 4))
        found = [step async for _, step in journal.read()]
    assert found == [codec.encode(step) for _, step in entries(1, 4)]
    assert len(await store.execute("SELECT id FROM journal_forms")) == 2


@pytest.mark.parametrize("seq", [0, 1, 3, 4, -1])
async def test_entries_must_follow_the_last_without_a_gap(store: Store, seq: int) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append([entry(1)])
        with pytest.raises(JournalLost, match="cannot follow row 1"):
            await journal.append([entry(seq)])
        await journal.append([entry(2)])


async def test_a_step_belongs_to_its_event(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        with pytest.raises(JournalLost, match="event 1 with step 2"):
            await journal.append([(stamped(1), Step(2))])


async def test_an_event_without_canonical_bytes_is_refused_and_the_journal_goes_on(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        with pytest.raises(JournalLost, match="event 1 has no canonical bytes"):
            await journal.append([entry(1, Fault(where="\ud800", what=""))])
        await journal.append([entry(1)])


@pytest.mark.parametrize("seen_at", [2**63, 2**64, -(2**63) - 1])
async def test_an_instant_that_no_column_holds_is_refused(store: Store, seen_at: int) -> None:
    async with await SqlJournal.open(store.url) as journal:
        with pytest.raises(JournalLost, match="event 1"):
            await journal.append([(Stamped(1, seen_at, Fault(where="", what="")), Step(1))])  # type: ignore[arg-type]


async def test_appends_at_the_same_time_take_turns(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal, asyncio.TaskGroup() as group:
        for seq in range(1, 21):
            group.create_task(journal.append([entry(seq)]))
    assert (await verify(store.url, None)).rows == 20


async def test_a_second_writer_is_refused_with_one_line(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        with pytest.raises(JournalLost, match="writes it already; stop that one first") as refused:
            await SqlJournal.open(store.url)
        assert "\n" not in str(refused.value)
        await journal.append([entry(1)])
    async with await SqlJournal.open(store.url):
        pass


async def test_a_reader_beside_the_writer_may_not_append(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 3))
        async with await SqlJournal.read_only(store.url) as reader:
            assert await reader.last() == await journal.last()
            assert [event.seq async for event, _ in reader.read()] == [1, 2, 3]
            with pytest.raises(JournalLost, match="reading only"):
                await reader.append([entry(4)])


async def test_a_closed_journal_takes_no_more(store: Store) -> None:
    journal = await SqlJournal.open(store.url)
    await journal.close()
    with pytest.raises(JournalLost, match="it was closed"):
        await journal.append([entry(1)])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET seen_at = 0",
        "DELETE FROM journal",
        "UPDATE journal_forms SET id = 9",
        "DELETE FROM journal_forms",
    ],
)
async def test_rows_cannot_be_updated_or_deleted(store: Store, statement: str) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 3))
        with pytest.raises(Exception, match="append-only"):
            await store.execute(statement, guarded=True)
        assert (await verify(store.url, None)).intact


async def test_rows_cannot_be_replaced_or_truncated(store: Store) -> None:
    again = "INSERT OR REPLACE INTO journal SELECT seq, 0, event, step, form, hash FROM journal"
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 3))
    with pytest.raises(Exception, match="append-only"):
        await store.execute(again if store.kind == "sqlite" else "TRUNCATE journal", guarded=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(values_of(AnyEvent), values_of(Step)), min_size=1, max_size=5))
async def test_any_events_and_steps_come_back_equal(store: Store, pairs: list[tuple[AnyEvent, Step]]) -> None:
    async with await SqlJournal.open(store.url) as journal:
        written = renumbered(pairs, journal.head.seq + 1)
        await journal.append(written)
        first = written[0][0].seq
        assert [pair async for pair in steps(journal, first)] == written
        assert [step async for _, step in journal.read(first)] == [codec.encode(step) for _, step in written]
