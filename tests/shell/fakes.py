"""The outside of the loop as fakes that honour the ports: journal, lab, submit, responder, source, asker, notifier.

Whatever they do goes into one log in its order, so that a test can say what must come before what.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from monitor.clock import ManualClock
from monitor.core.step import Core
from monitor.model.actions import Action, AnyAction, Attack, Bid, ExtendPause, Notify, Pause, Plan, Rehearsal, Rehearsed
from monitor.model.assets import Asset
from monitor.model.chain import Call, SignedTransaction, TransactionRequest
from monitor.model.codec import digest, encode
from monitor.model.errors import Refused
from monitor.model.events import (
    AnyEvent,
    AuthorityProbed,
    CandidatesRehearsed,
    Request,
    RequestFailed,
    ResponseBroadcast,
    ResponseIncluded,
    ResponseSigned,
    ResponseVerified,
    Stamped,
)
from monitor.model.incidents import Step
from monitor.model.units import ChainId, Hash, Instant, Wei
from monitor.shell.inbox import Inbox
from monitor.shell.notices import Notices
from monitor.shell.respond import Respond
from monitor.shell.restore import restore
from monitor.shell.run import Loop
from tests.core.builders import CHAIN, Says, a, block_hash, core, h, rehearsal, signal, vault

Log = list[str]
DEADLINE_S = 5.0


@dataclass
class MemoryJournal:
    """Everything in lists; `fails` is raised by the next append instead of writing."""

    log: Log = field(default_factory=list)
    rows: list[tuple[Stamped, bytes]] = field(default_factory=list)
    snapshots: list[tuple[int, bytes]] = field(default_factory=list)
    blobs: dict[Hash, bytes] = field(default_factory=dict)
    fails: Exception | None = None
    slow: asyncio.Event | None = None  # an append ends only once this is set

    async def append(self, entries: Sequence[tuple[Stamped, Step]]) -> None:
        if self.slow is not None:
            await self.slow.wait()
        if self.fails is not None:
            raise self.fails
        self.rows += [(stamped, encode(step)) for stamped, step in entries]
        self.log += [f"journalled {type(stamped.event).__name__}" for stamped, _ in entries]

    async def read(self, first: int = 0, last: int | None = None) -> AsyncIterator[tuple[Stamped, bytes]]:
        for stamped, step in list(self.rows):
            if stamped.seq >= first and (last is None or stamped.seq <= last):
                yield stamped, step

    async def last(self) -> tuple[int, Instant]:
        return (self.rows[-1][0].seq, self.rows[-1][0].seen_at) if self.rows else (0, Instant(0))

    async def save_snapshot(self, seq: int, state: bytes) -> None:
        self.snapshots.append((seq, state))

    async def latest_snapshot(self, at_or_before: int | None = None) -> tuple[int, bytes] | None:
        found = [s for s in self.snapshots if at_or_before is None or s[0] <= at_or_before]
        return max(found, default=None)

    async def put_blob(self, data: bytes) -> Hash:
        self.blobs[digest(data)] = data
        return digest(data)

    async def get_blob(self, digest: Hash) -> bytes | None:
        return self.blobs.get(digest)

    def events(self, kind: type[Any]) -> list[Any]:
        return [stamped.event for stamped, _ in self.rows if isinstance(stamped.event, kind)]


@dataclass
class FakeLab:
    """Finds every plan valid, or as `finds` says; `fails` is raised instead of an answer."""

    log: Log = field(default_factory=list)
    finds: Callable[[Plan], Rehearsal] = lambda plan: rehearsal(plan.action.id)
    fails: Exception | None = None
    accepts: bool = True
    asked: list[tuple[str, Attack | None]] = field(default_factory=list)

    async def rehearse(
        self, incident: str, plans: Sequence[Plan], attack: Attack | None
    ) -> tuple[CandidatesRehearsed, Mapping[str, Rehearsed]]:
        self.log.append(f"rehearsed {incident}")
        self.asked.append((incident, attack))
        if self.fails is not None:
            raise self.fails
        found = [(plan, self.finds(plan)) for plan in plans]
        ready = {plan.action.id: Rehearsed(plan, one) for plan, one in found if one.valid == "holds"}
        return CandidatesRehearsed(incident=incident, rehearsals=tuple(one for _, one in found)), ready

    async def verify(
        self, rehearsed: Rehearsed, attack: Attack | None, included: ResponseIncluded, after_blocks: int
    ) -> ResponseVerified:
        self.log.append(f"verified +{after_blocks}")
        if self.fails is not None:
            raise self.fails
        return ResponseVerified(
            chain_id=rehearsed.plan.chain_id,
            action_id=rehearsed.plan.action.id,
            after_blocks=after_blocks,
            block_number=included.block_number,
            holds="holds",
            blocked="holds",
        )

    def recall(self, plan: Plan, rehearsal: Rehearsal) -> Rehearsed:
        self.log.append("recalled")
        if rehearsal.valid != "holds":
            raise Refused("rehearsal", "not valid")
        return Rehearsed(plan, rehearsal)

    async def probe(self, plan: Plan) -> AuthorityProbed:
        self.log.append("probed")
        why = "" if self.accepts else "not the pauser any more"
        return AuthorityProbed(
            chain_id=plan.chain_id,
            asset=plan.action.assets[0],
            kind=type(plan.action).__name__,
            signer=plan.signer,
            ok=self.accepts,
            why=why,
            block_number=11,
        )


@dataclass
class FakeSubmit:
    """Signs on nonce 0, 1, …; what is in `mined` is found."""

    log: Log = field(default_factory=list)
    withheld: str = ""
    mined: dict[Hash, int] = field(default_factory=dict)
    signed: int = 0
    bumps: bool = True
    below: list[ResponseSigned] = field(default_factory=list)  # what an urgent response must outbid
    accepted: tuple[str, ...] = ("node-1",)
    send_fails: Exception | None = None

    async def sign(self, rehearsed: Rehearsed, bid: Bid) -> tuple[SignedTransaction, ...]:
        self.log.append("signed")
        self.signed += 1
        return (_transaction(self.signed - 1, self.signed),)

    async def bump(self, sent: ResponseSigned, bid: Bid) -> SignedTransaction | None:
        self.log.append("bumped")
        if not self.bumps:
            return None
        self.signed += 1
        return _transaction(sent.nonce, self.signed)

    async def outbid(self, sent: ResponseSigned, bid: Bid) -> Sequence[ResponseSigned]:
        raised, self.below = self.below, []
        return raised

    async def send(self, chain_id: ChainId, action_id: str, raw: bytes, tx_hash: Hash) -> ResponseBroadcast:
        self.log.append("sent")
        if self.send_fails is not None:
            raise self.send_fails
        return ResponseBroadcast(chain_id=chain_id, action_id=action_id, hash=tx_hash, accepted_by=self.accepted)

    async def find(self, chain_id: ChainId, action_id: str, tx_hash: Hash) -> ResponseIncluded | None:
        self.log.append("looked")
        number = self.mined.get(tx_hash)
        if number is None:
            return None
        return ResponseIncluded(
            chain_id=chain_id,
            action_id=action_id,
            hash=tx_hash,
            block_number=number,
            block_hash=block_hash(number),
            ok=True,
            gas_used=60_000,
            cost=Wei(1),
        )


def _transaction(nonce: int, n: int) -> SignedTransaction:
    request = TransactionRequest(CHAIN, a(5), a(0x60), nonce, 400_000, 10**9 * n, 10**9 * n, b"\x01")
    return SignedTransaction(request, h(7_000 + n), b"\x02" + bytes([n]))


@dataclass
class FakeResponder:
    """One call for each pause, or as many plans as `plans` says."""

    plans: int = 1
    handles: ClassVar[tuple[type[Action], ...]] = (Pause, ExtendPause)

    def plan(self, action: AnyAction) -> tuple[Plan, ...]:
        return (Plan(action, CHAIN, "guardian-key", (Call(a(0x60), b"\x01"),), ()),) * self.plans


class Feed:
    """A source that says what a test puts in."""

    name = "feed"

    def __init__(self) -> None:
        self._queue: asyncio.Queue[AnyEvent] = asyncio.Queue()

    def say(self, *events: AnyEvent) -> None:
        for event in events:
            self._queue.put_nowait(event)

    async def events(self) -> AsyncIterator[AnyEvent]:
        while True:
            yield await self._queue.get()


@dataclass
class FakeAsker:
    fails: Exception | None = None

    async def answer(self, request: Request) -> AnyEvent:
        if self.fails is not None:
            raise self.fails
        return RequestFailed(chain_id=request.chain_id, key=request.key, why="not today")


@dataclass
class FakeNotifier:
    told: list[Notify] = field(default_factory=list)
    fails: Exception | None = None

    async def send(self, notice: Notify) -> tuple[str, ...]:
        if self.fails is not None:
            raise self.fails
        self.told.append(notice)
        return ("console",)


def thief() -> Says:
    """Proves every mined transaction an attack on the vault."""
    return Says(lambda s, c: [signal(attack=s.event.transaction)], watches=("TransactionMined",))


def vault_core(*detectors: Any, assets: Sequence[Asset] = (vault(),)) -> Core:
    return core(*(detectors or (thief(),)), assets=assets).core


@dataclass
class World:
    """A loop that turns over fakes."""

    log: Log
    clock: ManualClock
    core: Core
    journal: MemoryJournal
    inbox: Inbox
    lab: FakeLab
    submit: FakeSubmit
    feed: Feed
    asker: FakeAsker
    notifier: FakeNotifier
    respond: Respond
    loop: Loop
    kill: str = ""

    def stage(self, number: int = 0) -> str:
        return list(self.core.state.actions.values())[number].stage

    async def until(self, ready: Callable[[], Any]) -> None:
        """Let the loop turn until this holds."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    if ready():
                        return
                    await asyncio.sleep(0)
        except TimeoutError:
            raise AssertionError(f"never came: {self.log[-20:]}") from None

    async def quiet(self) -> None:
        """Until nothing is queued and nothing under way."""
        for _ in range(20):
            await asyncio.sleep(0)
        await self.until(lambda: self.loop.idle)

    async def says(self, *events: AnyEvent) -> None:
        self.feed.say(*events)
        await self.quiet()


