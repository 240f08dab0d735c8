"""From signals to actions: judge, correlate, plan, gate. Called by core.step for each event; changes only the state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from monitor.core import evidence, gates, incidents, planning, telling
from monitor.core.gates import Bench
from monitor.core.limits import Act
from monitor.core.planning import Judged
from monitor.core.state import ActionRecord, CoreState, IncidentRecord
from monitor.model.actions import AnyAction, Clearance, ExtendPause, Notify, Pause, Refusal, Rehearsal
from monitor.model.events import AnyEvent, CandidatesRehearsed, Request
from monitor.model.incidents import Assessment, Candidates
from monitor.model.signals import Signal
from monitor.model.units import SECOND, Instant

CLEARANCE_BLOCKS = 5
WAIT_FOR_ANSWERS_S = 1


@dataclass(slots=True)
class Conclusions:
    """What one event leads to; core.step makes the Step of it."""

    assessments: list[Assessment] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)  # incidents that changed
    pressing: list[str] = field(default_factory=list)  # incidents that may want a new action now
    requests: list[Request] = field(default_factory=list)
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
            cheap=signal.evidence in ("fakeable", "negative"),
        )
        if incident is not None:
            incidents.learn_attack(bench.state, incident, signal, event)
            out.press(incident)


def withdraw(bench: Bench, keys: Sequence[str], out: Conclusions) -> None:
    """Judge anew what lost evidence, and stop in the gates what rested on it."""
    for key in dict.fromkeys(keys):
        hypothesis = bench.state.hypotheses.get(key)
        if hypothesis is None:
            continue
        said = hypothesis.last
        if evidence.judge(bench.state, hypothesis, bench.policy) != said and hypothesis.last is not None:
            out.assessments.append(hypothesis.last)
        for incident in bench.state.incidents.values():
            if incident.stage != "closed" and key in incident.hypotheses:
                out.touch(incident)
                _stop_unfounded(bench, incident, out)


def propose(bench: Bench, incident: IncidentRecord, out: Conclusions) -> None:
    """Ask the lab about new actions of an incident. Sisters wait for each other, so that one call pauses them all."""
    if incident.stage == "closed" or _waits_for_sisters(bench, incident):
        return
    for key in incident.hypotheses:
        if key in bench.state.hypotheses:
            evidence.judge(bench.state, bench.state.hypotheses[key], bench.policy)  # as old as it is by now
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
        _ask_lab(incident, asked, out)


def extend(bench: Bench, incident: IncidentRecord, record: ActionRecord, out: Conclusions) -> None:
    """Ask the lab about holding a pause longer."""
    action = planning.extension(bench.state, record)
    new = ActionRecord(action, record.chain_id, "rehearsing", bench.state.now, record.p, record.proof)
    if not record.proof:
        new.gate, new.reason = "evidence", "what a person approved without a proof is not held longer without a person"
    bench.state.actions[action.id] = new
    incident.actions.append(action.id)
    _ask_lab(incident, (action,), out)


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


def reconsider(bench: Bench, out: Conclusions) -> None:
    """Propose anew what only telemetry left to a person, once it has recovered: the attack may not wait for one."""
    for record in bench.state.actions.values():
        incident = bench.state.incidents.get(record.action.incident)
        waits = record.stage == "waiting" and record.gate == "telemetry"
        if waits and incident is not None and not gates.telemetry_asks(bench, record):
            record.stage, record.tries = "refused", 0
            out.press(incident)


def take_up(bench: Bench, before: CoreState, told: Conclusions, out: Conclusions) -> None:
    """After a reorg: ask for what only the run without the orphans wants, since nobody heard it say so."""
    out.requests.extend(r for r in told.requests if r.key in bench.state.asked and r.key not in before.asked)
    out.notify.extend(n for n in told.notify if isinstance(n, Notify) and not incidents.was_told(before, n))
    for incident in bench.state.incidents.values():
        fresh: list[AnyAction] = []
        for record in (bench.state.actions[a] for a in incident.actions if a in bench.state.actions):
            known = before.actions.get(record.action.id)
            if record is known or record.stage not in ("rehearsing", "cleared"):
                continue
            record.stage, record.clearance = "rehearsing", None
            if known is None or known.stage != "rehearsing":
                fresh.append(record.action)
        if fresh:
            _ask_lab(incident, fresh, out)


def announce(bench: Bench, incident: IncidentRecord, out: Conclusions) -> None:
    """Tell people when it became more serious, and what became of what was done about it."""
    p, proof = incidents.strength(bench.state, incident)
    title = f"{incident.threat} on {', '.join(incident.assets) or incident.subject.id}"
    notice = incidents.notice(incident, p=p, proof=proof, title=title, cause=bench.state.seq)
    if isinstance(notice, Notify):
        out.notify.append(notice)
    out.notify.extend(telling.told(bench.state, incident))


def _ask_lab(incident: IncidentRecord, actions: Sequence[AnyAction], out: Conclusions) -> None:
    attack = next((incident.attacks[n] for a in actions for n in a.assets if n in incident.attacks), None)
    out.rehearse.append(Candidates(incident.id, tuple(actions), attack))
    out.touch(incident)


def _waits_for_sisters(bench: Bench, incident: IncidentRecord) -> bool:
    """Whether the incident has acted already and answers about its sisters are still out; for a second at most."""
    state = bench.state
    if not incident.actions or not any(state.now - at < WAIT_FOR_ANSWERS_S * SECOND for at in state.asked.values()):
        incident.waits_since = Instant(0)
        return False
    incident.waits_since = incident.waits_since or state.now
    return state.now - incident.waits_since < WAIT_FOR_ANSWERS_S * SECOND


def _stop_unfounded(bench: Bench, incident: IncidentRecord, out: Conclusions) -> None:
    """What waits for the lab or a person goes no further without its proof, or under the floor that ends it."""
    judged = planning.judged_assets(bench.state, bench.context, incident)
    standing = {one.asset.name: one.assessment for one in judged}
    for record in (bench.state.actions[a] for a in incident.actions if a in bench.state.actions):
        if record.stage not in ("rehearsing", "waiting") or isinstance(record.action, ExtendPause):
            continue  # a pause is held for as long as its attack pays on the fork
        _, off = planning.floors(planning.kind_of(record.action), bench.policy)
        found = [standing.get(name) for name in record.action.assets]
        if any(one is None or one.p < off or (record.proof and not one.proof) for one in found):
            record.approved_by, why = "", "the evidence that it rests on was taken back"
            _refuse(record, Refusal(record.action.id, "evidence", why, recoverable=False), out)


def _record(bench: Bench, incident: IncidentRecord, action: AnyAction, judged: Sequence[Judged]) -> ActionRecord:
    known = bench.state.actions.get(action.id)
    head = bench.state.heads.get(judged[0].asset.chain_id)
    proof = all(one.assessment.proof for one in judged)
    record = ActionRecord(
        action=action,
        chain_id=judged[0].asset.chain_id,
        stage="rehearsing",
        at=bench.state.now,
        p=min(one.assessment.p for one in judged),
        proof=proof,
        tries=known.tries if known and known.proof == proof else 0,
        tried_at=head.header.number if head else 0,
        approved_by=known.approved_by if known else "",
        told=known.told if known else [],
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
    """For each asset the best of what would act on it; what is the best for none waits until those end."""
    ranked = sorted(passed, key=lambda pair: int(pair[0].action.action_class))
    best: dict[str, ActionRecord] = {}
    for name in dict.fromkeys(name for record, _ in ranked for name in record.action.assets):
        best[name] = _best([pair for pair in ranked if name in pair[0].action.assets])
    kept = {record.action.id for record in best.values()}
    for record, _ in ranked:
        if record.action.id not in kept:
            better = best[record.action.assets[0]].action
            why = f"{better.id} does better at class {int(better.action_class)}"
            _refuse(record, Refusal(record.action.id, "planner", why, recoverable=False), out)
    return [pair for pair in ranked if pair[0].action.id in kept]


def _best(choices: Sequence[tuple[ActionRecord, Rehearsal]]) -> ActionRecord:
    """The lowest class that stops the loss, else what leaves least of it."""
    stops = [pair for pair in choices if pair[1].loss_verdict == "holds" and pair[1].loss_with_usd == 0]
    if stops:
        return stops[0][0]
    return min(choices, key=lambda pair: (pair[1].loss_with_usd, -int(pair[0].action.action_class)))[0]


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
