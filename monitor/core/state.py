"""The core's memory as one value: what a snapshot holds, a reorg restores and a restart begins from."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from monitor.core.limits import Acts
from monitor.model.actions import AnyAction, Attack, Clearance, Rehearsal, Verdict
from monitor.model.chain import Header
from monitor.model.events import AuthorityProbed, HealthSeen, PriceSeen, ResponseIncluded, ResponseSigned
from monitor.model.incidents import Assessment
from monitor.model.incidents import State as IncidentStage
from monitor.model.signals import Signal, Subject, Threat
from monitor.model.units import Instant, Usd

Stage = Literal[
    "rehearsing",  # the lab was asked
    "refused",  # a gate said no; may be tried again at a later head
    "waiting",  # for a person
    "cleared",  # the core's go; not yet signed
    "signed",  # bytes are journalled
    "sent",
    "included",
    "verified",
    "withheld",  # the mode does not send (shadow, propose)
    "lapsed",  # its pause ran out
    "failed",
]
LIVE_STAGES = ("rehearsing", "waiting", "cleared", "signed", "sent", "included", "verified", "withheld")


class Held(Struct):
    """One signal in memory."""

    signal: Signal
    seq: int
    at: Instant
    block_number: int  # head when it came, for the life of a pending proof


class Hypothesis(Struct):
    """The evidence on one (subject, threat) and the last judgement of it."""

    subject: Subject
    threat: Threat
    asset: str
    held: list[Held] = field(default_factory=list)
    last: Assessment | None = None


class ActionRecord(Struct):
    """One action on its way from decision to verified effect."""

    action: AnyAction
    chain_id: int
    stage: Stage
    at: Instant
    p: float
    proof: bool
    tries: int = 0
    tried_at: int = 0  # head number at the last try: on the same head the same answer would come
    approved_by: str = ""
    gate: str = ""
    reason: str = ""
    rehearsal: Rehearsal | None = None
    clearance: Clearance | None = None
    included_block: int = 0
    included_at_s: int = 0  # chain time
    chased: int = 0
    checks: list[int] = field(default_factory=list)  # after_blocks already asked for
    lapses_at_s: int = 0  # chain time at which a pause ends by itself
    attack_pays_usd: Usd = Usd(0)
    blocked: Verdict = "UNPROVEN"  # whether it stops the attack, as last verified
    sent: list[ResponseSigned] = field(default_factory=list)  # the bytes that go out again
    included: ResponseIncluded | None = None
    told: list[str] = field(default_factory=list)  # what people know of it already


class IncidentRecord(Struct):
    """One incident; its actions and hypotheses by key."""

    id: str
    threat: Threat
    subject: Subject
    owner: str
    family: str
    opened_at: Instant
    last_evidence_at: Instant
    stage: IncidentStage = "open"
    assets: list[str] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)
    attacks: dict[str, Attack] = field(default_factory=dict)  # by asset
    rivals: dict[str, int] = field(default_factory=dict)  # bid of a pending attack by asset, wei per gas
    actions: list[str] = field(default_factory=list)
    loss_seen: dict[str, int] = field(default_factory=dict)  # by root, so that one theft counts once
    noticed: str = ""  # severity of the last notice
    waits_since: Instant = Instant(0)  # for answers about its sisters; 0 while it does not wait


class ChainHead(Struct):
    header: Header
    finalised: int = 0
    orphaned_at: int = 0  # head number when a block was last orphaned


class CoreState(Struct):
    """Everything. Dicts keep their order in a snapshot; sets are not used."""

    seq: int = 0
    now: Instant = Instant(0)
    armed: bool = True
    heads: dict[int, ChainHead] = field(default_factory=dict)
    prices: dict[str, PriceSeen] = field(default_factory=dict)
    health: dict[str, HealthSeen] = field(default_factory=dict)
    lowered_at: dict[str, Instant] = field(default_factory=dict)  # component -> when it was last below 1
    authority: dict[str, AuthorityProbed] = field(default_factory=dict)
    hypotheses: dict[str, Hypothesis] = field(default_factory=dict)
    incidents: dict[str, IncidentRecord] = field(default_factory=dict)
    actions: dict[str, ActionRecord] = field(default_factory=dict)
    asked: dict[str, Instant] = field(default_factory=dict)  # requests without an answer yet
    faults: dict[str, list[int]] = field(default_factory=dict)  # detector -> seqs of its last faults
    suspended: list[str] = field(default_factory=list)
    acts: Acts = field(default_factory=Acts)


class Snapshot(Struct):
    """The core's state and each detector's, as bytes."""

    core: CoreState
    detectors: dict[str, bytes]
