"""Bounds reproduce the vectors to 1e-9."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from monitor.learn.bounds import beta_quantile, clopper_pearson_lower, wilson_lower
from monitor.learn.drift import cusum

VECTORS: dict[str, Any] = json.loads((pathlib.Path(__file__).parent.parent / "vectors" / "decision.json").read_text())
NEAR = 1e-9


@pytest.mark.parametrize("v", VECTORS["wilson"])
def test_wilson_gives_the_lower_bound(v: dict[str, Any]) -> None:
    assert wilson_lower(v["k"], v["n"]) == pytest.approx(v["lower"], abs=NEAR)


@pytest.mark.parametrize("v", VECTORS["clopper_pearson"])
def test_clopper_pearson_gives_the_exact_bound(v: dict[str, Any]) -> None:
    assert clopper_pearson_lower(v["k"], v["n"]) == pytest.approx(v["lower"], abs=NEAR)


@pytest.mark.parametrize("v", VECTORS["beta_q05"])
def test_a_beta_posterior_is_read_pessimistically(v: dict[str, Any]) -> None:
    assert beta_quantile(0.05, v["a"], v["b"]) == pytest.approx(v["q05"], abs=NEAR)


@pytest.mark.parametrize("v", VECTORS["cusum"])
def test_small_shifts_add_up(v: dict[str, Any]) -> None:
    assert cusum(v["x"], mean=v["mu"], slack=v["k"]) == pytest.approx(v["s"], abs=NEAR)


def test_nothing_tried_proves_nothing() -> None:
    assert wilson_lower(0, 0) == 0.0
    assert clopper_pearson_lower(0, 10) == 0.0
