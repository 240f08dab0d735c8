"""A Context that tests fill by hand, and a run of one detector over a story of events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from monitor.evm.watch import Protected
from monitor.model.actions import Attack
from monitor.model.chain import Header
from monitor.model.codec import decode, encode
from monitor.model.events import AnyEvent, Request, Stamped
from monitor.model.ports import Detector
from monitor.model.signals import Signal
from monitor.model.units import SECOND, Address, ChainId, Instant, Usd, Wei

START = Instant(1_700_000_000 * SECOND)
NEVER = Instant(2**62)


@dataclass(slots=True)
class FakeLabel:
    kind: str
    origin: str = "list"
    expires_at: Instant = NEVER


@dataclass(slots=True)
class FakeLabels:
    known: dict[Address, FakeLabel] = field(default_factory=dict)

    def get(self, address: Address) -> FakeLabel | None:
        return self.known.get(address)


@dataclass(slots=True)
class FakePrices:
    """Micro-dollars for one smallest unit of a token; absent is unknown."""

    per_unit: dict[Address, float] = field(default_factory=dict)

    def usd(self, chain_id: ChainId, token: Address, amount: Wei) -> Usd | None:
        known = self.per_unit.get(token)
        return None if known is None else Usd(int(amount * known) if amount < 2**200 else amount)


@dataclass(slots=True)
class FakeContext:
    assets: Protected = field(default_factory=lambda: Protected(()))
    prices: FakePrices = field(default_factory=FakePrices)
    labels: FakeLabels = field(default_factory=FakeLabels)
    now: Instant = START
    heads: dict[int, Header] = field(default_factory=dict)
    attacks: list[Attack] = field(default_factory=list)

    def head(self, chain_id: ChainId) -> Header | None:
        return self.heads.get(chain_id)

    def safe_height(self, chain_id: ChainId) -> int:
        return 0

    def confirmed_attacks(self) -> Sequence[Attack]:
        return tuple(self.attacks)


@dataclass(slots=True)
class Run:
    """One detector, fed with events a given number of seconds apart."""

    detector: Detector
    context: FakeContext
    seq: int = 0

    def feed(self, *events: AnyEvent, after_s: float = 1.0) -> list[Signal | Request]:
        """All that it said about these events; `after_s` seconds pass before each."""
        said: list[Signal | Request] = []
        for event in events:
            self.seq += 1
            self.context.now = Instant(self.context.now + int(after_s * SECOND))
            if type(event).__name__ in self.detector.about.watches:
                said += self.detector.inspect(Stamped(self.seq, self.context.now, event), self.context)
        return said

    def signals(self, *events: AnyEvent, after_s: float = 1.0) -> list[Signal]:
        return [s for s in self.feed(*events, after_s=after_s) if isinstance(s, Signal)]

    def requests(self, *events: AnyEvent, after_s: float = 1.0) -> list[Request]:
        return [r for r in self.feed(*events, after_s=after_s) if isinstance(r, Request)]

    def reload(self) -> None:
        """Save and restore the detector's memory, as the core does at a reorg or a restart."""
        if self.detector.state is not None:
            self.detector.state = decode(encode(self.detector.state), type(self.detector.state))


def said_alike(make: Callable[[], Detector], events: Iterable[AnyEvent], context: FakeContext) -> bool:
    """Whether a detector that is saved and restored before every event says what an undisturbed one says."""
    steady = Run(make(), context)
    start, shaken = context.now, Run(make(), context)
    events = tuple(events)
    expected = [steady.feed(event) for event in events]
    context.now = start
    found = []
    for event in events:
        shaken.reload()
        found.append(shaken.feed(event))
    return found == expected and any(expected)
