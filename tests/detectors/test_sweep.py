"""One receiver collects, or one sender empties, many balances."""

from __future__ import annotations

import pytest

from detectors.sweep import Sweep
from monitor.model.chain import Reading, Transfer, token_probe
from monitor.model.events import AnyEvent
from monitor.model.units import NATIVE, SECOND, Address
from tests.detectors.builders import (
    COLD,
    DAI,
    MULE,
    ONE,
    SCAM,
    THIEF,
    USDC,
    VAULT,
    WALLET,
    WBTC,
    asset,
    context,
    mined,
    pending,
    reading,
    state_read,
    transaction,
    transfer,
    who,
)
from tests.detectors.fakes import START, FakeContext, Run, said_alike

NOW_S = START // SECOND
SECOND_WALLET, THIRD_WALLET = who(0x71), who(0x72)


def view() -> FakeContext:
    return context(
        asset(),
        asset("two", address=SECOND_WALLET),
        asset("three", kind="treasury", address=THIRD_WALLET),
        asset("vault", kind="contract", address=VAULT),
    )


def run() -> Run:
    return Run(Sweep(), view())


def take(token: Address = NATIVE, *, payer: Address = WALLET, to: Address = THIEF) -> Transfer:
    return transfer(ONE, sender=payer, to=to, token=token)


def at(second: int, *moved: Transfer, tx: int, by: Address = WALLET, readings: tuple[Reading, ...] = ()) -> AnyEvent:
    return mined(*moved, tx=transaction(tx, sender=by), timestamp=NOW_S + second, readings=readings)


def falls(token: Address, after: int = 0, *, holder: Address = WALLET) -> Reading:
    return reading(token_probe(token, holder), 100, after)


FRESH = [who(0x900 + n) for n in range(9)]
TOKENS = (NATIVE, USDC, DAI)


@pytest.mark.parametrize(
    "story",
    [
        pytest.param([at(n, take(t), tx=n + 1) for n, t in enumerate(TOKENS)], id="one receiver takes three tokens"),
        pytest.param(
            [at(n, take(payer=w), tx=n + 1) for n, w in enumerate((WALLET, SECOND_WALLET, THIRD_WALLET))],
            id="one receiver collects from three wallets",
        ),
        pytest.param([at(0, *map(take, TOKENS), tx=1)], id="all in one transaction"),
        pytest.param([pending(*map(take, TOKENS))], id="all in one pending transaction"),
        pytest.param(
            [at(n, take(t, to=FRESH[n]), tx=n + 1, readings=(falls(t),)) for n, t in enumerate(TOKENS)],
            id="one sender empties three balances to fresh addresses",
        ),
        pytest.param(
            [
                *[at(n, take(t, to=FRESH[n]), tx=n + 1) for n, t in enumerate(TOKENS)],
                state_read(*map(falls, TOKENS)),
            ],
            id="the block's state shows what its sender emptied",
        ),
        pytest.param(
            [state_read(*map(falls, TOKENS)), *[at(n, take(t, to=FRESH[n]), tx=n + 1) for n, t in enumerate(TOKENS)]],
            id="the block's state comes before its transactions",
        ),
    ],
)
def test_a_sweep(story: list[AnyEvent]) -> None:
    (found,) = run().signals(*story)
    assert (found.threat, found.prior) == ("stolen_key", "movement")
    assert found.roots[0].startswith("tx:")


@pytest.mark.parametrize(
    "story",
    [
        pytest.param([at(n, take(t), tx=n + 1) for n, t in enumerate(TOKENS[:2])], id="two tokens"),
        pytest.param([at(n, take(), tx=n + 1) for n in range(9)], id="one token nine times"),
        pytest.param([at(400 * n, take(t), tx=n + 1) for n, t in enumerate(TOKENS)], id="too slowly"),
        pytest.param([at(n, take(t, to=FRESH[n]), tx=n + 1) for n, t in enumerate(TOKENS)], id="different customers"),
        pytest.param([at(0, *[take(t, to=COLD) for t in TOKENS], tx=1)], id="into the own cold wallet"),
        pytest.param([at(0, *[take(t, payer=VAULT) for t in TOKENS], tx=1)], id="a user of a contract"),
        pytest.param([at(0, take(), take(USDC), take(SCAM), tx=1)], id="a token that nobody lists"),
        pytest.param([mined(*map(take, TOKENS), ok=False)], id="a transaction that fails"),
        pytest.param([pending(*map(take, TOKENS), not_includable="funds")], id="one that cannot be mined"),
        pytest.param(
            [pending(take(t), tx=n) for n, t in enumerate(TOKENS, 1)], id="pending ones that may never be mined"
        ),
        pytest.param(
            [
                *[at(n, take(t, to=FRESH[n]), tx=n + 1) for n, t in enumerate(TOKENS)],
                state_read(*[falls(t, 11) for t in TOKENS]),
            ],
            id="balances that fall by less than nine tenths",
        ),
        pytest.param([state_read(*map(falls, TOKENS))], id="balances that fall without a payment to a stranger"),
        pytest.param(
            [
                at(0, take(NATIVE, to=FRESH[0]), tx=1, by=MULE),
                at(1, take(USDC, to=FRESH[1]), tx=2, by=THIEF),
                at(2, take(WBTC, to=FRESH[2]), tx=3, by=WALLET),
                state_read(falls(NATIVE), falls(USDC), falls(WBTC)),
            ],
            id="different senders to different receivers",
        ),
    ],
)
def test_what_only_looks_like_it(story: list[AnyEvent]) -> None:
    assert not run().signals(*story)


def test_it_grows_with_every_balance_that_is_taken() -> None:
    watching = run()
    story = [at(n, take(t), tx=n + 1) for n, t in enumerate((NATIVE, USDC, DAI, WBTC))]
    assert ["3 balances" in s.because or "4 balances" in s.because for s in watching.signals(*story)] == [True, True]


def test_an_unreadable_balance_is_not_an_empty_one() -> None:
    watching = run()
    readings = tuple(reading(token_probe(t, WALLET), 100, None) for t in TOKENS)
    assert not watching.signals(
        *[at(n, take(t, to=FRESH[n]), tx=n + 1, readings=readings) for n, t in enumerate(TOKENS)]
    )


def test_a_saved_memory_goes_on_like_an_undisturbed_one() -> None:
    story = [
        at(0, take(NATIVE, to=FRESH[0]), tx=1),
        state_read(falls(NATIVE)),
        at(1, take(USDC, to=FRESH[1]), tx=2),
        state_read(falls(USDC), block=102),
        at(2, take(DAI, to=FRESH[2]), tx=3, readings=(falls(DAI),)),
        at(3, take(NATIVE), take(DAI), take(WBTC), tx=4),
    ]
    assert said_alike(Sweep, story, view())
