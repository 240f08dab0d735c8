"""A source has gone quiet, stands still, or breaks all the time: we do not see, and people must know.

It says nothing about theft: the threat is "blind", which no playbook answers with an action. What it claims is what
we measured on our own events, so the evidence is a proof and not an inference; a source that answers again takes its
claim back with the same roots and weight 0.

Weight: none to estimate. Silence beyond the limit is the thing itself; λ is the cap of a proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from msgspec import Struct, field

from detectors.options import whole
from monitor.core.window import Recent, Window
from monitor.model.events import Fault, HealthSeen, LedgerComplete, Request, Stamped, Tick
from monitor.model.ports import Context
from monitor.model.signals import About, Signal, Subject
from monitor.model.units import MINUTE, SECOND, Instant

MOST_SOURCES = 256
AGAIN_S = 600
SKEW_S = 1  # unledgered_outflow believes no watermark that is further ahead


class Silence(Struct):
    """When each source last said something, which are down and when that was last told, and how often each fails."""

    ticked: Instant = Instant(0)
    heard: Recent[int] = field(default_factory=lambda: Recent[int](MOST_SOURCES))
    down: Recent[int] = field(default_factory=lambda: Recent[int](MOST_SOURCES))
    faults: Window = field(default_factory=lambda: Window(MINUTE, fineness=12, limit=MOST_SOURCES))


class TelemetrySilent:
    about: ClassVar[About] = About(
        id="telemetry_silent",
        title="A source is silent, stale or failing",
        watches=("HealthSeen", "LedgerComplete", "Fault", "Tick"),
        threats=("blind",),
        evidence="proof",
        weight=11.5,
        half_life_s=AGAIN_S,
        window_s=AGAIN_S,
        clock="seen",
        cost_to_fake_usd=0,
        blind_spots="A source that speaks on time and lies: that is for the quorum. Ticks that stop: that is for the "
        "supervisor. Anybody who can cut a connection can cause it, which is why it never asks for an action.",
        runbook="Look at the named source: node, ledger feed, signer or price. Until it answers, what it would show is "
        "not seen: watch by hand, or stop withdrawals that rest on it.",
    )

    def __init__(
        self,
        *,
        ledger_stale_s: int = 300,
        health_silent_s: int = 120,
        tick_gap_s: int = 60,
        max_faults_per_min: int = 60,
    ) -> None:
        self._limits_s = {
            "watermark": whole("ledger_stale_s", ledger_stale_s, least=1),
            "health": whole("health_silent_s", health_silent_s, least=1),
        }
        self._tick_gap_s = whole("tick_gap_s", tick_gap_s, least=1)
        self._max_faults = whole("max_faults_per_min", max_faults_per_min)
        self.state = Silence()

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        now = context.now
        match stamped.event:
            case LedgerComplete(ledger=ledger, at=at) if at - now > SKEW_S * SECOND:
                why = f"its clock is {(at - now) / SECOND:.0f} s ahead, so its watermarks are not believed"
                yield from self._judge(f"watermark:{ledger}", why, now, clear=False)
            case LedgerComplete(ledger=ledger, at=at):
                yield from self._hear(f"watermark:{ledger}", at, now)
            case HealthSeen(component=component, level=level, why=why):
                yield from self._hear(f"health:{component}", now, now)
                yield from self._judge(component, why if level <= 0 else "", now, clear=level >= 1)
            case Fault(where=where, count=count):
                self.state.faults.add(where, now, count)
                yield from self._judge(f"faults:{where}", self._failing(where, now), now, clear=False)
            case Tick():
                yield from self._tick(now)
            case _:
                return

    def _hear(self, source: str, at: Instant, now: Instant) -> Iterator[Signal]:
        self.state.heard.put(source, at)
        why = self._quiet(source, at, now)
        yield from self._judge(source, why, now, clear=not why)

    def _tick(self, now: Instant) -> Iterator[Signal]:
        gap_s, self.state.ticked = (now - self.state.ticked) // SECOND if self.state.ticked else 0, now
        away = f"no tick for {gap_s} s: nothing was watched" if gap_s > self._tick_gap_s else ""
        yield from self._judge("loop", away, now, clear=not away)
        for source, at in self.state.heard.items():
            if away:
                self.state.heard.put(source, now)  # we were away, not they
            why = "" if away else self._quiet(source, Instant(at), now)
            yield from self._judge(source, why, now, clear=not why)
        for source, _ in self.state.down.items():
            if source.startswith("faults:"):
                why = self._failing(source.removeprefix("faults:"), now)
                yield from self._judge(source, why, now, clear=not why)

    def _quiet(self, source: str, at: Instant, now: Instant) -> str:
        """Why a source counts as silent; empty while it does not."""
        limit_s = self._limits_s[source.partition(":")[0]]
        silent_s = (now - at) // SECOND
        return f"nothing newer than {silent_s} s, {limit_s} s allowed" if silent_s > limit_s else ""

    def _failing(self, where: str, now: Instant) -> str:
        count = self.state.faults.total(where, now)
        return f"{count} faults in a minute, {self._max_faults} allowed" if count > self._max_faults else ""

    def _judge(self, source: str, why: str, now: Instant, *, clear: bool) -> Iterator[Signal]:
        told = self.state.down.get(source)
        if why and (told is None or now - told >= AGAIN_S * SECOND):
            self.state.down.put(source, now)
            yield self._signal(source, f"{source} is down: {why}", self.about.weight)
        elif clear and told is not None:
            self.state.down.pop(source)
            yield self._signal(source, f"{source} is back", 0.0)

    def _signal(self, source: str, because: str, weight: float) -> Signal:
        return Signal(
            detector=self.about.id,
            subject=Subject("source", source),
            threat="blind",
            weight=weight,
            evidence="proof",
            half_life_s=self.about.half_life_s,
            asset="",
            because=because,
            roots=(f"source:{source}",),
        )
