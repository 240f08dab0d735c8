"""The gates between a strong hypothesis and a signature, in their order, each leaving its reason.

kill switch → health → evidence → (the lab) → the fork's verdict → thresholds → rates, uses and budgets → autonomy.
The first two are asked before the lab is troubled and again when it has answered; the rest then. Nothing here acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.core.context import CoreContext
from monitor.core.health import mode
from monitor.core.limits import budget_left, limited
from monitor.core.planning import Judged, rule_of
from monitor.core.scoring import act_threshold
from monitor.core.state import ActionRecord, CoreState, IncidentRecord
from monitor.model.actions import ActionClass, AnyAction, Bid, ExtendPause, Refusal, Rehearsal, Tighten
from monitor.model.assets import Asset, Level
from monitor.model.policy import ChainRule, Policy
from monitor.model.units import DOLLAR, NATIVE, ChainId, Usd, Wei

SETTLED_AFTER = 2  # heads after a reorg


@dataclass(frozen=True, slots=True)
class Bench:
    """What the gates judge by."""

    state: CoreState
    context: CoreContext
    policy: Policy
    chains: dict[int, ChainRule]


def before_the_lab(bench: Bench, action: AnyAction, judged: Sequence[Judged]) -> Refusal | None:
    """Kill switch and health."""
    return _stopped(bench, action, [one.asset for one in judged])


def evidence_lacks(bench: Bench, action: AnyAction, judged: Sequence[Judged]) -> str:
    """Why this may not happen without a person, judged by the weakest asset; empty where the evidence suffices."""
    rule = rule_of(action, bench.policy)
    for one in judged:
        found = one.assessment
        proven = found.proof and found.groups >= rule.needs_groups
        strong = rule.needs_strong_groups > 0 and found.strong_groups >= rule.needs_strong_groups
        if not (proven or (strong and not rule.needs_proof)):
            return f"class {int(action.action_class)} on {one.asset.name} is automatic only on a proof"
    return ""


def after_the_lab(bench: Bench, record: ActionRecord, rehearsal: Rehearsal, incident: IncidentRecord) -> Refusal | None:
    """The fork's verdict, p*, rates and uses, health and autonomy. An approved action skips the last two."""
    action = record.action
    assets = _assets(bench, action)
    if rehearsal.valid != "holds":
        return Refusal(action.id, "fork", f"{rehearsal.valid}: {rehearsal.why}", recoverable=False)
    if len(assets) < len(action.assets):
        return Refusal(action.id, "candidates", "an asset of it is not configured any more", recoverable=False)
    if action.action_class >= ActionClass.IRREVERSIBLE:
        return Refusal(action.id, "autonomy", "class 4 is for a Safe to propose, never sent by us", recoverable=False)
    stopped = _stopped(bench, action, assets)
    if stopped is not None:
        return stopped
    why = _too_unlikely(bench, record, rehearsal, assets)
    if why:
        return Refusal(action.id, "thresholds", why, recoverable=True)
    why = _spent(bench, record, incident, assets)
    if why:
        return Refusal(action.id, "budgets", why, recoverable=True)
    if record.approved_by:
        return None
    why = record.reason if record.gate == "evidence" else _needs_person(bench, record, assets)
    if why:
        return Refusal(action.id, record.gate or "autonomy", why, recoverable=True)
    why = telemetry_asks(bench, record)
    return Refusal(action.id, "telemetry", why, recoverable=True) if why else None


def stake_usd(rehearsal: Rehearsal, assets: Sequence[Asset]) -> Usd:
    """ΔL: what the capability can still take; the fork's figure, else the owner's criticality."""
    declared = sum(a.value_usd or 0 for a in assets)
    return Usd(max(rehearsal.loss_without_usd, declared))


def bid(bench: Bench, record: ActionRecord, rehearsal: Rehearsal, incident: IncidentRecord) -> Bid:
    """How much inclusion is worth: a share of what is saved, under the owner's limit; enough to outrank a rival."""
    policy, chain_id = bench.policy, record.chain_id
    gas = max(rehearsal.gas_used, 21_000)
    stake = max(stake_usd(rehearsal, _assets(bench, record.action)), _known_stake(bench, incident))
    ether = bench.context.prices.wei(
        ChainId(chain_id), Usd(int(policy.bid_share * record.p * policy.p_effective * stake))
    )
    most = Wei(min(max(ether or 0, policy.bid_floor_wei), policy.bid_max_wei))
    max_tip = most // gas
    rival = max((incident.rivals.get(a, 0) for a in record.action.assets), default=0)
    wanted = max(int(rival * policy.outrank) + 1, int(max_tip * policy.bid_blind_share))  # others may be private
    return Bid(tip=max(min(wanted, max_tip), 0), max_tip=max_tip, max_cost=most)


def _assets(bench: Bench, action: AnyAction) -> list[Asset]:
    found = (bench.context.assets.named(name) for name in action.assets)
    return [asset for asset in found if asset is not None]


