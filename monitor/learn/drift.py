"""Drift of a standardised series: a one-sided cumulative sum (Page 1954)."""

from __future__ import annotations

from collections.abc import Iterable


def cusum(xs: Iterable[float], *, mean: float, slack: float) -> list[float]:
    """The sums after each value; the alarm is where one passes the limit that the caller chose (4 σ as shipped)."""
    sums, total = [], 0.0
    for x in xs:
        total = max(0.0, total + x - mean - slack)
        sums.append(total)
    return sums
