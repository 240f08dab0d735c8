"""Conservation: what a share is worth, before and after."""

from __future__ import annotations

import pytest

from detectors.value_leaves import ValueLeaves
from monitor.evm.loss import total_assets_probe, total_supply_probe
from monitor.model.chain import Reading, Transfer, token_probe
from monitor.model.events import AnyEvent
from monitor.model.units import NOBODY
from tests.detectors.builders import (
    CUSTOMER,
    DAI,
    ONE,
    POOL,
    THIEF,
    VAULT,
    WALLET,
    asset,
    context,
    hash_of,
    mined,
    pending,
    reading,
    state_read,
    transaction,
    transfer,
)
from tests.detectors.fakes import FakeContext, Run, said_alike

SAFE_BOX = asset("vault", kind="contract", address=VAULT, tokens=(DAI,), ledger="")
LENDER = asset("pool", kind="contract", address=POOL, tokens=(DAI,), ledger="", value_usd=1_000_000)
PROOF = [("proof", 11.5)]
MILLION = 10**6 * ONE


def view() -> FakeContext:
    return context(SAFE_BOX, LENDER, asset())


def run() -> Run:
    return Run(ValueLeaves(), view())


def shares(held: tuple[int | None, int | None], supply: tuple[int | None, int | None]) -> tuple[Reading, Reading]:
    """Readings of totalAssets() and totalSupply(), each before and after."""
    return (
        reading(total_assets_probe(SAFE_BOX), *held),
        reading(total_supply_probe(SAFE_BOX), *supply),
    )


def take(amount: int = ONE, *, payer: bytes = VAULT, to: bytes = THIEF) -> Transfer:
    return transfer(amount, sender=payer, to=to, token=DAI)  # type: ignore[arg-type]


BURN = Transfer(VAULT, CUSTOMER, NOBODY, 500)  # type: ignore[arg-type]
ROBBED = shares((1000, 900), (1000, 1000))


@pytest.mark.parametrize(
    ("event", "said"),
    [
        pytest.param(pending(take(), readings=ROBBED), PROOF, id="assets leave and no share is given up"),
        pytest.param(
            pending(take(), readings=shares((1000, 800), (1000, 900))), PROOF, id="more than the share is owed"
        ),
        pytest.param(pending(take(), readings=shares((10_000, 9_980), (1000, 1000))), PROOF, id="twenty basis points"),
        pytest.param(pending(take(0), readings=shares((1000, 1000), (1000, 1100))), PROOF, id="shares for nothing"),
        pytest.param(mined(take(), readings=ROBBED), PROOF, id="mined, with readings"),
        pytest.param(pending(take(), readings=shares((10_000, 9_990), (1000, 1000))), [], id="ten basis points"),
        pytest.param(pending(take(), BURN, readings=shares((1000, 500), (1000, 500))), [], id="half redeems its half"),
        pytest.param(pending(take(), readings=shares((1000, 0), (1000, 0))), [], id="the last one redeems all"),
        pytest.param(pending(take(0), readings=shares((0, 1000), (0, 1000))), [], id="the first one deposits"),
        pytest.param(pending(take(), readings=shares((1000, None), (1000, 1000))), [], id="assets that cannot be read"),
        pytest.param(pending(take(), readings=ROBBED[:1]), [], id="a supply that was not read"),
        pytest.param(pending(take(), readings=ROBBED, not_includable="nonce"), [], id="not includable"),
        pytest.param(pending(take(), readings=ROBBED, agrees=False), [], id="only under one block context"),
        pytest.param(pending(take(), readings=ROBBED, ok=False), [], id="it reverts"),
        pytest.param(mined(take(payer=CUSTOMER, to=VAULT)), [], id="a deposit"),
    ],
)
def test_conservation_of_a_vault(event: AnyEvent, said: list[tuple[str, float]]) -> None:
    assert [(s.evidence, s.weight) for s in run().signals(event)] == said


def pool_supply(before: int, after: int) -> tuple[Reading, ...]:
    return (
        reading(total_supply_probe(LENDER), before, after),
        reading(token_probe(DAI, POOL), MILLION, MILLION - 500_000 * ONE),
    )


