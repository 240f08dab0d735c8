"""A square wave must not make it flap: signals on and off for hours, everything that is asked done at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.model.events import CandidatesRehearsed, Tick
from monitor.model.incidents import Step
from monitor.model.signals import Signal
from monitor.model.units import DOLLAR, HOUR, SECOND, Usd
from tests.core.builders import (
    START,
    Says,
    broadcast,
    core,
    head_at,
    included,
    mined,
    pending,
    rehearsal,
    signal,
    signed,
    strong,
    verified,
    wallet,
)

SLOT_S = 60
HOURS = 10
Wave = Literal["pending proofs", "mined proofs", "strong signals"]


@dataclass
class Town:
    """One wallet, an attacker who turns his attack on and off, and a chain that takes every response at once."""

    wave: Wave
    limits: bool = True  # whether it can be limited, or only paused
    pays: bool = False
    on: bool = False
    slot: int = 0
    cleared: list[tuple[str, int]] = field(default_factory=list)  # action id, instant

    def __post_init__(self) -> None:
        self.driver = core(Says(self._say), assets=(wallet() if self.limits else wallet(tighten=None),))
        self.driver.seconds = START

    def _say(self, stamped: Any, _: Any) -> list[Signal]:
        event = stamped.event
        roots = (f"tx:{event.transaction.nonce}",)
        if not self.on:
            return []
        if self.wave == "strong signals":
            return [strong(n, "hot", threat="stolen_key", half_life_s=600) for n in range(2)]
        is_mined = self.wave == "mined proofs"
        return [signal("hot", threat="stolen_key", attack=event.transaction, is_mined=is_mined, roots=roots)]

    def live(self, *, on_slots: int, off_slots: int) -> None:
        for self.slot in range(HOURS * 3_600 // SLOT_S):
            self.on = self.slot % (on_slots + off_slots) < on_slots
            self.driver.seconds = START + self.slot * SLOT_S
            self._do(self.driver.feed(head_at(100 + self.slot, START + self.slot * SLOT_S)))
            number = 1 if self.wave == "pending proofs" else self.slot
            self._do(self.driver.feed((mined if self.wave == "mined proofs" else pending)(number)))
            self._do(self.driver.feed(Tick()))

    def _do(self, step: Step) -> None:
        """Whatever is asked for, at once."""
        for wanted in step.rehearse:
            found = tuple(rehearsal(action.id) for action in wanted.actions)
            self._do(self.driver.feed(CandidatesRehearsed(incident=wanted.incident, rehearsals=found), every_s=0.01))
        for clearance in step.clear:
            self.cleared.append((clearance.action_id, self.driver.fed[-1].seen_at))
            self.driver.feed(signed(clearance.action_id), broadcast(clearance.action_id), every_s=0.01)
            found_in = included(clearance.action_id, block=100 + self.slot)
            found_in = replace(found_in, timestamp=START + self.slot * SLOT_S)
            self._do(self.driver.feed(found_in, every_s=0.01))
        for check in step.verify:
            pays = Usd(DOLLAR if self.pays else 0)
            told = verified(check.action_id, after_blocks=check.after_blocks, attack_pays_usd=pays)
            self._do(self.driver.feed(told, every_s=0.01))


WAVES: st.SearchStrategy[Wave] = st.sampled_from(("pending proofs", "mined proofs", "strong signals"))


@settings(deadline=None, max_examples=20)
@given(WAVES, st.booleans(), st.booleans(), st.integers(1, 60), st.integers(1, 60))
@example("pending proofs", True, False, 1, 1)
@example("mined proofs", False, False, 1, 40)
@example("mined proofs", False, True, 1, 40)
@example("strong signals", True, True, 2, 31)
def test_a_square_wave_of_signals_never_makes_it_flap(
    wave: Wave, limits: bool, pays: bool, on_slots: int, off_slots: int
) -> None:
    town = Town(wave, limits, pays)
    town.live(on_slots=on_slots, off_slots=off_slots)
    tightened, paused = ([done for done in town.cleared if f"/{kind}/" in done[0]] for kind in ("tighten", "pause"))
    held_longer = [done for done in paused if "/extend/" in done[0]]
    paused = [done for done in paused if done not in held_longer]
    assert bool(tightened) is limits
    assert bool(paused) is (not limits and wave != "strong signals")
    assert most_within_an_hour(tightened) <= 6
    assert most_within_an_hour(paused) <= 2
    assert most_within_an_hour(held_longer) <= 2
    assert len({action_id.split("/")[0] for action_id, _ in paused}) <= 2, "incidents of class 2, a day"
    for done in (tightened, paused):
        assert all(later - earlier >= 300 * SECOND for (_, earlier), (_, later) in pairwise(done))
    assert max((n for n in Counter(action_id for action_id, _ in town.cleared).values()), default=1) == 1


def most_within_an_hour(cleared: list[tuple[str, int]]) -> int:
    return max((sum(1 for _, at in cleared if 0 <= at - since < HOUR) for _, since in cleared), default=0)
