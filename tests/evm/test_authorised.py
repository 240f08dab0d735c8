"""The book of authorised withdrawals, and what counts as a payout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evm.authorised import Book, line
from monitor.evm.payouts import payers, payouts, worth
from monitor.evm.sighting import sighting_of
from monitor.evm.watch import Protected
from monitor.model.chain import Transaction, Transfer
from monitor.model.codec import decode, encode
from monitor.model.units import NATIVE, SECOND, Address, Instant, Usd
from tests.detectors.builders import (
    CHAIN,
    COLD,
    CUSTOMER,
    DAI,
    FRIEND,
    SCAM,
    THIEF,
    USDC,
    WALLET,
    asset,
    context,
    mined,
    transaction,
    transfer,
)

T0 = Instant(1_700_000_000 * SECOND)


def after(seconds: int) -> Instant:
    return Instant(T0 + seconds * SECOND)


def book(*lines: str, window_s: int = 86_400) -> Book:
    made = Book(window_s)
    for each in lines:
        made.enter(each, T0)
    return made


def test_an_entry_balances_one_payout() -> None:
    entries = book("a")
    assert entries.claim("p1", ["a"], at=T0) == []
    assert entries.claim("p2", ["a"], at=T0) == ["a"]


def test_equal_entries_balance_equal_payouts_one_for_one() -> None:
    entries = book("a", "a")
    assert entries.claim("p1", ["a", "a", "a"], at=T0) == ["a"]


def test_a_new_transaction_at_one_place_takes_its_claims() -> None:
    entries = book("a")
    entries.claim("p1", ["a"], at=T0)
    assert entries.claim("p1", ["a"], at=T0) == []


def test_what_was_claimed_can_be_let_go() -> None:
    entries = book("a")
    entries.claim("p1", ["a"], at=T0)
    entries.release("p1")
    entries.release("p1")
    assert entries.claim("p2", ["a"], at=T0) == []


def test_what_is_settled_is_gone_for_good() -> None:
    entries = book("a", "a", "b")
    entries.claim("p1", ["a", "a"], at=T0)
    entries.settle("p1")
    assert (entries.size, sorted(entries.entries)) == (1, ["b"])
    entries.settle("p1")
    entries.release("p1")
    assert entries.claim("p2", ["a"], at=after(10_000)) == ["a"]


def test_settling_one_of_two_leaves_the_other() -> None:
    entries = book("a", "a")
    entries.claim("p1", ["a"], at=T0)
    entries.settle("p1")
    assert (entries.size, entries.claim("p2", ["a"], at=T0)) == (1, [])


def test_a_claim_lapses_after_ten_minutes() -> None:
    entries = book("a")
    entries.claim("p1", ["a"], at=T0)
    assert entries.claim("p2", ["a"], at=after(600)) == ["a"]
    assert entries.claim("p2", ["a"], at=after(601)) == []


def test_an_entry_lasts_for_its_window() -> None:
    entries = book("a", window_s=60)
    assert entries.claim("p1", ["a"], at=after(61)) == ["a"]
    assert entries.claim("p1", ["a"], at=after(60)) == []


def test_a_full_book_drops_what_ends_first_and_says_until_when_it_is_blind() -> None:
    entries = Book(window_s=60, limit=16)
    for n in range(16):
        entries.enter(f"line{n}", after(n))
    entries.claim("p", ["line0", "line9"], at=after(1))
    assert entries.blind_until == 0
    entries.enter("new", after(99))
    assert entries.size == len(entries.entries) == 14
    assert entries.blind_until == after(62)
    assert "line0" not in entries.entries
    entries.settle("p")
    assert "line9" not in entries.entries


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enter", "claim", "settle", "release"]), st.sampled_from("pqr"), st.sampled_from("ab")
        ),
        max_size=40,
    )
)
def test_no_entry_ever_balances_two_and_the_size_is_right(moves: list[tuple[str, str, str]]) -> None:
    entries, entered, settled = Book(limit=16), 0, 0
    for second, (move, place, what) in enumerate(moves):
        match move:
            case "enter":
                entries.enter(what, after(second))
                entered += 1
            case "claim":
                entries.claim(place, [what], at=after(second))
            case "settle":
                before = entries.size
                entries.settle(place)
                settled += before - entries.size
            case _:
                entries.release(place)
        held = [e for found in entries.entries.values() for e in found]
        assert entries.size == len(held)
        owners = [e.place for e in held if e.place]
        assert sorted(owners) == sorted(p for p, lines in entries.claims.items() for _ in lines)
        assert decode(encode(entries), Book) == entries
    assert entered >= settled


def test_a_line_tells_ledger_chain_token_destination_and_amount_apart() -> None:
    one = transfer(5, to=CUSTOMER, token=USDC)
    others = [transfer(6, to=CUSTOMER, token=USDC), transfer(5, to=FRIEND, token=USDC), transfer(5, to=CUSTOMER)]
    lines = {line("main", CHAIN, t) for t in (one, *others)} | {line("other", CHAIN, one), line("main", CHAIN, one)}
    assert len(lines) == 5


def call(amount: int, *, sender: Address = WALLET, to: Address | None = USDC, cut: int = 68) -> Transaction:
    data = bytes.fromhex("a9059cbb") + CUSTOMER.rjust(32, b"\0") + amount.to_bytes(32, "big")
    return transaction(1, sender=sender, to=to, data=data[:cut])


TAXED = [transfer(97, token=USDC), transfer(3, to=SCAM, token=USDC)]


@pytest.mark.parametrize(
    ("tx", "transfers", "amounts"),
    [
        pytest.param(transaction(1), [transfer(5)], [5], id="what it sends"),
        pytest.param(transaction(1), [transfer(5), transfer(5), transfer(7, to=FRIEND)], [5, 5, 7], id="one by one"),
        pytest.param(transaction(1), [transfer(5, sender=CUSTOMER, to=WALLET)], [], id="not what it gets"),
        pytest.param(transaction(1), [transfer(5, to=WALLET)], [], id="not to itself"),
        pytest.param(
            transaction(1), [transfer(5), transfer(5, sender=CUSTOMER, to=WALLET)], [], id="not what comes back"
        ),
        pytest.param(
            transaction(1),
            [transfer(5), transfer(3, sender=CUSTOMER, to=WALLET)],
            [5],
            id="whole where a part comes back",
        ),
        pytest.param(
            transaction(1),
            [transfer(5), transfer(5, sender=CUSTOMER, to=WALLET, token=DAI)],
            [5],
            id="whole where another token comes back",
        ),
        pytest.param(call(100), TAXED, [100], id="what the calldata asks of a token with a fee"),
        pytest.param(call(100), [*TAXED, transfer(9)], [100, 9], id="that and what else it sends"),
        pytest.param(call(100, sender=THIEF), TAXED, [97, 3], id="as it moved where somebody else calls"),
        pytest.param(call(100, to=None), TAXED, [97, 3], id="as it moved where it deploys"),
        pytest.param(call(100, cut=67), TAXED, [97, 3], id="as it moved where calldata is short"),
        pytest.param(call(100), [transfer(5, to=FRIEND, token=USDC)], [5], id="as it moved where the token lies"),
    ],
)
def test_what_a_wallet_pays_out(tx: Transaction, transfers: list[Transfer], amounts: list[int]) -> None:
    assert [t.amount for t in payouts(WALLET, tx, transfers)] == amounts


def test_payers_are_assets_that_pay_strangers_in_listed_tokens() -> None:
    assets = Protected((asset(tokens=(USDC,), known=(FRIEND,)),))
    event = mined(
        transfer(1),
        transfer(2, token=USDC),
        transfer(3, token=SCAM),
        transfer(4, to=COLD),
        transfer(5, to=FRIEND),
        transfer(6, sender=THIEF),
        transfer(0),
    )
    sighting = sighting_of(event)
    assert sighting is not None
    assert [(a.name, [t.amount for t in paid]) for a, paid in payers(sighting, assets)] == [("hot", [1, 2])]
    assert [[t.amount for t in paid] for _, paid in payers(sighting, assets, own=True)] == [[1, 2, 4, 5]]
    only_own = sighting_of(mined(transfer(4, to=COLD)))
    assert only_own is not None
    assert list(payers(only_own, assets)) == []


def test_worth_is_what_is_known_and_none_where_nothing_is() -> None:
    prices = context(prices={NATIVE: 2.0}).prices
    assert worth(CHAIN, [transfer(5), transfer(7, token=DAI)], prices) == Usd(10)
    assert worth(CHAIN, [transfer(7, token=DAI)], prices) is None
    assert worth(CHAIN, [], prices) is None