@pytest.mark.parametrize(
    ("event", "said"),
    [
        pytest.param(mined(take(200_000 * ONE, payer=POOL)), [("strong", 3.81)], id="a fifth of it, mined"),
        pytest.param(pending(take(200_000 * ONE, payer=POOL)), [("fakeable", 2.5)], id="a fifth of it, pending"),
        pytest.param(mined(take(99_000 * ONE, payer=POOL)), [], id="less than a tenth"),
        pytest.param(
            mined(take(200_000 * ONE, payer=POOL), take(200_000 * ONE, payer=THIEF, to=POOL)), [], id="a flash loan"
        ),
        pytest.param(
            mined(Transfer(POOL, CUSTOMER, NOBODY, 500), take(payer=POOL), readings=pool_supply(1000, 500)),  # type: ignore[arg-type]
            [],
            id="half of it, for half of the shares",
        ),
        pytest.param(
            mined(take(payer=POOL), readings=pool_supply(1000, 1000)), [("strong", 3.81)], id="half of it, for no share"
        ),
        pytest.param(mined(take(200_000 * ONE, payer=WALLET)), [], id="from a wallet: that is not for this detector"),
    ],
)
def test_size_alone_is_strong_and_never_a_proof(event: AnyEvent, said: list[tuple[str, float]]) -> None:
    assert [(s.evidence, s.weight) for s in run().signals(event)] == said


def test_size_without_a_price_says_nothing() -> None:
    watching = Run(ValueLeaves(), context(LENDER, prices={}))
    assert not watching.signals(mined(take(10**40, payer=POOL)))


def test_a_proof_names_rule_transaction_loss_and_taker() -> None:
    (found,) = run().signals(pending(take(7 * ONE), readings=ROBBED, tx=transaction(5, sender=THIEF, to=VAULT)))
    assert found.fact is not None
    assert (found.fact.rule, found.fact.mined) == ("conservation", False)
    assert found.fact.attack == transaction(5, sender=THIEF, to=VAULT)
    assert (found.loss_usd, found.attacker, found.threat) == (7_000_000, THIEF, "exploit")
    assert found.because == "a share of vault is worth 10.00 % less, 0.10 % allowed"


def test_a_pending_proof_stands_once_mined_if_value_left() -> None:
    watching = run()
    watching.feed(pending(take(), readings=ROBBED, tx=5))
    (found,) = watching.signals(mined(take(), tx=5))
    assert found.fact is not None
    assert (found.evidence, found.fact.mined) == ("proof", True)


@pytest.mark.parametrize(
    "then",
    [
        pytest.param([mined(tx=5)], id="it moved nothing"),
        pytest.param([mined(take(), tx=5, ok=False)], id="it failed"),
        pytest.param([mined(take(), tx=6)], id="another one"),
        pytest.param([pending(take(), tx=5), mined(take(), tx=5)], id="a newer simulation showed no break"),
    ],
)
def test_a_pending_proof_does_not_stand_where(then: list[AnyEvent]) -> None:
    watching = run()
    watching.feed(pending(take(), readings=ROBBED, tx=5))
    assert not watching.signals(*then)


def test_a_block_in_which_shares_lost_value_accuses_who_took_most() -> None:
    watching = run()
    watching.feed(mined(take(1), tx=5), mined(take(9 * ONE), tx=6), mined(take(2), tx=7))
    (found,) = watching.signals(state_read(*ROBBED))
    assert found.fact is not None
    assert found.fact.attack == transaction(6)
    assert (found.fact.mined, found.fact.held_at, found.roots) == (True, 101, (f"tx:0x{6:064x}",))


def test_a_reading_that_comes_first_waits_for_its_transactions() -> None:
    watching = run()
    (unnamed,) = watching.signals(state_read(*ROBBED))
    found = watching.signals(mined(take(ONE), tx=5), mined(take(1), tx=6), mined(take(9 * ONE), tx=7))
    assert unnamed.fact is not None
    assert (unnamed.fact.attack, unnamed.evidence) == (None, "proof")
    assert [s.fact.attack.hash for s in found if s.fact and s.fact.attack] == [hash_of(5), hash_of(7)]


def test_transactions_of_another_block_are_not_accused() -> None:
    watching = run()
    watching.feed(mined(take(), tx=5, block=100))
    (found,) = watching.signals(state_read(*ROBBED, block=101))
    assert found.fact is not None
    assert found.fact.attack is None


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(state_read(*shares((1000, 1000), (1000, 1000))), id="nothing changed"),
        pytest.param(state_read(*shares((None, 900), (1000, 1000))), id="the block before is unknown"),
        pytest.param(state_read(*ROBBED, chain_id=5), id="another chain's readings"),
    ],
)
def test_a_block_that_shows_no_break(event: AnyEvent) -> None:
    assert not run().signals(event)


def test_a_saved_memory_goes_on_like_an_undisturbed_one() -> None:
    story: list[AnyEvent] = [
        pending(take(), readings=ROBBED, tx=5),
        mined(take(), tx=5),
        mined(take(9 * ONE), tx=6, block=102),
        state_read(*ROBBED, block=102),
        state_read(*ROBBED, block=103),
        mined(take(), tx=7, block=103),
    ]
    assert said_alike(ValueLeaves, story, view())
