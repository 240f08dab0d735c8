"""A signal: one detector's claim about one subject, with what it rests on."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from monitor.model.chain import Transaction
from monitor.model.units import Address, ChainId, Hash, Usd

Evidence = Literal["proof", "strong", "bytecode", "fakeable", "negative"]
SubjectKind = Literal["asset", "key", "spender", "code", "recipients", "source"]
Threat = Literal[
    "stolen_key",  # somebody else signs for a hot wallet
    "exploit",  # a contract pays out what nobody is owed
    "forged_message",  # a bridge honours what was never locked
    "price_manipulation",
    "blind",  # we do not see: raises no probability of theft
]


class Subject(Struct, frozen=True, order=True):
    """What a hypothesis is about. `id` is an asset's name, or hex of an address or code hash."""

    kind: SubjectKind
    id: str


class Fact(Struct, frozen=True):
    """What a proof rests on, so that it can be verified again at any head.

    rule     conservation | invariant | no_ledger_entry | declared_never
    attack   the transaction that shows it, pending or mined; replaying it is how loss is measured
    held_at  block at whose state it was shown; 0 for a pending transaction
    """

    rule: Literal["conservation", "invariant", "no_ledger_entry", "declared_never"]
    chain_id: ChainId
    text: str
    attack: Transaction | None = None
    mined: bool = False
    block_hash: Hash | None = None
    held_at: int = 0
    code_overrides: tuple[tuple[Address, bytes], ...] = ()  # where the attack is a transplant


class Signal(Struct, frozen=True):
    """`weight` is the log-likelihood ratio before caps, decay and group discount (docs/decide.md)."""

    detector: str
    subject: Subject
    threat: Threat
    weight: float
    evidence: Evidence
    half_life_s: int  # 0: does not decay
    asset: str  # the asset that this endangers
    because: str
    roots: tuple[str, ...] = ()  # transaction, sender, funder, recipient cluster, vendor: equal roots make one group
    prior: Literal["asset", "movement"] = "asset"  # movement: one transaction or request that moves value out
    fact: Fact | None = None
    loss_usd: Usd = Usd(0)  # seen so far; the fork says what else is at stake
    attacker: Address | None = None


class About(Struct, frozen=True):
    """A detector's data sheet. Shown to operators; docs are generated from it."""

    id: str
    title: str
    watches: tuple[str, ...]  # event class names
    threats: tuple[Threat, ...]
    evidence: Evidence
    weight: float
    half_life_s: int
    window_s: int  # longest memory
    clock: Literal["chain", "seen", "none"]
    cost_to_fake_usd: int
    blind_spots: str
    runbook: str
