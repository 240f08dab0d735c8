"""What the owner declared must always hold does not hold any more: proof 1 of docs/decide.md, an owner's invariant.

Evaluated on readings around a simulated pending transaction that could be mined next, and on the state of each block.
It is a proof only where it held right before: an invariant that never held is a wrong declaration, and one that
cannot be read is unknown, which never counts as broken.

Weight: a proof counts its cap, λ = 11.5. What breaks only under one of two block contexts is an unmined claim that
anybody can make, λ = 2.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from msgspec import Struct, field

from monitor.core.window import Recent
from monitor.evm.blame import Blame, Touch, touch_of
from monitor.evm.invariants import Readings, described, evaluate
from monitor.evm.loss import outflow
from monitor.evm.sighting import Sighting, sighting_of, threat_to, touched
from monitor.model.assets import Asset
from monitor.model.chain import Reading
from monitor.model.events import Request, Stamped, StateRead
from monitor.model.ports import Context
from monitor.model.signals import About, Evidence, Fact, Signal, Subject
from monitor.model.units import Usd, shown

FAKEABLE = 2.5


class Held(Struct):
    """Whether each invariant held when it was last known, whom to blame, and what pending transactions broke."""

    last: dict[str, bool] = field(default_factory=dict)  # by asset and invariant, as configured
    blame: Blame = field(default_factory=Blame)
    proven: Recent[str] = field(default_factory=lambda: Recent[str](256))


class InvariantBroken:
    about: ClassVar[About] = About(
        id="invariant_broken",
        title="An invariant of the owner's is broken",
        watches=("PendingSimulated", "TransactionMined", "StateRead"),
        threats=("exploit", "stolen_key"),
        evidence="proof",
        weight=11.5,
        half_life_s=600,
        window_s=600,
        clock="none",
        cost_to_fake_usd=100_000,  # whoever breaks it has done what the owner says must never be possible
        blind_spots="What nobody declared. Views that lie, or that only the attack's own transaction sees otherwise. A "
        "break that is repaired within one block is seen only if pending. Several transactions in one block: the "
        "largest taker is accused.",
        runbook="Read the values in the signal. If the invariant is wrong, correct it; else keep the pause until it "
        "holds again and the cause is known.",
    )

    def __init__(self) -> None:
        self.state = Held()

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        event = stamped.event
        if isinstance(event, StateRead):
            yield from self._read(event, context)
            return
        sighting = sighting_of(event)
        if sighting is None or not sighting.includable:
            return
        before, after = _sides(sighting.effects.readings)
        for asset in touched(sighting, context.assets) if sighting.mined else context.assets.all():
            if asset.invariants and asset.chain_id == sighting.chain_id:
                yield from self._watch(asset, sighting, _breaks(asset, before, after), context)

    def _watch(self, asset: Asset, sighting: Sighting, text: str, context: Context) -> Iterator[Signal]:
        key = f"{sighting.root}:{asset.name}"
        if sighting.mined:
            touch, found = self.state.blame.note(asset, sighting, context.prices)
            text = text or found or self._as_simulated(asset, sighting, key)
        else:
            touch = touch_of(asset, sighting, context.prices)
            self.state.proven.pop(key)
        if text and not sighting.firm:
            yield self._signal(asset, text, FAKEABLE, "fakeable", roots=(sighting.root,))
        elif text:
            if not sighting.mined:
                self.state.proven.put(key, text)
            yield self._proof(asset, touch, text)

    def _read(self, event: StateRead, context: Context) -> Iterator[Signal]:
        """Judge the block's state; blame whoever touched the asset in it."""
        before, after = _sides(event.readings)
        for asset in context.assets.all():
            if asset.chain_id != event.chain_id or not asset.invariants:
                continue
            text = self._newly_broken(asset, before, after)
            if not text:
                continue
            touch = self.state.blame.accuse(asset, event.block_hash, text)
            if touch is not None:
                yield self._proof(asset, touch, text)
                continue
            fact = Fact("invariant", event.chain_id, text, None, True, event.block_hash, event.block_number)
            roots = (f"block:{shown(event.block_hash)}",)
            yield self._signal(asset, text, self.about.weight, "proof", roots=roots, fact=fact)

    def _newly_broken(self, asset: Asset, before: Readings, after: Readings) -> str:
        """The first invariant that fails now and held when it was last known; remembers what is known now."""
        text = ""
        for place, invariant in enumerate(asset.invariants):
            key = f"{asset.name}:{place}"
            held, holds = evaluate(invariant, before), evaluate(invariant, after)
            held = self.state.last.get(key) if held is None else held
            known = held if holds is None else holds
            if known is not None:
                self.state.last[key] = known
            if holds is False and held is True and not text:
                text = f"{invariant.text} is broken: {described(invariant, after)}"
        return text

    def _as_simulated(self, asset: Asset, sighting: Sighting, key: str) -> str:
        """A proof that was shown while pending stands once mined, if value left as it did in the simulation."""
        text = self.state.proven.get(key)
        return text if text and outflow(sighting.effects, asset) else ""

    def _proof(self, asset: Asset, touch: Touch, text: str) -> Signal:
        fact = touch.sighting.fact("invariant", text)
        roots = (touch.sighting.root,)
        return self._signal(asset, text, self.about.weight, "proof", roots=roots, fact=fact, touch=touch)

    def _signal(
        self,
        asset: Asset,
        because: str,
        weight: float,
        evidence: Evidence,
        *,
        roots: tuple[str, ...],
        fact: Fact | None = None,
        touch: Touch | None = None,
    ) -> Signal:
        return Signal(
            detector=self.about.id,
            subject=Subject("asset", asset.name),
            threat=threat_to(asset),
            weight=weight,
            evidence=evidence,
            half_life_s=0 if evidence == "proof" else self.about.half_life_s,
            asset=asset.name,
            because=because[:1_000],
            roots=roots,
            prior="movement",
            fact=fact,
            loss_usd=touch.usd if touch else Usd(0),
            attacker=touch.sighting.transaction.sender if touch else None,
        )


def _sides(readings: tuple[Reading, ...]) -> tuple[Readings, Readings]:
    return {r.probe: r.before for r in readings}, {r.probe: r.after for r in readings}


def _breaks(asset: Asset, before: Readings, after: Readings) -> str:
    """The first invariant that held before and does not after; empty where none."""
    for invariant in asset.invariants:
        if evaluate(invariant, after) is False and evaluate(invariant, before) is True:
            return f"{invariant.text} is broken: {described(invariant, after)}"
    return ""
