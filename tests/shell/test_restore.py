"""Where a restart begins: a snapshot or none, it comes to the same; and a block that was told in part is known."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.core.step import Core
from monitor.model.codec import encode
from monitor.model.events import BlockOrphaned, CandidatesRehearsed, StateRead, Tick
from monitor.shell.restore import KEPT_HEADERS, Restored, restore
from tests.core.builders import (
    CHAIN,
    Driver,
    block_hash,
    broadcast,
    core,
    head,
    included,
    mined,
    rehearsal,
    signed,
    verified,
)
from tests.shell.fakes import MemoryJournal, thief, vault_core


def state_read(number: int, *, fork: int = 0) -> StateRead:
    return StateRead(chain_id=CHAIN, block_number=number, block_hash=block_hash(number, fork), readings=())


def journal_of(driver: Driver) -> MemoryJournal:
    rows = [(stamped, encode(step)) for stamped, step in zip(driver.fed, driver.steps, strict=True)]
    return MemoryJournal(rows=rows)


def storied() -> tuple[Driver, list[tuple[int, bytes]]]:
    """An attack answered and verified over forty blocks, with a reorg; and a snapshot from every tenth head."""
    driver, snapshots = core(thief()), list[tuple[int, bytes]]()
    (wanted,) = driver.feed(Tick(), head(10), mined()).rehearse
    action_id = wanted.actions[0].id
    driver.feed(CandidatesRehearsed(incident=wanted.incident, rehearsals=(rehearsal(action_id),)))
    driver.feed(signed(action_id), broadcast(action_id), head(11), included(action_id), head(12), verified(action_id))
    driver.feed(BlockOrphaned(chain_id=CHAIN, number=12, hash=block_hash(12)), head(12, fork=1))
    for number in range(13, 50):
        driver.feed(head(number))
        kept = driver.core.oldest()
        if number % 10 == 0 and kept is not None and kept[0] > 0:
            snapshots.append(kept)
    return driver, snapshots


async def test_a_restart_from_a_snapshot_equals_one_from_the_beginning() -> None:
    driver, snapshots = storied()
    assert snapshots
    whole, short = core(thief()).core, core(thief()).core
    journal = journal_of(driver)
    first = await restore(whole, journal)
    journal.snapshots = snapshots
    second = await restore(short, journal)
    assert whole.snapshot() == short.snapshot() == driver.core.snapshot()
    assert (first.seq, first.seen_at) == (second.seq, second.seen_at)
    assert list(second.headers[CHAIN])[-5:] == list(first.headers[CHAIN])[-5:]


async def test_what_comes_after_a_restart_is_judged_as_without_it() -> None:
    driver, snapshots = storied()
    journal = journal_of(driver)
    journal.snapshots = snapshots
    restored: Core = core(thief()).core
    await restore(restored, journal)
    goes_on = Driver(restored, driver.seq, driver.seconds)
    for event in (head(50), mined(7, block=50), BlockOrphaned(chain_id=CHAIN, number=50, hash=block_hash(50))):
        assert encode(goes_on.feed(event)) == encode(driver.feed(event))


async def test_an_empty_journal_is_a_fresh_start() -> None:
    restored = await restore(vault_core(), MemoryJournal())
    assert (restored.seq, restored.seen_at, restored.headers) == (0, 0, {})
    assert restored.half_told(CHAIN) is None
    assert restored.whole(CHAIN) == ()


def noted(*events: Any) -> Restored:
    restored = Restored(0, 0)  # type: ignore[arg-type]
    for event in events:
        restored.note(event)
    return restored


def test_headers_are_those_of_the_canonical_chain_and_bounded() -> None:
    restored = noted(*(head(n) for n in range(1, KEPT_HEADERS + 10)))
    assert len(restored.headers[CHAIN]) == KEPT_HEADERS
    top = KEPT_HEADERS + 9
    restored.note(BlockOrphaned(chain_id=CHAIN, number=top - 1, hash=block_hash(top - 1)))
    restored.note(head(top - 1, fork=1))
    assert [h.hash for h in list(restored.headers[CHAIN])[-2:]] == [block_hash(top - 2), block_hash(top - 1, 1)]


def test_a_block_with_its_state_is_whole() -> None:
    restored = noted(head(9), state_read(9), head(10), mined(1), state_read(10))
    assert restored.half_told(CHAIN) is None
    assert [header.number for header in restored.whole(CHAIN)] == [9, 10]


@pytest.mark.parametrize("transactions", [0, 2])
def test_a_block_without_its_state_is_half_told(transactions: int) -> None:
    told = [mined(n) for n in range(transactions)]
    restored = noted(head(9), state_read(9), head(10), *told)
    half = restored.half_told(CHAIN)
    assert half is not None
    assert (half[0].number, half[1]) == (10, frozenset(event.transaction.hash for event in told))
    assert [header.number for header in restored.whole(CHAIN)] == [9]


def test_a_late_state_of_an_older_block_does_not_make_the_newest_whole() -> None:
    restored = noted(head(9), head(10), state_read(9), mined(1, block=9))
    half = restored.half_told(CHAIN)
    assert half is not None
    assert (half[0].number, half[1]) == (10, frozenset())


def test_an_orphan_is_nothing_to_be_told_to_its_end() -> None:
    restored = noted(head(9), state_read(9), head(10), BlockOrphaned(chain_id=CHAIN, number=10, hash=block_hash(10)))
    assert restored.half_told(CHAIN) is None
    assert [header.number for header in restored.whole(CHAIN)] == [9]
    restored.note(BlockOrphaned(chain_id=CHAIN, number=9, hash=block_hash(9)))
    assert restored.whole(CHAIN) == ()
    restored.note(state_read(9))
    assert restored.half_told(CHAIN) is None
