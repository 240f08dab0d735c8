"""From signals to actions: judge, correlate, plan, gate. Called by core.step for each event; changes only the state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from monitor.core import evidence, gates, incidents, planning
from monitor.core.gates import Bench
from monitor.core.limits import Act
from monitor.core.planning import Judged
from monitor.core.state import ActionRecord, IncidentRecord
from monitor.model.actions import AnyAction, Clearance, ExtendPause, Notify, Pause, Refusal, Rehearsal
from monitor.model.events import AnyEvent, CandidatesRehearsed
from monitor.model.incidents import Assessment, Candidates
from monitor.model.signals import Signal
from monitor.model.units import SECOND

CLEARANCE_BLOCKS = 5
WAIT_FOR_ANSWERS_S = 1


@dataclass(slots=True)
class Conclusions:
    """What one event leads to; core.step makes the Step of it."""

    assessments: list[Assessment] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)  # incidents that changed
    pressing: list[str] = field(default_factory=list)  # incidents that may want a new action now
    rehearse: list[Candidates] = field(default_factory=list)
    clear: list[Clearance] = field(default_factory=list)
    refuse: list[Refusal] = field(default_factory=list)
    notify: list[AnyAction] = field(default_factory=list)

    def touch(self, incident: IncidentRecord) -> None:
        if incident.id not in self.touched:
            self.touched.append(incident.id)

    def press(self, incident: IncidentRecord) -> None:
        self.touch(incident)
        if incident.id not in self.pressing:
            self.pressing.append(incident.id)


def weigh(bench: Bench, signals: Sequence[Signal], event: AnyEvent, out: Conclusions) -> None:
    """Hold each signal, judge its hypothesis, and add it to an incident."""
    head = getattr(event, "chain_id", 0)
    number = bench.state.heads[head].header.number if head in bench.state.heads else 0
    for signal in signals:
        hypothesis = evidence.hold(bench.state, signal, seq=bench.state.seq, block_number=number)
        assessment = evidence.judge(bench.state, hypothesis, bench.policy)
        out.assessments.append(assessment)
        incident = incidents.correlate(
            bench.state,
            key=evidence.key_of(signal),
            hypothesis=hypothesis,
            assessment=assessment,
            policy=bench.policy,
            asset=bench.context.assets.named(signal.asset),
        )
        if incident is not None:
            incidents.learn_attack(bench.state, incident, signal, event)
            out.press(incident)


def propose(bench: Bench, incident: IncidentRecord, out: Conclusions) -> None:
    """Ask the lab about new actions of an incident. Sisters wait for each other, so that one call pauses them all."""
    if incident.stage == "closed" or _waits_for_sisters(bench, incident):
        return
    asked: list[AnyAction] = []
    for action, judged in planning.candidates(bench.state, bench.context, incident, bench.policy):
        before = bench.state.actions.get(action.id)
        said = (before.gate, before.reason) if before else ("", "")
        refusal = gates.before_the_lab(bench, action, judged)
        record = _record(bench, incident, action, judged)
        if refusal is not None:
            _refuse(record, refusal, out if said != (refusal.gate, refusal.reason) else Conclusions())
            continue
        asked.append(action)
    if asked:
        attack = next((incident.attacks[n] for a in asked for n in a.assets if n in incident.attacks), None)
        out.rehearse.append(Candidates(incident.id, tuple(asked), attack))
        out.touch(incident)


def extend(bench: Bench, record: ActionRecord, out: Conclusions) -> None:
    """Ask the lab about holding a pause longer."""
    incident = bench.state.incidents.get(record.action.incident)
    if incident is None:
        return
    action = planning.extension(bench.state, record)
    new = ActionRecord(action, record.chain_id, "rehearsing", bench.state.now, record.p, record.proof)
    bench.state.actions[action.id] = new
    incident.actions.append(action.id)
    attack = next((incident.attacks[n] for n in action.assets if n in incident.attacks), None)
    out.rehearse.append(Candidates(incident.id, (action,), attack))


def resolve(bench: Bench, event: CandidatesRehearsed, out: Conclusions) -> None:
    """Choose among what the lab found: the lowest class that stops the loss, else what saves most."""
    incident = bench.state.incidents.get(event.incident)
    if incident is None:
        return
    out.touch(incident)
    passed: list[tuple[ActionRecord, Rehearsal]] = []
    for rehearsal in event.rehearsals:
        record = bench.state.actions.get(rehearsal.action_id)
        if record is None or record.stage != "rehearsing":
            continue
        record.rehearsal = rehearsal
        record.tries += 1
        refusal = gates.after_the_lab(bench, record, rehearsal, incident)
        if refusal is None:
            passed.append((record, rehearsal))
        else:
            _refuse(record, refusal, out)
    for record, rehearsal in _chosen(passed, out):
        _clear(bench, record, rehearsal, incident, out)


def announce(bench: Bench, incident: IncidentRecord, out: Conclusions) -> None:
    """Tell people when it became more serious."""
    p, proof = incidents.strength(bench.state, incident)
    title = f"{incident.threat} on {', '.join(incident.assets) or incident.subject.id}"
    notice = incidents.notice(incident, p=p, proof=proof, title=title, cause=bench.state.seq)
    if isinstance(notice, Notify):
        out.notify.append(notice)


def _waits_for_sisters(bench: Bench, incident: IncidentRecord) -> bool:
    """Whether the incident has acted already and answers about its sisters are still out."""
    if not incident.actions:
        return False
    return any(bench.state.now - at < WAIT_FOR_ANSWERS_S * SECOND for at in bench.state.asked.values())


def _record(bench: Bench, incident: IncidentRecord, action: AnyAction, judged: Sequence[Judged]) -> ActionRecord:
    known = bench.state.actions.get(action.id)
    record = ActionRecord(
        action=action,
        chain_id=judged[0].asset.chain_id,
        stage="rehearsing",
        at=bench.state.now,
        p=min(one.assessment.p for one in judged),
        proof=all(one.assessment.proof for one in judged),
        tries=known.tries if known else 0,
        approved_by=known.approved_by if known else "",
    )
    lacks = gates.evidence_lacks(bench, action, judged)
    if lacks:
        record.gate, record.reason = "evidence", lacks
    bench.state.actions[action.id] = record
    if action.id not in incident.actions:
        incident.actions.append(action.id)
    if incident.stage == "open":
        incident.stage = "responding"
    return record


def _chosen(passed: Sequence[tuple[ActionRecord, Rehearsal]], out: Conclusions) -> list[tuple[ActionRecord, Rehearsal]]:
    if len(passed) <= 1:
        return list(passed)
    ranked = sorted(passed, key=lambda pair: int(pair[0].action.action_class))
    stops = [pair for pair in ranked if pair[1].loss_verdict == "holds" and pair[1].loss_with_usd == 0]
    best = (
        stops[0] if stops else min(ranked, key=lambda pair: (pair[1].loss_with_usd, -int(pair[0].action.action_class)))
    )
    for record, _ in ranked:
        if record is not best[0]:
            why = f"{best[0].action.id} stops the loss at class {int(best[0].action.action_class)}"
            record.tries = planning.MOST_TRIES
            _refuse(record, Refusal(record.action.id, "planner", why, recoverable=False), out)
    return [best]


def _clear(
    bench: Bench, record: ActionRecord, rehearsal: Rehearsal, incident: IncidentRecord, out: Conclusions
) -> None:
    head = bench.state.heads.get(record.chain_id)
    number = head.header.number if head else rehearsal.block_number
    clearance = Clearance(record.action.id, gates.bid(bench, record, rehearsal, incident), number + CLEARANCE_BLOCKS)
    record.stage, record.clearance = "cleared", clearance
    outage_s = record.action.duration_s if isinstance(record.action, (Pause, ExtendPause)) else 0
    for asset in record.action.assets:
        bench.state.acts.add(
            Act(
                action_id=record.action.id,
                incident=incident.id,
                kind=type(record.action).__name__,
                asset=asset,
                action_class=int(record.action.action_class),
                at=bench.state.now,
                outage_s=outage_s,
                free=record.proof,
            )
        )
    out.clear.append(clearance)


def _refuse(record: ActionRecord, refusal: Refusal, out: Conclusions) -> None:
    record.stage = "waiting" if refusal.recoverable else "refused"
    record.gate, record.reason = refusal.gate, refusal.reason
    out.refuse.append(refusal)
