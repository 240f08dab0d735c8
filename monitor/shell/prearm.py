"""Pre-armed pauses: the plan for each asset that may be paused automatically, found valid on the fork at every head.

With a proof such a response needs only tier one (decide.md, the fork gate), which is then already known: a gas bomb in
the attack cannot hold it up, and it is out a simulation earlier. What tiers two and three say is journalled after.
Nothing is signed ahead: a local signature takes a fraction of a millisecond, and signed bytes are bearer capabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from monitor.model.actions import AnyAction, Pause, Plan, Rehearsal, Rehearsed
from monitor.model.assets import Asset, Level
from monitor.model.errors import Refused
from monitor.model.ports import Lab
from monitor.model.units import ChainId
from monitor.shell.keeper import trial_actions

MOST = 16  # assets a chain, the most valuable first: each costs one rehearsal a block
FRESH_BLOCKS = 1


@dataclass(frozen=True, slots=True)
class _Armed:
    plan: Plan
    rehearsal: Rehearsal


class Prearm:
    """Keeps what is ready, by asset. `at_head` fills it; `take` gives it out."""

    def __init__(self, *, assets: Sequence[Asset], plan: Callable[[AnyAction], Plan], lab: Lab) -> None:
        automatic = [a for a in assets if a.pause is not None and a.autonomy[2] == Level.AUTOMATIC]
        self._assets = sorted(automatic, key=lambda a: (-(a.value_usd or 0), a.name))
        self._plan, self._lab = plan, lab
        self._armed: dict[str, _Armed] = {}
        self._working: set[ChainId] = set()

    @property
    def ready(self) -> dict[str, bool]:
        """Readiness by asset, for metrics and for people."""
        return {asset.name: asset.name in self._armed for asset in self._assets}

    async def at_head(self, chain_id: ChainId) -> None:
        """Rehearse every pause of a chain at its head; a head that comes while this runs is left to the next."""
        if chain_id in self._working:
            return
        self._working.add(chain_id)
        try:
            mine = [a for a in self._assets if a.chain_id == chain_id][:MOST]
            plans = {asset.name: plan for asset in mine if (plan := self._planned(asset)) is not None}
            _, ready = await self._lab.rehearse("prearm", tuple(plans.values()), None)
            for name, plan in plans.items():
                self._armed.pop(name, None)
                if plan.action.id in ready:
                    self._armed[name] = _Armed(plan, ready[plan.action.id].rehearsal)
        finally:
            self._working.discard(chain_id)

    def take(self, action: AnyAction, *, head: int) -> Rehearsed | None:
        """The ready response for this very pause, if it was valid at this head or the one before."""
        if not isinstance(action, Pause) or len(action.assets) != 1:
            return None
        armed = self._armed.get(action.assets[0])
        if armed is None or not 0 <= head - armed.rehearsal.block_number <= FRESH_BLOCKS:
            return None
        plan = self._plan(action)
        if (plan.calls, plan.signer) != (armed.plan.calls, armed.plan.signer):
            return None
        why = "pre-armed: tier one at the head; loss and variants follow"
        return self._lab.recall(plan, replace(armed.rehearsal, action_id=action.id, why=why))

    def _planned(self, asset: Asset) -> Plan | None:
        pause = next((a for a in trial_actions(asset) if isinstance(a, Pause)), None)
        try:
            return self._plan(pause) if pause is not None else None
        except Refused:
            return None  # the keeper's probe says why