async def built(
    *,
    core: Core | None = None,
    journal: MemoryJournal | None = None,
    first_events: Sequence[AnyEvent] = (),
    sources: Sequence[Any] = (),
    assets: Sequence[Asset] = (),
    **fakes: Any,
) -> World:
    """A world that does not turn yet, restored from its journal."""
    log: Log = []
    clock, mind = ManualClock(), core or vault_core()
    journal = journal or MemoryJournal()
    lab, submit = fakes.get("lab") or FakeLab(), fakes.get("submit") or FakeSubmit()
    journal.log = lab.log = submit.log = log
    restored = await restore(mind, journal)
    inbox, feed = Inbox(clock), Feed()
    asker, notifier = fakes.get("asker") or FakeAsker(), fakes.get("notifier") or FakeNotifier()
    world: World

    def killed() -> str:
        return world.kill

    responders = fakes.get("responders", (FakeResponder(),))
    respond = Respond(
        core=mind, inbox=inbox, responders=responders, lab=lab, submit=submit, killed=killed, assets=assets
    )
    loop = Loop(
        core=mind,
        journal=journal,
        inbox=inbox,
        sources=(feed, *sources),
        asker=asker,
        respond=respond,
        notices=Notices(notifier, inbox),
        clock=clock,
        restored=restored,
        first_events=first_events,
    )
    world = World(log, clock, mind, journal, inbox, lab, submit, feed, asker, notifier, respond, loop)
    return world


@asynccontextmanager
async def turning(**options: Any) -> AsyncIterator[World]:
    """A world whose loop turns until the block ends."""
    world = await built(**options)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.loop.run())
        await world.loop.turning.wait()
        try:
            yield world
            await world.quiet()
        finally:
            running.cancel()
