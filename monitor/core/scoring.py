"""From signals to a probability: log-odds that add up, so that every decision prints as a list of terms.

The rules and their reasons are docs/decide.md (groups, caps, decay, what a proof outweighs). Nothing here knows an
asset, a chain or a clock: signals and their ages come in, an Assessment goes out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.model.incidents import Assessment, Contribution
from monitor.model.policy import Policy
from monitor.model.signals import Evidence, Signal, Subject, Threat


@dataclass(frozen=True, slots=True)
class Aged:
    """A signal and how old its evidence is, in seconds."""

    signal: Signal
    age_s: float


def logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def probability(log_odds: float) -> float:
    """The inverse of logit, without overflow at either end."""
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1.0 + odds)


def fuse(prior: float, groups: Sequence[Sequence[float]], *, discount: float) -> float:
    """Log-odds of dependent groups of weights: inside a group the k-th strongest counts discount**(k-1) of itself."""
    return logit(prior) + sum(sum(_discounted(group, discount)) for group in groups)


def log_likelihood_ratio(*, reliability: float, tpr: float, fpr: float, noise: float) -> float:
    """The weight of a firing detector whose source works with chance `reliability` and else fires at rate `noise`."""
    fires_if_attack = reliability * tpr + (1.0 - reliability) * noise
    fires_if_benign = reliability * fpr + (1.0 - reliability) * noise
    return math.log(fires_if_attack / fires_if_benign)


def decayed(weight: float, *, age_s: float, half_life_s: float) -> float:
    """The weight after `age_s`; a half-life of 0 means that it does not decay."""
    return weight if half_life_s == 0 else weight * 2.0 ** (-age_s / half_life_s)


def act_threshold(*, cost_wrong: float, cost_act: float, effective: float, loss: float) -> float:
    """p*: the least probability at which acting costs less than waiting, all costs in one currency."""
    return min(1.0, (cost_wrong + cost_act) / (effective * loss + cost_wrong)) if loss + cost_wrong > 0 else 1.0


def assess(
    subject: Subject, threat: Threat, signals: Sequence[Aged], *, policy: Policy, precursor: bool = False
) -> Assessment:
    """Judge one hypothesis. Order of `signals` does not matter; positive evidence of a new group never lowers p."""
    prior = _prior(signals, policy=policy, precursor=precursor)
    weights = [_capped(aged, policy) for aged in signals]
    group_of = _groups([aged.signal for aged in signals])
    counted = _counted(signals, weights, group_of, policy)
    log_odds = logit(prior) + sum(counted)
    sums = _by_group(counted, group_of)
    positive = [total for total in sums.values() if total > 0]
    return Assessment(
        subject=subject,
        threat=threat,
        prior=prior,
        logit=log_odds,
        p=probability(log_odds),
        groups=len(positive),
        strong_groups=_strong(signals, counted, group_of, policy),
        proof=any(a.signal.evidence == "proof" for a in signals),
        lower=probability(log_odds - max(positive, default=0.0)),
        upper=probability(logit(prior) + sum(w for w in weights if w > 0)),
        terms=tuple(
            Contribution(a.signal.detector, g, a.signal.weight, c, a.signal.because)
            for a, g, c in zip(signals, group_of, counted, strict=True)
        ),
    )


def _strong(signals: Sequence[Aged], counted: Sequence[float], group_of: Sequence[int], policy: Policy) -> int:
    """Groups whose strong or proven evidence still counts for half a strong signal or more."""
    rows = zip(signals, counted, group_of, strict=True)
    least = policy.cap_strong / 2
    return len({g for a, c, g in rows if c >= least and a.signal.evidence in ("strong", "proof")})


def _prior(signals: Sequence[Aged], *, policy: Policy, precursor: bool) -> float:
    if any(aged.signal.prior == "movement" for aged in signals):
        return policy.prior_movement
    return policy.prior_precursor if precursor else policy.prior_asset


def _capped(aged: Aged, policy: Policy) -> float:
    signal = aged.signal
    cap = {
        "proof": policy.cap_proof,
        "strong": policy.cap_strong,
        "bytecode": policy.cap_bytecode,
        "fakeable": policy.cap_fakeable,
        "negative": 0.0,
    }[signal.evidence]
    bounded = min(signal.weight, cap)
    if signal.evidence == "negative":
        bounded = max(bounded, policy.cap_negative_total)
    elif bounded < 0:
        bounded = 0.0
    half_life = 0 if signal.evidence == "proof" else signal.half_life_s
    return decayed(bounded, age_s=max(aged.age_s, 0.0), half_life_s=half_life)


def _counted(
    signals: Sequence[Aged], weights: Sequence[float], group_of: Sequence[int], policy: Policy
) -> tuple[float, ...]:
    counted = [0.0] * len(weights)
    for group in sorted(set(group_of)):
        members = [i for i, g in enumerate(group_of) if g == group]
        members.sort(
            key=lambda i: (-abs(weights[i]), signals[i].signal.detector, signals[i].signal.because, weights[i])
        )
        for rank, i in enumerate(members):
            counted[i] = weights[i] * policy.discount**rank
    kinds = [aged.signal.evidence for aged in signals]
    _scale(counted, kinds, ("fakeable",), policy.cap_fakeable_total)
    _scale(counted, kinds, ("fakeable", "bytecode"), policy.cap_soft_total)
    _scale(counted, kinds, ("negative",), 0.0 if "proof" in kinds else -policy.cap_negative_total)
    return tuple(counted)


def _scale(counted: list[float], kinds: Sequence[Evidence], which: Sequence[Evidence], most: float) -> None:
    total = abs(sum(c for c, kind in zip(counted, kinds, strict=True) if kind in which))
    if total <= most:
        return
    for i, kind in enumerate(kinds):
        if kind in which:
            counted[i] *= most / total


def _discounted(group: Sequence[float], discount: float) -> list[float]:
    ranked = sorted(group, key=lambda weight: (-abs(weight), -weight))
    return [weight * discount**rank for rank, weight in enumerate(ranked)]


def _by_group(counted: Sequence[float], group_of: Sequence[int]) -> dict[int, float]:
    sums: dict[int, float] = {}
    for group, value in zip(group_of, counted, strict=True):
        sums[group] = sums.get(group, 0.0) + value
    return sums


def _groups(signals: Sequence[Signal]) -> tuple[int, ...]:
    """Connected components: signals that share a root, or come from one detector, are one group."""
    parent = list(range(len(signals)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for i, signal in enumerate(signals):
        for root in (f"detector:{signal.detector}", *signal.roots):
            one, other = find(first.setdefault(root, i)), find(i)
            if one != other:
                parent[max(one, other)] = min(one, other)
    return tuple(find(i) for i in range(len(signals)))
