"""Which actions an incident calls for: by threat, lowest class first, one action for all targets of one guardian.

A hypothesis that is strong enough gives candidates; the lab then says which of them stop the loss (core.gates).
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.core.context import CoreContext
from monitor.core.limits import schmitt
from monitor.core.state import LIVE_STAGES, ActionRecord, CoreState, IncidentRecord
from monitor.model.actions import ActionClass, AnyAction, ExtendPause, Pause, Tighten
from monitor.model.assets import Asset
from monitor.model.codec import digest
from monitor.model.incidents import Assessment
from monitor.model.policy import ClassRule, Policy
from monitor.model.signals import Threat

PLAYBOOK: dict[Threat, tuple[str, ...]] = {
    "stolen_key": ("tighten", "pause"),
    "exploit": ("pause",),
    "forged_message": ("pause",),
    "price_manipulation": ("pause",),
    "blind": (),
}
MOST_TRIES = 5  # of what the fork refuses, one at each head; of what fails on chain, in all
THEN_EVERY = 10  # heads
TIGHTEN_S = 7_200


@dataclass(frozen=True, slots=True)
class Judged:
    """An asset of the incident with the judgement on it."""

    asset: Asset
    assessment: Assessment


def judged_assets(state: CoreState, context: CoreContext, incident: IncidentRecord) -> list[Judged]:
    """Every asset of the incident with its strongest hypothesis."""
    best: dict[str, Assessment] = {}
    for key in incident.hypotheses:
        hypothesis = state.hypotheses.get(key)
        if hypothesis is None or hypothesis.last is None or not hypothesis.asset:
            continue
        known = best.get(hypothesis.asset)
        if known is None or (hypothesis.last.proof, hypothesis.last.p) > (known.proof, known.p):
            best[hypothesis.asset] = hypothesis.last
    found = ((context.assets.named(name), assessment) for name, assessment in sorted(best.items()))
    return [Judged(asset, assessment) for asset, assessment in found if asset is not None]


def candidates(
    state: CoreState, context: CoreContext, incident: IncidentRecord, policy: Policy
) -> list[tuple[AnyAction, list[Judged]]]:
    """New actions that the evidence reaches, grouped by route, lowest class first."""
    judged = judged_assets(state, context, incident)
    chosen: list[tuple[AnyAction, list[Judged]]] = []
    for kind in PLAYBOOK[incident.threat]:
        routes: dict[tuple[str, bool], list[Judged]] = {}  # an unproven sister must not hold a proven one back
        for one in judged:
            route = _route(one.asset, kind)
            if route and _reaches(state, one, kind, policy) and not _underway(state, incident, one, kind):
                routes.setdefault((route, one.assessment.proof), []).append(one)
        for _, together in sorted(routes.items(), key=lambda item: item[0]):
            chosen.append((_action(state, incident, kind, together), together))
    return chosen


def extension(state: CoreState, record: ActionRecord) -> ExtendPause:
    """Hold a pause longer because the attack still pays."""
    was = record.action
    number = sum(1 for a in state.actions if a.startswith(f"{was.id}/extend/"))
    duration_s = was.duration_s if isinstance(was, (Pause, ExtendPause)) else 0
    return ExtendPause(
        id=f"{was.id}/extend/{number + 1}",
        incident=was.incident,
        assets=was.assets,
        action_class=ActionClass.SCOPED,
        cause=state.seq,
        because=f"the attack would still take {record.attack_pays_usd // 1_000_000} USD if the pause lapsed",
        duration_s=duration_s,
    )


def rule_of(action: AnyAction, policy: Policy) -> ClassRule:
    return policy.classes[int(action.action_class)]


def _route(asset: Asset, kind: str) -> str:
    """A key by which targets share one call; empty where the owner gave no way."""
    if kind == "pause" and asset.pause is not None:
        shared = asset.pause.guardian if asset.pause.via == "guardian" else asset.pause.target
        return f"{asset.chain_id}:{(shared or asset.pause.target).hex()}:{asset.pause.signer}:{asset.pause.duration_s}"
    if kind == "tighten" and asset.tighten is not None:
        return f"{asset.chain_id}:{asset.tighten.gate.hex()}:{asset.tighten.signer}"
    return ""


def _reaches(state: CoreState, one: Judged, kind: str, policy: Policy) -> bool:
    """Whether p is over the floor of the class, with hysteresis for what is already on."""
    on, off = floors(kind, policy)
    was_on = any(
        record.stage in LIVE_STAGES and covers(record, one.asset.name, kind) and _open(state, record)
        for record in state.actions.values()
    )
    return schmitt(was_on, one.assessment.p, on=on, off=off)


def floors(kind: str, policy: Policy) -> tuple[float, float]:
    """The p at which this is begun, and the p under which it is over."""
    if kind == "tighten":
        return policy.floor_tighten, policy.floor_tighten_off
    rule = policy.classes[ActionClass.SCOPED]
    return rule.floor, rule.off


def covers(record: ActionRecord, asset: str, kind: str) -> bool:
    return asset in record.action.assets and kind_of(record.action) == kind


def _open(state: CoreState, record: ActionRecord) -> bool:
    incident = state.incidents.get(record.action.incident)
    return incident is not None and incident.stage != "closed"


def _underway(state: CoreState, incident: IncidentRecord, one: Judged, kind: str) -> bool:
    """Whether this incident already does this to the asset, did it, or has tried often enough on this evidence."""
    known = state.heads.get(one.asset.chain_id)
    head = known.header.number if known else 0
    records = [state.actions[a] for a in incident.actions if a in state.actions]
    refused = failed = 0
    for record in records:
        proven_since = one.assessment.proof and not record.proof
        if not covers(record, one.asset.name, kind) or (proven_since and record.stage in ("waiting", "refused")):
            continue
        if record.stage in LIVE_STAGES or (record.stage == "refused" and _settled(records, record, one, head)):
            return True
        refused += record.tries if record.stage == "refused" else 0
        failed += record.stage == "failed"
    return failed >= MOST_TRIES or (refused >= MOST_TRIES and head % THEN_EVERY != 0)


def _settled(records: list[ActionRecord], refused: ActionRecord, one: Judged, head: int) -> bool:
    """Whether a refusal stands: a person's, or that of a better choice while this holds, or until the next head."""
    if refused.gate in ("person", "approval"):
        return True
    if refused.gate == "planner":
        in_force = (r for r in records if r.stage in LIVE_STAGES and one.asset.name in r.action.assets)
        return any(r.blocked != "fails" for r in in_force)
    return refused.tries > 0 and refused.tried_at == head


