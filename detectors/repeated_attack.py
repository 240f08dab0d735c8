"""The same attack again: tried on every sister of what was hit, and recognised when its hand or shape comes back.

When an attack is confirmed, it is rewritten for each asset of the same family and run on a fork. A sister that breaks
a rule there, or that has no rule to judge by and loses value, is proven to be next before anybody attacks it. The
proof is shown again at each head of its chain for as long as the attack stays confirmed, and ends when it no longer
succeeds.

Weight: a transplanted attack that succeeds is a proof, λ = 11.5. A transaction that resembles a confirmed attack
counts λ = ln(0.7 / 0.007) = 4.6: GenDetect finds that over 69 % of attacks imitate an earlier one; the false positive
rate is an estimate for the same hand, contract or call pattern at an asset of the family.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import log
from typing import ClassVar

from msgspec import Struct, field
from msgspec.structs import replace

from monitor.core.window import Recent
from monitor.evm.invariants import evaluate
from monitor.evm.loss import asset_loss_usd, outflow, share_price_drop_bps, standard_probes
from monitor.evm.sighting import WALLETS, Sighting, root_of, sighting_of, threat_to, touched
from monitor.evm.transplant import between, exchanged, transplant
from monitor.model.actions import Attack
from monitor.model.assets import Asset
from monitor.model.chain import CallFrame, Effects, Reading, Transaction
from monitor.model.codec import digest
from monitor.model.events import HeadSeen, Request, RequestFailed, SimulationDone, Stamped
from monitor.model.ports import Context
from monitor.model.signals import About, Fact, Signal, Subject
from monitor.model.units import DOLLAR, NO_HASH, Address

RESEMBLES = round(log(0.7 / 0.007), 2)
FAKEABLE = 2.5
MOST_SISTERS = 16
MOST_TRIES = 3
LEAST_FRAMES = 4
DROP_BPS = 10


class Way(Struct):
    """How a transaction reached an asset: contracts between, and a digest of its calls."""

    contracts: list[Address]
    shape: str


class Trial(Struct):
    """One attack on one sister."""

    number: int = 0  # of the last request
    failures: int = 0
    proven: bool = False


class Known(Struct):
    ways: Recent[Way] = field(default_factory=lambda: Recent[Way](64))  # by root
    begun: Recent[bool] = field(default_factory=lambda: Recent[bool](64))  # attacks that are on trial
    trials: Recent[Trial] = field(default_factory=lambda: Recent[Trial](512))


class RepeatedAttack:
    about: ClassVar[About] = About(
        id="repeated_attack",
        title="A confirmed attack works on a sister, or comes back",
        watches=(
            "HeadSeen",
            "TransactionPending",
            "PendingSimulated",
            "TransactionMined",
            "LogSeen",
            "StateRead",
            "SimulationDone",
            "RequestFailed",
            "CandidatesRehearsed",
            "ResponseSigned",
            "LedgerComplete",
            "Tick",
        ),
        threats=("exploit",),
        evidence="proof",
        weight=11.5,
        half_life_s=600,
        window_s=86_400,
        clock="none",
        cost_to_fake_usd=100_000,  # takes a confirmed attack, and a sister that it really robs on the fork
        blind_spots="Sisters that the owner did not name as one family. Attacks that keep their victim in storage, "
        "check who calls, or need a preparation that is not in the transaction. Stolen keys open no sister.",
        runbook="The sister is next: keep it paused until the cause is fixed in the shared code.",
    )

    def __init__(self) -> None:
        self.state = Known()

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        event = stamped.event
        sighting = sighting_of(event)
        if sighting is not None:
            self._remember(sighting, context)
        attacks = [a for a in context.confirmed_attacks() if all(tx.hash != NO_HASH for tx in a.transactions)]
        if not attacks:
            return
        yield from self._begin(attacks, context)
        match event:
            case HeadSeen(chain_id=chain_id):
                yield from self._again(attacks, chain_id, context)
            case SimulationDone() | RequestFailed():
                yield from self._answered(event, attacks, context)
            case _ if sighting is not None and sighting.includable:
                yield from self._compare(sighting, attacks, context)

    def _remember(self, sighting: Sighting, context: Context) -> None:
        """Keep how a transaction reaches an asset that has sisters, for when it turns out to be an attack."""
        if not sighting.effects.calls or sighting.root in self.state.ways:
            return
        hit = [asset for asset in touched(sighting, context.assets) if asset.family]
        if hit:
            contracts = between((sighting.transaction,), sighting.effects.calls, frozenset(a.address for a in hit))
            self.state.ways.put(sighting.root, Way(list(contracts[:16]), shape_of(sighting.effects.calls)))

    def _begin(self, attacks: Sequence[Attack], context: Context) -> Iterator[Request]:
        """Try new attacks on the sisters of what they hit."""
        fresh = [attack for attack in attacks if (name := _name(attack)) and name not in self.state.begun]
        for attack in fresh:
            self.state.begun.put(_name(attack), True)
        for attack, sister, key in _pairs(fresh, context):
            self.state.trials.put(key, Trial())
            yield from self._ask(attack, sister, key, context)

    def _again(self, attacks: Sequence[Attack], chain_id: int, context: Context) -> Iterator[Request]:
        """Show each proof again at the new head; a try that got no answer is made again."""
        for attack, sister, key in _pairs(attacks, context):
            trial = self.state.trials.get(key)
            if trial is not None and sister.chain_id == chain_id and (trial.proven or 0 < trial.failures < MOST_TRIES):
                yield from self._ask(attack, sister, key, context)

    def _ask(self, attack: Attack, sister: Asset, key: str, context: Context) -> Iterator[Request]:
        transactions, rewrite = self._for_sister(attack, sister, context)
        trial = self.state.trials.get(key)
        if not transactions or trial is None:
            return
        asset = context.assets.named(attack.asset)
        trial.number += 1
        yield Request(
            key=f"{key}#{trial.number}",
            chain_id=sister.chain_id,
            transactions=transactions,
            probes=standard_probes(sister),
            priority=0,
            rewrite=rewrite,
            exchange=tuple(exchanged(asset, sister).items()) if asset and rewrite else (),
        )

    def _for_sister(
        self, attack: Attack, sister: Asset, context: Context
    ) -> tuple[tuple[Transaction, ...], tuple[Address, ...]]:
        """The attack's transactions rewritten, and the contracts whose code may name its victim."""
        asset = context.assets.named(attack.asset)
        if asset is None or any(context.assets.at(asset.chain_id, tx.sender) for tx in attack.transactions):
            return (), ()
        ways = [self.state.ways.get(root_of(tx)) for tx in attack.transactions]
        rewrite = tuple(dict.fromkeys(c for way in ways if way is not None for c in way.contracts))
        moved, _ = transplant(attack.transactions, (), asset, sister, {})
        if not moved and rewrite:
            moved = tuple(replace(tx, hash=NO_HASH) for tx in attack.transactions)
        return moved, rewrite

    def _answered(
        self, event: SimulationDone | RequestFailed, attacks: Sequence[Attack], context: Context
    ) -> Iterator[Signal]:
        key = event.key.rpartition("#")[0]
        trial = self.state.trials.get(key)
        pair = next((pair for pair in _pairs(attacks, context) if pair[2] == key), None)
        if trial is None or pair is None:
            return
        if isinstance(event, RequestFailed):
            trial.failures += 1
            return
        attack, sister, _ = pair
        text = _robbed(sister, event.effects, context)
        trial.proven, trial.failures = bool(text), 0
        if text:
            yield self._proof(attack, sister, key, event, text=text, context=context)

    def _proof(
        self, attack: Attack, sister: Asset, key: str, event: SimulationDone, *, text: str, context: Context
    ) -> Signal:
        transactions, _ = self._for_sister(attack, sister, context)
        because = f"the attack on {attack.asset} works on {sister.name}: {text}"
        fact = Fact(
            rule="conservation",
            chain_id=sister.chain_id,
            text=because,
            attack=transactions[-1] if transactions else None,
            held_at=event.base_number,
            block_hash=event.base,
            code_overrides=event.code_overrides,
        )
        return self._signal(sister, because, root=key, fact=fact, attacker=attack.attacker)

    def _compare(self, sighting: Sighting, attacks: Sequence[Attack], context: Context) -> Iterator[Signal]:
        """A transaction at an asset of the family by the hand, contract and function, or calls of an attack."""
        roots = {root_of(tx) for attack in attacks for tx in attack.transactions}
        if sighting.root in roots:
            return
        for asset in touched(sighting, context.assets):
            for attack in attacks:
                hit = context.assets.named(attack.asset)
                if hit is None or hit.kind in WALLETS or not _related(hit, asset):
                    continue
                like = self._likeness(sighting, attack, context)
                if like:
                    because = f"{like} as in the attack on {attack.asset}"
                    yield self._signal(asset, because, root=sighting.root, mined=sighting.mined)
                    break

    def _likeness(self, sighting: Sighting, attack: Attack, context: Context) -> str:
        seen = sighting.transaction
        way = self.state.ways.get(sighting.root)
        for tx in attack.transactions:
            theirs = self.state.ways.get(root_of(tx))
            foreign = seen.to is not None and context.assets.at(sighting.chain_id, seen.to) is None
            if seen.sender == tx.sender:
                return "the same sender"
            if foreign and (seen.to, seen.data[:4]) == (tx.to, tx.data[:4]):
                return "the same contract and function"
            if foreign and way and theirs and way.shape and way.shape == theirs.shape:
                return "the same calls"
        return ""

    def _signal(
        self,
        asset: Asset,
        because: str,
        *,
        root: str,
        mined: bool = False,
        fact: Fact | None = None,
        attacker: Address | None = None,
    ) -> Signal:
        weight = self.about.weight if fact else RESEMBLES if mined else FAKEABLE
        return Signal(
            detector=self.about.id,
            subject=Subject("asset", asset.name),
            threat=threat_to(asset),
            weight=weight,
            evidence="proof" if fact else "strong" if mined else "fakeable",
            half_life_s=0 if fact else self.about.half_life_s,
            asset=asset.name,
            because=because,
            roots=(root,),
            prior="movement",
            fact=fact,
            attacker=attacker,
        )


