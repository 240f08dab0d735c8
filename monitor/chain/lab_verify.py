"""After inclusion: what the response did on the chain, and whether the attack is really stopped by it.

Blocked means only this: on the same head, in the same block, the same calls take something with the response's own
writes put back to what they were before it, and nothing with them in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from monitor.chain.lab_cases import Scene, Side
from monitor.chain.lab_findings import Findings
from monitor.chain.lab_replay import Bench, Deadline, Replay
from monitor.chain.lab_validity import expected_probes, unmet
from monitor.chain.simulate import only
from monitor.chain.simulate_reader import ASKER
from monitor.chain.simulate_wire import Run, slots_of
from monitor.evm import traces
from monitor.model.actions import Attack, Plan, Rehearsed, Verdict
from monitor.model.chain import Call, SlotChange
from monitor.model.errors import DrawbridgeError
from monitor.model.events import ResponseIncluded, ResponseVerified


@dataclass(frozen=True, slots=True)
class Verification:
    """One included response on one head."""

    bench: Bench
    scene: Scene
    rehearsed: Rehearsed
    attack: Attack | None
    included: ResponseIncluded
    deadline: Deadline

    async def report(self, after_blocks: int) -> ResponseVerified:
        """Raises nothing of a node's: what could not be seen is UNPROVEN, with the reason."""
        plan = self.rehearsed.plan
        async with asyncio.TaskGroup() as group:
            holding, standing = group.create_task(self._holds(plan)), group.create_task(self._stands(plan))
        (holds, why), (findings, differs) = holding.result(), standing.result()
        return ResponseVerified(
            chain_id=plan.chain_id,
            action_id=plan.action.id,
            after_blocks=after_blocks,
            block_number=self.scene.head.number,
            holds=holds,
            blocked=findings.verdict(plan.action.id),
            differs=differs,
            why="; ".join(each for each in (why, findings.why) if each),
            attack_pays_usd=findings.without_usd(),
        )

    async def _holds(self, plan: Plan) -> tuple[Verdict, str]:
        """Every expectation, read on the head."""
        nothing = Call(ASKER, b"", sender=ASKER)
        run = Run(calls=(nothing,), context=self.scene.first, probes=expected_probes(plan), at=self.scene.head.hash)
        try:
            outcome = only(await self.bench.engine.run_many((run,), deadline_ms=self.deadline.left_ms()))
        except DrawbridgeError as error:
            return "UNPROVEN", f"post-conditions were not read: {error}"
        why = unmet(plan, outcome.effects[0])
        return ("fails", why) if why else ("holds", "")

    async def _stands(self, plan: Plan) -> tuple[Findings, tuple[SlotChange, ...]]:
        """What the response changed beyond what was predicted, and the attack with and without those changes."""
        try:
            diff = await self.bench.pasts.diff(self.included.hash, deadline_ms=self.deadline.left_ms())
        except DrawbridgeError as error:
            return Findings(why=str(error)), ()
        differs = not_predicted(traces.slot_changes(diff), self.rehearsed.rehearsal.predicted)
        if self.attack is None:
            return Findings(why="no attack to replay"), differs
        asset = self.bench.assets.named(self.attack.asset)
        if asset is None or asset.chain_id != self.scene.chain_id:
            return Findings(why=f"{self.attack.asset} is not an asset of this chain"), differs
        sides = (Side(base=slots_of(diff)), Side(plan.action.id))
        replay = Replay(self.bench, self.scene, self.attack, asset, sides, self.deadline, maybe_mined=True)
        return await replay.measure(), differs


def not_predicted(realised: Iterable[SlotChange], predicted: Iterable[SlotChange]) -> tuple[SlotChange, ...]:
    """Slots that were written and that no rehearsal wrote. Words are not compared: many hold the block's time."""
    known = {(change.address, change.slot) for change in predicted}
    return tuple(change for change in realised if (change.address, change.slot) not in known)
