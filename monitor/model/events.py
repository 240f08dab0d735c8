"""Events: everything that the core ever learns, each in the past tense. Frozen; journalled before use."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from monitor.model.actions import Rehearsal, Verdict
from monitor.model.chain import Effects, Header, Log, Probe, Reading, SlotChange, Transaction
from monitor.model.units import Address, ChainId, Hash, Instant, Usd, Wei


class Event(Struct, frozen=True, tag=True, kw_only=True):
    """Something the outside world told us."""


class ChainEvent(Event, frozen=True, kw_only=True):
    chain_id: ChainId


class HeadSeen(ChainEvent, frozen=True, kw_only=True):
    """A block that a quorum of nodes agrees on; `digest` commits to its `count` transaction hashes."""

    header: Header
    count: int = 0
    digest: Hash | None = None
    finalised: int = 0  # highest finalised block number that the node reports


class BlockOrphaned(ChainEvent, frozen=True, kw_only=True):
    """A block that was canonical is no longer. Sent from the tip downwards, before the new HeadSeen."""

    number: int
    hash: Hash


class TransactionPending(ChainEvent, frozen=True, kw_only=True):
    """A pending transaction that names something watched; what it would do follows as PendingSimulated."""

    transaction: Transaction


class PendingSimulated(ChainEvent, frozen=True, kw_only=True):
    """What a pending transaction would do on `base`, whose effects touch something watched.

    `not_includable` is empty when our own check passed (next nonce, funds, fee, gas, sender recovers).
    `agrees` is whether the loss shows under a second block context too.
    """

    transaction: Transaction
    base: Hash
    base_number: int
    effects: Effects
    not_includable: str = ""
    agrees: bool = True


class TransactionMined(ChainEvent, frozen=True, kw_only=True):
    """A mined transaction that touches something watched, with what it did (logs always; calls and ether if traced)."""

    transaction: Transaction
    block_number: int
    block_hash: Hash
    timestamp: int
    index: int
    effects: Effects


class LogSeen(ChainEvent, frozen=True, kw_only=True):
    """A log of a watched contract whose transaction was not fetched whole."""

    block_number: int
    block_hash: Hash
    transaction: Hash
    log: Log


class StateRead(ChainEvent, frozen=True, kw_only=True):
    """Probes read at one block. `before` is the value one block earlier where known."""

    block_number: int
    block_hash: Hash
    readings: tuple[Reading, ...]


class Request(Struct, frozen=True):
    """What a detector asks for. Equal keys share one answer. Answered as SimulationDone or RequestFailed."""

    key: str
    chain_id: ChainId
    transactions: tuple[Transaction, ...]  # run in order on the head (sender impersonated), after `overrides`
    probes: tuple[Probe, ...] = ()
    code_overrides: tuple[tuple[Address, bytes], ...] = ()
    priority: int = 1  # 0 first
    deadline_ms: int = 500
    trace: bool = False  # with call frames
    rewrite: tuple[Address, ...] = ()  # contracts whose code the asker reads and overrides, with …
    exchange: tuple[tuple[Address, Address], ...] = ()  # … each first address in it replaced by the second


class SimulationDone(ChainEvent, frozen=True, kw_only=True):
    key: str
    base: Hash
    base_number: int
    effects: tuple[Effects, ...]
    code_overrides: tuple[tuple[Address, bytes], ...] = ()  # as it ran: given and rewritten


class RequestFailed(ChainEvent, frozen=True, kw_only=True):
    key: str
    why: str


class WithdrawalAuthorised(Event, frozen=True, kw_only=True):
    """A ledger row: this much of this asset may leave to this destination."""

    ledger: str
    id: str
    chain_id: ChainId
    token: Address
    to: Address
    amount: Wei
    authorised_at: Instant
    sequence: int  # position in the feed, for the watermark


class LedgerComplete(Event, frozen=True, kw_only=True):
    """A signed watermark: the feed has delivered every row up to `sequence` that existed at `at`."""

    ledger: str
    sequence: int
    at: Instant


class PriceSeen(Event, frozen=True, kw_only=True):
    """Micro-dollars for one whole token (10**decimals units)."""

    chain_id: ChainId
    token: Address
    usd: Usd
    decimals: int
    source: str
    block_number: int = 0
    at: Instant = Instant(0)


class ConfigurationLoaded(Event, frozen=True, kw_only=True):
    """The content hash of everything that decides: settings, policy, labels, code version. Bytes are in blobs."""

    settings: Hash
    policy: Hash
    code_version: str
    mode: Literal["shadow", "propose", "enforce"]


class Tick(Event, frozen=True, kw_only=True):
    """Every second, so that silence is seen by pure code."""


class Fault(Event, frozen=True, kw_only=True):
    """Something of ours or of a source's failed, and the rest went on."""

    where: str
    what: str
    on: str = ""
    count: int = 1


