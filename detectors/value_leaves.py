"""Value leaves a contract against the rules: proof 1 of docs/decide.md, conservation.

A share of a vault is worth what the vault holds for it. A transaction after which all shares are worth over 10 bps
less took what nobody was owed: shown by simulating a pending one that could be mined next, under two block contexts,
or by the state of the block that holds a mined one. A large loss alone is strong and never a proof: whales, borrowers
and liquidators take much and are owed it.

Weight: a proof counts its cap, λ = 11.5, since nothing is estimated. Size alone: λ = ln(0.9 / 0.02) = 3.8, an
estimate: nine in ten exploits on record take a tenth of their victim in one transaction, and so do about 2 % of the
days of a contract with a few large users.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import ClassVar

from msgspec import Struct, field

from detectors.options import share, whole
from monitor.core.window import Recent
from monitor.evm.blame import Blame, Touch, touch_of
from monitor.evm.loss import outflow, share_price_drop_bps, unmatched_outflow
from monitor.evm.sighting import WALLETS, Sighting, sighting_of, threat_to, touched
from monitor.model.assets import Asset
from monitor.model.chain import Effects, Reading
from monitor.model.events import Request, Stamped, StateRead
from monitor.model.ports import Context
from monitor.model.signals import About, Evidence, Fact, Signal, Subject
from monitor.model.units import DOLLAR, Address, Usd, shown

SIZE = round(log(0.9 / 0.02), 2)
FAKEABLE = 2.5


class Leaving(Struct):
    blame: Blame = field(default_factory=Blame)
    proven: Recent[str] = field(default_factory=lambda: Recent[str](256))  # pending proofs by root and asset


class ValueLeaves:
    about: ClassVar[About] = About(
        id="value_leaves",
        title="Value leaves a contract that nobody is owed",
        watches=("PendingSimulated", "TransactionMined", "StateRead"),
        threats=("exploit",),
        evidence="proof",
        weight=11.5,
        half_life_s=600,
        window_s=600,
        clock="none",
        cost_to_fake_usd=100_000,  # the share price must really fall: the shares' owners lose what the proof shows
        blind_spots="Contracts without totalAssets() and totalSupply() have no share price: declare an invariant. A "
        "loss that the contract's own books hide. An honest loss that is booked at once (slashing, a strategy's loss, "
        "a fee paid in new shares) looks the same. Several transactions in one block: the largest taker is accused.",
        runbook="Replay the named transaction on a fork. If the loss is a booked one, label it a false positive; else "
        "keep the pause until the cause is fixed and tested.",
    )

    def __init__(self, *, max_drop_bps: int = 10, min_loss_usd: int = 100_000, min_share: float = 0.1) -> None:
        self._max_drop = whole("max_drop_bps", max_drop_bps, most=10_000)
        self._min_loss = whole("min_loss_usd", min_loss_usd) * DOLLAR
        self._min_share = share("min_share", min_share)
        self.state = Leaving()

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        event = stamped.event
        if isinstance(event, StateRead):
            yield from self._read(event, context)
            return
        sighting = sighting_of(event)
        if sighting is None or not sighting.firm:
            return
        for asset in touched(sighting, context.assets):
            if asset.kind not in WALLETS:
                yield from self._watch(asset, sighting, context)

    def _watch(self, asset: Asset, sighting: Sighting, context: Context) -> Iterator[Signal]:
        text, key = self._broken(asset, sighting.effects), f"{sighting.root}:{asset.name}"
        if sighting.mined:
            touch, found = self.state.blame.note(asset, sighting, context.prices)
            text = text or found or self._as_simulated(asset, sighting, key)
        else:
            touch = touch_of(asset, sighting, context.prices)
            self.state.proven.pop(key)
        if text:
            if not sighting.mined:
                self.state.proven.put(key, text)
            yield self._proof(asset, touch, text)
        elif self._large(asset, touch, sighting):
            because = f"{touch.usd // DOLLAR} USD leave {asset.name} in one transaction"
            if sighting.mined:
                yield self._signal(asset, because, SIZE, "strong", roots=(sighting.root,))
            else:
                yield self._signal(asset, because, FAKEABLE, "fakeable", roots=(sighting.root,))

    def _read(self, event: StateRead, context: Context) -> Iterator[Signal]:
        """Judge the block's readings; blame whoever touched the asset in it."""
        by_contract: dict[Address, list[Reading]] = {}
        for reading in event.readings:
            by_contract.setdefault(reading.probe.to, []).append(reading)
        for address in sorted(by_contract):
            asset = context.assets.at(event.chain_id, address)
            if asset is None or asset.kind in WALLETS:
                continue
            text = self._broken(asset, Effects(ok=True, gas_used=0, readings=tuple(by_contract[address])))
            if not text:
                continue
            touch = self.state.blame.accuse(asset, event.block_hash, text)
            if touch is not None:
                yield self._proof(asset, touch, text)
                continue
            fact = Fact("conservation", event.chain_id, text, None, True, event.block_hash, event.block_number)
            roots = (f"block:{shown(event.block_hash)}",)
            yield self._signal(asset, text, self.about.weight, "proof", roots=roots, fact=fact)

    def _broken(self, asset: Asset, effects: Effects) -> str:
        drop = share_price_drop_bps(effects, asset)
        if drop is None or drop <= self._max_drop:
            return ""
        return f"a share of {asset.name} is worth {drop / 100:.2f} % less, {self._max_drop / 100:.2f} % allowed"

    def _as_simulated(self, asset: Asset, sighting: Sighting, key: str) -> str:
        """A proof that was shown while pending stands once mined, if value left as it did in the simulation."""
        text = self.state.proven.get(key)
        return text if text and outflow(sighting.effects, asset) else ""

    def _large(self, asset: Asset, touch: Touch, sighting: Sighting) -> bool:
        limit = self._min_loss if asset.value_usd is None else int(asset.value_usd * self._min_share)
        if touch.usd < max(limit, 1):
            return False
        unmatched = unmatched_outflow(sighting.effects, asset)
        return unmatched is None or bool(unmatched)

    def _proof(self, asset: Asset, touch: Touch, text: str) -> Signal:
        fact = touch.sighting.fact("conservation", text)
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
            because=because,
            roots=roots,
            prior="movement",
            fact=fact,
            loss_usd=touch.usd if touch else Usd(0),
            attacker=touch.sighting.transaction.sender if touch else None,
        )
