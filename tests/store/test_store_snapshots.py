"""Snapshots and blobs: kept as promised, and never believed when damaged or of another journal."""

from __future__ import annotations

import pytest

from monitor.model import codec
from monitor.model.errors import JournalLost
from monitor.model.units import NO_HASH
from monitor.store.journal import SqlJournal
from tests.store.store_builders import entries
from tests.store.store_under_test import Store


async def test_there_is_no_snapshot_at_first(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        assert await journal.latest_snapshot() is None


async def test_the_newest_snapshot_at_or_before_is_found(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 9))
        for seq in (0, 3, 6, 9):
            await journal.save_snapshot(seq, b"state %d" % seq)
        assert await journal.latest_snapshot() == (9, b"state 9")
        assert await journal.latest_snapshot(8) == (6, b"state 6")
        assert await journal.latest_snapshot(6) == (6, b"state 6")
        assert await journal.latest_snapshot(2) == (0, b"state 0")


async def test_a_state_of_megabytes_survives(store: Store) -> None:
    state = bytes(range(256)) * 20_000
    async with await SqlJournal.open(store.url) as journal:
        await journal.save_snapshot(0, state)
        assert await journal.latest_snapshot() == (0, state)


async def test_a_snapshot_is_replaced_by_one_of_the_same_place(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.save_snapshot(0, b"old")
        await journal.save_snapshot(0, b"new")
        assert await journal.latest_snapshot() == (0, b"new")


async def test_the_newest_64_and_every_finalised_one_are_kept(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 100))
        for seq in range(1, 101):
            await journal.save_snapshot(seq, b"state", finalised=seq in (5, 20))
    kept = [seq for (seq,) in await store.execute("SELECT seq FROM snapshots ORDER BY seq")]
    assert kept == [5, 20, *range(37, 101)]


async def test_a_snapshot_of_what_is_not_journalled_is_refused(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        with pytest.raises(JournalLost, match="event 7 is not in the journal yet"):
            await journal.save_snapshot(7, b"state")


@pytest.mark.parametrize("spoilt", [b"", b"no zlib", b"x\x9cgarbage"])
async def test_a_damaged_snapshot_is_passed_over(store: Store, spoilt: bytes) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 2))
        await journal.save_snapshot(1, b"old but good")
        await journal.save_snapshot(2, b"new")
        await store.execute("UPDATE snapshots SET state = $1 WHERE seq = 2", spoilt)
        assert await journal.latest_snapshot() == (1, b"old but good")


async def test_a_snapshot_of_a_cut_off_or_rewritten_row_is_passed_over(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        await journal.append(entries(1, 3))
        for seq in (1, 2, 3):
            await journal.save_snapshot(seq, b"%d" % seq)
    await store.execute("DELETE FROM journal WHERE seq = 3")
    await store.execute("UPDATE journal SET hash = $1 WHERE seq = 2", bytes(NO_HASH))
    async with await SqlJournal.open(store.url) as journal:
        assert await journal.latest_snapshot() == (1, b"1")


async def test_a_blob_is_found_by_its_hash(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        digest = await journal.put_blob(b"settings")
        assert digest == codec.digest(b"settings")
        assert await journal.put_blob(b"settings") == digest
        assert await journal.get_blob(digest) == b"settings"
        assert await journal.get_blob(NO_HASH) is None
        assert await journal.get_blob(await journal.put_blob(b"")) == b""


async def test_a_changed_blob_is_not_given_out(store: Store) -> None:
    async with await SqlJournal.open(store.url) as journal:
        digest = await journal.put_blob(b"policy")
        await store.execute("UPDATE blobs SET data = $1", b"police")
        with pytest.raises(JournalLost, match="its bytes were changed"):
            await journal.get_blob(digest)
