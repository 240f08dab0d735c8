"""Worlds for property tests: a short list of numbered deeds becomes events of a chain that forks, and of a loop that
rehearses, sends, drops and verifies whatever the core asks for, in any order. The same deeds give the same events.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import strategies as st
from msgspec import Struct
from msgspec import field as later
from msgspec.structs import replace

from monitor.core.window import Recent, Window
from monitor.model.assets import Asset
from monitor.model.chain import Header, Probe, Reading
from monitor.model.events import (
    ActionApproved,
    ActionFailed,
    ActionRejected,
    AnyEvent,
    Armed,
    BlockOrphaned,
    Disarmed,
    HeadSeen,
    HealthSeen,
    PendingSimulated,
    Request,
    RequestFailed,
    ResponseDropped,
    SimulationDone,
    Stamped,
    StateRead,
    Tick,
    TransactionMined,
)
from monitor.model.ports import Context
from monitor.model.signals import About, Evidence, Signal
from monitor.model.units import SECOND, ChainId, Usd
from tests.core.builders import (
    CHAIN,
    Driver,
    a,
    answered,
    broadcast,
    core,
    h,
    head,
    included,
    mined,
    pending,
    signal,
    signed,
    tx,
    vault,
    verified,
    wallet,
)

OTHER = ChainId(10)
ASSETS = (vault(), vault("vault-2", 2), wallet(), vault("elsewhere", 4, chain_id=OTHER, owner="dao-2", family=""))
CERTAIN = 100  # transactions from this number on are attacks that are proven
PAUSES_S = (1, 2, 12, 61, 301, 1_000, 1_801, 3_700)
EVIDENCE: tuple[Evidence, ...] = ("proof", "strong", "proof", "bytecode", "strong", "fakeable", "negative")

_AROUND_BLOCKS = ("head", "head", "mine", "attack", "pend", "read", "reorg", "tick", "simulated", "unanswered")
_OF_PEOPLE = ("health", "arm", "arm", "disarm", "person")
_OF_RESPONSES = ("lab", "lab", "lab", "sign", "send", "include", "drop", "verify", "fail", "respond", "respond")
_OF_ANOTHER_CHAIN = ("other head", "other reorg")

Deeds = list[tuple[str, int]]


def deeds(*, responses: bool = True, least: int = 30, most: int = 80) -> st.SearchStrategy[Deeds]:
    kinds = (*_AROUND_BLOCKS, *_OF_ANOTHER_CHAIN, *(_OF_PEOPLE + _OF_RESPONSES if responses else ()))
    return st.lists(st.tuples(st.sampled_from(kinds), st.integers(0, 15)), min_size=least, max_size=most)


class Memory(Struct):
    counts: dict[str, int] = later(default_factory=dict)
    window: Window = later(default_factory=lambda: Window(span=600 * SECOND))
    seen: Recent[int] = later(default_factory=lambda: Recent[int](4))


class Remembers:
    """Says something of everything that it sees, and what it says depends on all that it saw before."""

    about: ClassVar[About] = About(
        "remembers",
        "t",
        ("HeadSeen", "TransactionMined", "PendingSimulated", "StateRead", "SimulationDone", "RequestFailed"),
        ("exploit",),
        "proof",
        11.5,
        0,
        0,
        "seen",
        0,
        "none",
        "look",
    )

    def __init__(self, *, looks_at_incidents: bool = True) -> None:
        self.state, self._looks = Memory(), looks_at_incidents

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        event, name = stamped.event, type(stamped.event).__name__
        self.state.counts[name] = self.state.counts.get(name, 0) + 1
        so_far = self.state.window.add(name, stamped.seen_at, 1)
        so_far += len(context.confirmed_attacks()) if self._looks else 0
        if isinstance(event, TransactionMined | PendingSimulated):
            number = event.transaction.nonce
            self.state.seen.put(str(number), so_far)
            yield self._claim(number + so_far, event)
            yield Request(key=f"k{number}", chain_id=CHAIN, transactions=(event.transaction,))
        elif isinstance(event, SimulationDone):
            known = self.state.seen.get(event.key[1:])
            if known is not None:
                yield signal("vault-2", detector="remembers", roots=(event.key,), is_mined=False, attack=tx(known + 1))
        elif isinstance(event, StateRead) and so_far % 3 == 0:
            yield signal("hot", detector="remembers", evidence="negative", weight=-1.0, roots=("read",))

    def _claim(self, number: int, event: TransactionMined | PendingSimulated) -> Signal:
        certain = event.transaction.nonce >= CERTAIN
        return signal(
            ASSETS[number % 3].name,
            detector="remembers",
            evidence="proof" if certain else EVIDENCE[number % len(EVIDENCE)],
            weight=11.5 if certain else float(number % 13),
            roots=(f"tx:{event.transaction.nonce}",),
            attack=event.transaction,
            is_mined=isinstance(event, TransactionMined),
            half_life_s=600,
            threat="stolen_key" if number % 3 == 2 else "exploit",
        )


@dataclass
class World:
    driver: Driver
    blocks: dict[ChainId, list[HeadSeen]] = field(default_factory=dict)
    forks: int = 0
    orphans: set[bytes] = field(default_factory=set)  # hashes

    def do(self, told: Deeds) -> World:
        for what, number in told:
            getattr(self, "_" + what.replace(" ", "_"))(number)
        return self

    def never_saw(self) -> list[Stamped]:
        """What was fed, without whatever belongs to a block that was lost."""
        return [s for s in self.driver.fed if _block_of(s.event) not in self.orphans]

    def _head(self, _: int, chain_id: ChainId = CHAIN) -> None:
        chain = self.blocks.setdefault(chain_id, [])
        self.forks += 1
        seen = replace(head(len(chain) + 1, fork=self.forks), chain_id=chain_id)
        chain.append(seen)
        self.driver.feed(seen)

    def _reorg(self, depth: int, chain_id: ChainId = CHAIN) -> None:
        chain = self.blocks.setdefault(chain_id, [])
        for _ in range(min(1 + depth % 3, len(chain) - 1)):
            lost = chain.pop().header
            self.orphans.add(lost.hash)
            self.driver.feed(BlockOrphaned(chain_id=chain_id, number=lost.number, hash=lost.hash))

    def _other_head(self, number: int) -> None:
        self._head(number, OTHER)

    def _other_reorg(self, number: int) -> None:
        self._reorg(number, OTHER)

    def _mine(self, number: int) -> None:
        tip = self._tip()
        self.driver.feed(replace(mined(number), block_number=tip.number, block_hash=tip.hash))

    def _attack(self, number: int) -> None:
        self._mine(CERTAIN + number)

    def _respond(self, number: int) -> None:
        """All of it, in order and at once."""
        for what in ("lab", "sign", "send", "include", "head", "verify"):
            getattr(self, f"_{what}")(number | 6)

    def _pend(self, number: int) -> None:
        self.driver.feed(pending(number))

    def _read(self, number: int) -> None:
        tip, readings = self._tip(), (Reading(Probe(a(1), b""), None, None if number % 2 else b"\x01"),)
        self.driver.feed(StateRead(chain_id=CHAIN, block_number=tip.number, block_hash=tip.hash, readings=readings))

    def _tick(self, number: int) -> None:
        self.driver.feed(Tick(), every_s=PAUSES_S[number % len(PAUSES_S)])

    def _simulated(self, number: int) -> None:
        key = f"k{number}"
        self.driver.feed(SimulationDone(chain_id=CHAIN, key=key, base=h(1), base_number=1, effects=()), every_s=0.01)

    def _unanswered(self, number: int) -> None:
        self.driver.feed(RequestFailed(chain_id=CHAIN, key=f"k{number}", why="late"))

    def _health(self, number: int) -> None:
        component = ("head:devnet", "journal", "gas:guardian-key", "clock")[number % 4]
        self.driver.feed(HealthSeen(component=component, level=(0.0, 0.5, 1.0, 1.0)[number // 4], why="test"))

    def _arm(self, _: int) -> None:
        self.driver.feed(Armed(by="ann", reason=""))

    def _disarm(self, _: int) -> None:
        self.driver.feed(Disarmed(by="ann", reason=""))

    def _person(self, number: int) -> None:
        if action_id := self._some_action(number, "waiting"):
            yes = ActionApproved(action_id=action_id, by="ann")
            self.driver.feed(ActionRejected(action_id=action_id, by="bob", reason="no") if number % 4 == 0 else yes)

    def _lab(self, number: int) -> None:
        """The lab answers about everything that an incident has in rehearsal; mostly that it holds."""
        waiting = [r.action for r in self.driver.core.state.actions.values() if r.stage == "rehearsing"]
        if waiting:
            of = waiting[number % len(waiting)].incident
            valid = ("fails", "UNPROVEN")[number] if number < 2 else "holds"
            answered(self.driver, *(x.id for x in waiting if x.incident == of), valid=valid, why="test")

    def _sign(self, number: int) -> None:
        if action_id := self._some_action(number, "cleared"):
            self.driver.feed(signed(action_id, n=100 + number))

    def _send(self, number: int) -> None:
        if action_id := self._some_action(number, "signed"):
            refused = ("shadow",) if number == 7 else ()
            self.driver.feed(broadcast(action_id, accepted_by=() if refused else ("node",), refused_by=refused))

    def _include(self, number: int) -> None:
        if action_id := self._some_action(number, "signed", "sent"):
            tip = self._tip()
            found = included(action_id, block=tip.number, ok=number % 5 > 0)
            self.driver.feed(replace(found, block_hash=tip.hash))

    def _tip(self) -> Header:
        """The newest block; one that nobody told of where there is none."""
        chain = self.blocks.get(CHAIN)
        return chain[-1].header if chain else head(1).header

    def _drop(self, number: int) -> None:
        if action_id := self._some_action(number, "included"):
            self.driver.feed(ResponseDropped(chain_id=CHAIN, action_id=action_id, hash=h(100), why="reorg"))

    def _verify(self, number: int) -> None:
        if action_id := self._some_action(number, "included", "verified"):
            holds = ("fails", "UNPROVEN")[number] if number < 2 else "holds"
            blocked = "fails" if number == 3 else "holds"
            pays = Usd(5_000_000 * (number % 2))
            self.driver.feed(verified(action_id, holds=holds, blocked=blocked, attack_pays_usd=pays))

    def _fail(self, number: int) -> None:
        if action_id := self._some_action(number, "rehearsing", "cleared"):
            stage = "rehearsal" if number % 2 else "execution"
            self.driver.feed(ActionFailed(action_id=action_id, stage=stage, why="test"))

    def _some_action(self, number: int, *stages: str) -> str:
        """An action to which this could happen now; for one number in four any, so that it comes out of order."""
        known = self.driver.core.state.actions
        fit = [k for k, record in known.items() if record.stage in stages or number % 4 == 0]
        return fit[-1 - number % len(fit)] if fit else ""


def world(told: Deeds, *, assets: Sequence[Asset] = ASSETS, looks: bool = True) -> World:
    """A world in which this was done."""
    return World(core(Remembers(looks_at_incidents=looks), assets=assets)).do([("tick", 0), *told])


def without_routes() -> tuple[Asset, ...]:
    """The same assets, with nothing that could be done for them."""
    return tuple(replace(asset, pause=None, tighten=None) for asset in ASSETS)


def _block_of(event: AnyEvent) -> Any:
    """The block that an event belongs to; a loss belongs to none, it may be of a block that was never seen."""
    if isinstance(event, BlockOrphaned):
        return None
    return event.header.hash if isinstance(event, HeadSeen) else getattr(event, "block_hash", None)
