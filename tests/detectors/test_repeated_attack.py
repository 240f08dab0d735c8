"""Sisters of what was hit, and attackers who come back."""

from __future__ import annotations

import msgspec
import pytest

from detectors.repeated_attack import RepeatedAttack
from monitor.evm.invariants import parse
from monitor.evm.loss import total_assets_probe, total_supply_probe
from monitor.model.actions import Attack
from monitor.model.assets import Asset
from monitor.model.chain import CallFrame, Effects, Reading, Transaction
from monitor.model.events import AnyEvent, Request, RequestFailed, SimulationDone, Tick
from monitor.model.signals import Signal
from monitor.model.units import NO_HASH, Address
from tests.detectors.builders import (
    CHAIN,
    CUSTOMER,
    DAI,
    FRIEND,
    MULE,
    ONE,
    POOL,
    ROUTER,
    SISTER,
    THIEF,
    USDC,
    VAULT,
    WALLET,
    asset,
    context,
    effects,
    frame,
    hash_of,
    head,
    mined,
    pending,
    reading,
    transaction,
    transfer,
)
from tests.detectors.fakes import FakeContext, Run, said_alike

CONTRACT = MULE  # the attacker's own
BOOKS = parse("assets() >= liabilities()", asset=SISTER)


def market(name: str, address: Address, token: Address = DAI, **fields: object) -> Asset:
    made = asset(name, kind="contract", address=address, tokens=(token,), ledger="", family="markets")
    return msgspec.structs.replace(made, **fields)


VICTIM, NEXT = market("victim", VAULT), market("next", SISTER, USDC)


def arguments(*words: Address) -> bytes:
    return b"\xaa\xbb\xcc\xdd" + b"".join(word.rjust(32, b"\0") for word in words)


ATTACK_TX = transaction(1, sender=THIEF, to=CONTRACT, data=arguments(VAULT))
FIXED_TX = transaction(1, sender=THIEF, to=CONTRACT, data=arguments())


def attack(tx: Transaction = ATTACK_TX, hit: str = "victim") -> Attack:
    return Attack((tx,), hit, THIEF, mined=True)


def view(sister: Asset = NEXT, *attacks: Attack) -> FakeContext:
    found = context(VICTIM, sister, asset("loner", kind="contract", address=POOL, ledger=""), asset(family="markets"))
    found.attacks = list(attacks)
    return found


def run(sister: Asset = NEXT, *attacks: Attack) -> Run:
    return Run(RepeatedAttack(), view(sister, *(attacks or (attack(),))))


def asked(watching: Run, *events: AnyEvent) -> list[Request]:
    """Requests about the sister market; the wallet of the family is asked about too."""
    return [r for r in watching.requests(*events or (Tick(),)) if ":next#" in r.key]


def done(request: Request, *ran: Effects) -> SimulationDone:
    return SimulationDone(chain_id=CHAIN, key=request.key, base=hash_of(100), base_number=100, effects=ran)


LOOT = transfer(5 * ONE, sender=SISTER, to=CONTRACT, token=USDC)


def shares(after: int) -> tuple[Reading, ...]:
    return reading(total_assets_probe(NEXT), 1000, after), reading(total_supply_probe(NEXT), 1000, 1000)


def books(after: int) -> tuple[Reading, ...]:
    held, owed = BOOKS.probes
    return reading(held, 1000, after), reading(owed, 1000, 1000)


def test_a_confirmed_attack_is_tried_on_its_sister_with_names_exchanged() -> None:
    watching = run()
    (request,) = asked(watching)
    (tx,) = request.transactions
    assert (tx.to, tx.data, tx.hash, tx.sender) == (CONTRACT, arguments(SISTER), NO_HASH, THIEF)
    assert total_assets_probe(NEXT) in request.probes
    assert request.priority == 0
    assert not asked(watching), "once"


def test_the_code_of_contracts_between_is_rewritten_too() -> None:
    calls = (frame(0, THIEF, CONTRACT), frame(1, CONTRACT, ROUTER), frame(2, ROUTER, VAULT))
    watching = run(NEXT, attack(FIXED_TX))
    watching.context.attacks = []
    watching.feed(mined(tx=FIXED_TX, calls=calls))
    watching.context.attacks = [attack(FIXED_TX)]
    (request,) = asked(watching)
    assert request.transactions[0].data == FIXED_TX.data
    assert request.rewrite == (CONTRACT, ROUTER)
    assert dict(request.exchange) == {VAULT: SISTER, DAI: USDC}


