"""A watched wallet pays out what its ledger never authorised: proof 2 of docs/decide.md.

Every payout is held against the ledger by chain, token, destination and amount; each entry balances one payout, once.
What finds no entry waits for a signed watermark later than the sighting: only then is "no entry" a fact. If the feed
has not matched 95 % of its last 50 payouts, or three unmatched payouts to different destinations come within a
minute, the feed is at fault until a person arms again, and nothing is proven by it. The first unmatched payout of a
burst is judged before the burst is one: a thief who sends to many addresses at once is proven by his first.

Weight: a proof counts its cap, λ = 11.5. It is not estimated: with a complete ledger the claim is a subtraction. A
payout that balances counts λ = -2.0, the cap of negative evidence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from msgspec import Struct, field

from detectors.options import share, whole
from monitor.core.window import Recent
from monitor.evm.authorised import Book, line
from monitor.evm.payouts import payers
from monitor.evm.sighting import Sighting, place_of, root_of, sighting_of
from monitor.model.assets import Asset
from monitor.model.chain import Transfer
from monitor.model.events import Armed, LedgerComplete, Request, Stamped, TransactionMined, WithdrawalAuthorised
from monitor.model.ports import Context
from monitor.model.signals import About, Evidence, Fact, Signal, Subject
from monitor.model.units import DOLLAR, MINUTE, SECOND, Address, Instant, Usd

SKEW_S = 1
MOST_WAITING = 512
HISTORY = 50
BURST = 3


class Payout(Struct):
    """One transaction's payouts from one wallet, until they are judged; afterwards what was said of them."""

    asset: str
    ledger: str
    place: str
    root: str
    lines: list[str]
    destinations: list[Address]
    largest: Address
    usd: Usd
    at: Instant  # sighting
    within: Instant  # time at which an entry must hold
    fact: Fact
    proven: bool = False


class Feed(Struct):
    """What one ledger's feed is worth."""

    delivered: int = 0  # highest sequence that arrived
    marked: int = 0  # sequence and time of the newest watermark
    marked_at: Instant = Instant(0)
    matched: list[bool] = field(default_factory=list)  # the last payouts that were mined or judged
    unmatched: list[tuple[Instant, Address]] = field(default_factory=list)  # of the last minute
    faulty: bool = False


class Ledgers(Struct):
    book: Book = field(default_factory=Book)
    feeds: dict[str, Feed] = field(default_factory=dict)  # by configured ledger
    rows: Recent[bool] = field(default_factory=lambda: Recent[bool](4096))  # delivered, against repetition
    waiting: dict[str, Payout] = field(default_factory=dict)  # by place and asset
    judged: Recent[Payout] = field(default_factory=lambda: Recent[Payout](256))  # found unmatched
    mined: Recent[str] = field(default_factory=lambda: Recent[str](1024))  # root by place that is taken for good


