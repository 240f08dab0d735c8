"""What people are told of a response: that it waits for them, that it holds, that it failed. Each of it once.

That an incident began is told by core.incidents, before anything is done; this is how it went on. And that a response
would no longer be accepted on chain (pause_authority_lost), or that somebody turned the kill switch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from monitor.core.state import ActionRecord, CoreState, IncidentRecord
from monitor.model.actions import Action, ActionClass, ExtendPause, Notify, Pause, Tighten
from monitor.model.events import Armed, AuthorityProbed, Disarmed

Severity = Literal["info", "warning", "page", "critical"]
TRIES: Final = 2  # a refusal by the fork is told when it was not the node's hiccup
MOST_NAMED: Final = 3
UNKNOWN: Final = "not known"  # how a probe begins that no node answered: no news of authority
_KINDS: Final[dict[type[Action], str]] = {Pause: "pause", ExtendPause: "longer pause", Tighten: "tightening"}
_REFUSED: Final[dict[str, Severity]] = {"evidence": "page", "health": "page"}  # these often pass by themselves
_FAILED: Final = {"verification": "does NOT hold any more", "chain": "REVERTED on chain"}
_HOLDS: Final[dict[str, tuple[Severity, str]]] = {
    "holds": ("page", "and the attack is blocked"),
    "fails": ("critical", "but the attack STILL PAYS"),
    "UNPROVEN": ("page", "but it is not proven that it blocks the attack"),
}


def told(state: CoreState, incident: IncidentRecord) -> Iterator[Notify]:
    """Notices of this incident's responses that are due now; notes in the records that they were given."""
    for action_id in incident.actions:
        record = state.actions.get(action_id)
        news = _news(record) if record is not None else None
        if record is None or news is None or news[0] in record.told:
            continue
        key, severity, said = news
        record.told.append(key)
        yield Notify(
            id=f"{action_id}/notify/{key}",
            incident=incident.id,
            assets=record.action.assets,
            action_class=ActionClass.OBSERVE,
            cause=state.seq,
            because=record.reason or record.action.because,
            severity=severity,
            title=f"{_named(record)} {said}",
        )


def _news(record: ActionRecord) -> tuple[str, Severity, str] | None:
    """What there is to tell: a key under which it is told once, how urgent it is, and the words."""
    match record.stage:
        case "waiting":
            return f"waiting:{record.gate}", "critical", "waits for a person: approve or reject it"
        case "refused" if _stands(record):
            severity = _REFUSED.get(record.gate, "critical")
            return f"refused:{record.gate}", severity, f"is NOT done: refused by {record.gate}"
        case "withheld":
            return "withheld", "warning", f"was not sent: {record.reason} mode"
        case "verified":
            severity, said = _HOLDS[record.blocked]
            if isinstance(record.action, ExtendPause) and record.blocked != "fails":
                severity = "info"
            return f"verified:{record.blocked}", severity, f"is in force since block {record.included_block} {said}"
        case "failed":
            said = _FAILED.get(record.gate, f"FAILED: {record.gate}")
            return f"failed:{record.gate}", "critical", f"{said} (block {record.included_block})"
        case "lapsed":
            return "lapsed", "page", "was lifted by a person" if record.gate == "person" else "ran out by itself"
        case _:
            return None


def _stands(record: ActionRecord) -> bool:
    """Whether a refusal is news: not that of a better choice or a person, nor a fork's first that is tried again."""
    return record.gate not in ("planner", "person", "mode") and (record.gate != "fork" or record.tries >= TRIES)


def _named(record: ActionRecord) -> str:
    assets = record.action.assets
    more = f" and {len(assets) - MOST_NAMED} more" if len(assets) > MOST_NAMED else ""
    kind = _KINDS.get(type(record.action), "action")
    return f"{kind} of {', '.join(assets[:MOST_NAMED])}{more}"


def switched(state: CoreState, event: Disarmed | Armed) -> Notify:
    """A page that the kill switch was turned: whoever did it may not be who should."""
    off = isinstance(event, Disarmed)
    return Notify(
        id=f"kill switch/{state.seq}",
        incident="kill switch",
        assets=(),
        action_class=ActionClass.OBSERVE,
        cause=state.seq,
        because=event.reason[:300],
        severity="page",
        title=f"{'DISARMED' if off else 'armed'} by {event.by}: {'nothing is signed' if off else 'it may act again'}",
    )


def authority_lost(before: AuthorityProbed | None, now: AuthorityProbed) -> Notify | None:
    """A page when a response would no longer be accepted on chain; None while that is not new."""
    if now.ok or now.why.startswith(UNKNOWN) or (before is not None and not before.ok):
        return None
    return Notify(
        id=f"authority/{now.asset}/{now.kind}/{now.block_number}",
        incident="authority",
        assets=(now.asset,),
        action_class=ActionClass.OBSERVE,
        cause=0,
        because=now.why[:300],
        severity="page",
        title=f"{now.kind} of {now.asset} by {now.signer} would fail on chain",
    )
