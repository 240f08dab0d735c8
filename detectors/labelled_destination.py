"""Value goes to, or is moved by, an address that a list names: exploiter, mixer, sanctioned, scam; or a good one.

A label is evidence and not truth: lists carry errors and go stale, so an expired one says nothing, and the list and
kind are part of the claim. Where a customer or anybody chooses the destination (a wallet with a ledger, a contract),
naming a mixer costs a fee and the evidence is fakeable; where only the owner's keys can, it is strong once mined.

Weight: λ = ln(0.077 / 0.0025) = 3.4, measured: 22 of 206 attack transactions of the corpus that move value have a
listed sender or receiver, and 1 of 1,887 normal ones; the 5 % quantile of the one and the 95 % quantile of the other.
The lists are younger than most of those attacks, so the truth for a new one is lower; a label of an exchange speaks
for a payment by less than an own destination does, because thieves deposit there too.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import ClassVar

from detectors.options import words
from monitor.evm.payouts import is_own, payers
from monitor.evm.sighting import WALLETS, Sighting, sighting_of, threat_to
from monitor.model.assets import Asset
from monitor.model.events import Request, Stamped
from monitor.model.ports import Context, Label
from monitor.model.signals import About, Evidence, Signal, Subject
from monitor.model.units import Address, shown

BAD = ("exploiter", "mixer", "sanctioned", "scam")
GOOD = ("exchange",)
FAKEABLE = 2.5


class LabelledDestination:
    about: ClassVar[About] = About(
        id="labelled_destination",
        title="A listed address is counterparty",
        watches=("PendingSimulated", "TransactionMined"),
        threats=("stolen_key", "exploit"),
        evidence="strong",
        weight=round(log(0.077 / 0.0025), 2),
        half_life_s=30 * 86_400,
        window_s=0,
        clock="none",
        cost_to_fake_usd=10,
        blind_spots="Fresh addresses, which most thieves use. One hop: who funded the counterparty is not asked. Lists "
        "that are wrong or late. A customer's mixer withdrawal looks like a thief's.",
        runbook="Look the address up in the list that named it. Ask who ordered the payment.",
    )

    def __init__(self, *, bad: tuple[str, ...] = BAD, good: tuple[str, ...] = GOOD) -> None:
        self._bad, self._good = words("bad", bad), words("good", good)
        self.state: None = None

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        sighting = sighting_of(stamped.event)
        if sighting is None or not sighting.firm:
            return
        for asset, paid in payers(sighting, context.assets, own=True):
            others = sorted({t.to for t in paid})[:16]
            if sighting.transaction.sender != asset.address:
                others.append(sighting.transaction.sender)
            yield from self._judge(asset, sighting, others, context)

    def _judge(self, asset: Asset, sighting: Sighting, others: list[Address], context: Context) -> Iterator[Signal]:
        for other in dict.fromkeys(others):
            label = context.labels.get(other)
            if label is not None and label.expires_at <= context.now:
                label = None
            if label is not None and label.kind in self._bad:
                if sighting.mined and asset.kind in WALLETS and not asset.ledger:
                    yield self._signal(asset, sighting, other, _named(other, label), self.about.weight, "strong")
                else:
                    yield self._signal(asset, sighting, other, _named(other, label), FAKEABLE, "fakeable")
            elif is_own(asset, other):
                yield self._signal(asset, sighting, other, f"{shown(other)} is a known destination", -2.0, "negative")
            elif label is not None and label.kind in self._good:
                yield self._signal(asset, sighting, other, _named(other, label), -1.0, "negative")

    def _signal(
        self, asset: Asset, sighting: Sighting, other: Address, because: str, weight: float, evidence: Evidence
    ) -> Signal:
        return Signal(
            detector=self.about.id,
            subject=Subject("asset", asset.name),
            threat=threat_to(asset),
            weight=weight,
            evidence=evidence,
            half_life_s=self.about.half_life_s,
            asset=asset.name,
            because=because,
            roots=(sighting.root, f"to:{shown(other)}"),
            prior="movement",
            attacker=other if weight > 0 else None,
        )


def _named(other: Address, label: Label) -> str:
    return f"{shown(other)} is on {label.origin} as {label.kind}"
