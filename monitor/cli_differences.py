"""How one step differs from another, in words: what is only in the journal, and what only came out of the replay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from monitor.cli_moments import meant
from monitor.model.actions import Check, Clearance, ExtendPause, Notify, Pause, Refusal, Tighten
from monitor.model.events import Request
from monitor.model.incidents import Assessment, Candidates, Incident, Step
from monitor.model.signals import Signal
from monitor.shell.replay import Difference

DECISIONS: Final = ("incidents", "rehearse", "clear", "refuse", "chase", "notify")


def lines(difference: Difference, *, decisions_only: bool) -> Iterator[str]:
    """A line for each thing that is in one of the two only."""
    for name in DECISIONS if decisions_only else Step.__struct_fields__:
        was, now = getattr(difference.journalled, name), getattr(difference.replayed, name)
        if was == now:
            continue
        if not isinstance(was, tuple) or not isinstance(now, tuple):
            yield f"{name}: - {was} + {now}"
            continue
        yield from (f"- {name}: {_label(one)}" for one in was if one not in now)
        yield from (f"+ {name}: {_label(one)}" for one in now if one not in was)


def _label(value: Any) -> str:
    match value:
        case Signal():
            return f"{value.detector}, λ {value.weight:+.3f} on {value.subject.id}: {value.because}"
        case Assessment():
            return f"p {value.p:.6f} for {value.threat} on {value.subject.id}{', proven' if value.proof else ''}"
        case Incident():
            return f"{value.id} {value.state}, p {value.p:.6f}, actions {', '.join(value.actions) or 'none'}"
        case Candidates():
            return f"{value.incident}: {'; '.join(meant(action) for action in value.actions)}"
        case Clearance():
            return f"{value.action_id}, tip {value.bid.tip}, until block {value.expires_block}"
        case Refusal():
            return f"{value.action_id} at {value.gate}: {value.reason}"
        case Check():
            return f"{value.action_id} after {value.after_blocks} blocks"
        case Request():
            return value.key
        case Pause() | ExtendPause() | Tighten() | Notify():
            return f"{value.id}: {meant(value)}"
        case _:
            return str(value)[:200]
