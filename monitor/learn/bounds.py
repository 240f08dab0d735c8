"""Bounds and quantiles that need scipy. Computed here, outside the decision path; they reach the core as values."""

from __future__ import annotations

import math

from scipy.stats import beta

Z_95 = 1.6448536269514722  # one-sided


def wilson_lower(successes: int, n: int, *, z: float = Z_95) -> float:
    """Lower 95 % bound of a rate, one-sided (Wilson 1927); 0 where nothing was tried."""
    if n == 0:
        return 0.0
    rate = successes / n
    centre = rate + z * z / (2 * n)
    spread = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n)


def clopper_pearson_lower(successes: int, n: int, *, level: float = 0.95) -> float:
    """Exact one-sided lower bound of a rate at `level`."""
    if successes == 0:
        return 0.0
    return float(beta.ppf(1 - level, successes, n - successes + 1))


def beta_quantile(q: float, a: float, b: float) -> float:
    """The q-quantile of Beta(a, b): a pessimistic rate from counts with a prior."""
    return float(beta.ppf(q, a, b))
