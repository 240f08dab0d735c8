"""One hand takes everything: one receiver collects many balances, or one sender empties them.

A balance is one token of one watched wallet. A receiver counts each that paid him; a sender counts each that his
transactions paid out of and that holds at most a tenth of what it held, as read around the simulation or in the
block.

Weight: λ = ln(0.7 / 0.095) = 2.0. Estimated, not measured: most thefts on record take several tokens to one address
within minutes (BingX 360 tokens, CoinEx, Phemex), and so does an operator who moves a wallet to an address that he
forgot to name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import ClassVar

from msgspec import Struct, field

from detectors.options import whole
from monitor.core.window import Recent
from monitor.evm.payouts import payers
from monitor.evm.sighting import WALLETS, Sighting, roots_of, sighting_of, threat_to
from monitor.model.assets import Asset
from monitor.model.chain import Reading, Transfer, token_probe
from monitor.model.events import Request, Stamped, StateRead
from monitor.model.ports import Context
from monitor.model.signals import About, Signal, Subject
from monitor.model.units import SECOND, Address, shown

FAKEABLE = 2.5
MOST_ITEMS = 32


class Item(Struct, array_like=True):
    """One balance that a hand took."""

    balance: str
    at: int  # chain seconds


class Payer(Struct):
    """The last transaction that paid out of a balance."""

    sender: Address
    root: str
    at: int


class Hands(Struct):
    taken: Recent[list[Item]] = field(default_factory=lambda: Recent[list[Item]](1_024))
    payers: Recent[Payer] = field(default_factory=lambda: Recent[Payer](1_024))  # by balance
    emptied: Recent[int] = field(default_factory=lambda: Recent[int](1_024))  # balance -> block


class Sweep:
    about: ClassVar[About] = About(
        id="sweep",
        title="One hand collects or empties many balances",
        watches=("PendingSimulated", "TransactionMined", "StateRead"),
        threats=("stolen_key",),
        evidence="strong",
        weight=round(log(0.7 / 0.095), 2),
        half_life_s=3_600,
        window_s=600,
        clock="chain",
        cost_to_fake_usd=100,
        blind_spots="A thief who takes one token, or a fresh address and a fresh submitter for each. Wallets on "
        "several chains are one hand's only by the same receiver or sender address.",
        runbook="If the receiver is yours, name it as a known destination. Else stop the signer of every wallet named.",
    )

    def __init__(self, *, min_balances: int = 3, window_s: int = 600) -> None:
        self._least = whole("min_balances", min_balances, least=2, most=MOST_ITEMS)
        self._window_s = whole("window_s", window_s, least=1)
        self.state = Hands()

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        event = stamped.event
        if isinstance(event, StateRead):
            yield from self._read(event, context)
            return
        sighting = sighting_of(event)
        if sighting is None or not sighting.firm:
            return
        at = sighting.timestamp or context.now // SECOND
        for asset, paid in payers(sighting, context.assets):
            if asset.kind in WALLETS:
                yield from self._take(asset, sighting, paid, at=at)

    def _take(self, asset: Asset, sighting: Sighting, paid: Sequence[Transfer], *, at: int) -> Iterator[Signal]:
        sender = sighting.transaction.sender
        hands: dict[str, list[str]] = {}
        for t in paid:
            hands.setdefault(f"to:{shown(t.to)}", []).append(balance(asset, t.token))
            if self._emptied(asset, t.token, sighting):
                hands.setdefault(f"by:{shown(sender)}", []).append(balance(asset, t.token))
            if sighting.mined:
                self.state.payers.put(balance(asset, t.token), Payer(sender, sighting.root, at))
        for hand, balances in sorted(hands.items()):
            if count := self._count(hand, balances, at, keep=sighting.mined):
                roots = (*roots_of(sighting, paid), f"sender:{shown(sender)}")
                yield self._signal(asset, hand, count, roots=roots, mined=sighting.mined)

    def _read(self, event: StateRead, context: Context) -> Iterator[Signal]:
        """Balances that a block emptied count for whoever last paid out of them."""
        gone = {reading.probe for reading in event.readings if falls(reading)}
        for asset in context.assets.all() if gone else ():
            if asset.chain_id != event.chain_id or asset.kind not in WALLETS:
                continue
            for token in asset.tokens:
                if token_probe(token.address, asset.address) in gone:
                    yield from self._empty(asset, balance(asset, token.address), event.block_number)

    def _empty(self, asset: Asset, name: str, block_number: int) -> Iterator[Signal]:
        self.state.emptied.put(name, block_number)
        payer = self.state.payers.get(name)
        if payer is None:
            return
        hand = f"by:{shown(payer.sender)}"
        if count := self._count(hand, [name], payer.at, keep=True):
            roots = (payer.root, f"sender:{shown(payer.sender)}")
            yield self._signal(asset, hand, count, roots=roots, mined=True)

    def _emptied(self, asset: Asset, token: Address, sighting: Sighting) -> bool:
        if sighting.mined and self.state.emptied.get(balance(asset, token)) == sighting.block_number:
            return True
        probe = token_probe(token, asset.address)
        return any(reading.probe == probe and falls(reading) for reading in sighting.effects.readings)

    def _count(self, hand: str, balances: Sequence[str], at: int, *, keep: bool) -> int:
        """How many balances this hand took within the window, with these; 0 while they are too few."""
        items = {i.balance: i.at for i in self.state.taken.get(hand) or () if 0 <= at - i.at <= self._window_s}
        items |= dict.fromkeys(balances, at)
        if keep:
            newest = sorted(items.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_ITEMS]
            self.state.taken.put(hand, [Item(name, when) for name, when in newest])
        return len(items) if len(items) >= self._least else 0

    def _signal(self, asset: Asset, hand: str, count: int, *, roots: tuple[str, ...], mined: bool) -> Signal:
        did = "collects" if hand.startswith("to:") else "empties"
        return Signal(
            detector=self.about.id,
            subject=Subject("asset", asset.name),
            threat=threat_to(asset),
            weight=self.about.weight if mined else min(self.about.weight, FAKEABLE),
            evidence="strong" if mined else "fakeable",
            half_life_s=self.about.half_life_s,
            asset=asset.name,
            because=f"{hand.partition(':')[2]} {did} {count} balances within {self._window_s} s",
            roots=roots,
            prior="movement",
        )


def balance(asset: Asset, token: Address) -> str:
    return f"{asset.name}:{token.hex()}"


def falls(reading: Reading) -> bool:
    """Whether what was read fell to a tenth or less."""
    if not reading.before or not reading.after:
        return False
    before, after = int.from_bytes(reading.before[:32], "big"), int.from_bytes(reading.after[:32], "big")
    return before > 0 and after * 10 <= before
