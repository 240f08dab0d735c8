"""Absence of data never raises a probability of theft: nothing read, answered or heard, for ever so long."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.model.chain import Reading
from monitor.model.events import AnyEvent, Fault, HealthSeen, RequestFailed, SimulationDone, Tick
from monitor.model.incidents import Step
from monitor.model.units import MINUTE
from tests.detectors.builders import (
    CHAIN,
    CUSTOMER,
    DAI,
    MULE,
    ONE,
    THIEF,
    VAULT,
    authorised,
    complete,
    hash_of,
    head,
    mined,
    pending,
    state_read,
    transfer,
)
from tests.detectors.fakes import START
from tests.detectors.test_through_the_core import RULE, Loop, books, honest

COMPONENTS = ("head:devnet", "nodes:devnet", "fork:devnet", "ledger:main", "journal", "clock", "gas:key", "price:ETH")

SEEN: tuple[Callable[[Loop], AnyEvent], ...] = (
    lambda _: mined(transfer(ONE, to=THIEF), tx=1),
    lambda _: mined(transfer(900 * ONE, to=THIEF), tx=2),
    lambda _: mined(transfer(3 * ONE, to=MULE), tx=3),
    lambda _: pending(transfer(ONE, to=THIEF), tx=4),
    lambda _: pending(transfer(ONE, sender=VAULT, to=THIEF, token=DAI), tx=5, readings=books(RULE.probes, 900)),
    lambda _: mined(transfer(ONE, sender=VAULT, to=THIEF, token=DAI), tx=6, readings=books(RULE.probes, 900)),
    lambda _: state_read(*books(RULE.probes, 900)),
    lambda _: honest(7, 1)[0],
    lambda _: authorised(ONE, to=CUSTOMER, sequence=8),
    lambda loop: complete(8, at=loop.now),
    lambda _: head(101),
)

NOT_SEEN: tuple[Callable[[Loop], AnyEvent], ...] = (
    lambda _: state_read(*(Reading(probe, None, None) for probe in RULE.probes)),
    lambda _: state_read(*(Reading(probe, hash_of(1000), None) for probe in RULE.probes), block=102),
    lambda _: state_read(Reading(RULE.probes[0], None, hash_of(1)), block=103),
    lambda _: state_read(block=104),
    lambda loop: RequestFailed(chain_id=CHAIN, key=asked(loop), why="nobody answers"),
    lambda loop: SimulationDone(chain_id=CHAIN, key=asked(loop), base=hash_of(1), base_number=1, effects=()),
    lambda _: complete(1, at=START - 10 * MINUTE),  # a watermark that is older than what was seen
    lambda _: Fault(where="source:blocks", what="hung up"),
    lambda _: Tick(),
    *(lambda _, c=c: HealthSeen(component=c, level=0.0, why="silent") for c in COMPONENTS),
)


def asked(loop: Loop) -> str:
    return next(iter(loop.core.state.asked), "nothing")


def believed(loop: Loop) -> dict[str, float]:
    """What is held to be likely, but for that we do not see."""
    known = loop.core.state.hypotheses.items()
    return {key: h.last.p for key, h in known if h.last is not None and h.threat != "blind"}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(SEEN), max_size=12),
    st.lists(st.tuples(st.sampled_from(NOT_SEEN), st.sampled_from((0, 1, 60))), min_size=1, max_size=12),
)
def test_absence_of_data_never_raises_a_probability_of_theft(
    seen: list[Callable[[Loop], AnyEvent]], not_seen: list[tuple[Callable[[Loop], AnyEvent], int]]
) -> None:
    loop = Loop()
    for event in seen:
        loop.step(event(loop))
    for event, minutes in not_seen:
        before = believed(loop)
        loop.now += minutes * MINUTE
        step = loop.step(event(loop))
        after = believed(loop)
        assert {key: p for key, p in after.items() if p > before.get(key, 0.0) + 1e-12} == {}
        assert not accusations(step)


def accusations(step: Step) -> list[str]:
    return [s.because for s in step.signals if s.threat != "blind" and s.weight > 0]