def kind_of(action: AnyAction) -> str:
    return (
        "pause" if isinstance(action, (Pause, ExtendPause)) else "tighten" if isinstance(action, Tighten) else "notify"
    )


def _fresh_id(state: CoreState, stem: str) -> str:
    """The same id for a try of the same response; a new one once the former failed on chain or ran out."""
    number, action_id = 1, stem
    while action_id in state.actions and state.actions[action_id].stage in ("failed", "lapsed"):
        number += 1
        action_id = f"{stem}/{number}"
    return action_id


def _action(state: CoreState, incident: IncidentRecord, kind: str, judged: list[Judged]) -> AnyAction:
    names = tuple(one.asset.name for one in judged)
    action_id = _fresh_id(state, f"{incident.id}/{kind}/{digest('|'.join(names).encode()).hex()[:8]}")
    because = "; ".join(t.because for one in judged for t in one.assessment.terms if t.counted > 0)[:500]
    if kind == "tighten":
        return Tighten(
            id=action_id,
            incident=incident.id,
            assets=names,
            action_class=ActionClass.NARROW,
            cause=state.seq,
            because=because,
            until_s=TIGHTEN_S,
        )
    route = judged[0].asset.pause
    return Pause(
        id=action_id,
        incident=incident.id,
        assets=names,
        action_class=ActionClass.SCOPED,
        cause=state.seq,
        because=because,
        duration_s=route.duration_s if route else 0,
    )
