"""Scoring as decide.md says: caps, groups, discounts, decay, what a proof outweighs. Properties by hypothesis."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.scoring import Aged, act_threshold, assess, fuse, logit, probability
from monitor.model.policy import Policy
from monitor.model.signals import Signal, Subject
from tests.core.builders import signal

POLICY = Policy()
SUBJECT = Subject("asset", "vault")


def p_of(*signals: Signal, age_s: float = 0.0, precursor: bool = False) -> float:
    aged = [Aged(s, age_s) for s in signals]
    return assess(SUBJECT, "exploit", aged, policy=POLICY, precursor=precursor).p


def soft(evidence: str, weight: float, n: int, **fields: object) -> Signal:
    found = {"prior": "asset", "half_life_s": 0, "roots": (f"tx:{n}",), "detector": f"d{n}"} | fields
    return signal(evidence=evidence, weight=weight, **found)  # type: ignore[arg-type]


def test_one_proof_on_a_moving_transaction_reaches_class_two() -> None:
    assert p_of(signal()) == pytest.approx(0.990, abs=5e-4)


def test_one_strong_signal_on_an_asset_is_only_shown() -> None:
    assert p_of(soft("strong", 9.0, 1)) == pytest.approx(0.010, abs=1e-3)


def test_nothing_said_leaves_the_prior() -> None:
    assert p_of() == pytest.approx(POLICY.prior_asset)


def test_an_open_precursor_raises_the_prior() -> None:
    assert p_of(precursor=True) == pytest.approx(POLICY.prior_precursor)


def test_fakeable_evidence_never_adds_more_than_its_cap_however_often() -> None:
    many = [soft("fakeable", 9.0, n) for n in range(20)]
    assert logit(p_of(*many)) == pytest.approx(logit(POLICY.prior_asset) + 2.5)


def test_fakeable_and_bytecode_together_add_at_most_five() -> None:
    many = [soft("fakeable", 9.0, 1), *(soft("bytecode", 9.0, n) for n in (2, 3, 4))]
    assert logit(p_of(*many)) == pytest.approx(logit(POLICY.prior_asset) + 5.0)


def test_negative_evidence_is_bounded_and_never_offsets_a_proof() -> None:
    against = [soft("negative", -9.0, n) for n in range(5)]
    assert logit(p_of(*against)) == pytest.approx(logit(POLICY.prior_asset) - 2.0)
    assert p_of(signal(), *against) == pytest.approx(p_of(signal()))


def test_a_positive_detector_cannot_argue_for_innocence() -> None:
    assert p_of(soft("strong", -9.0, 1)) == pytest.approx(POLICY.prior_asset)


def test_ten_copies_of_one_signal_are_less_than_two_independent_ones() -> None:
    copies = [soft("strong", 4.0, 1, detector=f"d{n}") for n in range(10)]
    two = [soft("strong", 4.0, n) for n in (1, 2)]
    assert p_of(*copies) < p_of(*two)


def test_evidence_of_one_detector_is_one_group() -> None:
    found = assess(SUBJECT, "exploit", [Aged(soft("strong", 4, n, detector="d"), 0) for n in (1, 2)], policy=POLICY)
    assert (found.groups, found.strong_groups) == (1, 1)


def test_a_root_joins_groups_of_different_detectors() -> None:
    linked = [soft("strong", 4, 1), soft("strong", 4, 2), soft("strong", 4, 3, roots=("tx:1", "tx:2"))]
    assert assess(SUBJECT, "exploit", [Aged(s, 0) for s in linked], policy=POLICY).groups == 1


def test_a_proof_does_not_decay_and_a_signal_does() -> None:
    assert p_of(signal(half_life_s=60), age_s=6_000) == p_of(signal(half_life_s=60))
    assert p_of(soft("strong", 4, 1, half_life_s=60), age_s=600) < p_of(soft("strong", 4, 1))


def test_the_terms_add_up_to_the_log_odds() -> None:
    found = assess(SUBJECT, "exploit", [Aged(signal(), 0), Aged(soft("strong", 4, 2), 0)], policy=POLICY)
    assert found.logit == pytest.approx(logit(found.prior) + sum(t.counted for t in found.terms))
    assert found.lower < found.p <= found.upper


def test_without_anything_at_stake_nothing_is_worth_acting() -> None:
    assert act_threshold(cost_wrong=0, cost_act=5, effective=0.9, loss=0) == 1.0


WEIGHTS = st.lists(st.lists(st.floats(-5, 12), min_size=1, max_size=5), max_size=5)


@given(WEIGHTS, st.randoms(use_true_random=False))
def test_fusion_does_not_depend_on_order(groups: list[list[float]], shuffler: object) -> None:
    mixed = [list(g) for g in groups]
    for g in mixed:
        shuffler.shuffle(g)  # type: ignore[attr-defined]
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]
    assert fuse(0.001, mixed, discount=0.3) == pytest.approx(fuse(0.001, groups, discount=0.3), abs=1e-9)


def test_opposite_weights_of_one_size_count_in_one_order() -> None:
    assert fuse(0.001, [[1.0, -1.0]], discount=0.3) == fuse(0.001, [[-1.0, 1.0]], discount=0.3)


@given(WEIGHTS, st.floats(0, 12))
def test_a_new_group_of_positive_evidence_never_lowers_the_odds(groups: list[list[float]], more: float) -> None:
    assert fuse(0.001, [*groups, [more]], discount=0.3) >= fuse(0.001, groups, discount=0.3)


@given(st.floats(-800, 800))
def test_a_probability_stays_within_its_bounds(log_odds: float) -> None:
    assert 0.0 <= probability(log_odds) <= 1.0
