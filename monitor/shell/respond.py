"""The response path: plan → rehearse on the fork → (the core's clearance) → sign → journal → send → find → verify.

Each piece reports back as an event; none decides. The signed bytes are durable before they leave, and what a restart
finds cleared, signed or sent is taken up where it stopped. What raises becomes ActionFailed; the core may try again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from monitor.core.state import ActionRecord
from monitor.core.step import Core
from monitor.model.actions import Action, AnyAction, Attack, Check, Clearance, Plan, Rehearsal, Rehearsed
from monitor.model.assets import Asset
from monitor.model.errors import Refused, Unreachable
from monitor.model.events import (
    ActionFailed,
    CandidatesRehearsed,
    Fault,
    ResponseBroadcast,
    ResponseDropped,
    ResponseIncluded,
    ResponseSigned,
)
from monitor.model.incidents import Candidates
from monitor.model.ports import Lab, Responder, Submit
from monitor.model.units import NO_HASH, ChainId, Usd
from monitor.shell.inbox import Inbox
from monitor.shell.prearm import Prearm
from monitor.shell.supervise import fenced

BUMP_AFTER = 1  # chases with the same bytes before the fee is raised
AHEAD_S = 0.1  # that a pre-armed response has the node and this process to itself


class Respond:
    """Works actions one by one, each in a task of its own, so that a critical one never queues behind a slow one."""

    def __init__(
        self,
        *,
        core: Core,
        inbox: Inbox,
        responders: Sequence[Responder],
        lab: Lab,
        submit: Submit,
        killed: Callable[[], str],
        assets: Sequence[Asset] = (),
    ) -> None:
        """`assets` are those whose pauses are kept ready; none: nothing is pre-armed."""
        self._core, self._inbox, self._lab, self._submit = core, inbox, lab, submit
        self._killed = killed
        self._by_kind: dict[type[Action], Responder] = {kind: r for r in responders for kind in r.handles}
        self._ready: dict[str, Rehearsed] = {}
        self._ahead: dict[str, asyncio.Event] = {}
        self.prearmed = Prearm(assets=assets, plan=self._plan, lab=lab)

    async def rehearse(self, wanted: Candidates) -> None:
        """Plan and rehearse all candidates at one head."""
        failed = await fenced(self._rehearse(wanted))
        if failed:
            for action in wanted.actions:
                await self._inbox.put(ActionFailed(action_id=action.id, stage="rehearsal", why=failed))

    async def at_head(self, chain_id: ChainId) -> None:
        """Keep the pauses of a chain ready."""
        await self._reported("prearm", "", self.prearmed.at_head(chain_id))

    async def execute(self, clearance: Clearance) -> None:
        """Sign, journal, send."""
        try:
            await self._reported(clearance.action_id, "execution", self._execute(clearance))
        finally:
            if clearance.action_id in self._ahead:
                self._ahead[clearance.action_id].set()

    async def chase(self, clearance: Clearance) -> None:
        """Look for a sent response; send its bytes again, then at a higher fee."""
        await self._reported(clearance.action_id, "", self._chase(clearance))

    async def verify(self, check: Check) -> None:
        """Post-conditions from state, and the attack again on the new head."""
        await self._reported(check.action_id, "", self._verify(check))

    async def take_up(self, record: ActionRecord) -> None:
        """After a restart: go on with a response where it stopped."""
        if record.stage in ("signed", "sent") and record.clearance is not None:
            await self.chase(record.clearance)
        elif record.stage == "cleared" and record.clearance is not None:
            await self._reported(record.action.id, "", self.rehearse_quietly(record))
            await self.execute(record.clearance)
        else:
            await self.rehearse(Candidates(record.action.incident, (record.action,), self._attack(record.action)))

    async def rehearse_quietly(self, record: ActionRecord) -> None:
        """Make a cleared plan ready again, without asking the core anew."""
        plan = self._plan(record.action)
        _, ready = await self._lab.rehearse(record.action.incident, (plan,), self._attack(record.action))
        self._ready.update(ready)

    async def _rehearse(self, wanted: Candidates) -> None:
        at_hand = self._at_hand(wanted)
        if at_hand is not None:
            self._ready[at_hand.plan.action.id] = at_hand
            await self._go_ahead(CandidatesRehearsed(incident=wanted.incident, rehearsals=(at_hand.rehearsal,)))
        plans: list[Plan] = []
        refused: list[Rehearsal] = []
        for action in wanted.actions:
            try:
                plans.append(self._plan(action))
            except Refused as why:
                refused.append(_unplanned(action, str(why)))
        report, ready = CandidatesRehearsed(incident=wanted.incident, rehearsals=()), dict[str, Rehearsed]()
        if plans:
            report, found = await self._lab.rehearse(wanted.incident, plans, wanted.attack)
            ready.update(found)
        self._ready.update(ready)
        rehearsals = (*report.rehearsals, *refused)
        await self._inbox.put(CandidatesRehearsed(incident=wanted.incident, rehearsals=rehearsals))

    async def _go_ahead(self, found: CandidatesRehearsed) -> None:
        """Tell the core, and let what it clears go out first: the rehearsal that follows would take its time."""
        (rehearsal,) = found.rehearsals
        gone = self._ahead[rehearsal.action_id] = asyncio.Event()
        try:
            await self._inbox.put(found)
            with suppress(TimeoutError):
                async with asyncio.timeout(AHEAD_S):
                    await gone.wait()
        finally:
            del self._ahead[rehearsal.action_id]

    def _at_hand(self, wanted: Candidates) -> Rehearsed | None:
        """The pre-armed response, where this is the only candidate and rests on a proof."""
        if len(wanted.actions) != 1:
            return None
        action = wanted.actions[0]
        record = self._core.state.actions.get(action.id)
        head = self._core.state.heads.get(record.chain_id) if record is not None and record.proof else None
        return self.prearmed.take(action, head=head.header.number) if head is not None else None

    async def _execute(self, clearance: Clearance) -> None:
        rehearsed = self._ready.get(clearance.action_id)
        if rehearsed is None:
            raise Refused("rehearsal", f"{clearance.action_id} was cleared but is not rehearsed in this process")
        plan = rehearsed.plan
        await self._look_again(rehearsed, clearance)
        self._go_on_unless_stopped()
        if self._submit.withheld:
            refused = (self._submit.withheld,)
            await self._inbox.put(
                ResponseBroadcast(
                    chain_id=plan.chain_id, action_id=plan.action.id, hash=NO_HASH, accepted_by=(), refused_by=refused
                )
            )
            return
        for signed in await self._submit.sign(rehearsed, clearance.bid):
            version = ResponseSigned(
                chain_id=plan.chain_id,
                action_id=plan.action.id,
                incident=plan.action.incident,
                signer=plan.signer,
                sender=signed.request.sender,
                nonce=signed.request.nonce,
                hash=signed.hash,
                raw=signed.raw,
            )
            await self._let_out(version)
            for raised in await self._submit.outbid(version, clearance.bid):
                await self._let_out(raised)

    async def _look_again(self, rehearsed: Rehearsed, clearance: Clearance) -> None:
        """Right before signing: not expired, and still valid where the head is newer than the rehearsal's."""
        known = self._core.state.heads.get(rehearsed.plan.chain_id)
        if known is None or known.header.hash == rehearsed.rehearsal.block_hash:
            return
        if known.header.number > clearance.expires_block:
            raise Refused("expiry", f"cleared up to block {clearance.expires_block}, the head is {known.header.number}")
        probed = await self._lab.probe(rehearsed.plan)
        if not probed.ok:
            raise Refused("authority", f"on block {probed.block_number}: {probed.why}")

    def _go_on_unless_stopped(self) -> None:
        """The kill switch: asked right before each signature, and again before signed bytes leave."""
        stopped = self._stopped()
        if stopped:
            raise Refused("kill switch", stopped)

    def _stopped(self) -> str:
        return self._killed() or ("" if self._core.state.armed else "disarmed")

    async def _let_out(self, version: ResponseSigned) -> None:
        """Durable first; then to every node."""
        self._go_on_unless_stopped()
        await self._inbox.post(version)
        await self._inbox.put(await self._submit.send(version.chain_id, version.action_id, version.raw, version.hash))

    async def _chase(self, clearance: Clearance) -> None:
        record = self._core.state.actions.get(clearance.action_id)
        if record is None or not record.sent or record.stage not in ("signed", "sent"):
            return
        found = await self._looked_for(record)
        if found is not None:
            await self._inbox.put(found)
            return
        if self._stopped():
            return  # what is out is out; it is looked for, and neither sent again nor raised
        newest = record.sent[-1]
        if record.chased <= BUMP_AFTER:
            await self._inbox.put(await self._submit.send(newest.chain_id, newest.action_id, newest.raw, newest.hash))
            return
        await self._raise_fee(newest, clearance)

    async def _looked_for(self, record: ActionRecord) -> ResponseIncluded | None:
        """Any version of it in a block. That nobody can say is told, and keeps nothing from being sent again."""
        try:
            for sent in record.sent:
                found = await self._submit.find(sent.chain_id, sent.action_id, sent.hash)
                if found is not None:
                    return found
        except Unreachable as error:
            await self._inbox.put(Fault(where="respond", what=str(error), on=record.action.id))
        return None

    async def _raise_fee(self, newest: ResponseSigned, clearance: Clearance) -> None:
        signed = await self._submit.bump(newest, clearance.bid)
        if signed is None:
            return
        replacement = ResponseSigned(
            chain_id=newest.chain_id,
            action_id=newest.action_id,
            incident=newest.incident,
            signer=newest.signer,
            sender=newest.sender,
            nonce=signed.request.nonce,
            hash=signed.hash,
            raw=signed.raw,
            replaces=newest.hash,
        )
        await self._let_out(replacement)

    async def _verify(self, check: Check) -> None:
        record = self._core.state.actions.get(check.action_id)
        if record is None or record.included is None:
            return
        gone = await self._submit.find(record.included.chain_id, check.action_id, record.included.hash) is None
        if gone:
            why = "not on the canonical chain any more"
            chain_id, lost = record.included.chain_id, record.included.hash
            await self._inbox.put(ResponseDropped(chain_id=chain_id, action_id=check.action_id, hash=lost, why=why))
            return
        rehearsed = self._ready.get(check.action_id) or self._recalled(record)
        attack = self._attack(record.action)
        await self._inbox.put(await self._lab.verify(rehearsed, attack, record.included, check.after_blocks))

    def _recalled(self, record: ActionRecord) -> Rehearsed:
        if record.rehearsal is None:
            raise Refused("verification", f"{record.action.id} has no journalled rehearsal to compare with")
        rehearsed = self._lab.recall(self._plan(record.action), record.rehearsal)
        self._ready[record.action.id] = rehearsed
        return rehearsed

    def _plan(self, action: AnyAction) -> Plan:
        responder = self._by_kind.get(type(action))
        if responder is None:
            raise Refused("planner", f"no responder is configured for {type(action).__name__}")
        plans = responder.plan(action)
        if len(plans) != 1:
            raise Refused("planner", f"{action.id} needs {len(plans)} plans; actions are grouped to need one")
        return plans[0]

    def _attack(self, action: AnyAction) -> Attack | None:
        incident = self._core.state.incidents.get(action.incident)
        if incident is None:
            return None
        return next((incident.attacks[name] for name in action.assets if name in incident.attacks), None)

    async def _reported(self, action_id: str, stage: str, work: Coroutine[Any, Any, None]) -> None:
        """A failure before the bytes left fails the action; one of looking or verifying is only a Fault."""
        failed = await fenced(work)
        if failed and stage:
            await self._inbox.put(ActionFailed(action_id=action_id, stage=stage, why=failed))
        elif failed:
            await self._inbox.put(Fault(where="respond", what=failed, on=action_id))


def _unplanned(action: AnyAction, why: str) -> Rehearsal:
    """What the core is told of an action that has no plan."""
    return Rehearsal(
        action_id=action.id,
        block_number=0,
        block_hash=NO_HASH,
        valid="fails",
        why=why,
        gas_used=0,
        golden_passed=0,
        golden_broken=(),
        loss_without_usd=Usd(0),
        loss_with_usd=Usd(0),
        loss_verdict="UNPROVEN",
    )