class UnledgeredOutflow:
    about: ClassVar[About] = About(
        id="unledgered_outflow",
        title="A wallet pays out what its ledger never authorised",
        watches=(
            "PendingSimulated",
            "TransactionMined",
            "WithdrawalAuthorised",
            "LedgerComplete",
            "Armed",
        ),
        threats=("stolen_key", "blind"),
        evidence="proof",
        weight=11.5,
        half_life_s=0,
        window_s=86_400,
        clock="seen",
        cost_to_fake_usd=1_000_000,  # takes the wallet's own key, or write access to the ledger
        blind_spots="Wallets without a ledger. Whoever can write the ledger authorises himself. A payout that repeats "
        "an authorised one to the same customer before that is paid. Tokens that no asset lists. Pending transactions "
        "that could not be mined next are judged when they can. A thief who first breaks the feed is a feed fault.",
        runbook="Ask the signer's own log who asked for this transaction. If nobody did, the key is stolen: stop the "
        "signer, not only the withdrawal API. If the feed is at fault, repair it, then `drawbridge arm`.",
    )

    def __init__(
        self,
        *,
        grace_s: int = 0,
        window_s: int = 86_400,
        min_matched_share: float = 0.95,
        min_matched: int = 1,
        negative_from_usd: int = 10_000,
    ) -> None:
        self._grace = whole("grace_s", grace_s) * SECOND
        self._share = share("min_matched_share", min_matched_share)
        self._least = whole("min_matched", min_matched, most=HISTORY)
        self._negative_from = whole("negative_from_usd", negative_from_usd) * DOLLAR
        self.state = Ledgers(Book(whole("window_s", window_s, least=1)))

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        match stamped.event:
            case WithdrawalAuthorised() as row:
                yield from self._enter(row)
            case LedgerComplete(ledger=ledger, sequence=sequence, at=at) if at <= context.now + SKEW_S * SECOND:
                feed = self._feed(ledger)
                if at >= feed.marked_at:
                    feed.marked, feed.marked_at = sequence, at
                yield from self._judge(ledger)
            case Armed():
                for feed in self.state.feeds.values():
                    feed.faulty, feed.unmatched = False, []
            case event:
                if isinstance(event, TransactionMined) and not self._vacate(event, context):
                    return
                sighting = sighting_of(event)
                if sighting is not None and sighting.firm:
                    yield from self._see(sighting, context)

    def _enter(self, row: WithdrawalAuthorised) -> Iterator[Signal]:
        key = f"{row.ledger}:{row.sequence}"
        if key in self.state.rows:
            return
        self.state.rows.put(key, True)
        what = line(row.ledger, row.chain_id, Transfer(row.token, row.to, row.to, row.amount))
        self.state.book.enter(what, row.authorised_at)
        feed = self._feed(row.ledger)
        feed.delivered = max(feed.delivered, row.sequence)
        yield from self._judge(row.ledger)

    def _vacate(self, event: TransactionMined, context: Context) -> bool:
        """A mined transaction, failed or not, ends what others with its nonce claimed: the payout may come again.

        False where it was told before: an entry is consumed once.
        """
        place, root = place_of(event.chain_id, event.transaction), root_of(event.transaction)
        if self.state.mined.get(place) == root:
            return False
        self.state.mined.put(place, root)
        for asset in context.assets.all():
            if not asset.ledger:
                continue
            key = f"{place}:{asset.name}"
            self.state.book.release(key)
            waiting = self.state.waiting.get(key)
            if waiting is not None and waiting.root != root:
                del self.state.waiting[key]
        return True

    def _see(self, sighting: Sighting, context: Context) -> Iterator[Signal]:
        """Hold what each watched wallet pays out in this transaction against its ledger."""
        if not sighting.mined and sighting.place in self.state.mined:
            return
        for asset, paid in payers(sighting, context.assets):
            if asset.ledger:
                yield from self._weigh(_payout(asset, sighting, paid, context))

    def _weigh(self, payout: Payout) -> Iterator[Signal]:
        key = f"{payout.place}:{payout.asset}"
        said = self.state.judged.get(key)
        waiting = self.state.waiting.pop(key, None)
        earlier = said or waiting
        if earlier is not None and earlier.root == payout.root:
            payout.at = earlier.at
        if not self.state.book.claim(key, payout.lines, at=payout.within):
            self.state.judged.pop(key)
            yield from self._balance(payout)
        elif said is not None and said.root == payout.root:
            payout.proven = said.proven
            self.state.judged.put(key, payout)
            yield self._claim(payout)
        elif len(self.state.waiting) < MOST_WAITING:
            self.state.waiting[key] = payout
        else:
            yield _blind(payout.ledger, f"{MOST_WAITING} payouts wait for its watermark, and one more was not kept")

    def _judge(self, ledger: str) -> Iterator[Signal]:
        """Judge what waits, oldest first, as far as the feed is complete."""
        feed = self._feed(ledger)
        if feed.delivered < feed.marked:
            return
        for key, payout in sorted(self.state.waiting.items(), key=lambda pair: (pair[1].at, pair[0])):
            if payout.ledger != ledger or payout.at + self._grace >= feed.marked_at:
                continue
            del self.state.waiting[key]
            if not self.state.book.claim(key, payout.lines, at=payout.within):
                yield from self._balance(payout)
                continue
            yield from self._miss(key, payout, feed)

    def _balance(self, payout: Payout) -> Iterator[Signal]:
        """Every payout has its entry."""
        if payout.fact.mined:
            self.state.book.settle(f"{payout.place}:{payout.asset}")
            _note(self._feed(payout.ledger), matched=True)
        if payout.usd >= self._negative_from:
            yield _signal(payout, "negative", -2.0, f"{payout.ledger} authorised what {payout.asset} pays out")

    def _miss(self, key: str, payout: Payout, feed: Feed) -> Iterator[Signal]:
        """No entry, and the feed says that it is complete: a proof, unless the feed itself is in doubt."""
        recent = [(at, to) for at, to in feed.unmatched if payout.at - at <= MINUTE]
        now = {to for _, to in recent} | set(payout.destinations)
        burst = f"{len(now)} destinations without an entry within a minute" if len(now) >= BURST else ""
        doubt = self._doubt(payout, feed) or (burst if recent else "")
        payout.proven = not doubt
        feed.unmatched = [*recent, *((payout.at, to) for to in payout.destinations)][-HISTORY:]
        feed.faulty = feed.faulty or bool(burst)
        _note(feed, matched=False)
        self.state.judged.put(key, payout)
        yield self._claim(payout)
        if doubt or burst:
            yield _blind(payout.ledger, doubt or burst)

    def _doubt(self, payout: Payout, feed: Feed) -> str:
        """Why a missing entry proves nothing now; empty where it does."""
        matched, judged = sum(feed.matched), len(feed.matched)
        if feed.faulty:
            return "it is at fault until a person arms again"
        if matched < max(self._least, self._share * judged):
            return f"it matched {matched} of the last {judged} payouts"
        if self.state.book.blind_until >= payout.within:
            return "more entries were open than the book holds"
        return ""

    def _claim(self, payout: Payout) -> Signal:
        if payout.proven:
            return _signal(payout, "proof", self.about.weight, payout.fact.text)
        return _signal(payout, "fakeable", 0.0, f"{payout.fact.text}; the feed is in doubt, so this proves nothing")

    def _feed(self, ledger: str) -> Feed:
        return self.state.feeds.setdefault(ledger, Feed())


