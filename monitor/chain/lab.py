"""The fork lab: proves responses before they are sent, and verifies them after. The only maker of Rehearsed.

Everything of one rehearsal is run on one head, named by its hash. Tier one (the response is valid) and tier two (the
attack without and with it, in two different blocks) go out at the same time on connections of their own, so that a gas
bomb in the attack does not delay the verdict on the response; tier three (variants) follows as far as time allows. What
timed out is UNPROVEN; nothing here is ever taken for proven because it was not looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from monitor.chain.lab_cases import Scene, scene_of
from monitor.chain.lab_findings import Findings
from monitor.chain.lab_past import Pasts
from monitor.chain.lab_replay import Bench, Deadline
from monitor.chain.lab_trial import Trial, rehearsal_of
from monitor.chain.lab_validity import accepted, response_run, unproven
from monitor.chain.lab_verify import Verification
from monitor.chain.rpc import Nodes
from monitor.chain.simulate import Engine, only
from monitor.evm.abi import selector
from monitor.model.actions import Attack, Plan, Rehearsal, Rehearsed
from monitor.model.chain import Effects, Header, Probe
from monitor.model.errors import DrawbridgeError, Refused, Unreachable
from monitor.model.events import AuthorityProbed, CandidatesRehearsed, ResponseIncluded, ResponseVerified
from monitor.model.ports import Assets, Clock, Prices
from monitor.model.units import Address, ChainId

USES_LEFT: Final = selector("usesLeft()")
PROBE_DEADLINE_MS: Final = 200
VERIFY_DEADLINE_MS: Final = 1_500


class LabChain(Struct, frozen=True):
    """What the lab works with on one chain."""

    engine: Engine
    nodes: Nodes
    slot_s: int


class ForkLab:
    """Implements model.ports.Lab."""

    def __init__(
        self,
        chains: Mapping[ChainId, LabChain],
        *,
        heads: Callable[[ChainId], Header | None],
        signers: Mapping[str, Address],
        assets: Assets,
        prices: Prices,
        clock: Clock,
        deadline_ms: int = 500,
    ) -> None:
        self._chains = chains
        self._heads = heads
        self._signers = signers
        self._assets = assets
        self._clock = clock
        self._deadline_ms = deadline_ms
        self._benches = {
            chain_id: Bench(chain.engine, chain.nodes, assets, prices, Pasts(chain.nodes), chain.slot_s)
            for chain_id, chain in chains.items()
        }

    async def rehearse(
        self, incident: str, plans: Sequence[Plan], attack: Attack | None
    ) -> tuple[CandidatesRehearsed, Mapping[str, Rehearsed]]:
        """All plans at once, those of one chain at one head. Raises nothing of a node's: what failed is UNPROVEN."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._on_chain(chain_id, tuple(p for p in plans if p.chain_id == chain_id), attack))
                for chain_id in dict.fromkeys(plan.chain_id for plan in plans)
            ]
        found = {each.action_id: each for task in tasks for each in task.result()}
        rehearsals = tuple(found[plan.action.id] for plan in plans)
        ready = {
            plan.action.id: Rehearsed(plan, rehearsal)
            for plan, rehearsal in zip(plans, rehearsals, strict=True)
            if rehearsal.valid == "holds"
        }
        return CandidatesRehearsed(incident=incident, rehearsals=rehearsals), ready

    def recall(self, plan: Plan, rehearsal: Rehearsal) -> Rehearsed:
        """A plan with its journalled rehearsal. Raises Refused if that was not valid, or was another action's."""
        if rehearsal.action_id != plan.action.id or rehearsal.valid != "holds":
            raise Refused("rehearsal", f"{plan.action.id}: the journal holds no valid rehearsal of it")
        return Rehearsed(plan, rehearsal)

    async def verify(
        self, rehearsed: Rehearsed, attack: Attack | None, included: ResponseIncluded, after_blocks: int
    ) -> ResponseVerified:
        """Post-conditions on the head, changes that were not predicted, and the attack on the new head."""
        plan, deadline = rehearsed.plan, Deadline(self._clock, VERIFY_DEADLINE_MS)
        try:
            scene, bench = self._scene(plan.chain_id), self._benches[plan.chain_id]
        except DrawbridgeError as error:
            return ResponseVerified(
                chain_id=plan.chain_id,
                action_id=plan.action.id,
                after_blocks=after_blocks,
                block_number=included.block_number,
                holds="UNPROVEN",
                blocked="UNPROVEN",
                why=str(error),
            )
        return await Verification(bench, scene, rehearsed, attack, included, deadline).report(after_blocks)

    async def probe(self, plan: Plan) -> AuthorityProbed:
        """Whether these calls, from this signer, would be accepted on the head now, and how many uses are left."""
        number, uses = 0, -1
        try:
            scene = self._scene(plan.chain_id)
            number = scene.head.number
            counters = tuple(Probe(to, USES_LEFT) for to in dict.fromkeys(call.to for call in plan.calls))
            run = response_run(scene, plan, self._signer(plan), ())
            run = msgspec.structs.replace(run, trace=False, probes=tuple(dict.fromkeys((*run.probes, *counters))))
            outcomes = await self._chains[plan.chain_id].engine.run_many((run,), deadline_ms=PROBE_DEADLINE_MS)
            effects = only(outcomes).effects
            why = accepted(plan, effects)
            uses = _uses_left(effects[0])
        except DrawbridgeError as error:
            why = f"not known: {error}"
        return AuthorityProbed(
            chain_id=plan.chain_id,
            asset=plan.action.assets[0] if plan.action.assets else "",
            kind=type(plan.action).__name__,
            signer=plan.signer,
            ok=not why,
            why=why,
            block_number=number,
            uses_left=uses,
        )

    async def _on_chain(self, chain_id: ChainId, plans: tuple[Plan, ...], attack: Attack | None) -> list[Rehearsal]:
        started_ns = self._clock.monotonic_ns()
        try:
            scene, signers = self._scene(chain_id), tuple(self._signer(plan) for plan in plans)
        except DrawbridgeError as error:
            return [rehearsal_of(plan, unproven(str(error)), Findings()) for plan in plans]
        deadline = Deadline(self._clock, self._deadline_ms)
        rehearsals = await Trial(self._benches[chain_id], scene, plans, signers, attack, deadline).rehearsals()
        took_ms = (self._clock.monotonic_ns() - started_ns) / 1e6
        return [msgspec.structs.replace(rehearsal, took_ms=took_ms) for rehearsal in rehearsals]

    def _scene(self, chain_id: ChainId) -> Scene:
        """The newest head and two blocks after it. Raises Unreachable where none is known."""
        chain = self._chains.get(chain_id)
        if chain is None:
            raise Unreachable(f"chain {chain_id}: is not one of the lab's")
        head = self._heads(chain_id)
        if head is None:
            raise Unreachable(f"chain {chain_id}: no head was seen yet")
        return scene_of(chain_id, head, chain.slot_s)

    def _signer(self, plan: Plan) -> Address:
        try:
            return self._signers[plan.signer]
        except KeyError:
            raise Unreachable(f"{plan.action.id}: no signer is called {plan.signer!r}") from None


def _uses_left(effects: Effects) -> int:
    """The least that any of the called contracts says; -1 where none counts."""
    words = (each.before for each in effects.readings if each.probe.data == USES_LEFT)
    counts = [int.from_bytes(word, "big") for word in words if word is not None and len(word) == 32]
    return min((count for count in counts if count < 2**63), default=-1)
