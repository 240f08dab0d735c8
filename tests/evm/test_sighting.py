"""One shape for what a transaction did or would do, and whom to blame for what a block broke."""

from __future__ import annotations

import pytest

from monitor.evm.blame import MOST_TOUCHES, Blame
from monitor.evm.sighting import Sighting, place_of, root_of, roots_of, sighting_of, threat_to, touched
from monitor.evm.watch import Protected
from monitor.model.chain import Effects, Log
from monitor.model.codec import decode, encode
from monitor.model.events import AnyEvent, Tick
from monitor.model.signals import Threat
from tests.detectors.builders import (
    CHAIN,
    CUSTOMER,
    ONE,
    POOL,
    SISTER,
    THIEF,
    TREASURY,
    VAULT,
    WALLET,
    asset,
    context,
    frame,
    hash_of,
    mined,
    pending,
    transaction,
    transfer,
    who,
)

BOX = asset("vault", kind="contract", address=VAULT, ledger="")
PRICES = context().prices


def seen(event: AnyEvent) -> Sighting:
    found = sighting_of(event)
    assert found is not None
    return found


@pytest.mark.parametrize("event", [Tick(), mined(ok=False), pending(ok=False)], ids=["tick", "mined", "pending"])
def test_what_fails_or_is_no_transaction_is_no_sighting(event: AnyEvent) -> None:
    assert sighting_of(event) is None


@pytest.mark.parametrize(
    ("event", "firm", "includable"),
    [
        pytest.param(mined(), True, True, id="mined"),
        pytest.param(pending(), True, True, id="pending, could be next, same in another block"),
        pytest.param(pending(agrees=False), False, True, id="different in another block"),
        pytest.param(pending(not_includable="nonce"), False, False, id="could not be next"),
    ],
)
def test_how_firm_a_sighting_is(event: AnyEvent, firm: bool, includable: bool) -> None:
    assert (seen(event).firm, seen(event).includable) == (firm, includable)


def test_pending_and_mined_share_root_and_place_and_differ_in_their_fact() -> None:
    before, after = seen(pending(tx=5)), seen(mined(tx=5, block=7))
    assert before.root == after.root == root_of(transaction(5)) == f"tx:0x{5:064x}"
    assert before.place == after.place == place_of(CHAIN, transaction(5))
    assert (before.fact("invariant", "x").held_at, before.fact("invariant", "x").mined) == (0, False)
    assert (after.fact("invariant", "x").held_at, after.fact("invariant", "x").mined) == (7, True)
    assert after.fact("invariant", "x").block_hash == hash_of(7)


def test_roots_are_the_transaction_and_at_most_eight_destinations() -> None:
    paid = [transfer(to=who(0x500 + n % 12)) for n in range(24)]
    roots = roots_of(seen(mined(tx=5)), paid)
    assert (roots[0], len(roots), len(set(roots))) == (f"tx:0x{5:064x}", 9, 9)


@pytest.mark.parametrize(
    ("kind", "threat"), [("hot_wallet", "stolen_key"), ("treasury", "stolen_key"), ("contract", "exploit")]
)
def test_what_an_outflow_means_depends_on_the_asset(kind: str, threat: Threat) -> None:
    assert threat_to(asset(kind=kind)) == threat  # type: ignore[arg-type]


def test_an_asset_is_touched_by_call_log_transfer_or_as_target() -> None:
    names = {VAULT: "vault", SISTER: "sister", POOL: "pool", WALLET: "hot", TREASURY: "treasury", THIEF: "trap"}
    assets = Protected(tuple(asset(name, address=at) for at, name in names.items()))
    tx = transaction(5, sender=CUSTOMER, to=VAULT)
    event = mined(transfer(sender=SISTER, to=POOL), tx=tx, calls=(frame(0, CUSTOMER, WALLET), frame(1, WALLET, None)))
    logged = Effects(ok=True, gas_used=1, logs=(Log(TREASURY, (), b""),))
    assert [a.name for a in touched(seen(event), assets)] == ["hot", "vault", "sister", "pool"]
    deploys = seen(mined(tx=transaction(6, to=None)))
    assert touched(deploys, assets) == []
    by_log = Sighting(CHAIN, transaction(7, to=None), logged, mined=True, firm=True)
    assert [a.name for a in touched(by_log, assets)] == ["treasury"]


def take(amount: int, tx: int, *, block: int = 101) -> Sighting:
    return seen(mined(transfer(amount * ONE, sender=VAULT, to=THIEF), tx=tx, block=block))


def test_who_took_most_of_the_block_is_accused() -> None:
    blame = Blame()
    for amount, tx in ((1, 1), (9, 2), (3, 3)):
        _, text = blame.note(BOX, take(amount, tx), PRICES)
        assert text == ""
    worst = blame.accuse(BOX, hash_of(101), "broken")
    assert worst is not None
    assert (worst.sighting.transaction.hash, worst.usd) == (hash_of(2), 9_000_000)
    assert blame.note(BOX, take(8, 4), PRICES)[1] == ""
    assert blame.note(BOX, take(10, 5), PRICES)[1] == "broken"


def test_without_prices_units_decide() -> None:
    blame = Blame()
    for amount, tx in ((1, 1), (9, 2), (3, 3)):
        blame.note(BOX, take(amount, tx), context(prices={}).prices)
    worst = blame.accuse(BOX, hash_of(101), "broken")
    assert worst is not None
    assert worst.sighting.transaction.hash == hash_of(2)


def test_a_verdict_waits_for_the_transactions_of_its_own_block() -> None:
    blame = Blame()
    assert blame.accuse(BOX, hash_of(101), "broken") is None
    assert blame.note(BOX, take(1, 1, block=102), PRICES)[1] == ""
    assert blame.note(BOX, take(1, 2), PRICES)[1] == "broken"
    assert blame.note(BOX, take(1, 3), PRICES)[1] == "", "not more than the one already accused"


def test_few_touches_are_kept_the_worst_of_the_newest_blocks() -> None:
    blame = Blame()
    blame.note(BOX, take(1000, 1, block=100), PRICES)
    for n in range(50):
        blame.note(BOX, take(1 + n % 7, 2 + n, block=101 + n // 25), PRICES)
    kept = blame.touches["vault"]
    assert len(kept) == MOST_TOUCHES
    assert {t.sighting.block_number for t in kept} == {102}
    assert decode(encode(blame), Blame) == blame