def _payout(asset: Asset, sighting: Sighting, out: list[Transfer], context: Context) -> Payout:
    worth = [(context.prices.usd(sighting.chain_id, t.token, t.amount) or Usd(0), t.to) for t in out]
    within = min(Instant(sighting.timestamp * SECOND), context.now) if sighting.mined else context.now
    text = f"{asset.name} pays out {len(out)} amounts that {asset.ledger} never authorised"
    return Payout(
        asset=asset.name,
        ledger=asset.ledger,
        place=sighting.place,
        root=sighting.root,
        lines=[line(asset.ledger, sighting.chain_id, t) for t in out],
        destinations=sorted({t.to for t in out}),
        largest=max(worth)[1],
        usd=Usd(sum(usd for usd, _ in worth)),
        at=context.now,
        within=within,
        fact=sighting.fact("no_ledger_entry", text),
    )


def _signal(payout: Payout, evidence: Evidence, weight: float, because: str) -> Signal:
    proof = evidence == "proof"
    return Signal(
        detector=UnledgeredOutflow.about.id,
        subject=Subject("asset", payout.asset),
        threat="stolen_key",
        weight=weight,
        evidence=evidence,
        half_life_s=0 if proof else 3600,
        asset=payout.asset,
        because=because,
        roots=(payout.root,),
        prior="movement",
        fact=payout.fact if proof else None,
        loss_usd=payout.usd if proof else Usd(0),
        attacker=payout.largest if proof else None,
    )


def _blind(ledger: str, why: str) -> Signal:
    return Signal(
        detector=UnledgeredOutflow.about.id,
        subject=Subject("source", f"ledger:{ledger}"),
        threat="blind",
        weight=UnledgeredOutflow.about.weight,
        evidence="proof",
        half_life_s=3600,
        asset="",
        because=f"ledger {ledger} is in doubt: {why}",
        roots=(f"source:ledger:{ledger}",),
    )


def _note(feed: Feed, *, matched: bool) -> None:
    feed.matched = [*feed.matched, matched][-HISTORY:]