@pytest.mark.parametrize(
    "attacks",
    [
        pytest.param([], id="nothing is confirmed"),
        pytest.param([attack(FIXED_TX)], id="nothing in it names the victim, and its calls were not seen"),
        pytest.param([attack(hit="loner")], id="it hit an asset without sisters"),
        pytest.param([attack(hit="gone")], id="it hit what is not protected any more"),
        pytest.param([attack(transaction(1, sender=WALLET))], id="a stolen key opens no sister"),
        pytest.param([Attack((), "victim", THIEF, mined=True)], id="it has no transaction"),
        pytest.param([attack(msgspec.structs.replace(ATTACK_TX, hash=NO_HASH))], id="it is a transplant itself"),
    ],
)
def test_nothing_is_tried_where(attacks: list[Attack]) -> None:
    watching = run()
    watching.context.attacks = attacks
    assert not watching.feed(Tick(), head())


WITH_BOOKS = market("next", SISTER, USDC, invariants=(BOOKS,))

ROBBED = [
    pytest.param(NEXT, effects(LOOT), id="it loses value and has no rule to judge by"),
    pytest.param(NEXT, effects(readings=shares(900)), id="its share price falls"),
    pytest.param(WITH_BOOKS, effects(LOOT, readings=books(900)), id="its invariant breaks"),
]
NOT_ROBBED = [
    pytest.param(NEXT, effects(), id="it loses nothing"),
    pytest.param(NEXT, effects(LOOT, ok=False), id="the attack reverts on it"),
    pytest.param(NEXT, effects(LOOT, transfer(5 * ONE, sender=CONTRACT, to=SISTER, token=USDC)), id="all comes back"),
    pytest.param(NEXT, effects(LOOT, readings=shares(1000)), id="its shares are worth the same"),
    pytest.param(WITH_BOOKS, effects(LOOT, readings=books(1000)), id="its invariant holds: the user was owed it"),
    pytest.param(NEXT, effects(transfer(sender=VAULT, to=THIEF, token=DAI)), id="the first victim loses again"),
]


def answer(sister: Asset, ran: Effects) -> list[Signal]:
    watching = run(sister)
    (request,) = asked(watching)
    return watching.signals(done(request, ran))


@pytest.mark.parametrize(("sister", "ran"), ROBBED)
def test_an_attack_that_succeeds_on_a_sister_is_a_proof_for_her(sister: Asset, ran: Effects) -> None:
    (found,) = answer(sister, ran)
    assert (found.evidence, found.weight, found.asset, found.threat) == ("proof", 11.5, "next", "exploit")
    assert found.fact is not None
    assert found.fact.attack is not None
    assert (found.fact.rule, found.fact.attack.data, found.fact.held_at) == ("conservation", arguments(SISTER), 100)


@pytest.mark.parametrize(("sister", "ran"), NOT_ROBBED)
def test_an_attack_that_does_not_is_none(sister: Asset, ran: Effects) -> None:
    assert not answer(sister, ran)


def test_a_loss_without_a_price_is_a_loss() -> None:
    bare = run()
    bare.context.prices.per_unit = {}
    (request,) = asked(bare)
    (found,) = bare.signals(done(request, effects(LOOT)))
    assert "without a known price" in found.because


def test_several_transactions_are_judged_as_one() -> None:
    watching = run(NEXT, Attack((ATTACK_TX, transaction(2, sender=THIEF, to=SISTER)), "victim", THIEF, mined=True))
    (request,) = asked(watching)
    assert len(request.transactions) == 2
    assert watching.signals(done(request, effects(readings=shares(900)), effects(readings=shares(900))))
    assert not watching.signals(done(request))


def test_rewritten_code_goes_with_the_fact() -> None:
    watching = run()
    (request,) = asked(watching)
    event = msgspec.structs.replace(done(request, effects(LOOT)), code_overrides=((CONTRACT, b"code"),))
    (found,) = watching.signals(event)
    assert found.fact is not None
    assert found.fact.code_overrides == ((CONTRACT, b"code"),)


def test_a_proof_is_shown_again_at_each_head_while_it_holds() -> None:
    watching = run()
    (request,) = asked(watching)
    watching.feed(done(request, effects(LOOT)))
    (again,) = asked(watching, head(101))
    assert again.key != request.key
    (claim,) = watching.signals(done(again, effects(LOOT)))
    (last,) = asked(watching, head(102))
    assert claim.roots == watching.signals(done(last, effects(LOOT)))[0].roots
    (gone,) = asked(watching, head(103))
    assert not watching.signals(done(gone, effects()))
    assert not asked(watching, head(104))


def test_a_request_that_fails_is_made_again_at_the_next_heads_and_then_given_up() -> None:
    watching = run()
    (request,) = asked(watching)
    for number in range(101, 110):
        watching.feed(RequestFailed(chain_id=CHAIN, key=request.key, why="deadline"))
        found = asked(watching, head(number))
        assert bool(found) == (number < 103)
        request = found[0] if found else request


