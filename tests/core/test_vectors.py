"""The decision maths reproduces vectors that were computed independently (tests/vectors/decision.json), to 1e-9."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from monitor.core.limits import cooldown_s, schmitt
from monitor.core.scoring import act_threshold, decayed, fuse, log_likelihood_ratio, probability
from monitor.model.policy import Policy

VECTORS: dict[str, Any] = json.loads((pathlib.Path(__file__).parent.parent / "vectors" / "decision.json").read_text())
NEAR = 1e-9


@pytest.mark.parametrize("v", VECTORS["fuse"])
def test_groups_fuse_into_log_odds(v: dict[str, Any]) -> None:
    log_odds = fuse(v["prior"], v["groups"], discount=Policy().discount)
    assert log_odds == pytest.approx(v["logit"], abs=NEAR)
    assert probability(log_odds) == pytest.approx(v["p"], abs=NEAR)


@pytest.mark.parametrize("v", VECTORS["llr"])
def test_a_broken_source_says_less(v: dict[str, Any]) -> None:
    weight = log_likelihood_ratio(reliability=v["reliability"], tpr=v["tpr"], fpr=v["fpr"], noise=v["q"])
    assert weight == pytest.approx(v["llr"], abs=NEAR)


@pytest.mark.parametrize("v", VECTORS["decay"])
def test_evidence_decays_by_half_lives(v: dict[str, Any]) -> None:
    assert decayed(v["llr"], age_s=v["age_s"], half_life_s=v["half_life_s"]) == pytest.approx(v["value"], abs=NEAR)


@pytest.mark.parametrize("v", VECTORS["pstar"])
def test_the_threshold_weighs_costs_against_loss(v: dict[str, Any]) -> None:
    found = act_threshold(cost_wrong=v["cost_fp"], cost_act=v["cost_act"], effective=v["p_effective"], loss=v["loss"])
    assert found == pytest.approx(v["p_star"], abs=NEAR)


@pytest.mark.parametrize("v", VECTORS["schmitt"])
def test_hysteresis_is_on_at_the_floor_and_off_at_half(v: dict[str, Any]) -> None:
    on, states = False, []
    for p in v["x"]:
        on = schmitt(on, p, on=v["on"], off=v["off"])
        states.append(int(on))
    assert states == v["state"]


@pytest.mark.parametrize("v", VECTORS["cooldown"])
def test_cooldowns_double_up_to_six_hours(v: dict[str, Any]) -> None:
    assert cooldown_s(v["n"], Policy().classes[2]) == v["seconds"]