def _known_stake(bench: Bench, incident: IncidentRecord) -> Usd:
    """The most that any run of this incident showed; a pre-armed response and an extension have no run of their own."""
    records = [bench.state.actions[a] for a in incident.actions if a in bench.state.actions]
    shown = [r.rehearsal.loss_without_usd for r in records if r.rehearsal is not None]
    seen = sum(incident.loss_seen.values())  # by the detectors' own simulations
    return Usd(max((seen, *shown, *(r.attack_pays_usd for r in records))))


def _stopped(bench: Bench, action: AnyAction, assets: Sequence[Asset]) -> Refusal | None:
    """What stops even an approved action: the kill switch, no journal, or a chain that has not settled."""
    if not bench.state.armed:
        return Refusal(action.id, "kill switch", "disarmed: an operator must arm it again", recoverable=False)
    chain_id = assets[0].chain_id
    chain, known = bench.chains.get(chain_id), bench.state.heads.get(chain_id)
    now, why = mode(bench.state, chain.name if chain else "", _signers(action, assets))
    if now == "alert":
        return Refusal(action.id, "health", why, recoverable=False)
    if known is not None and known.orphaned_at and known.header.number < known.orphaned_at + SETTLED_AFTER:
        why = f"blocks after {known.orphaned_at} were orphaned: waits for {SETTLED_AFTER} consistent heads"
        return Refusal(action.id, "health", why, recoverable=False)
    return None


def _signers(action: AnyAction, assets: Sequence[Asset]) -> frozenset[str]:
    """Whose key this action would use."""
    routes = (a.tighten if isinstance(action, Tighten) else a.pause for a in assets)
    return frozenset(route.signer for route in routes if route is not None)


def _too_unlikely(bench: Bench, record: ActionRecord, rehearsal: Rehearsal, assets: Sequence[Asset]) -> str:
    rule = rule_of(record.action, bench.policy)
    outage = sum(a.outage_usd_per_min for a in assets) * rule.outage_min * rule.outage_factor
    stake = stake_usd(rehearsal, assets)
    if stake == 0:
        return ""  # nothing priced: class floors and evidence decide (decision.md, Value)
    gas_price = 50 * 10**9
    cost = bench.context.prices.usd(assets[0].chain_id, NATIVE, Wei(rehearsal.gas_used * gas_price)) or 0
    threshold = act_threshold(cost_wrong=outage, cost_act=cost, effective=bench.policy.p_effective, loss=float(stake))
    if record.p >= threshold:
        return ""
    return f"p {record.p:.3f} is under p* {threshold:.3f} for {stake // DOLLAR} USD at stake"


def _spent(bench: Bench, record: ActionRecord, incident: IncidentRecord, assets: Sequence[Asset]) -> str:
    if isinstance(record.action, ExtendPause) or record.approved_by:
        return ""
    rule, state = rule_of(record.action, bench.policy), bench.state
    action_class = int(record.action.action_class)
    kind = type(record.action).__name__
    for asset in assets:
        why = limited(
            state.acts,
            asset=asset.name,
            kind=kind,
            incident=incident.id,
            rule=rule,
            action_class=action_class,
            now=state.now,
        )
        if why:
            return why
        if not record.proof and not budget_left(
            state.acts, asset=asset.name, action_class=action_class, policy=bench.policy, now=state.now
        ):
            return f"the outage budget of {asset.name} is spent: a proof is needed"
        probe = state.authority.get(f"{asset.name}:{kind}")
        if probe is not None and 0 <= probe.uses_left <= bench.policy.keep_uses:
            return f"{probe.uses_left} uses of the pause are left: the last is kept for a person"
    return ""


def _needs_person(bench: Bench, record: ActionRecord, assets: Sequence[Asset]) -> str:
    action_class = record.action.action_class
    rule = rule_of(record.action, bench.policy)
    if not rule.automatic:
        return f"class {int(action_class)} is never automatic"
    for asset in assets:
        chain = bench.chains.get(asset.chain_id)
        if chain and chain.quorum < 2 and action_class > bench.policy.single_node_max_class:
            return f"{chain.name} has a single node: class {int(action_class)} waits for a person"
        level = asset.autonomy[int(action_class)]
        if level < Level.AUTOMATIC:
            return f"{asset.name} is at L{int(level)} for class {int(action_class)}"
    return ""


def telemetry_asks(bench: Bench, record: ActionRecord) -> str:
    """Why how well we see leaves this to a person for now; empty where it does not."""
    assets, action_class = _assets(bench, record.action), record.action.action_class
    for asset in assets:
        chain = bench.chains.get(asset.chain_id)
        now, why = mode(bench.state, chain.name if chain else "", _signers(record.action, assets))
        if now == "approval" or (now == "reduced" and not (record.proof and action_class <= ActionClass.SCOPED)):
            return f"telemetry asks for a person: {why}"
    return ""
