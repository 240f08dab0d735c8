"""A protected contract is entered again while an earlier call of it is still open, and holds less afterwards.

The second entry must come from another contract: a contract that calls itself, a proxy and its implementation, and a
view are no re-entry. Calls that failed, and whatever they called, did not happen.

Weight: λ = ln(0.105 / 0.0093) = 2.4, measured: in 31 of 224 attack transactions of the corpus some contract that is
not the attacker's is re-entered and ends up with less of something, and so in 13 of 2,217 normal ones; the 5 %
quantile of the one and the 95 % quantile of the other. That is any contract of a transaction; one protected contract
sees fewer false ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import ClassVar

from monitor.evm.loss import asset_loss_usd, net
from monitor.evm.sighting import Sighting, sighting_of, threat_to, touched
from monitor.model.assets import Asset
from monitor.model.chain import CallFrame
from monitor.model.events import Request, Stamped
from monitor.model.ports import Context
from monitor.model.signals import About, Signal, Subject
from monitor.model.units import DOLLAR, Address


class ReentrancyShape:
    about: ClassVar[About] = About(
        id="reentrancy_shape",
        title="A protected contract is re-entered and poorer",
        watches=("PendingSimulated", "TransactionMined"),
        threats=("exploit",),
        evidence="strong",
        weight=round(log(0.105 / 0.0093), 2),
        half_life_s=600,
        window_s=0,
        clock="none",
        cost_to_fake_usd=100,
        blind_spots="Transactions that were not traced. Re-entry into a view that another contract believes, or into a "
        "sister contract that shares storage. Designs that call back on purpose (vault hooks, unlock callbacks) and "
        "pay out in the same transaction.",
        runbook="Look at the frames: what did the inner call take that the outer one had not yet booked? If the design "
        "calls back on purpose, declare an invariant and switch this detector off for it.",
    )

    def __init__(self) -> None:
        self.state: None = None

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        sighting = sighting_of(stamped.event)
        if sighting is None or not sighting.includable or not sighting.effects.calls:
            return
        for asset in touched(sighting, context.assets):
            times = entries_from_within(sighting.effects.calls, asset.address)
            lost = _lost(asset, sighting, context) if times else ""
            if lost:
                yield self._signal(asset, sighting, f"{asset.name} is re-entered {times} times and lost {lost}")

    def _signal(self, asset: Asset, sighting: Sighting, because: str) -> Signal:
        return Signal(
            detector=self.about.id,
            subject=Subject("asset", asset.name),
            threat=threat_to(asset),
            weight=self.about.weight,
            evidence="strong" if sighting.mined else "fakeable",
            half_life_s=self.about.half_life_s,
            asset=asset.name,
            because=because,
            roots=(sighting.root,),
            prior="movement",
            attacker=sighting.transaction.sender,
        )


def entries_from_within(frames: Sequence[CallFrame], contract: Address) -> int:
    """How often others call `contract` while a call of it is open; frames in the order of entry."""
    opened: list[int] = []  # depths of open calls of the contract
    failed: int | None = None
    count = 0
    for frame in frames:
        if failed is not None and frame.depth > failed:
            continue
        failed = frame.depth if frame.error else None
        while opened and opened[-1] >= frame.depth:
            opened.pop()
        if frame.error or frame.to != contract or frame.kind != "CALL":
            continue
        count += bool(opened) and frame.sender != contract
        opened.append(frame.depth)
    return count


def _lost(asset: Asset, sighting: Sighting, context: Context) -> str:
    """What the asset lost, in words; empty where nothing. Without prices, only what nothing came in for."""
    usd = asset_loss_usd(sighting.effects, asset, context.prices)
    if usd is not None:
        return f"{usd // DOLLAR} USD" if usd > 0 else ""
    listed = {token.address for token in asset.tokens}
    change = [n for token, n in net(sighting.effects.transfers, asset.address).items() if token in listed and n]
    return "value without a known price" if change and max(change) < 0 else ""
