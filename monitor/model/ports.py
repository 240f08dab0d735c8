"""The protocols between the layers: what a detector or a responder is, and which effects the shell may use.

Pure side: Detector, Responder, and the views they read. Effects: Source, Journal, Lab, Submit, Signer, Notifier, Clock.
Nothing here is implemented here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from monitor.model.actions import Action, AnyAction, Attack, Bid, Notify, Plan, Rehearsal, Rehearsed
from monitor.model.assets import Asset, Token
from monitor.model.chain import BlockContext, Call, Effects, Header, Probe, SignedTransaction, TransactionRequest
from monitor.model.events import (
    AnyEvent,
    AuthorityProbed,
    CandidatesRehearsed,
    LedgerComplete,
    Request,
    ResponseBroadcast,
    ResponseIncluded,
    ResponseSigned,
    ResponseVerified,
    Stamped,
    WithdrawalAuthorised,
)
from monitor.model.incidents import Step
from monitor.model.signals import About, Signal
from monitor.model.units import Address, ChainId, Hash, Instant, Usd, Wei


class Label(Protocol):
    @property
    def kind(self) -> str: ...  # exploiter, mixer, sanctioned, scam, exchange …

    @property
    def origin(self) -> str: ...

    @property
    def expires_at(self) -> Instant: ...


class Labels(Protocol):
    def get(self, address: Address) -> Label | None:
        """The label of an address, unexpired or not; under a microsecond where there is none."""


class Assets(Protocol):
    """What is protected, indexed for the hot path."""

    def at(self, chain_id: ChainId, address: Address) -> Asset | None:
        """The asset at an address, else None."""

    def named(self, name: str) -> Asset | None: ...

    def all(self) -> tuple[Asset, ...]: ...

    def sisters(self, asset: Asset) -> tuple[Asset, ...]:
        """Other assets of the same family, in configured order."""

    def token(self, chain_id: ChainId, token: Address) -> Token | None:
        """A token that some asset lists, else None: unlisted tokens count nothing."""


class Prices(Protocol):
    def usd(self, chain_id: ChainId, token: Address, amount: Wei) -> Usd | None:
        """Value in micro-dollars; None where the price is unknown. Never 0 for unknown."""


class Context(Protocol):
    """What a detector may read besides the event: pure views, equal in live and in replay."""

    @property
    def now(self) -> Instant:
        """seen_at of the event."""

    @property
    def assets(self) -> Assets: ...

    @property
    def prices(self) -> Prices: ...

    @property
    def labels(self) -> Labels: ...

    def head(self, chain_id: ChainId) -> Header | None: ...

    def safe_height(self, chain_id: ChainId) -> int:
        """Highest finalised block number seen; 0 if none."""

    def confirmed_attacks(self) -> Sequence[Attack]:
        """Attacks of incidents that are open on a proof, newest first; at most 32."""


class Detector(Protocol):
    """Looks at events, says signals, asks requests. Pure; all that it remembers is in `state`."""

    about: ClassVar[About]
    state: Any  # a mutable msgspec.Struct, or None; the core snapshots and restores it as a value

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]: ...


class Responder(Protocol):
    """Turns an action into the exact calls, purely. Refuses with model.errors.Refused."""

    handles: ClassVar[tuple[type[Action], ...]]

    def plan(self, action: AnyAction) -> tuple[Plan, ...]:
        """One plan per chain and signer."""


class Clock(Protocol):
    def now(self) -> Instant:
        """Wall time UTC."""

    def monotonic_ns(self) -> int: ...

    async def sleep(self, seconds: float) -> None: ...


class Source(Protocol):
    """Where events come from. Ends only when cancelled; its own faults come out as Fault events."""

    name: str

    def events(self) -> AsyncIterator[AnyEvent]: ...


class Asker(Protocol):
    """Answers requests: SimulationDone or RequestFailed, always one of them, within the deadline."""

    async def answer(self, request: Request) -> AnyEvent: ...


class Simulator(Protocol):
    """Runs calls that nobody sends. One contract test covers both engines (eth_simulateV1, anvil fork)."""

    engine: str

    async def run(
        self,
        calls: Sequence[Call],
        *,
        context: BlockContext,
        probes: Sequence[Probe] = (),
        code: Mapping[Address, bytes] | None = None,
        storage: Mapping[Address, Mapping[Hash, Hash]] | None = None,
        balances: Mapping[Address, Wei] | None = None,
        fees: Sequence[tuple[int, int]] = (),
        trace: bool = False,
        at: Hash | None = None,
        gas_cap: int = 16_000_000,
        deadline_ms: int = 500,
    ) -> tuple[Effects, ...]:
        """Run `calls` in order in one block; probes are read before and after each call.

        `fees` gives (max_fee, max_priority_fee) by call, 0 where absent. `trace` adds frames and slot changes.
        `code`, `storage` (single slots) and `balances` override state first; `at` is a block hash, else the head.
        Raises Unreachable past the deadline.
        """


class Lab(Protocol):
    """The fork lab: proves responses before, verifies them after. The only maker of Rehearsed."""

    async def rehearse(
        self, incident: str, plans: Sequence[Plan], attack: Attack | None
    ) -> tuple[CandidatesRehearsed, Mapping[str, Rehearsed]]:
        """All plans at one head, in parallel. The mapping holds the valid ones by action id."""

    async def verify(
        self, rehearsed: Rehearsed, attack: Attack | None, included: ResponseIncluded, after_blocks: int
    ) -> ResponseVerified: ...

    def recall(self, plan: Plan, rehearsal: Rehearsal) -> Rehearsed:
        """After a restart: a plan with its journalled rehearsal. Raises Refused if that was not valid."""

    async def probe(self, plan: Plan) -> AuthorityProbed:
        """Would these calls, from this signer, be accepted now?"""


class Signer(Protocol):
    """One key, bound to contract, selector, argument bounds and value 0."""

    name: str
    address: Address

    async def sign(self, request: TransactionRequest) -> SignedTransaction:
        """Raises SignerRefused outside the binding, Unreachable past the deadline."""


class Submit(Protocol):
    """Which one is wired is the mode: shadow and propose never send."""

    withheld: str  # "shadow" or "propose": nothing is signed or sent, and the journal says so; "" in enforce

    async def sign(self, rehearsed: Rehearsed, bid: Bid) -> tuple[SignedTransaction, ...]:
        """Reserve nonces, price, sign. Nothing has left the process yet."""

    async def bump(self, sent: ResponseSigned, bid: Bid) -> SignedTransaction | None:
        """The same call on the same nonce at a higher fee; None where the bid is spent or another way is better."""

    async def outbid(self, sent: ResponseSigned, bid: Bid) -> Sequence[ResponseSigned]:
        """Raises of what is below on the same key and would hold this response up: journal and send each."""

    async def send(self, chain_id: ChainId, action_id: str, raw: bytes, tx_hash: Hash) -> ResponseBroadcast:
        """To every node and relay of the chain. Equal bytes known already count as accepted."""

    async def find(self, chain_id: ChainId, action_id: str, tx_hash: Hash) -> ResponseIncluded | None:
        """The receipt on the canonical chain, if any."""


class Journal(Protocol):
    """Append-only, hash-chained, durable when `append` returns."""

    async def append(self, entries: Sequence[tuple[Stamped, Step]]) -> None:
        """One commit. Raises JournalLost."""

    def read(self, first: int = 0, last: int | None = None) -> AsyncIterator[tuple[Stamped, bytes]]:
        """Events with the canonical bytes of their steps, by seq, both ends included."""

    async def last(self) -> tuple[int, Instant]:
        """Highest seq and its seen_at; (0, 0) when empty."""

    async def save_snapshot(self, seq: int, state: bytes) -> None: ...

    async def latest_snapshot(self, at_or_before: int | None = None) -> tuple[int, bytes] | None: ...

    async def put_blob(self, data: bytes) -> Hash: ...

    async def get_blob(self, digest: Hash) -> bytes | None: ...


class LedgerReader(Protocol):
    """One feed of authorised withdrawals."""

    name: str

    async def after(self, sequence: int, limit: int = 1000) -> Sequence[WithdrawalAuthorised]:
        """Rows behind `sequence`, in order."""

    async def watermark(self) -> LedgerComplete | None:
        """The newest one whose signature verifies."""


class Notifier(Protocol):
    async def send(self, notice: Notify) -> tuple[str, ...]:
        """Tell people; the channels that took it. Never on the response path."""
