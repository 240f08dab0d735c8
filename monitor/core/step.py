"""The pure core: one event in, one Step out. The same journal gives the same steps, byte for byte.

It never reads a clock, a socket or a random number: time comes stamped on events. A reorg restores the newest snapshot
before the lost block and runs the remembered events again without those of the orphans; what was sent stays sent, and
what only the run without the orphans wants is asked for then.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from monitor.core import deciding, detecting, evidence, incidents, responses, telling
from monitor.core.context import CoreContext, StatePrices, price_key
from monitor.core.deciding import Conclusions
from monitor.core.detecting import Found
from monitor.core.gates import Bench
from monitor.core.health import note_health
from monitor.core.history import History
from monitor.core.state import ActionRecord, ChainHead, CoreState, IncidentRecord, Snapshot
from monitor.model.actions import Check, Clearance
from monitor.model.chain import Header
from monitor.model.codec import decode
from monitor.model.events import (
    ActionApproved,
    ActionRejected,
    AnyEvent,
    Armed,
    AuthorityProbed,
    BlockOrphaned,
    CandidatesRehearsed,
    ConfigurationLoaded,
    Disarmed,
    HeadSeen,
    HealthSeen,
    PendingSimulated,
    PriceSeen,
    Request,
    RequestFailed,
    ResponseVerified,
    SimulationDone,
    Stamped,
    Tick,
    TransactionMined,
)
from monitor.model.incidents import Step
from monitor.model.policy import ChainRule, Policy
from monitor.model.ports import Assets, Detector, Labels
from monitor.model.units import MINUTE, SECOND

_state_encoder = msgspec.json.Encoder()  # keeps dict order, which iteration rests on


class Core:
    """State, detectors and policy. `step` is the only way in."""

    def __init__(
        self,
        *,
        detectors: Sequence[Detector],
        assets: Assets,
        labels: Labels,
        policy: Policy,
        chains: Sequence[ChainRule],
    ) -> None:
        self.detectors = tuple(detectors)
        self._watchers = detecting.by_event(detectors)
        self._policy = policy
        self._chains = {chain.chain_id: chain for chain in chains}
        self._assets, self._labels = assets, labels
        self._history = History()
        self._adopt(CoreState())

    @property
    def state(self) -> CoreState:
        """Read-only to everybody but the core."""
        return self._state

    def step(self, stamped: Stamped) -> Step:
        """Apply one event. Never raises for what the event holds."""
        event, out = stamped.event, Conclusions()
        if isinstance(event, BlockOrphaned):
            self._rewind(event, out)
        elif isinstance(event, HeadSeen):
            self._history.mark(event, stamped.seq, self.snapshot())
        self._history.note(stamped)
        return self._apply(stamped, out)

    def snapshot(self) -> bytes:
        """Everything that the next step depends on, as bytes; `restore` of them continues exactly here."""
        states = {d.about.id: _state_encoder.encode(d.state) for d in self.detectors if d.state is not None}
        return _state_encoder.encode(Snapshot(self._state, states))

    def restore(self, data: bytes) -> None:
        """Continue from a snapshot. Raises Undecodable."""
        snapshot = decode(data, Snapshot)
        self._adopt(snapshot.core)
        for detector in self.detectors:
            if detector.state is not None and detector.about.id in snapshot.detectors:
                detector.state = decode(snapshot.detectors[detector.about.id], type(detector.state))

    def oldest(self) -> tuple[int, bytes] | None:
        """The snapshot from which a restart replays: the oldest one, so that the way back comes back with it."""
        kept = self._history.oldest()
        return (kept.seq - 1, kept.data) if kept else None

    def unfinished(self) -> tuple[ActionRecord, ...]:
        """Responses that a restart must take up again: asked of the lab, cleared, signed or sent, and not included."""
        stages = ("rehearsing", "cleared", "signed", "sent")
        return tuple(r for r in self._state.actions.values() if r.stage in stages)

    def _adopt(self, state: CoreState) -> None:
        self._state = state
        prices = StatePrices(state)
        self.context = CoreContext(state, self._assets, self._labels, prices, state.now)
        self._bench = Bench(state, self.context, self._policy, self._chains)

    def _apply(self, stamped: Stamped, out: Conclusions) -> Step:
        state, event = self._state, stamped.event
        state.seq, state.now = stamped.seq, max(state.now, stamped.seen_at)
        self.context.now = state.now
        lost = evidence.retract_pending(state, event)
        self._note(event, lost, out)
        found = self._ask(stamped)
        deciding.weigh(self._bench, found.signals, event, out)
        deciding.withdraw(self._bench, lost, out)
        out.requests.extend(self._fresh(found))
        for incident in self._known(out.pressing or self._retry(event)):
            deciding.propose(self._bench, incident, out)
        for incident in self._known(out.touched):
            deciding.announce(self._bench, incident, out)
        checks, chases = self._due(event, out)
        if isinstance(event, PendingSimulated | TransactionMined):
            checks += responses.doubted(state, found.signals)
        return Step(
            seq=stamped.seq,
            signals=tuple(found.signals),
            requests=tuple(out.requests),
            assessments=tuple(out.assessments),
            incidents=tuple(incidents.shown(state, incident) for incident in self._known(out.touched)),
            rehearse=tuple(out.rehearse),
            clear=tuple(out.clear),
            refuse=tuple(out.refuse),
            verify=tuple(checks),
            chase=tuple(chases),
            notify=tuple(out.notify),
            faults=tuple(found.faults),
        )

    def _known(self, incident_ids: Sequence[str]) -> list[IncidentRecord]:
        """Those that were not forgotten since, for want of room."""
        return [self._state.incidents[i] for i in incident_ids if i in self._state.incidents]

    def _ask(self, stamped: Stamped) -> Found:
        watchers = self._watchers.get(type(stamped.event).__name__, ())
        return detecting.inspect(watchers, stamped, self.context, self._state) if watchers else Found()

    def _fresh(self, found: Found) -> list[Request]:
        fresh = [r for r in found.requests if r.key not in self._state.asked]
        for request in fresh:
            self._state.asked[request.key] = self._state.now
        return fresh

    def _note(self, event: AnyEvent, lost: list[str], out: Conclusions) -> None:  # noqa: C901 - one flat table
        state = self._state
        match event:
            case HeadSeen(chain_id=chain_id, header=header, finalised=finalised):
                known = state.heads.get(chain_id) or ChainHead(header)
                state.heads[chain_id] = ChainHead(header, max(finalised, known.finalised), known.orphaned_at)
                lost.extend(evidence.expire(state, chain_id=chain_id, block_number=header.number))
                responses.lapse(state, chain_id, header)
            case BlockOrphaned(chain_id=chain_id) if chain_id in state.heads:
                state.heads[chain_id].orphaned_at = state.heads[chain_id].header.number
            case PriceSeen():
                state.prices[price_key(event.chain_id, event.token)] = event
            case HealthSeen():
                note_health(state, event)
                deciding.reconsider(self._bench, out)
            case AuthorityProbed():
                key = f"{event.asset}:{event.kind}"
                page = telling.authority_lost(state.authority.get(key), event)
                out.notify += [page] if page is not None else []
                state.authority[key] = event
            case SimulationDone(key=key) | RequestFailed(key=key):
                state.asked.pop(key, None)
                self._touch_responding(out)
            case Disarmed() | Armed():
                if state.armed != isinstance(event, Armed):  # a kill file and an order often come together
                    out.notify.append(telling.switched(state, event))
                state.armed = isinstance(event, Armed)
                if not state.armed:
                    responses.entrust(state)
            case ConfigurationLoaded(mode=mode):  # another release, or a restart: whoever was suspended may try again
                state.suspended.clear()
                state.faults.clear()
                if mode == "enforce":  # an attack that shadow watched is answered now
                    responses.release(state)
            case CandidatesRehearsed():
                deciding.resolve(self._bench, event, out)
            case ActionApproved() | ActionRejected():
                self._judged_by_person(event, out)
            case Tick():
                self._tidy(out)
                deciding.reconsider(self._bench, out)
            case _:
                self._note_response(event, out)

    def _note_response(self, event: AnyEvent, out: Conclusions) -> None:
        record = responses.note(self._state, event)
        if record is None:
            return
        incident = self._state.incidents.get(record.action.incident)
        if incident is None:
            return
        out.touch(incident)
        if record.stage == "failed" and incident.stage == "contained":
            incident.stage = "responding"
        if isinstance(event, ResponseVerified):
            if event.holds == "holds" and record.stage == "verified" and incident.stage != "closed":
                incident.stage = "responding" if event.blocked == "fails" else "contained"
            if (
                record.stage in ("failed", "lapsed") and incident.stage == "responding"
            ):  # what goes on calls for a new one
                out.press(incident)
            head = self._state.heads.get(record.chain_id)
            if head is not None and responses.wants_extension(self._state, record, head.header):
                deciding.extend(self._bench, incident, record, out)

    def _judged_by_person(self, event: ActionApproved | ActionRejected, out: Conclusions) -> None:
        record = self._state.actions.get(event.action_id)
        if record is None or record.stage != "waiting":
            return
        incident = self._state.incidents[record.action.incident]
        out.press(incident)
        if isinstance(event, ActionRejected):
            record.stage, record.gate, record.reason = "refused", "person", f"{event.by}: {event.reason}"
            return
        record.approved_by, record.stage, record.tries = event.by, "refused", 0  # proposed anew, past the autonomy gate

    def _touch_responding(self, out: Conclusions) -> None:
        for incident in self._state.incidents.values():
            if incident.stage in ("open", "responding"):
                out.press(incident)

    def _retry(self, event: AnyEvent) -> list[str]:
        """At each head and tick, incidents that are still responding propose again what a gate refused."""
        if not isinstance(event, HeadSeen | Tick):
            return []
        return [i.id for i in self._state.incidents.values() if i.stage == "responding"]

    def _due(self, event: AnyEvent, out: Conclusions) -> tuple[list[Check], list[Clearance]]:
        if not isinstance(event, HeadSeen):
            return [], []
        header: Header = event.header
        checks = responses.due_checks(self._state, event.chain_id, header)
        return checks, responses.due_chases(self._state, event.chain_id, header.number)

    def _tidy(self, out: Conclusions) -> None:
        """Once a second: waiting actions expire, silent requests are given up, old incidents close."""
        state, now = self._state, self._state.now
        for key in [k for k, at in state.asked.items() if now - at > MINUTE]:
            del state.asked[key]
        for record in state.actions.values():
            expires = record.stage == "waiting" and record.gate != "telemetry"  # that one ends when we see again
            if expires and now - record.at > self._policy.approval_s * SECOND:
                record.stage, record.gate, record.reason = "refused", "approval", "nobody decided in time"
                if record.action.incident in state.incidents:
                    out.touch(state.incidents[record.action.incident])
        for incident in state.incidents.values():
            quiet = now - incident.last_evidence_at > self._policy.dwell_s * SECOND
            busy = any(responses.holds_open(state.actions[a]) for a in incident.actions)
            if incident.stage != "closed" and quiet and not busy:
                incident.stage = "closed"
                out.touch(incident)
                for key in incident.hypotheses:
                    state.hypotheses.pop(key, None)

    def _rewind(self, event: BlockOrphaned, out: Conclusions) -> None:
        """Back to before the lost block, then again everything that does not belong to it."""
        found = self._history.before(event)
        if found is None:
            return
        data, again = found
        before, told = self._state, Conclusions()
        self.restore(data)
        for stamped in again:
            if isinstance(stamped.event, HeadSeen):
                self._history.mark(stamped.event, stamped.seq, self.snapshot(), rebuilt=True)
            self._history.note(stamped)
            step = self._apply(stamped, Conclusions())
            told.requests.extend(step.requests)
            told.notify.extend(step.notify)
        responses.carry_over(before, self._state, chain_id=event.chain_id, number=event.number)
        deciding.take_up(self._bench, before, told, out)