def shape_of(frames: Sequence[CallFrame]) -> str:
    """A digest of depth, kind and function of the first calls; empty for too few to tell anything."""
    if len(frames) < LEAST_FRAMES:
        return ""
    return digest(b"".join(f"{f.depth}{f.kind}".encode() + f.data[:4] for f in frames[:256])).hex()


def _pairs(attacks: Sequence[Attack], context: Context) -> Iterator[tuple[Attack, Asset, str]]:
    """Each attack with each sister of the asset that it hit, and the name of that trial."""
    for attack in attacks:
        asset = context.assets.named(attack.asset)
        if asset is None:
            continue
        for sister in context.assets.sisters(asset)[:MOST_SISTERS]:
            yield attack, sister, f"{_name(attack)}:{sister.name}"


def _name(attack: Attack) -> str:
    """One name for an attack on one asset, pending or mined; empty without a transaction."""
    return f"repeated_attack:{attack.asset}:{root_of(attack.transactions[-1])}" if attack.transactions else ""


def _related(hit: Asset, asset: Asset) -> bool:
    return hit.name == asset.name or (bool(hit.family) and hit.family == asset.family)


def _robbed(sister: Asset, effects: Sequence[Effects], context: Context) -> str:
    """What the attack did to the sister, in words; empty where nothing, or where all rules that can be judged hold."""
    if not effects or not effects[-1].ok:
        return ""
    readings = _around(effects)
    before, after = {r.probe: r.before for r in readings}, {r.probe: r.after for r in readings}
    whole = Effects(True, 0, transfers=tuple(t for e in effects for t in e.transfers), readings=readings)
    drop = share_price_drop_bps(whole, sister)
    if drop is not None and drop > DROP_BPS:
        return f"its share price falls by {drop / 100:.2f} %"
    judged = [(i, evaluate(i, before), evaluate(i, after)) for i in sister.invariants]
    broken = next((i.text for i, held, holds in judged if held is True and holds is False), "")
    if broken:
        return f"{broken} breaks"
    if drop is not None or any(holds is not None for _, _, holds in judged) or not outflow(whole, sister):
        return ""
    usd = asset_loss_usd(whole, sister, context.prices)
    return "it loses value without a known price" if usd is None else f"it loses {usd // DOLLAR} USD" if usd else ""


def _around(effects: Sequence[Effects]) -> tuple[Reading, ...]:
    """Readings before the first and after the last transaction."""
    last = {r.probe: r.after for r in effects[-1].readings}
    return tuple(Reading(r.probe, r.before, last.get(r.probe)) for r in effects[0].readings)
