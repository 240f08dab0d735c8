"""The SQL ledger: only authentic rows, in order, without a gap, and no watermark beyond them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import ManualClock
from monitor.model.errors import ConfigurationError, Unreachable
from monitor.model.events import LedgerComplete, WithdrawalAuthorised
from monitor.model.ports import LedgerReader
from monitor.model.units import NATIVE, Address, ChainId, Wei
from monitor.store.ledger import MAX_TEXT, SqlLedger, amount_of
from monitor.store.ledger_writer import LedgerWriter
from tests.store.store_under_test import Store

KEY = b"a key shared with the exchange"
CHAIN = ChainId(31337)
SOMEBODY = Address(b"\x11" * 20)
TOKEN = Address(b"\xaa" * 20)


@asynccontextmanager
async def ledger(
    store: Store, *, name: str = "main", key: bytes = KEY, clock: ManualClock | None = None
) -> AsyncIterator[tuple[LedgerWriter, SqlLedger]]:
    writer, reader = LedgerWriter(store.url, name, KEY, clock=clock or ManualClock()), SqlLedger(store.url, name, key)
    try:
        yield writer, reader
    finally:
        await writer.close()
        await reader.close()


async def authorised(writer: LedgerWriter, count: int) -> list[WithdrawalAuthorised]:
    return [await writer.authorise(CHAIN, TOKEN, to=SOMEBODY, amount=Wei(10 + n)) for n in range(count)]


async def test_authorised_withdrawals_are_read_in_order(store: Store) -> None:
    async with ledger(store) as (writer, reader):
        written = await authorised(writer, 3)
        assert list(await reader.after(0)) == written
        assert list(await reader.after(2)) == written[2:]
        assert list(await reader.after(3)) == []


async def test_it_is_the_ledger_that_sources_ask_for(store: Store) -> None:
    async with ledger(store) as (_, opened):
        reader: LedgerReader = opened
        assert reader.name == "main"
        assert await reader.watermark() is None


async def test_a_limit_cuts_and_the_rest_follows(store: Store) -> None:
    async with ledger(store) as (writer, reader):
        written = await authorised(writer, 5)
        assert list(await reader.after(0, limit=2)) == written[:2]
        assert list(await reader.after(2, limit=9)) == written[2:]


async def test_an_amount_of_256_bits_survives(store: Store) -> None:
    async with ledger(store) as (writer, reader):
        most = await writer.authorise(CHAIN, NATIVE, to=SOMEBODY, amount=Wei(2**256 - 1))
        assert list(await reader.after(0)) == [most]


async def test_a_watermark_covers_only_what_was_delivered(store: Store) -> None:
    async with ledger(store, clock=ManualClock()) as (writer, reader):
        early = await writer.complete()
        await authorised(writer, 2)
        late = await writer.complete()
        assert (early.sequence, late.sequence) == (0, 2)
        assert await reader.watermark() == early
        await reader.after(0, limit=1)
        assert await reader.watermark() == early
        await reader.after(1)
        assert await reader.watermark() == late


async def test_the_newest_of_equal_watermarks_counts(store: Store) -> None:
    clock = ManualClock()
    async with ledger(store, clock=clock) as (writer, reader):
        await authorised(writer, 1)
        await writer.complete()
        clock.advance(30)
        await writer.complete()
        await reader.after(0)
        assert await reader.watermark() == LedgerComplete(ledger="main", sequence=1, at=clock.now())


async def test_a_reader_that_starts_later_vouches_for_what_its_caller_has(store: Store) -> None:
    async with ledger(store) as (writer, reader):
        await authorised(writer, 4)
        mark = await writer.complete()
        assert list(await reader.after(4)) == []
        assert await reader.watermark() == mark


@pytest.mark.parametrize(
    "change",
    [
        "amount = '1'",
        '"to" = token',
        "id = 'other'",
        "chain_id = 1",
        "authorised_at = 0",
        "hmac = $1",
        "ledger = 'other'",
    ],
)
async def test_a_changed_row_stops_the_feed_and_its_watermark(store: Store, change: str) -> None:
    async with ledger(store) as (writer, reader):
        written = await authorised(writer, 3)
        await writer.complete()
        values = (b"forged",) if "$1" in change else ()
        await store.execute(f"UPDATE authorised_withdrawals SET {change} WHERE sequence = 2", *values)
        assert list(await reader.after(0)) == written[:1]
        assert reader.stuck_at == 2
        assert await reader.watermark() is None
        assert list(await reader.after(1)) == []
        assert reader.rejected == (0 if "ledger" in change else 1), "counted once; a gap is nobody's forgery"


async def test_a_forged_row_is_never_delivered(store: Store) -> None:
    async with ledger(store) as (writer, reader):
        written = await authorised(writer, 1)
        await store.execute(
            "INSERT INTO authorised_withdrawals SELECT ledger, 2, 'theft', chain_id, token, \"to\", amount, "
            "authorised_at, hmac FROM authorised_withdrawals"
        )
        assert list(await reader.after(0)) == written
        assert reader.rejected == 1


async def test_a_gap_waits_until_it_is_filled(store: Store) -> None:
    async with ledger(store) as (writer, reader):
        written = await authorised(writer, 3)
        mark = await writer.complete()
        await store.execute("UPDATE authorised_withdrawals SET sequence = 20 WHERE sequence = 2")
        assert list(await reader.after(0)) == written[:1]
        assert (reader.stuck_at, reader.rejected) == (2, 0)
        assert await reader.watermark() is None
        await store.execute("UPDATE authorised_withdrawals SET sequence = 2 WHERE sequence = 20")
        assert list(await reader.after(1)) == written[1:]
        assert reader.stuck_at is None
        assert await reader.watermark() == mark


@pytest.mark.parametrize("change", ["at = at + 1", "sequence = 1", "hmac = $1", "ledger = 'main', at = 0"])
async def test_a_forged_watermark_is_ignored_and_counted_once(store: Store, change: str) -> None:
    async with ledger(store) as (writer, reader):
        await authorised(writer, 2)
        await writer.complete()
        values = (b"forged",) if "$1" in change else ()
        await store.execute(f"UPDATE ledger_watermarks SET {change}", *values)
        await reader.after(0)
        assert await reader.watermark() is None
        assert await reader.watermark() is None
        assert reader.rejected == 1


async def test_an_older_good_watermark_counts_behind_forged_ones(store: Store) -> None:
    async with ledger(store) as (writer, reader):
        await authorised(writer, 1)
        good = await writer.complete()
        for at in range(3):
            await store.execute(
                f"INSERT INTO ledger_watermarks (ledger, sequence, at, hmac) "
                f"SELECT ledger, sequence, at + {at + 1}, hmac FROM ledger_watermarks WHERE id = 1"
            )
        await reader.after(0)
        assert await reader.watermark() == good
        assert reader.rejected == 3


async def test_another_key_believes_nothing(store: Store) -> None:
    async with ledger(store, key=b"some other key, just as long") as (writer, reader):
        await authorised(writer, 1)
        await writer.complete()
        assert list(await reader.after(0)) == []
        assert await reader.watermark() is None


async def test_a_row_of_one_ledger_is_nothing_in_another(store: Store) -> None:
    async with ledger(store) as (writer, _), ledger(store, name="other") as (_, other):
        await authorised(writer, 1)
        assert list(await other.after(0)) == []
        await store.execute("UPDATE authorised_withdrawals SET ledger = 'other'")
        assert list(await other.after(0)) == []
        assert other.rejected == 1


async def test_an_id_is_authorised_once(store: Store) -> None:
    async with ledger(store) as (writer, reader):
        await writer.authorise(CHAIN, TOKEN, to=SOMEBODY, amount=Wei(1), id="w-1")
        with pytest.raises(Unreachable, match="ledger main at"):
            await writer.authorise(CHAIN, TOKEN, to=SOMEBODY, amount=Wei(1), id="w-1")
        assert len(await reader.after(0)) == 1


async def test_endless_text_in_a_row_costs_nothing_and_is_refused(store: Store) -> None:
    async with ledger(store) as (writer, reader):
        await writer.authorise(CHAIN, TOKEN, to=SOMEBODY, amount=Wei(1), id="x" * (MAX_TEXT + 2))
        assert list(await reader.after(0)) == []
        assert reader.rejected == 1


@pytest.mark.parametrize("change", ["hmac = 'text'", "chain_id = 'text'", "amount = 1e30", "hmac = 7"])
async def test_values_of_a_wrong_type_are_refused(sqlite_store: Store, change: str) -> None:
    async with ledger(sqlite_store) as (writer, reader):
        await authorised(writer, 1)
        await sqlite_store.execute(f"UPDATE authorised_withdrawals SET {change}")
        assert list(await reader.after(0)) == []
        assert reader.stuck_at == 1


async def test_text_that_is_none_is_told_in_one_line(sqlite_store: Store) -> None:
    async with ledger(sqlite_store) as (writer, reader):
        await authorised(writer, 1)
        await sqlite_store.execute("UPDATE authorised_withdrawals SET id = x'ff'")
        with pytest.raises(Unreachable, match="Could not decode to UTF-8 column 'id'"):
            await reader.after(0)


async def test_a_ledger_that_is_not_there_is_unreachable(tmp_path_url: str) -> None:
    reader = SqlLedger(tmp_path_url, "main", KEY)
    with pytest.raises(Unreachable, match=r"^ledger main at sqlite:///.*unable to open"):
        await reader.after(0)
    await reader.close()


def test_a_short_key_is_refused(tmp_path_url: str) -> None:
    with pytest.raises(ConfigurationError, match="too few; at least 16"):
        SqlLedger(tmp_path_url, "main", b"short")


@given(st.integers(0, 2**256 - 1))
def test_every_amount_of_256_bits_is_parsed(amount: int) -> None:
    assert amount_of(str(amount)) == amount


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.0", "1e3", "0x10", " 1", "1_000", "١", str(2**256), "9" * 79, "9" * 9999]
)
def test_no_other_amount_is(text: str) -> None:
    with pytest.raises(ValueError, match="decimal of at most 256 bits"):
        amount_of(text)
