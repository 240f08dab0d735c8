"""`drawbridge incidents`: a list, or one incident whole, from the journal alone: readable at four in the morning."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from monitor.cli_moments import words
from monitor.cli_show import clock, console, print_json, say, shown, table, usd, warn, when
from monitor.http.plain import plain
from monitor.model.incidents import Assessment, Incident
from monitor.model.signals import Subject
from monitor.settings import load_journal
from monitor.shell.story import Listed, Moment, Story, listed, told
from monitor.store.journal import SqlJournal


def list_incidents(path: str, *, json: bool) -> int:
    """All of the journal, oldest first. 0."""
    found = asyncio.run(_listed(load_journal(path).store))
    if json:
        print_json([plain(each.incident) | {"last_event": each.seq} for each in found])
    elif found:
        columns = ("id", "opened", "threat", "assets", "state", "p", "proof", "loss seen", "actions", "last told")
        console().print(table("", columns, (_row(each) for each in found)))
        say("`drawbridge incidents ID` tells one whole")
    else:
        say("no incidents")
    return 0


def tell_incident(path: str, incident_id: str, *, json: bool) -> int:
    """One incident. 0, or 1 where the journal knows none of that id."""
    story = asyncio.run(_told(load_journal(path).store, incident_id))
    if story is None:
        warn(f"no incident {incident_id} in this journal; `drawbridge incidents` lists them")
        return 1
    if json:
        print_json(plain(story))
    else:
        _tell(story)
    return 0


async def _listed(store: str) -> list[Listed]:
    async with await SqlJournal.read_only(store) as journal:
        return await listed(journal)


async def _told(store: str, incident_id: str) -> Story | None:
    async with await SqlJournal.read_only(store) as journal:
        return await told(journal, incident_id)


def _row(each: Listed) -> tuple[str, ...]:
    incident = each.incident
    assets = ", ".join(incident.assets) or subject(incident)
    proof, count = "yes" if incident.proof else "no", str(len(incident.actions))
    opened, last = when(incident.opened_at)[:19], when(each.at)[:19]
    loss = usd(incident.loss_seen_usd)
    return incident.id, opened, incident.threat, assets, incident.state, f"{incident.p:.3f}", proof, loss, count, last


def subject(incident: Incident | Assessment) -> str:
    """'key 0xAb…', 'asset vault', 'source head:devnet'"""
    found = incident.subject
    is_address = len(found.id) == 40 and all(c in "0123456789abcdef" for c in found.id)
    return f"{found.kind} {shown(bytes.fromhex(found.id)) if is_address else found.id}"


def _tell(story: Story) -> None:
    incident = story.incident
    where = ", ".join(incident.assets)
    say(f"incident {incident.id}: {incident.threat} on {where or subject(incident)}; {incident.state}")
    proven = "proven" if incident.proof else "not proven"
    say(f"opened {when(incident.opened_at)}; p {incident.p:.4f}, {proven}; loss seen {usd(incident.loss_seen_usd)}")
    for assessment in _newest(story):
        say("")
        bounds = f"between {assessment.lower:.4f} and {assessment.upper:.4f}"
        title = f"score of {subject(assessment)}, {assessment.threat}: p {assessment.p:.4f}, {bounds}"
        groups = f"prior {assessment.prior:g}, {assessment.groups} groups, {assessment.strong_groups} of them strong"
        columns = ("group", "detector", "weight", "counted", "because")
        console().print(table(f"{title}; {groups}", columns, _terms(assessment)))
    say("what happened, in UTC")
    rows = (
        (clock(moment.at), str(moment.seq), moment.kind, line) for moment in _changes(story) for line in words(moment)
    )
    console().print(table("", ("time", "event", "what", ""), rows))
    if story.cut:
        warn("more happened than is shown; --json has no more either; `drawbridge audit verify --export` has all")


def _terms(assessment: Assessment) -> Iterator[tuple[str, ...]]:
    for term in sorted(assessment.terms, key=lambda t: -abs(t.counted)):
        yield str(term.group), term.detector, f"{term.weight:+.2f}", f"{term.counted:+.2f}", term.because


def _changes(story: Story) -> Iterator[Moment]:
    """Every moment but judgements that only repeat the last."""
    last: dict[tuple[Subject, str], str] = {}
    for moment in story.moments:
        if isinstance(moment.value, Assessment):
            key, said = (moment.value.subject, moment.value.threat), f"{moment.value.p:.3f}{moment.value.proof}"
            if last.get(key) == said:
                continue
            last[key] = said
        yield moment


def _newest(story: Story) -> list[Assessment]:
    """The last judgement of each hypothesis, the most likely first."""
    last = {
        (moment.value.subject, moment.value.threat): moment.value
        for moment in story.moments
        if isinstance(moment.value, Assessment)
    }
    return sorted(last.values(), key=lambda assessment: -assessment.p)
