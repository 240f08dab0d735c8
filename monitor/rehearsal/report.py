"""The report as one page that needs nothing else: no script, no network, readable in light, in dark and on paper.

All text that comes from a chain or a scenario is escaped by the template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from monitor.rehearsal.plots import dollars, loss, score, seconds, timeline

SHOWN: Final = 3  # actions of a scenario; the rest are folded
_AFTER: Final = {"holds": "attack blocked", "fails": "attack still pays", "UNPROVEN": "attack not replayed"}


def write_html(path: Path, report: dict[str, Any]) -> None:
    """Render report.json's content into one self-contained file."""
    loader = PackageLoader("monitor.rehearsal", "templates")
    page = Environment(loader=loader, autoescape=select_autoescape(["html"]), undefined=StrictUndefined)
    page.globals.update(timeline=timeline, score=score, loss=loss, dollars=dollars, seconds=seconds)
    page.globals.update(verdict=verdict, after=after, variants=variants, percent=percent, shown=SHOWN)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.get_template("report.html").render(report=report), encoding="utf-8")


def verdict(row: Mapping[str, Any]) -> str:
    """How a scenario ended, in a word or two."""
    if row["contained"] is None:
        return "left alone" if row["ok"] else "disturbed"
    return "contained" if row["contained"] else "not contained"


def after(checks: Sequence[Mapping[str, Any]]) -> str:
    """What the chain said at +1, +3 and +12 blocks."""
    said = (f"+{c['blocks']}: {c['holds']}, {_AFTER.get(c['blocked'], c['blocked'])}" for c in checks)
    return " · ".join(said) or "–"


def variants(found: Sequence[Mapping[str, Any]]) -> str:
    """How many re-parameterised attacks the response stops, and which it leaves to another."""
    if not found:
        return "none was tried"
    said = [f"{sum(1 for v in found if v['verdict'] == 'holds')} of {len(found)} stopped"]
    for verdict, words in (("fails", "not by this response"), ("UNPROVEN", "not proven")):
        named = ", ".join(v["name"] for v in found if v["verdict"] == verdict)
        said += [f"{words}: {named}"] if named else []
    return "; ".join(said)


def percent(ratio: float | None) -> str:
    """A ratio as people read it; never rounded up to 100 %."""
    if ratio is None:
        return "–"
    return "100 %" if ratio >= 1 else f"{int(ratio * 10_000) / 100:.2f} %"
