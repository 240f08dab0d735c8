"""The packed table: exact, small, flat, and not to be aimed at."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evm import packed
from monitor.evm.packed import AddressTable
from monitor.model.errors import ConfigurationError
from monitor.model.units import Address

ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)


def number(address: bytes) -> int:
    return int.from_bytes(address, "big")


@given(st.dictionaries(ADDRESSES, st.binary(min_size=3, max_size=3), max_size=200), st.lists(ADDRESSES), st.binary())
def test_a_table_says_what_a_dictionary_says(known: dict[Address, bytes], others: list[Address], seed: bytes) -> None:
    table = AddressTable(width=3, seed=seed)
    for address, payload in known.items():
        table.put(address, b"old")
        table.put(address, payload)
    assert len(table) == len(known)
    assert {Address(entry[:20]): entry[20:] for entry in table.entries()} == known
    for address in (*known, *others):
        at = table.find(number(address))
        assert (table.payload(at) if at >= 0 else None) == known.get(address)


@given(st.sets(ADDRESSES, max_size=200), st.lists(ADDRESSES, max_size=5))
def test_asking_for_any_of_several_says_what_asking_for_each_says(known: set[Address], asked: list[Address]) -> None:
    table = AddressTable()
    for address in known:
        table.put(address)
    some = [*asked, *sorted(known)[:1]]
    assert table.holds_any(map(number, some)) is any(address in known for address in some)
    assert table.holds_any(map(number, asked)) is any(address in known for address in asked)
    assert not table.holds_any(())
    assert not table.holds_any([-1, 1 << 160])


def test_what_is_no_address_is_not_found() -> None:
    table = AddressTable()
    for last in range(200):
        table.put(Address(last.to_bytes(20, "big")))
    for noise in range(1, 2000):
        assert table.find(-noise) == -1
        assert table.find(noise << 160) == -1


def test_an_entry_of_another_size_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="an address and 2 bytes"):
        AddressTable(width=2).put(Address(bytes(20)), b"123")
    with pytest.raises(ValueError, match="not 19 and 0"):
        AddressTable().put(Address(bytes(19)))


def test_a_table_that_is_full_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_ENTRIES", 2)
    table = AddressTable()
    table.put(Address(b"\x01" * 20))
    table.put(Address(b"\x02" * 20))
    table.put(Address(b"\x02" * 20))
    with pytest.raises(ConfigurationError, match="more than 2"):
        table.put(Address(b"\x03" * 20))


def colliding(table: AddressTable, wanted: int) -> list[Address]:
    """Addresses that all belong to one slot, as one who knew the seed could make them."""
    rng, found = random.Random(1), list[Address]()
    while len(found) < wanted:
        address = rng.randbytes(20)
        if not (number(address) * table._key >> table._shift & table._mask) >> 8:
            found.append(Address(address))
    return found


def test_who_fills_one_slot_makes_the_table_take_its_next_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_PROBE", 8)
    table = AddressTable(capacity=100)
    addresses = colliding(table, 40)
    for address in addresses:
        table.put(address)
    assert table._round > 0
    assert all(table.find(number(address)) >= 0 for address in addresses)


def test_a_table_that_collides_under_every_number_gives_up_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_PROBE", 1)
    rng, table = random.Random(2), AddressTable(capacity=100)

    def fill() -> None:
        for _ in range(100):
            table.put(Address(rng.randbytes(20)))

    with pytest.raises(ConfigurationError, match="set another seed"):
        fill()


def test_another_seed_is_another_order() -> None:
    orders = set()
    for seed in (b"", b"one", b"two"):
        table = AddressTable(seed=seed)
        for last in range(9):
            table.put(Address(last.to_bytes(20, "big")))
        orders.add(tuple(table.entries()))
    assert len(orders) == 3


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_million_addresses_are_small_and_strangers_are_not_among_them() -> None:
    rng = random.Random(3)
    table = AddressTable(capacity=1_000_000)
    for _ in range(1_000_000):
        table.put(Address(rng.randbytes(20)))
    assert table.nbytes <= 50_000_000
    assert not any(table.find(number(rng.randbytes(20))) >= 0 for _ in range(20_000))