class HealthSeen(Event, frozen=True, kw_only=True):
    """One component's health: 0, 0.5 or 1. See docs/decide.md, telemetry."""

    component: str  # e.g. head:devnet, nodes:devnet, ledger:main, journal, signer:guardian-key, gas:guardian-key
    level: float
    why: str


class Disarmed(Event, frozen=True, kw_only=True):
    by: str
    reason: str


class Armed(Event, frozen=True, kw_only=True):
    by: str
    reason: str


class AuthorityProbed(ChainEvent, frozen=True, kw_only=True):
    """Whether a response would be accepted on chain, at this block."""

    asset: str
    kind: str  # action kind
    signer: str
    ok: bool
    why: str
    block_number: int
    uses_left: int = -1  # -1: not limited


class CandidatesRehearsed(Event, frozen=True, kw_only=True):
    """The lab's answer for all candidates of one incident at one head."""

    incident: str
    rehearsals: tuple[Rehearsal, ...]


class ActionApproved(Event, frozen=True, kw_only=True):
    action_id: str
    by: str
    signature: str = ""


class ActionRejected(Event, frozen=True, kw_only=True):
    action_id: str
    by: str
    reason: str


class ResponseSigned(ChainEvent, frozen=True, kw_only=True):
    """Write-ahead: the signed bytes and their nonce, durable before the broadcast. After a crash these go out again."""

    action_id: str
    incident: str
    signer: str
    sender: Address
    nonce: int
    hash: Hash
    raw: bytes
    replaces: Hash | None = None


class ResponseBroadcast(ChainEvent, frozen=True, kw_only=True):
    action_id: str
    hash: Hash
    accepted_by: tuple[str, ...]
    refused_by: tuple[str, ...] = ()


class ResponseIncluded(ChainEvent, frozen=True, kw_only=True):
    action_id: str
    hash: Hash
    block_number: int
    block_hash: Hash
    ok: bool
    gas_used: int
    cost: Wei
    timestamp: int = 0  # of the block, seconds


class ResponseDropped(ChainEvent, frozen=True, kw_only=True):
    """A reorg or the pool lost it; the same bytes go out again."""

    action_id: str
    hash: Hash
    why: str


class ResponseVerified(ChainEvent, frozen=True, kw_only=True):
    """Post-conditions read from state `after_blocks` after inclusion, and the attack replayed on the new head."""

    action_id: str
    after_blocks: int
    block_number: int
    holds: Verdict
    blocked: Verdict  # same calls on the same head: succeed without our response, fail with it
    differs: tuple[SlotChange, ...] = ()  # realised and not predicted
    why: str = ""
    attack_pays_usd: Usd = Usd(0)  # what the attack would still take if the response lapsed now


class ActionFailed(Event, frozen=True, kw_only=True):
    action_id: str
    stage: str
    why: str


class NotificationSent(Event, frozen=True, kw_only=True):
    action_id: str
    channel: str
    ok: bool
    why: str = ""


AnyEvent = (
    HeadSeen
    | BlockOrphaned
    | TransactionPending
    | PendingSimulated
    | TransactionMined
    | LogSeen
    | StateRead
    | SimulationDone
    | RequestFailed
    | WithdrawalAuthorised
    | LedgerComplete
    | PriceSeen
    | ConfigurationLoaded
    | Tick
    | Fault
    | HealthSeen
    | Disarmed
    | Armed
    | AuthorityProbed
    | CandidatesRehearsed
    | ActionApproved
    | ActionRejected
    | ResponseSigned
    | ResponseBroadcast
    | ResponseIncluded
    | ResponseDropped
    | ResponseVerified
    | ActionFailed
    | NotificationSent
)


class Stamped(Struct, frozen=True):
    """An event with its place in the shard's total order. The inbox stamps it; `seen_at` never goes back."""

    seq: int
    seen_at: Instant
    event: AnyEvent
