"""The drawings of a report, as SVG without a script: when what happened, the score by contribution, the loss.

Every label has a row of its own and stands on the side that has room: none covers another, none leaves the page.
Colours are custom properties of the page, which has a light and a dark set.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup, escape

WIDTH: Final = 880
ROW: Final = 20
LETTER: Final = 6.6  # widest average of the page's font at 12 px
MOST_ROWS: Final = 14
STAGES: Final = (
    ("first_malicious_at_ms", "first malicious transaction", "red"),
    ("detected_at_ms", "detected", "amber"),
    ("decided_at_ms", "decided", "amber"),
    ("broadcast_at_ms", "pause or limit broadcast", "blue"),
    ("included_at_ms", "included in a block", "green"),
    ("verified_at_ms", "verified on chain", "green"),
)
HUES: Final = ("hue0", "hue1", "hue2", "hue3", "hue4", "hue5", "hue6", "hue7")
_TICKS: Final = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_LEAST, _MOST = -9.5, 9.5  # log-odds drawn


def timeline(row: Mapping[str, Any]) -> Markup:
    """When what happened, counted from the first malicious transaction."""
    zero = row.get("first_malicious_at_ms")
    if zero is None:
        return Markup("<p class=quiet>Nothing malicious was sent.</p>")
    marks = sorted((row[key] - zero, name, hue) for key, name, hue in STAGES if row.get(key) is not None)
    first: float = marks[0][0]
    last: float = max(marks[-1][0], first + 1_000.0)
    left, right = 16.0, WIDTH - 16.0
    foot = ROW * len(marks) + 12

    def x(at: float) -> float:
        return left + (right - left) * (at - first) / (last - first)

    drawn = [f'<line class="axis" x1="{left}" x2="{right}" y1="{foot}" y2="{foot}"/>']
    for at in _instants(first, last):
        drawn.append(f'<line class="axis" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{foot - 3}" y2="{foot + 3}"/>')
        drawn.append(_text(x(at), foot + 16, f"{at / 1000:+,.0f} s" if at else "0", "quiet", middle=True))
    for i, (at, _, hue) in enumerate(marks):
        y = ROW * i + 12
        drawn.append(f'<line class="{hue}" x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{y}" y2="{foot}"/>')
        drawn.append(f'<circle class="{hue}" cx="{x(at):.1f}" cy="{y}" r="4.5"/>')
    for i, (at, name, _) in enumerate(marks):
        drawn.append(_text(x(at), ROW * i + 16, f"{name}  {_after(at)}", "label"))
    return _svg(drawn, foot + 24, "When what happened, in seconds after the first malicious transaction")


def loss(row: Mapping[str, Any]) -> Markup:
    """Loss without the defence and with it, on one scale."""
    most = max(row["loss_without_usd"], row["loss_usd"], 1)
    drawn: list[str] = []
    for i, (name, value, hue) in enumerate(
        (("nobody defends", row["loss_without_usd"], "red"), ("with Drawbridge", row["loss_usd"], "green"))
    ):
        width, y = max((WIDTH - 300) * value / most, 1.5), ROW * 1.2 * i
        drawn.append(_text(0, y + 14, name, "label"))
        drawn.append(f'<rect class="{hue}" x="110" y="{y + 2}" width="{width:.1f}" height="16" rx="2"/>')
        drawn.append(_text(110 + width, y + 14, f"{dollars(value)} USD", "label"))
    return _svg(drawn, round(ROW * 2.4), "Loss without and with the defence")


def score(row: Mapping[str, Any]) -> Markup:
    """One bar for each assessment that moved: it starts at the prior, each detector adds its part, and ends at p."""
    told = list(_moved(row["scores"]))
    if not told:
        return Markup("<p class=quiet>No score rose.</p>")
    detectors = sorted({term["detector"] for point in told for term in point["terms"]})
    hues = {name: HUES[i % len(HUES)] for i, name in enumerate(detectors)}
    zero = row.get("first_malicious_at_ms") or 0.0
    kept = _kept(told)
    height = ROW * len(kept)
    drawn: list[str] = []
    for p in _TICKS:
        drawn.append(f'<line class="grid" x1="{_x(p):.1f}" x2="{_x(p):.1f}" y1="0" y2="{height}"/>')
        drawn.append(_text(_x(p), height + 14, f"{p:g}", "quiet", middle=True))
    priors: dict[str, float] = {}
    for i, point in enumerate(kept):
        drawn.extend(_assessed(point, y=ROW * i, hues=hues, zero=zero, priors=priors))
    picture = _svg(drawn, height + 20, "Probability by contribution, one bar for each assessment")
    left_out = len(told) - len(kept)
    more = f" {left_out} more that changed little are in report.json." if left_out else ""
    legend = Markup(" ").join(
        Markup('<span class="key"><i class="{}"></i>{}</span>').format(hues[name], name) for name in detectors
    )
    return picture + Markup("<p class=legend>{}{}</p>").format(legend, more)


def dollars(micro: int) -> str:
    return f"{micro / 1_000_000:,.0f}"


def seconds(ms: float | None) -> str:
    if ms is None:
        return "–"
    return f"{ms:,.0f} ms" if abs(ms) < 1_000 else f"{ms / 1000:,.2f} s"


def _moved(points: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Assessments that say something else than the one before on the same subject."""
    said: dict[str, tuple[str, tuple[str, ...]]] = {}
    for point in points:
        strong = sorted({t["detector"] for t in point["terms"] if abs(t["counted"]) >= 0.05})
        new = f"{point['p']:.2f}", tuple(strong)
        if said.get(point["subject"], ("0.00", ())) != new:
            said[point["subject"]] = new
            yield point


