"""The report as one page that needs nothing else: a timeline, the score over time, loss with and without.

All text that comes from a chain or a scenario is escaped by the template; there is no script in the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

WIDTH: Final = 860
_STAGES: Final = (
    ("first_malicious_at_ms", "first malicious", "#c0392b"),
    ("detected_at_ms", "detected", "#d68910"),
    ("decided_at_ms", "decided", "#b7950b"),
    ("broadcast_at_ms", "broadcast", "#2874a6"),
    ("included_at_ms", "included", "#1e8449"),
    ("verified_at_ms", "verified", "#145a32"),
)
_COLOURS: Final = ("#2874a6", "#c0392b", "#1e8449", "#7d3c98", "#d68910", "#117864", "#566573", "#a04000")


def write_html(path: Path, report: dict[str, Any]) -> None:
    """Render report.json's content into one self-contained file."""
    loader = PackageLoader("monitor.rehearsal", "templates")
    page = Environment(loader=loader, autoescape=select_autoescape(["html"]), undefined=StrictUndefined)
    page.globals.update(timeline=timeline, score=score, bars=bars, dollars=dollars, seconds=seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.get_template("report.html").render(report=report), encoding="utf-8")


def dollars(micro: int) -> str:
    return f"{micro / 1_000_000:,.0f}"


def seconds(ms: float | None) -> str:
    return "–" if ms is None else f"{ms / 1000:,.3f} s"


def timeline(row: dict[str, Any]) -> Markup:
    """When what happened, from a slot before the attack to the first verification."""
    marks = [(row[key], name, colour) for key, name, colour in _STAGES if row.get(key) is not None]
    if not marks:
        return Markup("<p>No response.</p>")
    first, last = min(m[0] for m in marks) - 1_000, max(m[0] for m in marks) + 1_000
    drawn = []
    for i, (at, name, colour) in enumerate(marks):
        x = 10 + (WIDTH - 180) * (at - first) / (last - first)
        y = 16 + 18 * i
        drawn.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 8}" y2="{20 + 18 * len(marks)}" stroke="{colour}"/>'
            f'<circle cx="{x:.1f}" cy="{y}" r="4" fill="{colour}"/>'
            f'<text x="{x + 8:.1f}" y="{y + 4}">{escape(name)} {seconds(at)}</text>'
        )
    return _svg("".join(drawn), 30 + 18 * len(marks), "Timeline")


def score(row: dict[str, Any]) -> Markup:
    """p over time for each subject; each point lists its terms."""
    points = row["scores"]
    if not points:
        return Markup("<p>No score rose above nothing.</p>")
    first, last = points[0]["at_ms"], max(p["at_ms"] for p in points)
    subjects = list(dict.fromkeys(p["subject"] for p in points))[: len(_COLOURS)]
    drawn = [
        f'<line x1="40" x2="{WIDTH}" y1="{_y(p)}" y2="{_y(p)}" stroke="#ddd"/>'
        f'<text x="2" y="{_y(p) + 4}">{p:.2f}</text>'
        for p in (0.1, 0.5, 0.9)
    ]
    for subject, colour in zip(subjects, _COLOURS, strict=False):
        drawn.append(_curve([p for p in points if p["subject"] == subject], first, last, colour))
    legend = " ".join(
        f'<span style="color:{colour}">■ {escape(s)}</span>' for s, colour in zip(subjects, _COLOURS, strict=False)
    )
    return _svg("".join(drawn), 160, "Score over time") + Markup(f"<p class=legend>{legend}</p>")


def bars(row: dict[str, Any]) -> Markup:
    """Loss without the defence and with it, on one scale."""
    most = max(row["loss_without_usd"], row["loss_usd"], 1)
    drawn = ""
    for i, (name, value, colour) in enumerate(
        (("without", row["loss_without_usd"], "#c0392b"), ("with", row["loss_usd"], "#1e8449"))
    ):
        width = max((WIDTH - 260) * value / most, 1)
        drawn += (
            f'<text x="2" y="{18 + 24 * i}">{name}</text><rect x="70" y="{6 + 24 * i}" width="{width:.1f}" height="16"'
            f' fill="{colour}"/><text x="{76 + width:.1f}" y="{18 + 24 * i}">{dollars(value)} USD</text>'
        )
    return _svg(drawn, 56, "Loss without and with the defence")


def _curve(points: list[dict[str, Any]], first: float, last: float, colour: str) -> str:
    span = max(last - first, 1.0)
    drawn, path = [], []
    for point in points:
        x, y = 50 + (WIDTH - 70) * (point["at_ms"] - first) / span, _y(point["p"])
        path.append(f"{x:.1f},{y}")
        terms = "; ".join(f"{t['detector']} {t['counted']:+.2f}" for t in point["terms"])
        title = escape(f"{seconds(point['at_ms'])} p {point['p']:.4f}: {terms}")
        drawn.append(f'<circle cx="{x:.1f}" cy="{y}" r="3" fill="{colour}"><title>{title}</title></circle>')
    return f'<polyline points="{" ".join(path)}" fill="none" stroke="{colour}"/>' + "".join(drawn)


def _y(p: float) -> int:
    return round(150 - 140 * p)


def _svg(inside: str, height: int, title: str) -> Markup:
    return Markup(f'<svg role="img" aria-label="{title}" viewBox="0 0 {WIDTH} {height}" width="100%">{inside}</svg>')
