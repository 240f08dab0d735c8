"""Correlation: which signals are one incident, what it has cost so far, and whom to tell."""

from __future__ import annotations

from typing import Literal

from monitor.core.state import CoreState, Hypothesis, IncidentRecord
from monitor.model.actions import Attack, Notify
from monitor.model.assets import Asset
from monitor.model.events import AnyEvent, PendingSimulated
from monitor.model.incidents import Assessment, Incident
from monitor.model.policy import Policy
from monitor.model.signals import Signal
from monitor.model.units import NATIVE, Usd

MOST_INCIDENTS = 1_000
MOST_ROOTS = 1_024  # whose losses an incident counts
_RANK = {"": 0, "info": 1, "warning": 2, "page": 3, "critical": 4}


def correlate(
    state: CoreState,
    *,
    key: str,
    hypothesis: Hypothesis,
    assessment: Assessment,
    policy: Policy,
    asset: Asset | None,
    cheap: bool = False,
) -> IncidentRecord | None:
    """The incident of this hypothesis: an open one of the asset, its sisters or its owner, or a new one.

    What anybody can fake (`cheap`) joins an incident, but neither keeps one open nor opens a contained one again.
    """
    found = next(
        (i for i in state.incidents.values() if i.stage != "closed" and _belongs(i, key, hypothesis, asset)), None
    )
    if found is None:
        if assessment.p < policy.classes[0].floor:
            return None
        found = _open(state, hypothesis, asset)
    if key not in found.hypotheses:
        found.hypotheses.append(key)
    if hypothesis.asset and hypothesis.asset not in found.assets:
        found.assets.append(hypothesis.asset)
    if not cheap:
        found.last_evidence_at = state.now
        found.stage = "responding" if found.stage == "contained" else found.stage
    return found


def learn_attack(state: CoreState, incident: IncidentRecord, signal: Signal, event: AnyEvent) -> None:
    """Keep what the lab will replay, the rival bid, and the loss seen, once for each root."""
    _add_loss(incident, signal.roots[0] if signal.roots else signal.because, signal.loss_usd)
    fact = signal.fact
    if fact is None or fact.attack is None:
        return
    known = incident.attacks.get(signal.asset)
    if known is None or not (known.mined and not fact.mined):
        attacker = signal.attacker or fact.attack.sender
        incident.attacks[signal.asset] = Attack(
            (fact.attack,), signal.asset, attacker, mined=fact.mined, code_overrides=fact.code_overrides
        )
    if isinstance(event, PendingSimulated) and not fact.mined:
        incident.rivals[signal.asset] = _bid_per_gas(state, event)
    elif fact.mined:
        incident.rivals.pop(signal.asset, None)


def _add_loss(incident: IncidentRecord, root: str, loss: Usd) -> None:
    """Once for each root; of too many, the smallest are forgotten."""
    seen = incident.loss_seen
    seen[root] = max(seen.get(root, 0), loss)
    if len(seen) > MOST_ROOTS:
        del seen[min(seen, key=lambda known: seen[known])]


def notice(incident: IncidentRecord, *, p: float, proof: bool, title: str, cause: int) -> Notify | None:
    """A notice when an incident becomes more serious than people were told; None otherwise."""
    severity = _severity(p, proof=proof, blind=incident.threat == "blind")
    if _RANK[severity] <= _RANK[incident.noticed]:
        return None
    incident.noticed = severity
    return Notify(
        id=f"{incident.id}/notify/{severity}",
        incident=incident.id,
        assets=tuple(incident.assets),
        action_class=0,  # type: ignore[arg-type]
        cause=cause,
        because=f"p {p:.3f}{', proven' if proof else ''}",
        severity=severity,
        title=title,
    )


def was_told(state: CoreState, notice: Notify) -> bool:
    """Whether people heard this before: of an incident as serious as this or more, of an action the very same."""
    about, _, key = notice.id.partition("/notify/")
    if about == notice.incident:
        known = state.incidents.get(about)
        return known is not None and _RANK[known.noticed] >= _RANK[notice.severity]
    record = state.actions.get(about)
    return not key or (record is not None and key in record.told)  # without a key: of no incident, seen before as well


def shown(state: CoreState, incident: IncidentRecord) -> Incident:
    """The incident as a frozen value for the step."""
    p, proof = strength(state, incident)
    return Incident(
        id=incident.id,
        threat=incident.threat,
        subject=incident.subject,
        assets=tuple(incident.assets),
        opened_at=incident.opened_at,
        state=incident.stage,
        p=p,
        proof=proof,
        loss_seen_usd=Usd(sum(incident.loss_seen.values())),
        actions=tuple(incident.actions),
    )


def strength(state: CoreState, incident: IncidentRecord) -> tuple[float, bool]:
    """The strongest hypothesis of an incident: its p, and whether any rests on a proof."""
    found = [state.hypotheses[k].last for k in incident.hypotheses if k in state.hypotheses]
    judged = [a for a in found if a is not None]
    return max((a.p for a in judged), default=0.0), any(a.proof for a in judged)


def _belongs(incident: IncidentRecord, key: str, hypothesis: Hypothesis, asset: Asset | None) -> bool:
    if key in incident.hypotheses:
        return True
    if (incident.threat == "blind") != (hypothesis.threat == "blind"):
        return False
    if hypothesis.asset and hypothesis.asset in incident.assets:
        return True
    if asset is None:
        return False
    same_owner = bool(asset.owner) and asset.owner == incident.owner and hypothesis.threat == incident.threat
    return same_owner or (bool(asset.family) and asset.family == incident.family)


def _open(state: CoreState, hypothesis: Hypothesis, asset: Asset | None) -> IncidentRecord:
    newest = next(reversed(state.incidents), "")
    incident_id = f"{newest}+" if newest.rstrip("+") == f"{state.seq}" else f"{state.seq}"
    opened = IncidentRecord(
        id=incident_id,
        threat=hypothesis.threat,
        subject=hypothesis.subject,
        owner=asset.owner if asset else "",
        family=asset.family if asset else "",
        opened_at=state.now,
        last_evidence_at=state.now,
    )
    if len(state.incidents) >= MOST_INCIDENTS:
        _forget_oldest(state)
    state.incidents[incident_id] = opened
    return opened


def _forget_oldest(state: CoreState) -> None:
    """Closed incidents first; their whole story stays in the journal."""
    ids = sorted(state.incidents, key=lambda i: (state.incidents[i].stage != "closed", state.incidents[i].opened_at))
    for action_id in state.incidents.pop(ids[0]).actions:
        state.actions.pop(action_id, None)


def _severity(p: float, *, proof: bool, blind: bool) -> Literal["info", "warning", "page", "critical"]:
    if blind:
        return "page" if p >= 0.5 else "warning"
    if proof and p >= 0.9:
        return "critical"
    if p >= 0.7:
        return "page"
    return "warning" if p >= 0.3 else "info"


def _bid_per_gas(state: CoreState, event: PendingSimulated) -> int:
    """What a pending attack pays the builder for each gas: tip and coinbase payment (facts/races.md)."""
    head = state.heads.get(event.chain_id)
    gas = max(event.effects.gas_used, 21_000)
    if head is None:
        return event.transaction.max_priority_fee
    coinbase = head.header.coinbase
    paid = sum(t.amount for t in event.effects.transfers if t.token == NATIVE and t.to == coinbase)
    tip = min(event.transaction.max_priority_fee, max(event.transaction.max_fee - head.header.base_fee, 0))
    return (tip * gas + paid) // gas
