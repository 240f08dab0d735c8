"""More leaves in an hour than should, from one asset, or from all that one owner has on all chains.

Each mined transaction counts once, by its block's time; a pending one is judged on top of what is mined. What has no
price counts nothing here, so that an unknown price is never a zero that hides a loss nor a loss by itself.

Weight: λ = ln(0.6 / 0.05) = 2.5. Estimated, not measured: of the hot-wallet thefts on record most pass a limit of a
busy hour with their first or second payout (0.6 of hours under attack), and about one busy hour in twenty of an
honest wallet passes a limit that its owner set without a baseline.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from typing import ClassVar

from msgspec import Struct, field

from detectors.options import whole
from monitor.core.window import Recent, Window
from monitor.evm.payouts import payers, worth
from monitor.evm.sighting import Sighting, roots_of, sighting_of, threat_to
from monitor.model.assets import Asset
from monitor.model.events import Request, Stamped
from monitor.model.ports import Context
from monitor.model.signals import About, Signal, Subject
from monitor.model.units import DOLLAR, SECOND

SPAN_S = 3_600


class Velocity(Struct):
    """Dollars by asset and by owner; which multiple of the limit was told; which transactions were counted."""

    outflow: Window = field(default_factory=lambda: Window(SPAN_S, limit=2_048))
    told: Recent[int] = field(default_factory=lambda: Recent[int](2_048))
    counted: Recent[bool] = field(default_factory=lambda: Recent[bool](2_048))


class OutflowVelocity:
    about: ClassVar[About] = About(
        id="outflow_velocity",
        title="More leaves in an hour than the limit",
        watches=("PendingSimulated", "TransactionMined"),
        threats=("stolen_key", "exploit"),
        evidence="strong",
        weight=round(log(0.6 / 0.05), 2),
        half_life_s=SPAN_S,
        window_s=SPAN_S,
        clock="chain",
        cost_to_fake_usd=1_000,
        blind_spots="A thief who stays under the limit. Tokens without a price. Seasons: a fixed limit knows no hour "
        "of the week. Customers who withdraw together, in a panic or by agreement, look the same.",
        runbook="Compare with the withdrawal queue. If customers asked for it, raise the limit; if nobody did, stop "
        "the signer.",
    )

    def __init__(self, *, max_usd_per_hour: int = 1_000_000, max_owner_usd_per_hour: int = 2_000_000) -> None:
        self._most = whole("max_usd_per_hour", max_usd_per_hour, least=1) * DOLLAR
        self._owner_most = whole("max_owner_usd_per_hour", max_owner_usd_per_hour, least=1) * DOLLAR
        self.state = Velocity()

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        sighting = sighting_of(stamped.event)
        if sighting is None or not sighting.firm:
            return
        for asset, paid in payers(sighting, context.assets):
            usd = worth(sighting.chain_id, paid, context.prices)
            key = f"{sighting.root}:{asset.name}"
            if not usd or key in self.state.counted:
                continue
            if sighting.mined:
                self.state.counted.put(key, True)
            at = sighting.timestamp or context.now // SECOND
            roots = roots_of(sighting, paid)
            yield from self._measure(asset, sighting, usd, at=at, roots=roots)

    def _measure(
        self, asset: Asset, sighting: Sighting, usd: int, *, at: int, roots: tuple[str, ...]
    ) -> Iterator[Signal]:
        scopes = [(f"asset:{asset.name}", asset.name, self._most)]
        if asset.owner:
            scopes.append((f"owner:{asset.owner}", f"all of {asset.owner}", self._owner_most))
        over = [
            why for key, noun, most in scopes if (why := self._over(key, noun, most, usd, at, mined=sighting.mined))
        ]
        if over:
            yield Signal(
                detector=self.about.id,
                subject=Subject("asset", asset.name),
                threat=threat_to(asset),
                weight=self.about.weight,
                evidence="strong" if sighting.mined else "fakeable",
                half_life_s=self.about.half_life_s,
                asset=asset.name,
                because="; ".join(over),
                roots=roots,
                prior="movement",
            )

    def _over(self, key: str, noun: str, most: int, usd: int, at: int, *, mined: bool) -> str:
        """Why this payout is told: it carries the hour over a multiple of the limit that was not told yet."""
        outflow, told = self.state.outflow, self.state.told
        total = outflow.add(key, at, usd) if mined else outflow.total(key, at) + usd
        if total <= most:
            told.pop(key)
            return ""
        if total // most <= (told.get(key) or 0):
            return ""
        if mined:
            told.put(key, total // most)
        return f"{total // DOLLAR} USD left {noun} within an hour, {most // DOLLAR} allowed"
