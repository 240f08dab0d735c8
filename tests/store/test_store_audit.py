"""Whatever is done to the journal behind its back, the audit finds, and names the first bad row."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.clock import ManualClock
from monitor.model.errors import JournalLost
from monitor.model.events import Fault
from monitor.store.anchor import Anchor
from monitor.store.anchor_key import AnchorKey, public_path
from monitor.store.audit import AuditResult, key_path, verify
from monitor.store.journal import SqlJournal
from tests.store.store_builders import entries, entry
from tests.store.store_under_test import Store


async def journalled(store: Store, count: int = 12, *, said: int = 0) -> None:
    """Rows 1 to `count`, anchored at the start, after half of them, and at the end."""
    anchor = Anchor(store.anchor, AnchorKey.load(key_path(store.anchor)), clock=ManualClock())
    async with await SqlJournal.open(store.url) as journal:
        await anchor.start(journal)
        await journal.append(entries(1, count // 2))
        await anchor.write(journal.head, "interval")
        await journal.append(entries(count // 2 + 1, count))
        await anchor.stop(journal)


async def audited(store: Store) -> AuditResult:
    return await verify(store.url, store.anchor)


async def test_an_untouched_journal_is_intact(store: Store) -> None:
    await journalled(store)
    found = await audited(store)
    assert found.intact
    assert (found.rows, found.anchored_to, found.anchors) == (12, 12, 2)


async def test_an_empty_journal_is_intact(store: Store) -> None:
    assert (await verify(store.url, None)).intact


@pytest.mark.parametrize(
    "change",
    ["seen_at = seen_at + 1", "form = 9", "form = 1", "step = event", "step = NULL", "event = step", "hash = event"],
)
async def test_a_changed_row_is_named(store: Store, change: str) -> None:
    await journalled(store)
    await store.execute(f"UPDATE journal SET {change} WHERE seq = 5")
    found = await audited(store)
    assert found.first_bad == 5
    assert found.why == "row 5 was changed or moved: its hash does not follow"


@pytest.mark.parametrize("column", ["event", "step", "hash"])
async def test_one_changed_byte_is_found(store: Store, column: str) -> None:
    await journalled(store)
    [(data,)] = await store.execute(f"SELECT {column} FROM journal WHERE seq = 7")
    spoilt = bytes(data[:-1]) + bytes([data[-1] ^ 1])
    await store.execute(f"UPDATE journal SET {column} = $1 WHERE seq = 7", spoilt)
    assert (await audited(store)).first_bad == 7


async def test_a_byte_moved_from_event_to_step_is_found(store: Store) -> None:
    await journalled(store)
    [(event, step)] = await store.execute("SELECT event, step FROM journal WHERE seq = 7")
    await store.execute("UPDATE journal SET event = $1, step = $2 WHERE seq = 7", event[:-1], event[-1:] + step)
    assert (await audited(store)).first_bad == 7


async def test_a_missing_row_is_named(store: Store) -> None:
    await journalled(store)
    await store.execute("DELETE FROM journal WHERE seq = 4")
    found = await audited(store)
    assert (found.first_bad, found.why) == (4, "row 4 is missing: row 5 comes after row 3")


async def test_a_missing_first_row_is_named(store: Store) -> None:
    await journalled(store)
    await store.execute("DELETE FROM journal WHERE seq = 1")
    assert (await audited(store)).first_bad == 1


async def test_a_missing_row_is_found_where_the_rest_is_renumbered(store: Store) -> None:
    await journalled(store)
    await store.execute("DELETE FROM journal WHERE seq = 4")
    for seq in range(5, 13):
        await store.execute(f"UPDATE journal SET seq = {seq - 1} WHERE seq = {seq}")
    assert (await audited(store)).first_bad == 4


async def test_swapped_rows_are_found(store: Store) -> None:
    await journalled(store)
    for old, new in ((5, 100), (6, 5), (100, 6)):
        await store.execute(f"UPDATE journal SET seq = {new} WHERE seq = {old}")
    assert (await audited(store)).first_bad == 5


async def test_a_truncated_tail_is_found_by_its_anchor(store: Store) -> None:
    await journalled(store)
    await store.execute("DELETE FROM journal WHERE seq > 9")
    found = await audited(store)
    assert (found.first_bad, found.why) == (10, "rows 10 to 12 are missing from the end: row 12 was anchored")


async def test_an_emptied_journal_is_found_by_its_anchor(store: Store) -> None:
    await journalled(store)
    await store.execute("DELETE FROM journal")
    assert (await audited(store)).first_bad == 1


async def rewritten(store: Store, keep: int) -> None:
    """Everything after row `keep` is written anew, with a chain that holds in itself."""
    await store.execute(f"DELETE FROM journal WHERE seq > {keep}")
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(
            [entry(seq, Fault(where="here", what="nothing happened"), said="") for seq in range(keep + 1, 13)]
        )


@pytest.mark.parametrize(("keep", "named", "after"), [(0, 6, 0), (5, 6, 0), (8, 12, 6)])
async def test_a_rewritten_journal_is_found_by_its_anchor(store: Store, keep: int, named: int, after: int) -> None:
    await journalled(store)
    await rewritten(store, keep)
    assert (await verify(store.url, None)).intact, "the chain alone cannot know"
    found = await audited(store)
    assert found.first_bad == named
    assert found.why == f"row {named} is not the one that was anchored: rewritten somewhere after row {after}"


async def test_a_writer_refuses_a_journal_that_was_rewritten(store: Store) -> None:
    await journalled(store)
    await rewritten(store, 8)
    anchor = Anchor(store.anchor, AnchorKey.load(key_path(store.anchor)), clock=ManualClock())
    async with await SqlJournal.open(store.url) as journal:
        with pytest.raises(JournalLost, match="row 12 is not the one anchored"):
            await anchor.start(journal)


async def test_reading_stops_at_the_first_bad_row(store: Store) -> None:
    await journalled(store)
    await store.execute("UPDATE journal SET seen_at = 1 WHERE seq = 5")
    async with await SqlJournal.read_only(store.url) as journal:
        rows = journal.read()
        assert [(await anext(rows))[0].seq for _ in range(4)] == [1, 2, 3, 4]
        with pytest.raises(JournalLost, match="broken at row 5; run `drawbridge audit verify`"):
            await anext(rows)
        with pytest.raises(JournalLost, match="broken at row 5"):
            assert [event async for event, _ in journal.read(5)]


async def test_reading_behind_a_missing_row_stops_at_once(store: Store) -> None:
    await journalled(store)
    await store.execute("DELETE FROM journal WHERE seq = 4")
    async with await SqlJournal.read_only(store.url) as journal:
        with pytest.raises(JournalLost, match="broken at row 5"):
            assert [event async for event, _ in journal.read(5)]


async def test_values_of_a_wrong_type_are_found_and_not_stumbled_over(sqlite_store: Store) -> None:
    await journalled(sqlite_store)
    await sqlite_store.execute("UPDATE journal SET seen_at = 'soon' WHERE seq = 5")
    assert (await audited(sqlite_store)).first_bad == 5
    await sqlite_store.execute("UPDATE journal SET hash = 'text', event = 'text' WHERE seq = 3")
    assert (await audited(sqlite_store)).first_bad == 3


async def test_changed_words_of_a_quiet_step_are_found(store: Store) -> None:
    await journalled(store)
    await store.execute("UPDATE journal_forms SET tail = $1", b',"signals":[]}')
    assert (await audited(store)).first_bad == 2


async def test_a_missing_anchor_file_is_a_finding(store: Store) -> None:
    await journalled(store)
    store.anchor.unlink()
    found = await audited(store)
    assert not found.intact
    assert found.first_bad is None
    assert "no such file" in found.why


async def test_an_auditor_trusts_only_the_key_that_they_brought(store: Store, tmp_path: Path) -> None:
    await journalled(store)
    other = AnchorKey.load(tmp_path / "other.key")
    found = await verify(store.url, store.anchor, other.public)
    assert found.why.endswith("the signature at row 0 is not made by this key")
    assert public_path(tmp_path / "other.key").read_text().strip() == other.public.hex()


async def test_a_long_audit_tells_how_far_it_is(sqlite_store: Store) -> None:
    async with await SqlJournal.open(sqlite_store.url) as journal:
        await journal.append(entries(1, 20_100))
    told: list[int] = []
    assert (await verify(sqlite_store.url, None, progress=told.append)).intact
    assert told == [10_000, 20_000]


async def test_a_running_writer_does_not_disturb_the_audit(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 5))
        assert (await verify(store.url, None)).rows == 5