def test_heads_of_other_chains_ask_nothing() -> None:
    watching = run()
    (request,) = asked(watching)
    watching.feed(done(request, effects(LOOT)))
    assert not watching.feed(head(101, chain_id=5))


def test_an_answer_after_the_incident_is_over_says_nothing() -> None:
    watching = run()
    (request,) = asked(watching)
    watching.context.attacks = []
    assert not watching.signals(done(request, effects(LOOT)))


def test_answers_to_others_are_not_ours() -> None:
    watching = run()
    asked(watching)
    other = SimulationDone(chain_id=CHAIN, key="else#1", base=hash_of(1), base_number=1, effects=(effects(LOOT),))
    assert not watching.signals(other)


SHAPE = tuple(
    CallFrame(depth, "CALL", THIEF, to, 0, data)  # type: ignore[arg-type]
    for depth, to, data in ((0, CONTRACT, b"runn"), (1, ROUTER, b"flas"), (2, CONTRACT, b"onfl"), (3, VAULT, b"borr"))
)
AT_SISTER = transfer(sender=SISTER, to=CUSTOMER, token=USDC)


def tx(number: int = 9, sender: Address = CUSTOMER, to: Address = FRIEND, data: bytes = b"zzzz") -> Transaction:
    return transaction(number, sender=sender, to=to, data=data)


@pytest.mark.parametrize(
    ("event", "because"),
    [
        pytest.param(mined(AT_SISTER, tx=tx(sender=THIEF)), "the same sender", id="the same hand at a sister"),
        pytest.param(
            mined(AT_SISTER, tx=tx(to=CONTRACT, data=arguments(SISTER))),
            "the same contract and function",
            id="somebody else through the same contract and function",
        ),
        pytest.param(mined(AT_SISTER, tx=tx(), calls=SHAPE), "the same calls", id="a copy of the contract"),
    ],
)
def test_a_transaction_that_resembles_the_attack(event: AnyEvent, because: str) -> None:
    watching = run()
    watching.context.attacks = []
    watching.feed(mined(transfer(sender=VAULT, to=THIEF, token=DAI), tx=ATTACK_TX, calls=SHAPE))
    watching.context.attacks = [attack()]
    found = watching.signals(event)
    assert (found[-1].asset, found[-1].evidence, found[-1].weight, found[-1].fact) == ("next", "strong", 4.61, None)
    assert found[-1].because.startswith(because)


def test_one_that_is_still_pending_is_fakeable() -> None:
    (found,) = run().signals(pending(AT_SISTER, tx=tx(sender=THIEF)))
    assert (found.evidence, found.weight) == ("fakeable", 2.5)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(mined(AT_SISTER, tx=tx()), id="a stranger"),
        pytest.param(mined(AT_SISTER, tx=ATTACK_TX), id="the attack itself"),
        pytest.param(mined(AT_SISTER, tx=tx(to=CONTRACT)), id="another function of the same contract"),
        pytest.param(mined(AT_SISTER, tx=tx(to=VAULT, data=arguments(VAULT))), id="a user at the first victim"),
        pytest.param(mined(AT_SISTER, tx=tx(), calls=SHAPE[:3]), id="calls too few to tell"),
        pytest.param(mined(transfer(sender=POOL, to=THIEF), tx=tx(sender=THIEF)), id="the same hand at another family"),
        pytest.param(mined(AT_SISTER, tx=tx(sender=THIEF), ok=False), id="a transaction that fails"),
        pytest.param(pending(AT_SISTER, tx=tx(sender=THIEF), not_includable="nonce"), id="one that cannot be mined"),
    ],
)
def test_what_does_not_resemble_it(event: AnyEvent) -> None:
    assert not run().signals(event)


def test_after_a_stolen_key_the_wallets_own_transactions_are_not_attackers() -> None:
    watching = run(NEXT, attack(transaction(1, sender=WALLET), hit="hot"))
    assert not watching.signals(mined(transfer(), tx=2))


def test_a_saved_memory_goes_on_like_an_undisturbed_one() -> None:
    first = "repeated_attack:victim:tx:0x" + hash_of(1).hex() + ":next#1"
    story: list[AnyEvent] = [
        mined(transfer(sender=VAULT, to=THIEF, token=DAI), tx=ATTACK_TX, calls=SHAPE),
        SimulationDone(chain_id=CHAIN, key=first, base=hash_of(1), base_number=1, effects=(effects(LOOT),)),
        head(101),
        mined(AT_SISTER, tx=tx(), calls=SHAPE),
        RequestFailed(chain_id=CHAIN, key=first, why="x"),
        head(102),
    ]
    assert said_alike(RepeatedAttack, story, view(NEXT, attack()))
