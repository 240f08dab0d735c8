"""One scenario's row of the report, from the chain and the journal. No figure is taken from what the defence believes
about itself where the chain says it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monitor.model.actions import Rehearsal
from monitor.model.events import (
    ActionApproved,
    ActionFailed,
    AnyEvent,
    Fault,
    ResponseBroadcast,
    ResponseIncluded,
    ResponseVerified,
    Stamped,
)
from monitor.model.incidents import Step
from monitor.model.units import shown
from monitor.rehearsal.loss import Holdings, in_usd, loss_between
from monitor.rehearsal.scenario import Play, Script
from monitor.rehearsal.stage import Stage
from monitor.rehearsal.undefended import Undefended, succeeded

Story = Sequence[tuple[Stamped, Step]]


@dataclass(frozen=True, slots=True)
class Readings:
    """Attackers' holdings before the play, when our first response was in, and at the end."""

    before: Holdings
    at_response: Holdings | None
    end: Holdings


async def measure(
    play: Play, stage: Stage, script: Script, story: Story, readings: Readings, without: Undefended
) -> dict[str, Any]:
    """The row that interface.md describes."""
    lost = await loss_between(stage, script, readings.before, readings.end)
    loss_usd = in_usd(script, lost)
    times = _times(stage, story)
    responses = _responses(story)
    ok = await succeeded(stage)
    broken = sorted(without.benign_ok - ok)
    cleared = [(stamped, step) for stamped, step in story if step.clear]
    scenario = play.scenario
    row: dict[str, Any] = {
        "name": scenario.name,
        "title": scenario.title,
        "based_on": scenario.based_on,
        "variant": scenario.variant,
        "autonomous": not any(isinstance(s.event, ActionApproved) for s, _ in story),
        "latency_profile": play.profile.name,
        "mode": play.mode,
        "first_malicious_at_ms": None if stage.attack_slot is None else round(stage.attack_ms, 1),
        **times,
        "blocks_to_containment": _blocks(stage, responses),
        "loss": {token: str(amount) for token, amount in lost.items()},
        "loss_usd": loss_usd,
        "loss_without": {token: str(amount) for token, amount in without.loss.items()},
        "loss_without_usd": without.loss_usd,
        "saved_ratio": _ratio(loss_usd, without.loss_usd),
        "signals": _signals(story),
        "actions": _actions(stage, story),
        "scores": _scores(stage, story),
        "benign": {
            "sent": len(stage.sent["benign"]),
            "broken": len(broken),
            "false_alarms": _false_alarms(stage, cleared, scenario.benign),
        },
        "pages": sum(1 for _, step in story for n in step.notify if getattr(n, "severity", "") in ("page", "critical")),
        "critical_pages": sum(1 for _, step in story for n in step.notify if getattr(n, "severity", "") == "critical"),
        "faults": [f"{s.event.where}: {s.event.what}" for s, _ in story if isinstance(s.event, Fault)][:50],
    }
    row["contained"] = None if scenario.benign else await _contained(stage, script, story, readings, responses)
    row["ok"] = _acceptable(row, scenario.benign)
    return row


async def _contained(
    stage: Stage, script: Script, story: Story, readings: Readings, responses: Sequence[ResponseIncluded]
) -> bool:
    """No loss once our first response is in, and the capability test held: without it the same calls still work."""
    if not responses or readings.at_response is None:
        return False
    later = await loss_between(stage, script, readings.at_response, readings.end)
    proven = any(isinstance(s.event, ResponseVerified) and s.event.blocked == "holds" for s, _ in story)
    return not any(later.values()) and proven


def _acceptable(row: dict[str, Any], benign: bool) -> bool:
    if not benign:
        return bool(row["contained"])
    scoped = [a for a in row["actions"] if a["action_class"] >= 2 and a["outcome"] not in ("refused", "waiting")]
    return not scoped and row["critical_pages"] == 0 and row["benign"]["broken"] == 0


def _times(stage: Stage, story: Story) -> dict[str, float | None]:
    def first(found: list[Stamped]) -> float | None:
        return round(stage.scenario_ms(found[0].seen_at), 1) if found else None

    began = stage.attack_ms if stage.attack_slot is not None else 0.0
    detected = [s for s, step in story if _seen(step) and stage.scenario_ms(s.seen_at) >= began]
    decided = [s for s, step in story if step.clear]
    broadcast = [s for s, _ in story if isinstance(s.event, ResponseBroadcast) and s.event.accepted_by]
    verified = [s for s, _ in story if isinstance(s.event, ResponseVerified) and s.event.holds == "holds"]
    included = [e for e in _responses(story)]
    slot_ms = stage.builder.profile.slot_ms
    return {
        "detected_at_ms": first(detected),
        "decided_at_ms": first(decided),
        "broadcast_at_ms": first(broadcast),
        "included_at_ms": (_slot_of(stage, included[0].block_number) + 1) * slot_ms if included else None,
        "verified_at_ms": first(verified),
    }


def _seen(step: Step) -> bool:
    """Whether this step says that funds are in danger: an incident of theft that is more likely than not."""
    return any(i.threat != "blind" and i.p >= 0.5 for i in step.incidents)


