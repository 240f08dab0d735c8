"""Can we still act? Probed at the start, again at once while nobody knows, then now and then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from monitor.model.actions import AnyAction, Pause, Plan
from monitor.model.errors import Refused
from monitor.model.events import AnyEvent, AuthorityProbed, Fault
from monitor.model.ports import Lab, Responder
from monitor.model.units import ChainId, Instant
from monitor.shell.keeper import Keeper, trial_actions
from tests.core.builders import vault


class _Clock:
    """Notes how long it was asked to wait, and does not."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> Instant:
        return Instant(0)

    def monotonic_ns(self) -> int:
        return 0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class _Lab:
    """Answers probes from a list; the last answer stays."""

    def __init__(self, *blocks: int, ok: bool = True) -> None:
        self._blocks, self._ok = iter(blocks), ok
        self._last = 0

    async def probe(self, plan: Plan) -> AuthorityProbed:
        self._last = next(self._blocks, self._last)
        known = self._last > 0
        return AuthorityProbed(
            chain_id=ChainId(1),
            asset="vault",
            kind="Pause",
            signer="key",
            ok=known and self._ok,
            why="" if known and self._ok else "no",
            block_number=self._last,
            uses_left=3,
        )


class _Responder:
    handles = (Pause,)

    def __init__(self, refuses: str = "") -> None:
        self._refuses = refuses

    def plan(self, action: AnyAction) -> tuple[Plan, ...]:
        if self._refuses:
            raise Refused("plan", self._refuses)
        return (Plan(action=action, chain_id=ChainId(1), signer="key", calls=(), expects=()),)


async def _rounds(lab: _Lab, count: int, responder: _Responder | None = None) -> tuple[list[AnyEvent], list[float]]:
    clock = _Clock()
    responders = cast(Sequence[Responder], (responder or _Responder(),))
    keeper = Keeper(assets=(vault(),), responders=responders, lab=cast(Lab, lab), clock=clock)
    found: list[AnyEvent] = []
    async for event in keeper.events():
        found.append(event)
        if len(found) == count:
            break
    return found, clock.slept


async def test_what_works_is_tried_again_every_minute() -> None:
    _, slept = await _rounds(_Lab(100), 3)
    assert slept == [60.0, 60.0]


async def test_before_the_first_head_it_is_tried_again_soon_and_ever_less_often() -> None:
    _, slept = await _rounds(_Lab(0, 0, 0, 0, 0, 0, 0, 0, 100), 10)
    assert slept == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


async def test_once_a_node_answered_the_first_wait_is_short_again() -> None:
    _, slept = await _rounds(_Lab(0, 0, 100, 0, 0), 5)
    assert slept == [1.0, 2.0, 60.0, 1.0]


async def test_a_response_that_the_chain_refuses_is_known_and_waits_its_minute() -> None:
    found, slept = await _rounds(_Lab(100, ok=False), 2)
    assert slept == [60.0]
    assert not cast(AuthorityProbed, found[0]).ok


async def test_a_plan_that_cannot_be_made_is_a_fault_on_its_asset() -> None:
    found, _ = await _rounds(_Lab(100), 1, _Responder("no way to pause"))
    assert isinstance(found[0], Fault)
    assert found[0].on == "vault"


def test_an_asset_without_a_response_is_not_tried() -> None:
    assert list(trial_actions(vault(pause=None))) == []
