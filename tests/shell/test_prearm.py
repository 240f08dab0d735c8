"""Pre-armed pauses: ready only while they were valid at this head, and only for the very same calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitor.model.actions import AnyAction, Attack, Pause, Plan, Rehearsed, Tighten
from monitor.model.assets import Level
from monitor.model.chain import Call
from monitor.model.errors import Refused
from monitor.model.events import CandidatesRehearsed
from monitor.shell.keeper import trial_actions
from monitor.shell.prearm import Prearm
from tests.core.builders import CHAIN, a, rehearsal, vault, wallet


@dataclass
class Lab:
    """Finds every plan valid, but for those that the test names."""

    invalid: tuple[str, ...] = ()
    block: int = 10
    asked: list[str] = field(default_factory=list)

    async def rehearse(
        self, incident: str, plans: Sequence[Plan], attack: Attack | None
    ) -> tuple[CandidatesRehearsed, Mapping[str, Rehearsed]]:
        self.asked += [plan.action.assets[0] for plan in plans]
        found = {p.action.id: rehearsal(p.action.id, block_number=self.block) for p in plans}
        ready = {p.action.id: Rehearsed(p, found[p.action.id]) for p in plans if p.action.assets[0] not in self.invalid}
        return CandidatesRehearsed(incident=incident, rehearsals=tuple(found.values())), ready

    def recall(self, plan: Plan, found: Any) -> Rehearsed:
        return Rehearsed(plan, found)


def plan(action: AnyAction) -> Plan:
    if "unplannable" in action.assets:
        raise Refused("plan", "no route")
    return Plan(action, CHAIN, "guardian-key", (Call(a(1), action.assets[0].encode()),), ())


def pause(name: str = "vault", *, assets: tuple[str, ...] = ()) -> Pause:
    base = next(x for x in trial_actions(vault(name)) if isinstance(x, Pause))
    return Pause(
        id="7/pause/x",
        incident="7",
        assets=assets or (name,),
        action_class=base.action_class,
        cause=1,
        because="proof",
        duration_s=base.duration_s,
    )


def prearm(lab: Any, *assets: Any) -> Prearm:
    return Prearm(assets=assets or (vault(),), plan=plan, lab=lab)


async def test_a_pause_that_was_valid_at_the_head_is_at_hand() -> None:
    armed = prearm(Lab())
    await armed.at_head(CHAIN)
    taken = armed.take(pause(), head=10)
    assert taken is not None
    assert taken.rehearsal.action_id == "7/pause/x"
    assert armed.ready == {"vault": True}


async def test_it_is_good_for_one_more_block_and_no_longer() -> None:
    armed = prearm(Lab())
    await armed.at_head(CHAIN)
    assert armed.take(pause(), head=11) is not None
    assert armed.take(pause(), head=12) is None
    assert armed.take(pause(), head=9) is None


async def test_what_the_fork_refuses_is_not_ready() -> None:
    armed = prearm(Lab(invalid=("vault",)))
    await armed.at_head(CHAIN)
    assert armed.take(pause(), head=10) is None
    assert armed.ready == {"vault": False}


async def test_a_pause_that_turns_invalid_is_taken_away() -> None:
    lab = Lab()
    armed = prearm(lab)
    await armed.at_head(CHAIN)
    lab.invalid = ("vault",)
    await armed.at_head(CHAIN)
    assert armed.take(pause(), head=10) is None


async def test_only_assets_that_may_be_paused_automatically_are_kept_ready() -> None:
    lab = Lab()
    armed = prearm(lab, vault("by-hand", autonomy=(Level.WITH_APPROVAL,) * 4), vault("no-way", pause=None), wallet())
    await armed.at_head(CHAIN)
    assert lab.asked == ["hot"]


async def test_several_targets_in_one_call_and_other_actions_are_rehearsed_as_ever() -> None:
    armed = prearm(Lab(), vault(), vault("vault-2", 2))
    await armed.at_head(CHAIN)
    tighten = next(x for x in trial_actions(wallet()) if isinstance(x, Tighten))
    assert armed.take(pause(assets=("vault", "vault-2")), head=10) is None
    assert armed.take(tighten, head=10) is None
    assert armed.take(pause("stranger"), head=10) is None


async def test_an_asset_without_a_plan_does_not_keep_the_others_from_being_ready() -> None:
    armed = prearm(Lab(), vault("unplannable"), vault())
    await armed.at_head(CHAIN)
    assert armed.ready == {"unplannable": False, "vault": True}
