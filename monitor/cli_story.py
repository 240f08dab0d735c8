"""One incident for a person who was asleep a minute ago: what was done first, then why, then everything in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from monitor.cli_moments import meant, withheld, words
from monitor.cli_show import clock, console, say, shown, table, usd, when
from monitor.model.actions import Refusal, Rehearsal
from monitor.model.events import (
    ActionApproved,
    ActionFailed,
    ActionRejected,
    ResponseBroadcast,
    ResponseDropped,
    ResponseIncluded,
    ResponseSigned,
    ResponseVerified,
)
from monitor.model.incidents import Assessment, Incident
from monitor.model.signals import Signal, Subject
from monitor.model.units import SECOND
from monitor.shell.story import Moment, Story

SAME_SIGNALS: Final = 2  # of one detector, evidence and asset; the rest are counted
LEAST_TERM: Final = 0.05


def tell(story: Story) -> None:
    """Print it."""
    incident = story.incident
    where = ", ".join(incident.assets) or subject(incident)
    say(f"incident {incident.id}: {incident.threat} on {where}; {incident.state}")
    say(f"opened {when(incident.opened_at)}; {_likely(story)}; loss seen {usd(incident.loss_seen_usd)}")
    for action_id, action in story.actions.items():
        if action_id in incident.actions:
            say(f"{action_id}: {meant(action)}")
            say(f"  {' · '.join(_path(story, action_id)) or 'nothing came of it yet'}")
    for moment, assessment in _highest(story):
        named = f"{subject(assessment)}, {assessment.threat}, at its highest ({clock(moment.at)})"
        title = f"\nscore of {named}: p {assessment.p:.4f}, {_sure(assessment)}"
        console().print(table(title, ("group", "detector", "weight", "counted", "because"), _terms(assessment)))
    told = list(_changes(story))
    rows = ((clock(m.at), str(m.seq), m.kind, line) for m in told for line in words(m))
    console().print(table("what happened, in UTC", ("time", "event", "what", ""), rows))
    left = len(story.moments) - len(told)
    if left or story.cut:
        say(f"{left} moments that repeat others are left out; --json has them")


def subject(of: Incident | Assessment) -> str:
    """'key 0xAb…', 'asset vault', 'source head:devnet'"""
    found = of.subject
    is_address = len(found.id) == 40 and all(c in "0123456789abcdef" for c in found.id)
    return f"{found.kind} {shown(bytes.fromhex(found.id)) if is_address else found.id}"


def _sure(assessment: Assessment) -> str:
    strong = f", {assessment.strong_groups} strong" if assessment.strong_groups else ""
    groups = f"{assessment.groups} independent group{'' if assessment.groups == 1 else 's'}{strong}"
    return f"between {assessment.lower:.4f} and {assessment.upper:.4f}; prior {assessment.prior:g}; {groups}"


def _terms(assessment: Assessment) -> Iterator[tuple[str, ...]]:
    ranked = sorted(assessment.terms, key=lambda term: -abs(term.counted))
    told = [term for i, term in enumerate(ranked) if i == 0 or abs(term.counted) >= LEAST_TERM]
    for term in told:
        yield str(term.group), term.detector, f"{term.weight:+.2f}", f"{term.counted:+.2f}", term.because
    rest = ranked[len(told) :]
    if rest:
        yield "", f"{len(rest)} more", "", f"{sum(term.counted for term in rest):+.2f}", f"each below {LEAST_TERM}"


def _path(story: Story, action_id: str) -> Iterator[str]:
    """How far a response came, with the time since the incident opened."""
    for moment in story.moments:
        if getattr(moment.value, "action_id", "") == action_id:
            said = _stage(moment.value)
            if said:
                yield f"{said} +{(moment.at - story.incident.opened_at) / SECOND:.3f} s"


def _stage(value: object) -> str:
    match value:
        case Rehearsal():
            return "rehearsed" if value.valid == "holds" else f"rehearsal {value.valid}"
        case Refusal():
            return f"{'waits at' if value.recoverable else 'stopped at'} {value.gate}"
        case ActionApproved() | ActionRejected():
            return f"{'approved' if isinstance(value, ActionApproved) else 'rejected'} by {value.by}"
        case ResponseSigned():
            return "signed"
        case ResponseBroadcast():
            return f"withheld, {withheld(value)} mode" if withheld(value) else ""
        case ResponseIncluded():
            return f"included in block {value.block_number}" if value.ok else "REVERTED"
        case ResponseVerified():
            return f"{value.holds} after {value.after_blocks} block{'' if value.after_blocks == 1 else 's'}"
        case ResponseDropped() | ActionFailed():
            return f"{'lost' if isinstance(value, ResponseDropped) else 'failed'}: {value.why}"
        case _:
            return ""


def _likely(story: Story) -> str:
    """What it was at its worst, and what it is now: a pause that works takes the evidence away."""
    highest, now = _highest(story), story.incident
    if not highest:
        return f"p {now.p:.4f}, {'proven' if now.proof else 'not proven'}"
    proven = "proven" if any(assessment.proof for _, assessment in highest) else "not proven"
    later = "" if now.p == highest[0][1].p else f" ({now.p:.4f} when last told)"
    return f"p {highest[0][1].p:.4f}, {proven}{later}"


def _highest(story: Story) -> list[tuple[Moment, Assessment]]:
    """The strongest judgement of each hypothesis, the most likely first."""
    best: dict[tuple[Subject, str], tuple[Moment, Assessment]] = {}
    for moment in story.moments:
        if isinstance(found := moment.value, Assessment):
            known = best.get((found.subject, found.threat))
            if known is None or found.p > known[1].p:
                best[found.subject, found.threat] = moment, found
    return sorted(best.values(), key=lambda pair: -pair[1].p)


def _changes(story: Story) -> Iterator[Moment]:
    """Every moment but judgements that repeat the last, and signals of a kind that was shown often enough."""
    judged: dict[tuple[Subject, str], str] = {}
    signals: Counter[tuple[str, str, str]] = Counter()
    for moment in story.moments:
        value = moment.value
        if isinstance(value, Assessment):
            key, said = (value.subject, value.threat), f"{value.p:.3f}{value.proof}"
            if judged.get(key) == said:
                continue
            judged[key] = said
        elif isinstance(value, Signal):
            kind = value.detector, value.evidence, value.asset
            signals[kind] += 1
            if signals[kind] > SAME_SIGNALS:
                continue
        yield moment
