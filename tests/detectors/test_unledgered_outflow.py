"""Proof 2: no entry in a complete ledger. Stories of rows, watermarks and payouts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from detectors.unledgered_outflow import UnledgeredOutflow
from monitor.model.chain import Transaction
from monitor.model.codec import encode
from monitor.model.events import AnyEvent, Armed
from monitor.model.signals import Signal
from monitor.model.units import SECOND, Address, Instant
from tests.detectors.builders import (
    COLD,
    CUSTOMER,
    DAI,
    FRIEND,
    MULE,
    ONE,
    ROUTER,
    SCAM,
    THIEF,
    USDC,
    WALLET,
    asset,
    authorised,
    complete,
    context,
    mined,
    pending,
    transaction,
    transfer,
    who,
)
from tests.detectors.fakes import START, FakeContext, Run, said_alike

FIRST = (authorised(sequence=1), mined(transfer(), tx=1))  # one payout that matched: the feed has a record


def run(view: FakeContext | None = None, *, grace_s: int = 0, negative_from_usd: int = 10_000) -> Run:
    return Run(UnledgeredOutflow(grace_s=grace_s, negative_from_usd=negative_from_usd), view or context())


def mark(second: float, sequence: int = 1) -> AnyEvent:
    """A watermark of the ledger's, `second` seconds after the start."""
    return complete(sequence, at=int(START + second * SECOND))


def told(story: Sequence[AnyEvent]) -> list[tuple[str, float]]:
    """Evidence and weight of all signals on the wallet, with an honest payout before and a watermark after the story.

    Events are a second apart; the story's own begin at second 3.
    """
    watching = run()
    found = watching.signals(*FIRST, *story)
    found += watching.signals(mark(len(story) + 2.5, sequence=1))
    return [(s.evidence, s.weight) for s in found if s.subject.kind == "asset" and s.evidence != "negative"]


def tx_by(sender: Address, number: int = 2, nonce: int | None = None) -> Transaction:
    return transaction(number, sender=sender, to=ROUTER, nonce=nonce)


def erc20(amount: int, to: Address, number: int = 2) -> Transaction:
    data = bytes.fromhex("a9059cbb") + to.rjust(32, b"\0") + amount.to_bytes(32, "big")
    return transaction(number, to=USDC, data=data)


STOLEN = ("proof", 11.5)

