"""A small payment to an address that was never paid before, and later a large one to the same hand.

The same hand is the same address, one that the tested address paid on, or a submitter who first appeared with the
test. Thieves do it and so do treasuries and customers; it is a reason to hold and ask, never to stop.

Weight: λ = ln(0.5 / 0.015) = 3.5. Estimated, not measured: about half of the thefts of hot wallets and Safes
on record tested first (CoinDCX by seven hours), and of the large payments of an honest wallet some 1.5 %
follow a first small one within a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import ClassVar

from msgspec import Struct, field

from detectors.options import whole
from monitor.core.window import Recent
from monitor.evm.payouts import payers, worth
from monitor.evm.sighting import WALLETS, Sighting, roots_of, sighting_of, threat_to
from monitor.model.assets import Asset
from monitor.model.chain import Transfer
from monitor.model.events import Request, Stamped
from monitor.model.ports import Assets, Context
from monitor.model.signals import About, Signal, Subject
from monitor.model.units import DOLLAR, SECOND, Address, Usd, shown

FAKEABLE = 2.5


class Test(Struct):
    """A small first payment."""

    at: int  # chain seconds
    usd: Usd
    root: str


class Payments(Struct):
    """Hands that were paid, hands that were tested, and whom a tested address paid on; all by asset."""

    known: Recent[bool] = field(default_factory=lambda: Recent[bool](4_096))
    tests: Recent[Test] = field(default_factory=lambda: Recent[Test](512))
    tested: Recent[bool] = field(default_factory=lambda: Recent[bool](512))  # addresses
    behind: Recent[str] = field(default_factory=lambda: Recent[str](512))  # address -> tested address


class TestThenDrain:
    __test__ = False  # pytest: not a case
    about: ClassVar[About] = About(
        id="test_then_drain",
        title="A small first payment, then a large one",
        watches=("PendingSimulated", "TransactionMined"),
        threats=("stolen_key",),
        evidence="strong",
        weight=round(log(0.5 / 0.015), 2),
        half_life_s=6 * 3_600,
        window_s=86_400,
        clock="chain",
        cost_to_fake_usd=100,
        blind_spots="Thieves who do not test, test from another wallet, or wait longer than the window. After a first "
        "start every address is new. Tokens without a price.",
        runbook="Ask who ordered both payments, on another channel than the one that asked for them. Tighten limits "
        "while you wait.",
    )

    def __init__(
        self, *, max_test_usd: int = 1_000, min_drain_usd: int = 10_000, min_ratio: int = 20, window_s: int = 86_400
    ) -> None:
        self._test = whole("max_test_usd", max_test_usd) * DOLLAR
        self._drain = whole("min_drain_usd", min_drain_usd) * DOLLAR
        self._ratio = whole("min_ratio", min_ratio, least=1)
        self._window_s = whole("window_s", window_s, least=1)
        self.state = Payments()

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        sighting = sighting_of(stamped.event)
        if sighting is None or not sighting.firm:
            return
        at = sighting.timestamp or context.now // SECOND
        for asset, paid in payers(sighting, context.assets):
            if asset.kind in WALLETS:
                yield from self._pay(asset, sighting, paid, at=at, context=context)
        if sighting.mined:
            self._follow(sighting, context.assets)

    def _pay(
        self, asset: Asset, sighting: Sighting, paid: Sequence[Transfer], *, at: int, context: Context
    ) -> Iterator[Signal]:
        for to in sorted({t.to for t in paid}):
            usd = worth(sighting.chain_id, [t for t in paid if t.to == to], context.prices)
            if usd is None:
                continue
            hands = self._hands(asset, sighting, to)
            test = next((t for hand in hands if (t := self.state.tests.get(hand))), None)
            if test is not None and self._drains(test, sighting, usd, at):
                yield self._signal(asset, sighting, paid, to, test, usd)
            elif sighting.mined and test is None:
                self._remember(hands, Test(at, usd, sighting.root), to)

    def _hands(self, asset: Asset, sighting: Sighting, to: Address) -> list[str]:
        """Keys of who is behind a payment: the address, or whose money it got; a submitter other than the wallet."""
        hands = [f"{asset.name}:to:{self.state.behind.get(to.hex()) or to.hex()}"]
        if sighting.transaction.sender != asset.address:
            hands.append(f"{asset.name}:by:{sighting.transaction.sender.hex()}")
        return hands

    def _drains(self, test: Test, sighting: Sighting, usd: Usd, at: int) -> bool:
        large = usd >= max(self._drain, self._ratio * test.usd)
        return large and test.root != sighting.root and 0 <= at - test.at <= self._window_s

    def _remember(self, hands: Sequence[str], test: Test, to: Address) -> None:
        for hand in hands:
            if test.usd <= self._test and hand not in self.state.known:
                self.state.tests.put(hand, test)
                self.state.tested.put(to.hex(), True)
            self.state.known.put(hand, True)

    def _follow(self, sighting: Sighting, assets: Assets) -> None:
        """Whom a tested address pays on is the same hand, unless it is one of ours."""
        for transfer in sighting.effects.transfers[:64]:
            giver = self.state.behind.get(transfer.sender.hex()) or transfer.sender.hex()
            if giver in self.state.tested and assets.at(sighting.chain_id, transfer.to) is None:
                self.state.behind.put(transfer.to.hex(), giver)

    def _signal(
        self, asset: Asset, sighting: Sighting, paid: Sequence[Transfer], to: Address, test: Test, usd: Usd
    ) -> Signal:
        because = (
            f"{usd // DOLLAR} USD to {shown(to)} after a first payment of {test.usd // DOLLAR} USD to the same hand"
        )
        return Signal(
            detector=self.about.id,
            subject=Subject("asset", asset.name),
            threat=threat_to(asset),
            weight=self.about.weight if sighting.mined else FAKEABLE,
            evidence="strong" if sighting.mined else "fakeable",
            half_life_s=self.about.half_life_s,
            asset=asset.name,
            because=because,
            roots=(*roots_of(sighting, paid), test.root),
            prior="movement",
            attacker=to,
        )