def _responses(story: Story) -> list[ResponseIncluded]:
    return [s.event for s, _ in story if isinstance(s.event, ResponseIncluded) and s.event.ok]


def _slot_of(stage: Stage, number: int) -> int:
    return next((b.slot for b in stage.builder.blocks if b.number == number), 0) - stage.first_slot


def _blocks(stage: Stage, responses: Sequence[ResponseIncluded]) -> int | None:
    """Blocks from the first malicious transaction's to our first response's; 0 is the same block."""
    attacks = set(stage.sent["attack"])
    first = next((b.number for b in stage.builder.blocks if any("0x" + h.hex() in attacks for h in b.hashes)), None)
    return responses[0].block_number - first if responses and first is not None else None


def _ratio(loss: int, without: int) -> float:
    return round(1 - loss / without, 6) if without > 0 else 0.0


def _signals(story: Story) -> list[dict[str, Any]]:
    return [
        {"seq": s.seq, "detector": x.detector, "asset": x.asset, "evidence": x.evidence, "because": x.because[:200]}
        for s, step in story
        for x in step.signals
    ][:500]


def _scores(stage: Stage, story: Story) -> list[dict[str, Any]]:
    """The score over time, by contribution."""
    return [
        {
            "at_ms": round(stage.scenario_ms(s.seen_at), 1),
            "subject": f"{a.subject.kind}:{a.subject.id}",
            "threat": a.threat,
            "p": round(a.p, 6),
            "terms": [{"detector": t.detector, "counted": round(t.counted, 4)} for t in a.terms],
        }
        for s, step in story
        for a in step.assessments
    ][:500]


def _actions(stage: Stage, story: Story) -> list[dict[str, Any]]:
    """Each action with what the fork said before, what the chain said after, and how it ended."""
    rows: dict[str, dict[str, Any]] = {}
    for stamped, step in story:
        for wanted in step.rehearse:
            for action in wanted.actions:
                rows.setdefault(
                    action.id,
                    {
                        "id": action.id,
                        "kind": type(action).__name__,
                        "target": list(action.assets),
                        "action_class": int(action.action_class),
                        "plan": action.because[:300],
                        "before": {},
                        "after": [],
                        "tx_hash": None,
                        "outcome": "rehearsing",
                    },
                )
        _follow(rows, stamped.event, step)
    return list(rows.values())


def _follow(rows: dict[str, dict[str, Any]], event: AnyEvent, step: Step) -> None:
    for rehearsal in getattr(event, "rehearsals", ()):
        if rehearsal.action_id in rows:
            rows[rehearsal.action_id]["before"] = _before(rehearsal)
    for clearance in step.clear:
        if clearance.action_id in rows:
            rows[clearance.action_id]["outcome"] = "cleared"
    for refusal in step.refuse:
        if refusal.action_id in rows:
            outcome = "waiting" if refusal.recoverable else "refused"
            rows[refusal.action_id] |= {"outcome": outcome, "gate": refusal.gate, "reason": refusal.reason}
    row = rows.get(getattr(event, "action_id", ""))
    if row is not None:
        _ended(row, event)


def _before(rehearsal: Rehearsal) -> dict[str, Any]:
    return {
        "valid": rehearsal.valid,
        "why": rehearsal.why,
        "golden_passed": rehearsal.golden_passed,
        "loss_without_usd": rehearsal.loss_without_usd,
        "loss_with_usd": rehearsal.loss_with_usd,
        "loss_verdict": rehearsal.loss_verdict,
        "variants": [{"name": v.name, "asset": v.asset, "verdict": v.verdict} for v in rehearsal.variants],
        "took_ms": round(rehearsal.took_ms, 2),
    }


def _ended(row: dict[str, Any], event: AnyEvent) -> None:
    match event:
        case ActionFailed(stage=stage, why=why):
            row |= {"outcome": "failed", "gate": stage, "reason": why}
        case ResponseBroadcast(accepted_by=accepted, hash=tx_hash):
            row |= {"outcome": "sent" if accepted else "withheld", "tx_hash": shown(tx_hash)}
        case ResponseIncluded(ok=ok, hash=tx_hash, cost=cost):
            row |= {"outcome": "included" if ok else "reverted", "tx_hash": shown(tx_hash), "cost_wei": str(cost)}
        case ResponseVerified():
            row["after"].append(
                {
                    "blocks": event.after_blocks,
                    "holds": event.holds,
                    "blocked": event.blocked,
                    "why": event.why[:200],
                    "attack_pays_usd": event.attack_pays_usd,
                    "differs": len(event.differs),
                }
            )
            row["outcome"] = "verified" if event.holds == "holds" else row["outcome"]
        case _:
            return


def _false_alarms(stage: Stage, cleared: Story, benign: bool) -> int:
    """Actions of class 1 or more that were cleared though nothing malicious had been sent."""
    if benign or stage.attack_slot is None:
        return len(cleared)
    return sum(1 for stamped, _ in cleared if stage.scenario_ms(stamped.seen_at) < stage.attack_ms)
