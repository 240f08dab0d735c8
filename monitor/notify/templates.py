"""A notice as plain text: what, where, the score by contribution, what was done, what to do. Bounded and harmless.

Titles, reasons and names may hold text that an attacker wrote (token names, proposal texts, calldata). It is shown as
text: no line breaks, no control, direction or invisible characters, no mention of everyone, no link to click on.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from msgspec import Struct

from monitor.model.actions import Notify
from monitor.model.incidents import Assessment, Contribution, Incident
from monitor.model.units import DOLLAR

MAX_TITLE: Final = 120  # characters
MAX_LINE: Final = 300
MAX_BODY: Final = 3_500  # the tightest of the common channels takes 4,096
MAX_TERMS: Final = 12
MAX_MARKS: Final = 2  # combining marks in a row

_SPOKEN: Final = str.maketrans({"@": "(at)", "<": "‹", ">": "›", "`": "'", "\\": "/", "|": "¦", "*": "∗", "~": "∼"})
_BROKEN: Final = (("://", "[:]//"), ("](", "] ("), ("www.", "www[.]"))
_TODO: Final = {
    "info": "Nothing. It is written down.",
    "warning": "Look at it today: drawbridge incidents {incident}",
    "page": "Look at it now: drawbridge incidents {incident}",
    "critical": "Drop everything: drawbridge incidents {incident}. To stop automatic action: drawbridge disarm.",
}


class Details(Struct, frozen=True):
    """What is known beyond the notice itself."""

    incident: Incident | None = None
    assessment: Assessment | None = None
    done: tuple[str, ...] = ()  # what was done, one line each
    todo: tuple[str, ...] = ()  # what a person should do; else by severity


def title_of(notice: Notify) -> str:
    """One line, the severity first."""
    return f"[{notice.severity}] {neutral(notice.title, MAX_TITLE)}"


def body_of(notice: Notify, details: Details | None = None, *, held_back: int = 0) -> str:
    """The whole text. `held_back` says how many notices of this kind were not sent since the last one."""
    known = details or Details()
    incident = neutral(notice.incident, 80)
    lines = [f"What: {neutral(notice.title)}", f"Where: {_named(notice.assets)}", f"Incident: {incident}"]
    lines += _state(known.incident)
    lines += [f"Because: {neutral(notice.because)}"] if notice.because else []
    lines += _score(known.assessment)
    lines += [f"Done: {neutral(line)}" for line in known.done[:MAX_TERMS]]
    lines += ["Done: nothing yet."] if not known.done and not known.todo else []
    todo = known.todo[:MAX_TERMS] or (_TODO[notice.severity].format(incident=incident),)
    lines += [f"To do: {neutral(line)}" for line in todo]
    lines += [f"{held_back} more of this incident and severity were held back."] if held_back else []
    return _cut("\n".join(lines), MAX_BODY)


def neutral(text: str, limit: int = MAX_LINE) -> str:
    """Text that says the same to a reader and nothing to a terminal, a chat client or a browser; on one line."""
    shown, marks = [], 0
    for character in unicodedata.normalize("NFKC", text[: limit * 4]):
        kind = unicodedata.category(character)
        marks = marks + 1 if kind[0] == "M" else 0
        if kind[0] in "CZ":
            shown.append(" " if character in " \t\r\n\u2028\u2029" or kind == "Zs" else "·")
        elif marks <= MAX_MARKS:
            shown.append(character)
    plain = "".join(shown).translate(_SPOKEN)
    for unsafe, safe in _BROKEN:
        plain = plain.replace(unsafe, safe)
    return _cut(" ".join(plain.split()), limit)


def _named(assets: tuple[str, ...]) -> str:
    shown = ", ".join(neutral(name, 60) for name in assets[:MAX_TERMS]) or "no asset"
    return f"{shown} and {len(assets) - MAX_TERMS} more" if len(assets) > MAX_TERMS else shown


def _state(incident: Incident | None) -> list[str]:
    if incident is None:
        return []
    return [f"State: {incident.state}, loss seen {incident.loss_seen_usd // DOLLAR:,} USD"]


def _score(assessment: Assessment | None) -> list[str]:
    if assessment is None:
        return []
    proven = "proven" if assessment.proof else "not proven"
    certain = f"between {assessment.lower:.3f} and {assessment.upper:.3f}, {assessment.groups} independent groups"
    terms = sorted(assessment.terms, key=lambda term: -abs(term.counted))
    lines = [f"Score: p {assessment.p:.3f} ({certain}, {proven})", *(_term(term) for term in terms[:MAX_TERMS])]
    return [*lines, f"  … and {len(terms) - MAX_TERMS} smaller terms"] if len(terms) > MAX_TERMS else lines


def _term(term: Contribution) -> str:
    return f"  {term.counted:+.2f} {neutral(term.detector, 40)}: {neutral(term.because, 160)}"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
