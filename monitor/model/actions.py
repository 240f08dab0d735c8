"""What may be done: actions (what), plans (the exact calls), and what became of them."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from msgspec import Struct

from monitor.model.chain import Call, SlotChange, Transaction
from monitor.model.units import Address, ChainId, Hash, Usd, Wei


class ActionClass(IntEnum):
    OBSERVE = 0
    NARROW = 1
    SCOPED = 2
    GLOBAL = 3
    IRREVERSIBLE = 4


class Action(Struct, frozen=True, tag_field="kind", kw_only=True):
    """What policy wants done. Says nothing about how.

    `id` is a pure function of the incident, the kind and the targets: a response is idempotent by it.
    """

    id: str
    incident: str
    assets: tuple[str, ...]  # what it acts on; sisters of one guardian share an action
    action_class: ActionClass
    cause: int  # seq of the event that made us decide
    because: str


class Pause(Action, frozen=True, tag="pause", kw_only=True):
    duration_s: int


class ExtendPause(Action, frozen=True, tag="extend_pause", kw_only=True):
    """Costs no use; sent while the attack still pays on the fork."""

    duration_s: int


class Tighten(Action, frozen=True, tag="tighten", kw_only=True):
    until_s: int  # seconds from inclusion; at most 7,200


class Notify(Action, frozen=True, tag="notify", kw_only=True):
    severity: Literal["info", "warning", "page", "critical"]
    title: str


AnyAction = Pause | ExtendPause | Tighten | Notify


class Expectation(Struct, frozen=True):
    """A view call that must return this word after the response."""

    call: Call
    word: bytes
    text: str


class Plan(Struct, frozen=True):
    """The exact calls of one response, in order, and what must hold after them. Made by a responder, purely."""

    action: AnyAction
    chain_id: ChainId
    signer: str
    calls: tuple[Call, ...]
    expects: tuple[Expectation, ...]
    golden: tuple[Call, ...] = ()  # must still pass
    forbidden: tuple[Call, ...] = ()  # must now fail
    inverse: str = ""  # who undoes it, and how, in words
    max_gas: int = 400_000


Verdict = Literal["holds", "fails", "UNPROVEN"]


class VariantResult(Struct, frozen=True):
    """One re-parameterised attack, run without and with the response on the same head."""

    name: str  # as seen, fresh caller, scaled, sister …
    asset: str
    loss_without_usd: Usd
    loss_with_usd: Usd
    verdict: Verdict


class Rehearsal(Struct, frozen=True):
    """What the fork said. Tier 1: valid. Tier 2: loss with and without. Tier 3: variants."""

    action_id: str
    block_number: int
    block_hash: Hash
    valid: Verdict
    why: str
    gas_used: int
    golden_passed: int
    golden_broken: tuple[str, ...]
    loss_without_usd: Usd
    loss_with_usd: Usd
    loss_verdict: Verdict  # UNPROVEN when the deadline passed or the attack no longer runs
    variants: tuple[VariantResult, ...] = ()
    predicted: tuple[SlotChange, ...] = ()
    took_ms: float = 0.0
    engine: str = ""


class Rehearsed(Struct, frozen=True):
    """A plan that the fork lab found valid. Only the lab makes one; only this can be sent."""

    plan: Plan
    rehearsal: Rehearsal


class Bid(Struct, frozen=True):
    """Fees that the core allows for one response: where to start, and never above, wei per gas and in total."""

    tip: int
    max_tip: int
    max_cost: Wei


class Clearance(Struct, frozen=True):
    """The core's go for one rehearsed action: every gate has passed."""

    action_id: str
    bid: Bid
    expires_block: int


class Refusal(Struct, frozen=True):
    """One gate's no, with the reason that a person reads at 4 a.m."""

    action_id: str
    gate: str
    reason: str
    recoverable: bool  # a person may approve it


class Check(Struct, frozen=True):
    """Verify one included response now."""

    action_id: str
    after_blocks: int


class Attack(Struct, frozen=True):
    """What the lab replays: the transactions that showed the proof, on which asset, by whom."""

    transactions: tuple[Transaction, ...]
    asset: str
    attacker: Address | None
    mined: bool
    code_overrides: tuple[tuple[Address, bytes], ...] = ()  # a transplanted attack's rewritten contracts