def _kept(told: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """All where few, else those with the highest p, in the order of time."""
    if len(told) <= MOST_ROWS:
        return list(told)
    best = sorted(range(len(told)), key=lambda i: -told[i]["p"])[:MOST_ROWS]
    return [told[i] for i in sorted(best)]


def _assessed(
    point: Mapping[str, Any], *, y: int, hues: Mapping[str, str], zero: float, priors: dict[str, float]
) -> Iterator[str]:
    subject = str(point["subject"]).partition(":")[2] or str(point["subject"])
    yield _text(0, y + 14, f"{_after(point['at_ms'] - zero)}", "quiet")
    yield _text(88, y + 14, subject if len(subject) <= 16 else subject[:15] + "…", "label")
    added: dict[str, float] = {}
    for term in point["terms"]:
        added[term["detector"]] = added.get(term["detector"], 0.0) + term["counted"]
    at = _prior(point, sum(added.values()), priors)
    for name, counted in sorted(added.items(), key=lambda item: -item[1]):
        start, end = sorted((_place(at), _place(at + counted)))
        at += counted
        title = escape(f"{name} {counted:+.2f}")
        yield (
            f'<rect class="{hues[name]}{" less" if counted < 0 else ""}" x="{start:.1f}" y="{y + 4}"'
            f' width="{max(end - start, 0.5):.1f}" height="12"><title>{title}</title></rect>'
        )
    yield f'<circle class="mark" cx="{_x(point["p"]):.1f}" cy="{y + 10}" r="3.5"/>'
    yield _text(WIDTH - 70, y + 14, f"p {point['p']:.4f}", "label")


def _prior(point: Mapping[str, Any], added: float, known: dict[str, float]) -> float:
    """Where the bar starts. Near 0 and 1 a rounded p does not tell it: then where the subject's last one did."""
    subject = str(point["subject"])
    if 0.00001 < point["p"] < 0.99999:
        known[subject] = _logit(point["p"]) - added
    return known.get(subject, _logit(0.001))


def _x(p: float) -> float:
    return _place(_logit(p))


def _place(log_odds: float) -> float:
    inside = min(max(log_odds, _LEAST), _MOST)
    return 220 + (WIDTH - 310) * (inside - _LEAST) / (_MOST - _LEAST)


def _logit(p: float) -> float:
    inside = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(inside / (1 - inside))


def _after(ms: float) -> str:
    return "0" if abs(ms) < 0.05 else f"{ms / 1000:+,.3f} s"


def _instants(first: float, last: float) -> Iterable[int]:
    """Round instants, about six of them, in milliseconds."""
    steps = (1_000, 2_000, 5_000, 12_000, 30_000, 60_000, 300_000, 600_000, 3_600_000, 86_400_000)
    step = next((s for s in steps if (last - first) / s <= 9), steps[-1])
    return range(math.ceil(first / step) * step, math.floor(last) + 1, step)


def _text(x: float, y: float, text: str, name: str, *, middle: bool = False) -> str:
    """Text beside x, on the side where there is room for it; it never leaves the page."""
    wide = LETTER * len(text)
    if middle:
        at, anchor = min(max(x, wide / 2), WIDTH - wide / 2), "middle"
    elif x + 9 + wide > WIDTH:
        at, anchor = max(x - 9, wide), "end"
    else:
        at, anchor = x + 9 if x else 0.0, "start"
    return f'<text class="{name}" x="{at:.1f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(drawn: Iterable[str], height: int, title: str) -> Markup:
    """Every text in `drawn` went through escape."""
    head = f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {height}">'
    return Markup(f'<div class="wide">{head}{"".join(drawn)}</svg></div>')
