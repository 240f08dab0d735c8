"""One measured figure: what `drawbridge bench --json` shows of it, and how samples become it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct, to_builtins

Progress = Callable[[str], None]

MISSING: Final = "not measured: "


class Figure(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """`value` is None where nothing was measured; `note` then says why, else on what it was measured."""

    value: float | None
    unit: str
    runs: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None
    note: str = ""
    target: str = ""

    def shown(self) -> dict[str, object]:
        """As JSON holds it."""
        plain: dict[str, object] = to_builtins(self)
        return plain


class Peer(Struct, frozen=True, kw_only=True):
    """The same work done by somebody else's program, seconds each; None where it is not installed."""

    name: str
    version: str
    work: str
    ours: float | None
    theirs: float | None
    ratio: float | None
    note: str = ""

    def shown(self) -> dict[str, object]:
        """As JSON holds it."""
        plain: dict[str, object] = to_builtins(self)
        return plain


class Results(Struct, frozen=True):
    """What one measurement found."""

    figures: dict[str, Figure] = {}
    peers: tuple[Peer, ...] = ()


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below which this share lies (nearest rank)."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, max(0, round(share * (len(ordered) - 1))))]


def figure(samples: Sequence[float], unit: str, *, note: str = "", target: str = "") -> Figure:
    """Median and tail of samples that are all of one kind; at least one."""
    p50 = percentile(samples, 0.5)
    return Figure(
        value=_short(p50),
        unit=unit,
        runs=len(samples),
        p50=_short(p50),
        p95=_short(percentile(samples, 0.95)),
        p99=_short(percentile(samples, 0.99)),
        max=_short(max(samples)),
        note=note,
        target=target,
    )


def single(value: float, unit: str, *, runs: int, note: str = "", target: str = "") -> Figure:
    """A figure that is not the median of its samples, such as a ratio of two medians."""
    return Figure(value=_short(value), unit=unit, runs=runs, note=note, target=target)


def missing(unit: str, why: str, *, target: str = "") -> Figure:
    return Figure(value=None, unit=unit, note=MISSING + why, target=target)


def _short(value: float) -> float:
    """Four significant figures and no less than whole units: more would claim what timing cannot know."""
    return round(value) if abs(value) >= 10_000 else float(f"{value:.4g}")