POSITIVES = [
    pytest.param([mined(transfer(to=THIEF), tx=2)], id="ether to a thief"),
    pytest.param([mined(transfer(to=THIEF, token=USDC), tx=2)], id="a listed token to a thief"),
    pytest.param([mined(transfer(ONE // 2), tx=2)], id="a customer is paid another amount"),
    pytest.param([mined(transfer(), tx=2)], id="an entry pays once and not twice"),
    pytest.param([pending(transfer(to=THIEF), tx=2)], id="seen in a simulation before it is mined"),
    pytest.param([mined(transfer(to=THIEF), tx=tx_by(THIEF))], id="moved by somebody else's transaction"),
    pytest.param([mined(transfer(to=ROUTER), transfer(sender=ROUTER, to=THIEF), tx=2)], id="through a router"),
    pytest.param(
        [authorised(sequence=2), mined(transfer(), transfer(3 * ONE, to=THIEF), tx=2)],
        id="a theft that hides beside an honest payout",
    ),
    pytest.param(
        [mined(transfer(to=THIEF), transfer(ONE // 2, sender=THIEF, to=WALLET), tx=2)], id="half of it comes back"
    ),
    pytest.param(
        [authorised(sequence=2, token=DAI), mined(transfer(token=USDC), tx=2)], id="authorised in another token"
    ),
    pytest.param([authorised(sequence=2, chain_id=5), mined(transfer(), tx=2)], id="authorised on another chain"),
    pytest.param([authorised(sequence=2, ledger="other"), mined(transfer(), tx=2)], id="authorised in another ledger"),
    pytest.param(
        [authorised(sequence=2), authorised(sequence=2), mined(transfer(), tx=2), mined(transfer(), tx=3)],
        id="a row that is delivered twice pays once",
    ),
    pytest.param([authorised(sequence=2, at=START - 90_000 * SECOND), mined(transfer(), tx=2)], id="an entry too old"),
    pytest.param([mined(transfer(2**256 - 1, to=THIEF), tx=2)], id="an amount without sense"),
    pytest.param([mined(*[transfer(to=who(n)) for n in range(500, 600)], tx=2)], id="one transaction to a hundred"),
]

NEGATIVES = [
    pytest.param(
        [authorised(sequence=2), mined(transfer(), tx=2)], id="authorised by chain, token, amount, destination"
    ),
    pytest.param([mined(transfer(), tx=2), authorised(sequence=2)], id="an entry that comes before the watermark"),
    pytest.param(
        [
            authorised(ONE, sequence=2),
            authorised(2 * ONE, to=FRIEND, sequence=3),
            mined(transfer(ONE), transfer(2 * ONE, to=FRIEND), tx=2),
        ],
        id="a batch to several customers in one transaction",
    ),
    pytest.param(
        [authorised(sequence=2), authorised(sequence=3), mined(transfer(), transfer(), tx=2)],
        id="two equal payouts in one transaction with two entries",
    ),
    pytest.param(
        [authorised(sequence=2), pending(transfer(), tx=2), mined(transfer(), tx=2)], id="pending, then mined"
    ),
    pytest.param(
        [authorised(sequence=2), mined(transfer(), tx=2), pending(transfer(), tx=2)], id="mined, then pending again"
    ),
    pytest.param(
        [
            authorised(sequence=2),
            pending(transfer(), tx=transaction(2, nonce=9)),
            pending(transfer(), tx=transaction(3, nonce=9)),
            mined(transfer(), tx=transaction(3, nonce=9)),
        ],
        id="a payout sent again at a higher fee with the same nonce",
    ),
    pytest.param(
        [
            authorised(sequence=2),
            pending(transfer(), tx=transaction(2, nonce=7)),
            mined(tx=transaction(3, nonce=7)),
            mined(transfer(), tx=transaction(4, nonce=8)),
        ],
        id="a payout that was cancelled and sent again with the next nonce",
    ),
    pytest.param(
        [
            authorised(sequence=2),
            pending(transfer(), tx=transaction(2, nonce=7)),
            mined(transfer(), tx=transaction(2, nonce=7), ok=False),
            mined(transfer(), tx=transaction(4, nonce=8)),
        ],
        id="a payout that failed on chain and was sent again",
    ),
    pytest.param(
        [pending(transfer(to=THIEF), tx=transaction(2, nonce=7)), mined(tx=transaction(3, nonce=7))],
        id="a pending payout whose nonce something else took",
    ),
    pytest.param(
        [authorised(sequence=2), mined(transfer(), tx=2), mined(transfer(), tx=2)], id="a payout that is told twice"
    ),
    pytest.param([mined(transfer(to=COLD), tx=2)], id="to the own cold wallet"),
    pytest.param([mined(transfer(to=WALLET), tx=2)], id="to itself"),
    pytest.param([mined(transfer(0, to=THIEF), tx=2)], id="nothing at all"),
    pytest.param([mined(transfer(to=THIEF, token=SCAM), tx=2)], id="a token that nobody lists claims to have moved"),
    pytest.param([mined(transfer(to=THIEF), tx=2, ok=False)], id="reverted"),
    pytest.param([mined(transfer(sender=CUSTOMER, to=THIEF), tx=2)], id="a customer pays a thief"),
    pytest.param([mined(transfer(sender=CUSTOMER, to=WALLET), tx=2)], id="a deposit"),
    pytest.param(
        [mined(transfer(to=ROUTER), transfer(sender=ROUTER, to=WALLET), tx=2)],
        id="what comes back in the same transaction",
    ),
    pytest.param(
        [pending(transfer(to=THIEF), tx=2, not_includable="nonce 9 after 3")], id="pending but not includable"
    ),
    pytest.param([pending(transfer(to=THIEF), tx=2, agrees=False)], id="pending and different in another block"),
    pytest.param(
        [
            authorised(ONE, token=USDC, sequence=2),
            mined(transfer(ONE - 5, token=USDC), transfer(5, to=USDC, token=USDC), tx=erc20(ONE, CUSTOMER)),
        ],
        id="a token that keeps a fee of what was asked for",
    ),
]


@pytest.mark.parametrize("story", POSITIVES)
def test_a_payout_without_an_entry_is_a_proof(story: list[AnyEvent]) -> None:
    assert told(story) == [STOLEN]


@pytest.mark.parametrize("story", NEGATIVES)
def test_a_payout_with_its_entry_or_none_at_all_is_not(story: list[AnyEvent]) -> None:
    assert told(story) == []


def test_nothing_is_said_until_a_watermark_later_than_the_sighting_arrives() -> None:
    watching = run()
    watching.feed(*FIRST)
    theft = mined(transfer(to=THIEF), tx=2)  # second 3
    assert not watching.signals(theft)
    assert not watching.signals(mark(3))
    assert [s.evidence for s in watching.signals(mark(3.1))] == ["proof"]


def test_a_watermark_counts_once_the_rows_that_it_names_have_arrived() -> None:
    watching = run()
    watching.feed(*FIRST, mined(transfer(to=FRIEND), tx=2))
    assert not watching.signals(mark(3.5, sequence=2)), "row 2 is still on its way"
    assert not watching.signals(authorised(to=FRIEND, sequence=2)), "and it authorises the payout"
    assert not watching.signals(mark(9, sequence=2))


def test_a_watermark_from_the_future_is_not_believed() -> None:
    watching = run()
    watching.feed(*FIRST, mined(transfer(to=THIEF), tx=2))
    assert not watching.signals(mark(60))


def test_a_ledger_may_be_given_grace() -> None:
    watching = run(grace_s=30)
    watching.feed(*FIRST, mined(transfer(to=THIEF), tx=2))
    assert not watching.signals(mark(10), after_s=10)
    assert watching.signals(mark(34), after_s=30)


def test_the_proof_names_transaction_loss_and_thief() -> None:
    watching = run()
    watching.feed(*FIRST, mined(transfer(to=FRIEND), transfer(5 * ONE, to=THIEF), tx=2))
    (found,) = watching.signals(mark(3.5))
    assert found.fact is not None
    assert (found.fact.rule, found.fact.attack, found.fact.mined) == ("no_ledger_entry", transaction(2), True)
    assert (found.loss_usd, found.attacker, found.prior) == (6_000_000, THIEF, "movement")
    assert found.roots == ("tx:0x" + (2).to_bytes(32, "big").hex(),)


def test_a_theft_seen_pending_and_then_mined_is_one_theft() -> None:
    watching = run()
    watching.feed(*FIRST, pending(transfer(to=THIEF), tx=2))
    (seen,) = watching.signals(mark(3.5))
    (kept,) = watching.signals(mined(transfer(to=THIEF), tx=2))
    assert seen.fact is not None
    assert kept.fact is not None
    assert (seen.roots, seen.fact.mined, kept.fact.mined) == (kept.roots, False, True)
    assert not watching.signals(mark(5.5))


def test_a_pending_theft_that_is_simulated_again_is_claimed_again() -> None:
    watching = run()
    watching.feed(*FIRST, pending(transfer(to=THIEF), tx=2), mark(3.5))
    assert [s.evidence for s in watching.signals(pending(transfer(to=THIEF), tx=2))] == ["proof"]


def test_a_pending_payout_that_is_replaced_by_an_honest_one_is_not_judged() -> None:
    watching = run()
    watching.feed(*FIRST, authorised(sequence=2), pending(transfer(to=THIEF), tx=transaction(2, nonce=7)))
    watching.feed(pending(transfer(), tx=transaction(3, nonce=7)))
    assert not watching.signals(mark(5.5))


def test_a_claim_of_a_transaction_that_was_never_mined_lapses() -> None:
    watching = run()
    watching.feed(*FIRST, authorised(sequence=2), pending(transfer(), tx=2))
    watching.feed(mined(transfer(), tx=3, timestamp=START // SECOND + 700), after_s=700)
    assert not watching.signals(mark(702))


def test_two_pending_payouts_cannot_share_an_entry() -> None:
    watching = run()
    watching.feed(*FIRST, authorised(sequence=2), pending(transfer(), tx=2), pending(transfer(), tx=3))
    assert [s.evidence for s in watching.signals(mark(5.5))] == ["proof"]


def test_a_hot_key_sweep_to_fresh_addresses_is_proven_by_its_first_payout() -> None:
    watching = run()
    watching.feed(*FIRST)
    watching.feed(*[mined(transfer(to=who(900 + n)), tx=2 + n) for n in range(5)])
    found = watching.signals(mark(7.5))
    on_wallet = [s for s in found if s.subject.kind == "asset"]
    assert on_wallet[0].evidence == "proof"
    assert on_wallet[0].roots == ("tx:0x" + (2).to_bytes(32, "big").hex(),)
    assert any(s.threat == "blind" for s in found)


def history(matched: int, missed: int = 0) -> list[AnyEvent]:
    """So many payouts that matched; then so many, minutes ago, to one address that did not."""
    rows = [authorised(sequence=n, at=START) for n in range(1, matched + 1)]
    paid = [mined(transfer(), tx=n) for n in range(1, matched + 1)]
    return [*rows, *paid, *[mined(transfer(to=MULE), tx=1000 + n) for n in range(missed)]]


@pytest.mark.parametrize(
    ("matched", "missed", "evidence"),
    [
        pytest.param(0, 0, "fakeable", id="a feed that never matched proves nothing"),
        pytest.param(1, 0, "proof", id="one that always matched does"),
        pytest.param(48, 2, "proof", id="48 of 50 are enough"),
        pytest.param(47, 3, "fakeable", id="47 of 50 are not"),
        pytest.param(100, 2, "proof", id="only the last 50 count"),
    ],
)
def test_the_feed_must_have_matched_95_of_a_hundred(matched: int, missed: int, evidence: str) -> None:
    watching = run()
    watching.feed(*history(matched, missed), after_s=0.1)
    watching.feed(complete(matched, at=watching.context.now + SECOND // 2))
    watching.feed(mined(transfer(to=THIEF), tx=5000), after_s=300)
    found = watching.signals(complete(matched, at=watching.context.now + SECOND // 2))
    assert [(s.evidence, s.weight) for s in found if s.subject.kind == "asset"] == [
        (evidence, 11.5 if evidence == "proof" else 0.0)
    ]
    assert any(s.threat == "blind" for s in found) == (evidence != "proof")


def thefts(watching: Run, *destinations: Address) -> list[Signal]:
    """Payouts without an entry, one a second, each with its watermark."""
    found: list[Signal] = []
    for n, to in enumerate(destinations):
        found += watching.signals(mined(transfer(to=to), tx=2000 + watching.seq + n))
        found += watching.signals(complete(50, at=Instant(watching.context.now + SECOND // 2)))
    return found


def fed() -> Run:
    watching = run()
    watching.feed(*history(50), after_s=0.1)
    return watching


def test_three_destinations_within_a_minute_are_a_feed_fault() -> None:
    watching = fed()
    found = thefts(watching, THIEF, MULE, FRIEND, ROUTER)
    assert [s.evidence for s in found if s.subject.kind == "asset"] == ["proof", "proof", "fakeable", "fakeable"]
    assert [s.subject.id for s in found if s.threat == "blind"] == ["ledger:main", "ledger:main"]


def test_one_destination_three_times_is_no_feed_fault() -> None:
    found = thefts(fed(), THIEF, THIEF)
    assert [s.evidence for s in found] == ["proof", "proof"]


def test_a_feed_fault_lasts_until_a_person_arms_again() -> None:
    watching = fed()
    thefts(watching, THIEF, MULE, FRIEND)
    watching.feed(*[authorised(sequence=n) for n in range(51, 111)], after_s=0.1)
    watching.feed(*[mined(transfer(), tx=4000 + n) for n in range(60)], after_s=2)
    assert [s.evidence for s in thefts(watching, ROUTER) if s.subject.kind == "asset"] == ["fakeable"]
    watching.feed(Armed(by="ann", reason="feed repaired"))
    assert [s.evidence for s in thefts(watching, ROUTER) if s.subject.kind == "asset"] == ["proof"]


def test_an_authorised_payout_speaks_for_its_transaction_if_it_is_large() -> None:
    watching = run(negative_from_usd=1)
    found = watching.signals(*FIRST)
    assert [(s.evidence, s.weight, s.fact) for s in found] == [("negative", -2.0, None)]
    assert not run(negative_from_usd=2).signals(*FIRST)


def test_a_wallet_without_a_ledger_is_not_judged() -> None:
    watching = run(context(asset(ledger="")))
    assert not watching.signals(*FIRST, mined(transfer(to=THIEF), tx=2), mark(3.5))


def test_a_payout_without_a_price_is_a_proof_all_the_same() -> None:
    watching = run(context(prices={}))
    watching.feed(*FIRST, mined(transfer(to=THIEF), tx=2))
    (found,) = watching.signals(mark(3.5))
    assert (found.evidence, found.loss_usd) == ("proof", 0)


def test_a_chain_whose_clock_runs_ahead_does_not_age_the_ledger() -> None:
    watching = run()
    watching.feed(*FIRST, authorised(sequence=2), mined(transfer(), tx=2, timestamp=START // SECOND + 10**6))
    assert not watching.signals(mark(4.5))


def test_two_wallets_in_one_transaction_are_judged_each_by_its_ledger() -> None:
    other = asset("hot2", address=who(0x77), ledger="second")
    watching = run(context(asset(), other))
    watching.feed(*FIRST)
    watching.feed(authorised(sequence=1, ledger="second", to=FRIEND))
    watching.feed(mined(transfer(sender=who(0x77), to=FRIEND), transfer(to=THIEF), tx=2))
    found = watching.signals(mark(5), complete(1, at=watching.context.now, ledger="second"))
    assert [s.asset for s in found] == ["hot"]


def test_a_saved_memory_goes_on_like_an_undisturbed_one() -> None:
    story = [
        *FIRST,
        authorised(sequence=2),
        pending(transfer(), tx=2),
        pending(transfer(to=THIEF), tx=3),
        mark(5.5, sequence=2),
        mined(transfer(to=THIEF), tx=3),
        mined(transfer(), tx=2),
        mined(transfer(to=MULE), tx=4),
        mark(9.5, sequence=2),
    ]
    assert said_alike(UnledgeredOutflow, story, context())


def test_payouts_that_wait_for_a_dead_feed_are_bounded_and_the_oldest_are_kept() -> None:
    watching = run()
    watching.feed(*FIRST)
    found = watching.signals(*[mined(transfer(to=THIEF), tx=10 + n) for n in range(520)], after_s=0.001)
    assert {s.threat for s in found} == {"blind"}
    last = watching.signals(complete(1, at=int(watching.context.now + SECOND // 2)))
    assert last[0].roots == (f"tx:0x{10:064x}",)


def test_a_hundred_thousand_rows_do_not_grow_its_memory_and_make_it_careful() -> None:
    watching = run()
    watching.feed(*FIRST)
    for n in range(2, 20_000):
        watching.feed(authorised(n, sequence=n), after_s=0.001)
    assert len(encode(watching.detector.state)) < 3_000_000
    watching.feed(mined(transfer(to=THIEF), tx=2))
    found = watching.signals(complete(19_999, at=watching.context.now + SECOND // 2))
    assert [s.evidence for s in found if s.subject.kind == "asset"] == ["fakeable"]
