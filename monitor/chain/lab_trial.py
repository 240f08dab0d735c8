"""One rehearsal on one chain: tier one for every plan, tiers two and three for the attack, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from monitor.chain.lab_cases import Scene, Side, scene_of
from monitor.chain.lab_findings import Findings
from monitor.chain.lab_loss import Pair
from monitor.chain.lab_replay import PUT_BACK, Bench, Deadline, Replay
from monitor.chain.lab_validity import (
    Validity,
    golden_runs,
    judged,
    response_calls,
    response_run,
    touched,
    unproven,
    worse,
)
from monitor.chain.simulate import only
from monitor.chain.simulate_wire import State
from monitor.model.actions import Attack, Plan, Rehearsal
from monitor.model.assets import Asset
from monitor.model.chain import SlotChange
from monitor.model.errors import DrawbridgeError
from monitor.model.units import NO_HASH, Address, shown


@dataclass(frozen=True, slots=True)
class Trial:
    """Some plans of one chain against one attack, on one head."""

    bench: Bench
    scene: Scene
    plans: tuple[Plan, ...]
    signers: tuple[Address, ...]
    attack: Attack | None
    deadline: Deadline

    async def rehearsals(self) -> list[Rehearsal]:
        """By plan. Raises nothing of a node's."""
        async with asyncio.TaskGroup() as group:
            checks = [
                group.create_task(self._valid(plan, signer))
                for plan, signer in zip(self.plans, self.signers, strict=True)
            ]
            replayed = group.create_task(self._replayed())
        findings, validities = replayed.result(), [check.result() for check in checks]
        await self._settle_conflicts(findings, validities)
        return [
            rehearsal_of(plan, validity, findings, scene=self.scene, engine=self.bench.engine.engine)
            for plan, validity in zip(self.plans, validities, strict=True)
        ]

    async def _valid(self, plan: Plan, signer: Address) -> Validity:
        """Tier one. An exception leaves it UNPROVEN, which means no action."""
        assets = self._acted_on(plan)
        runs = (response_run(self.scene, plan, signer, assets), *golden_runs(self.scene, plan, signer))
        try:
            first, *golden = await self.bench.engine.run_many(runs, deadline_ms=self.deadline.left_ms())
            outcome = only((first,))
            validity = judged(plan, outcome, golden, assets)
            others = touched(outcome.effects, (each for each in self._ours() if each not in assets))
            if validity.verdict != "holds" or not others:
                return validity
            run = response_run(self.scene, plan, signer, others)
            again = only(await self.bench.engine.run_many((run,), deadline_ms=self.deadline.left_ms()))
        except DrawbridgeError as error:
            return unproven(f"the response was not run: {error}")
        why = worse(again.effects, others)
        return msgspec.structs.replace(validity, verdict="fails", why=why) if why else validity

    async def _replayed(self) -> Findings:
        if self.attack is None:
            return Findings(why="no attack to replay")
        asset = self.bench.assets.named(self.attack.asset)
        if asset is None or asset.chain_id != self.scene.chain_id:
            return Findings(why=f"the attack is on {self.attack.asset}, which is not an asset of this chain")
        return await Replay(self.bench, self.scene, self.attack, asset, self._sides(), self.deadline).measure()

    async def _settle_conflicts(self, findings: Findings, validities: Sequence[Validity]) -> None:
        """Where a response writes what the attack's replay put back, the pair is run on the block before the attack.

        There both are on a state that was the chain's own. Where that block cannot be had, it stays UNPROVEN.
        """
        if self.attack is None or findings.way != PUT_BACK:
            return
        for side, validity in zip(self._sides()[1:], validities, strict=True):
            try:
                past = await self.bench.pasts.of(self.attack, deadline_ms=self.deadline.left_ms())
                if not conflict(validity.predicted, past.undone):
                    continue
                findings.pairs[side.action_id] = []
                findings.pairs[side.action_id] = await self._on_the_block_before(self.attack, side)
            except DrawbridgeError as error:
                findings.why = findings.why or str(error)

    async def _on_the_block_before(self, attack: Attack, side: Side) -> list[Pair]:
        head = await self.bench.pasts.block_before(attack, deadline_ms=self.deadline.left_ms())
        scene = scene_of(self.scene.chain_id, head, self.bench.slot_s)
        pending = msgspec.structs.replace(attack, mined=False)
        asset = self.bench.assets.named(attack.asset)
        if asset is None:
            return []
        replay = Replay(self.bench, scene, pending, asset, (Side(), side), self.deadline, variants=False)
        return (await replay.measure()).pairs.get(side.action_id, [])

    def _sides(self) -> tuple[Side, ...]:
        responses = (
            Side(plan.action.id, response_calls(plan, signer))
            for plan, signer in zip(self.plans, self.signers, strict=True)
        )
        return (Side(), *responses)

    def _acted_on(self, plan: Plan) -> tuple[Asset, ...]:
        named = (self.bench.assets.named(name) for name in plan.action.assets)
        return tuple(each for each in named if each is not None and each.chain_id == self.scene.chain_id)

    def _ours(self) -> Iterable[Asset]:
        return (each for each in self.bench.assets.all() if each.chain_id == self.scene.chain_id)


def conflict(predicted: Iterable[SlotChange], put_back: State) -> bool:
    """Whether a response writes a slot that the attack wrote."""
    return any(
        shown(change.slot) in put_back.get(shown(change.address), {}).get("stateDiff", {}) for change in predicted
    )


def rehearsal_of(
    plan: Plan, validity: Validity, findings: Findings, *, scene: Scene | None = None, engine: str = ""
) -> Rehearsal:
    """What the lab says of one plan. `took_ms` is the lab's to add."""
    return Rehearsal(
        action_id=plan.action.id,
        block_number=scene.head.number if scene else 0,
        block_hash=scene.head.hash if scene else NO_HASH,
        valid=validity.verdict,
        why="; ".join(each for each in (validity.why, findings.why and f"loss: {findings.why}") if each),
        gas_used=validity.gas_used,
        golden_passed=validity.golden_passed,
        golden_broken=validity.golden_broken,
        loss_without_usd=findings.without_usd(),
        loss_with_usd=findings.with_usd(plan.action.id),
        loss_verdict=findings.verdict(plan.action.id),
        variants=tuple(findings.variants.get(plan.action.id, ())),
        predicted=validity.predicted,
        engine=engine,
    )
