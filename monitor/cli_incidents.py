"""`drawbridge incidents`: a list, or one incident whole, from the journal alone, beside a running monitor too."""

from __future__ import annotations

import asyncio

from monitor.cli_show import Bar, console, print_json, say, table, usd, warn, when
from monitor.cli_story import subject, tell
from monitor.http.plain import plain
from monitor.settings import load_journal
from monitor.shell.story import Listed, Story, listed, told
from monitor.store.journal import SqlJournal


def list_incidents(path: str, *, json: bool) -> int:
    """All of the journal, oldest first. 0."""
    found = asyncio.run(_listed(load_journal(path).store))
    if json:
        print_json(
            [
                plain(each.incident) | {"last_event": each.seq, "highest_p": each.highest, "proven": each.proven}
                for each in found
            ]
        )
    elif found:
        columns = (
            "id",
            "opened",
            "threat",
            "assets",
            "state",
            "highest p",
            "proof",
            "loss seen",
            "actions",
            "last told",
        )
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
        tell(story)
    return 0


async def _listed(store: str) -> list[Listed]:
    async with await SqlJournal.read_only(store) as journal:
        with Bar("reading", (await journal.last())[0]) as bar:
            return await listed(journal, progress=bar.at)


async def _told(store: str, incident_id: str) -> Story | None:
    async with await SqlJournal.read_only(store) as journal:
        with Bar("reading", (await journal.last())[0]) as bar:
            return await told(journal, incident_id, progress=bar.at)


def _row(each: Listed) -> tuple[str, ...]:
    incident = each.incident
    assets = ", ".join(incident.assets) or subject(incident)
    proof, count = "yes" if each.proven else "no", str(len(incident.actions))
    opened, last = when(incident.opened_at)[:19], when(each.at)[:19]
    loss = usd(incident.loss_seen_usd)
    return incident.id, opened, incident.threat, assets, incident.state, f"{each.highest:.3f}", proof, loss, count, last
