"""The shipped policy: every number that decides, with its reason in docs/decide.md. A value of the configuration."""

from __future__ import annotations

from msgspec import Struct


class ClassRule(Struct, frozen=True):
    """What one action class demands."""

    floor: float  # least p
    off: float  # hysteresis: below this the hypothesis is over
    automatic: bool  # at full autonomy
    needs_proof: bool
    needs_strong_groups: int  # enough without a proof; 0: no such way
    needs_groups: int  # independent groups besides the proof
    outage_factor: float  # cost of acting wrongly: minutes of outage × cost a minute × this
    outage_min: float  # minutes of outage that one such action costs
    rate: int  # incidents per `rate_window_s` and asset
    rate_window_s: int
    cooldown_s: int
    cooldown_max_s: int


class ChainRule(Struct, frozen=True):
    """What the core must know of a chain."""

    chain_id: int
    name: str
    slot_s: int = 12
    quorum: int = 2  # 1 caps automatic action at `single_node_max_class`


class Policy(Struct, frozen=True):
    name: str = "default"
    prior_asset: float = 1e-4
    prior_precursor: float = 1e-3
    prior_movement: float = 1e-3
    discount: float = 0.3  # inside a group
    cap_proof: float = 11.5
    cap_strong: float = 4.605170185988092
    cap_bytecode: float = 3.5
    cap_fakeable: float = 2.5
    cap_fakeable_total: float = 2.5
    cap_soft_total: float = 5.0  # fakeable and bytecode together
    cap_negative_total: float = -2.0
    noise: float = 0.05  # q: what a broken source says by chance
    dwell_s: int = 1800
    approval_s: int = 300
    authority_max_age_blocks: int = 50
    bid_share: float = 0.02  # of p·e·ΔL
    bid_blind_share: float = 0.1  # of that cap, where the rival's bid is not seen
    outrank: float = 1.15
    bid_floor_wei: int = 2 * 10**16  # a response may always cost this much, also where nothing at stake has a price
    bid_max_wei: int = 2 * 10**18
    p_effective: float = 0.9  # e: chance that the action lands and works, until measured
    single_node_max_class: int = 2
    keep_uses: int = 1  # the last use of a limited pause is a person's
    outage_budget_s: tuple[int, int, int, int] = (0, 0, 21_600, 43_200)  # by class, per 30 days
    rehearse_deadline_ms: int = 500
    total_deadline_ms: int = 2_000
    classes: tuple[ClassRule, ClassRule, ClassRule, ClassRule, ClassRule] = (
        ClassRule(0.10, 0.05, True, False, 0, 0, 1.0, 0.0, 60, 3_600, 0, 0),
        ClassRule(0.70, 0.50, True, False, 2, 0, 1.0, 5.0, 6, 3_600, 300, 300),
        ClassRule(0.90, 0.50, True, True, 0, 0, 3.0, 60.0, 2, 86_400, 300, 21_600),
        ClassRule(0.97, 0.50, False, True, 0, 2, 10.0, 60.0, 1, 86_400, 300, 21_600),
        ClassRule(0.99, 0.50, False, True, 0, 2, 10.0, 60.0, 0, 86_400, 0, 0),
    )
    floor_tighten: float = 0.30
    floor_tighten_off: float = 0.15
