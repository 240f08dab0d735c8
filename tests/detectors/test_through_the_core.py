"""All shipped detectors in the real core: what stories of theft and of an ordinary day lead to."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from detectors import CATALOGUE
from monitor.core.step import Core
from monitor.evm.invariants import parse
from monitor.evm.watch import Protected
from monitor.model.actions import Pause
from monitor.model.assets import Asset, PauseRoute
from monitor.model.chain import Reading
from monitor.model.events import AnyEvent, HealthSeen, PriceSeen, Request, SimulationDone, Stamped, Tick
from monitor.model.incidents import Assessment, Step
from monitor.model.policy import ChainRule, Policy
from monitor.model.units import DOLLAR, NATIVE, SECOND, Address, Instant, Usd
from tests.detectors.builders import (
    CHAIN,
    CUSTOMER,
    DAI,
    ONE,
    SISTER,
    THIEF,
    VAULT,
    asset,
    authorised,
    complete,
    effects,
    hash_of,
    head,
    mined,
    pending,
    reading,
    state_read,
    transaction,
    transfer,
    who,
)
from tests.detectors.fakes import START, FakeLabels


def guarded(made: Asset) -> Asset:
    return msgspec.structs.replace(made, pause=PauseRoute("guardian", made.address, who(0x60), 3600, "key"))


RULE, SISTER_RULE = (parse("assets() >= liabilities()", asset=at) for at in (VAULT, SISTER))
HOT = guarded(asset(value_usd=10_000_000))
MARKET = asset("market", kind="contract", address=VAULT, ledger="", family="markets", invariants=(RULE,))
NEXT = asset("next", kind="contract", address=SISTER, ledger="", family="markets", invariants=(SISTER_RULE,))


class Loop:
    """A core with every shipped detector at its default, and a clock of one second an event."""

    def __init__(self) -> None:
        assets = Protected((HOT, guarded(MARKET), guarded(NEXT)))
        made = [make() for make in CATALOGUE.values()]
        chains = [ChainRule(CHAIN, "devnet")]
        self.core = Core(detectors=made, assets=assets, labels=FakeLabels(), policy=Policy(), chains=chains)
        self.seq, self.now = 0, int(START)
        for token in (NATIVE, DAI):
            self.feed(PriceSeen(chain_id=CHAIN, token=token, usd=Usd(DOLLAR), decimals=18, source="static"))
        self.feed(head(100), *honest(1, 3))

    def feed(self, *events: AnyEvent) -> list[Step]:
        return [self.step(event) for event in events]

    def step(self, event: AnyEvent) -> Step:
        self.seq, self.now = self.seq + 1, self.now + SECOND
        step = self.core.step(Stamped(self.seq, Instant(self.now), event))
        assert not step.faults
        return step

    def mark(self) -> Step:
        return self.step(complete(1, at=self.now + SECOND // 2))


def honest(first: int, count: int) -> list[AnyEvent]:
    numbers = range(first, first + count)
    return [e for n in numbers for e in (authorised(n, sequence=n), mined(transfer(n), tx=10_000 + n))]


def best(steps: Iterable[Step]) -> dict[str, Assessment]:
    """The last assessment of each subject."""
    return {a.subject.id: a for step in steps for a in step.assessments}


def paused(steps: Iterable[Step]) -> set[str]:
    asked = [action for step in steps for group in step.rehearse for action in group.actions]
    return {name for action in asked if isinstance(action, Pause) for name in action.assets}


def books(rule: tuple[object, ...], after: int) -> tuple[Reading, ...]:
    return tuple(reading(p, 1000, v) for p, v in zip(rule, (after, 1000), strict=True))  # type: ignore[arg-type]


def test_a_stolen_key_is_proven_at_the_first_watermark_after_its_first_theft() -> None:
    loop = Loop()
    seen = loop.feed(mined(transfer(ONE, to=THIEF), tx=1))
    assert not paused(seen)
    step = loop.mark()
    assert best([step])["hot"].proof
    assert best([step])["hot"].p > 0.98
    assert paused([step]) == {"hot"}


def test_a_market_that_is_hit_warns_its_sister_before_she_is() -> None:
    loop = Loop()
    data = b"\1\2\3\4" + VAULT.rjust(32, b"\0")
    attack = transaction(1, sender=THIEF, to=who(0xEE), data=data)
    loot = transfer(9 * ONE, sender=VAULT, to=THIEF, token=DAI)
    steps = loop.feed(mined(loot, tx=attack), state_read(*books(RULE.probes, 900)))
    assert paused(steps) == {"market"}
    (request,) = [r for step in loop.feed(Tick()) for r in step.requests]
    assert isinstance(request, Request)
    ran = effects(transfer(9 * ONE, sender=SISTER, to=THIEF, token=DAI), readings=books(SISTER_RULE.probes, 900))
    answer = SimulationDone(chain_id=CHAIN, key=request.key, base=hash_of(101), base_number=101, effects=(ran,))
    step = loop.step(answer)
    assert best([step])["next"].proof
    assert paused([step]) == {"next"}
    assert any(r.key != request.key for s in loop.feed(head(102)) for r in s.requests), "shown again at each head"


def test_a_pending_attack_is_proven_before_it_is_mined_and_stays_proven() -> None:
    loop = Loop()
    loot = transfer(9 * ONE, sender=VAULT, to=THIEF, token=DAI)
    first = loop.feed(pending(loot, tx=1, readings=books(RULE.probes, 900)))
    again = loop.feed(pending(loot, tx=1, readings=books(RULE.probes, 900)))
    then = loop.feed(mined(loot, tx=1))
    assert paused(first) == {"market"}
    assert [best(steps)["market"].proof for steps in (first, again, then)] == [True] * 3


def test_a_pending_attack_that_no_longer_works_proves_nothing_any_more() -> None:
    loop = Loop()
    loop.feed(pending(tx=1, readings=books(RULE.probes, 900)))
    loop.feed(pending(tx=1, readings=books(RULE.probes, 1000)))
    key = next(k for k in loop.core.state.hypotheses if "market" in k)
    assert not any(h.signal.evidence == "proof" for h in loop.core.state.hypotheses[key].held)


def test_an_ordinary_day_proves_nothing_and_asks_for_nothing() -> None:
    """Withdrawals with entries, a test and a large payment with entries, a redemption, a rebalance, a late ledger."""
    loop = Loop()
    large, small = 200_000 * ONE, 10 * ONE
    story: list[AnyEvent] = [
        *honest(10, 40),
        authorised(small, sequence=60),
        authorised(large, sequence=61),
        mined(transfer(small), tx=60),
        mined(transfer(large), tx=61),
        mined(transfer(3 * large, sender=VAULT, to=CUSTOMER, token=DAI), tx=62),
        mined(transfer(large, to=Address(HOT.cold_address or b"")), tx=63),
        mined(transfer(5 * ONE), tx=64),
        complete(61, at=loop.now - 30 * SECOND),
        authorised(5 * ONE, sequence=62),
        Tick(),
    ]
    steps = [*loop.feed(*story), loop.mark(), *loop.feed(head(102), state_read(*books(RULE.probes, 1000), block=102))]
    assert not paused(steps)
    assert not any(a.proof for a in best(steps).values())


def test_a_source_that_is_down_pages_and_asks_for_no_action() -> None:
    loop = Loop()
    (step,) = loop.feed(HealthSeen(component="ledger:main", level=0.0, why="no watermark for 400 s"))
    assert [getattr(n, "severity", "") for n in step.notify] == ["page"]
    assert not step.rehearse
    assert best([step])["ledger:main"].p > 0.5


def test_a_restored_core_goes_on_to_the_same_steps() -> None:
    story: list[AnyEvent] = [mined(transfer(ONE, to=THIEF), tx=1), head(101), Tick()]
    one, two = Loop(), Loop()
    one.feed(*story)
    for event in story:
        two.core.restore(two.core.snapshot())
        two.step(event)
    two.core.restore(two.core.snapshot())
    last = one.mark()
    assert last == two.mark()
    assert paused([last]) == {"hot"}
