"""Small builders for core tests: the interesting field by keyword, the rest ordinary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from msgspec.structs import replace

from monitor.core.step import Core
from monitor.model.actions import Rehearsal
from monitor.model.assets import Asset, Level, PauseRoute, TightenRoute
from monitor.model.chain import Effects, Header, Transaction
from monitor.model.events import (
    AnyEvent,
    BlockOrphaned,
    CandidatesRehearsed,
    HeadSeen,
    PendingSimulated,
    Request,
    ResponseBroadcast,
    ResponseIncluded,
    ResponseSigned,
    ResponseVerified,
    Stamped,
    TransactionMined,
)
from monitor.model.incidents import Step
from monitor.model.policy import ChainRule, Policy
from monitor.model.ports import Context
from monitor.model.signals import About, Evidence, Fact, Signal, Subject, Threat
from monitor.model.units import DOLLAR, SECOND, Address, ChainId, Hash, Instant, Usd, Wei

CHAIN = ChainId(31337)
START = 1_700_000_000


def a(n: int) -> Address:
    return Address(n.to_bytes(20, "big"))


def h(n: int) -> Hash:
    return Hash(n.to_bytes(32, "big"))


THIEF, GUARDIAN = a(0xBAD), a(0x60)
AUTOMATIC = (Level.AUTOMATIC,) * 4


def vault(name: str = "vault", n: int = 1, **fields: Any) -> Asset:
    known: dict[str, Any] = {
        "kind": "contract",
        "chain_id": CHAIN,
        "address": a(n),
        "owner": "dao",
        "family": "vaults",
        "value_usd": Usd(10_000_000 * DOLLAR),
        "outage_usd_per_min": Usd(100 * DOLLAR),
        "autonomy": AUTOMATIC,
        "pause": PauseRoute("guardian", a(n), GUARDIAN, 3600, "guardian-key"),
    }
    return Asset(name=name, **(known | fields))


def wallet(name: str = "hot", n: int = 9, **fields: Any) -> Asset:
    known: dict[str, Any] = {"kind": "hot_wallet", "family": "", "tighten": TightenRoute(a(n), "guardian-key", 1000)}
    return vault(name, n, **(known | fields))


@dataclass
class FakeAssets:
    assets: Sequence[Asset]

    def at(self, chain_id: ChainId, address: Address) -> Asset | None:
        return next((x for x in self.assets if x.chain_id == chain_id and x.address == address), None)

    def named(self, name: str) -> Asset | None:
        return next((x for x in self.assets if x.name == name), None)

    def all(self) -> tuple[Asset, ...]:
        return tuple(self.assets)

    def sisters(self, asset: Asset) -> tuple[Asset, ...]:
        return tuple(x for x in self.assets if x.family == asset.family and x != asset)

    def token(self, chain_id: ChainId, token: Address) -> None:
        return None


class NoLabels:
    def get(self, address: Address) -> None:
        return None


def tx(n: int = 1, *, sender: Address = THIEF, to: Address | None = None, tip: int = 10**9) -> Transaction:
    return Transaction(h(n), sender, to or a(1), n, Wei(0), 1_000_000, 100 * 10**9, tip)


def mined(n: int = 1, *, block: int = 10, fork: int = 0, to: Address | None = None) -> TransactionMined:
    return TransactionMined(
        chain_id=CHAIN,
        transaction=tx(n, to=to),
        block_number=block,
        block_hash=block_hash(block, fork),
        timestamp=START + block * 12,
        index=0,
        effects=Effects(True, 100_000),
    )


def pending(n: int = 1, *, effects: Effects | None = None, tip: int = 10**9) -> PendingSimulated:
    return PendingSimulated(
        chain_id=CHAIN,
        transaction=tx(n, tip=tip),
        base=h(1),
        base_number=1,
        effects=effects or Effects(True, 2_000_000),
    )


def block_hash(number: int, fork: int = 0) -> Hash:
    return h(number * 1000 + fork)


def head(number: int = 10, *, fork: int = 0, coinbase: Address | None = None) -> HeadSeen:
    parent = block_hash(number - 1, fork)
    header = Header(
        number, block_hash(number, fork), parent, START + number * 12, 10**9, 30_000_000, 0, coinbase or a(7)
    )
    return HeadSeen(chain_id=CHAIN, header=header)


def head_at(number: int, timestamp: int) -> HeadSeen:
    """A head at an unusual time."""
    seen = head(number)
    return replace(seen, header=replace(seen.header, timestamp=timestamp))


def signal(
    asset: str = "vault",
    *,
    detector: str = "value_leaves",
    evidence: Evidence = "proof",
    weight: float = 11.5,
    threat: Threat = "exploit",
    roots: tuple[str, ...] = ("tx:1",),
    attack: Transaction | None = None,
    is_mined: bool = True,
    half_life_s: int = 0,
    prior: Any = "movement",
) -> Signal:
    fact = None
    if evidence == "proof":
        fact = Fact("conservation", CHAIN, "shares are worth less", attack=attack or tx(), mined=is_mined)
    return Signal(
        detector,
        Subject("asset", asset),
        threat,
        weight,
        evidence,
        half_life_s,
        asset,
        "because it leaves",
        roots=roots,
        prior=prior,
        fact=fact,
        loss_usd=Usd(1_000 * DOLLAR),
    )


def strong(n: int = 1, asset: str = "vault", **fields: Any) -> Signal:
    """A strong signal of a group of its own, without a proof."""
    known: dict[str, Any] = {"detector": f"d{n}", "evidence": "strong", "weight": 4.6, "roots": (f"t:{n}",)}
    return signal(asset, **(known | fields))


@dataclass
class Says:
    """A detector that says what the test wants for each event."""

    say: Callable[[Any, Any], Sequence[Signal | Request]]
    watches: tuple[str, ...] = ("TransactionMined", "PendingSimulated")
    name: str = "value_leaves"
    state: Any = None
    about: ClassVar[Any] = None

    def __post_init__(self) -> None:
        sheet = About(self.name, "t", self.watches, ("exploit",), "proof", 11.5, 0, 0, "none", 0, "none", "look")
        self.about = sheet  # type: ignore[misc]

    def inspect(self, stamped: Stamped, context: Context) -> Iterator[Signal | Request]:
        yield from self.say(stamped, context)


@dataclass
class Driver:
    """Feeds a core event by event, a second apart, and keeps the steps."""

    core: Core
    seq: int = 0
    seconds: float = START
    steps: list[Step] = field(default_factory=list)
    fed: list[Stamped] = field(default_factory=list)

    def feed(self, *events: AnyEvent, every_s: float = 1.0) -> Step:
        for event in events:
            self.seq += 1
            self.seconds += every_s
            stamped = Stamped(self.seq, Instant(int(self.seconds * SECOND)), event)
            self.fed.append(stamped)
            self.steps.append(self.core.step(stamped))
        return self.steps[-1]


def core(
    *detectors: Any, assets: Sequence[Asset] = (vault(),), policy: Policy | None = None, quorum: int = 2
) -> Driver:
    built = Core(
        detectors=detectors,
        assets=FakeAssets(assets),
        labels=NoLabels(),
        policy=policy or Policy(),
        chains=(ChainRule(CHAIN, "devnet", 12, quorum),),
    )
    return Driver(built)


def rehearsal(action_id: str, **fields: Any) -> Rehearsal:
    known: dict[str, Any] = {
        "block_number": 10,
        "block_hash": block_hash(10),
        "valid": "holds",
        "why": "",
        "gas_used": 60_000,
        "golden_passed": 1,
        "golden_broken": (),
        "loss_without_usd": Usd(1_000_000 * DOLLAR),
        "loss_with_usd": Usd(0),
        "loss_verdict": "holds",
    }
    return Rehearsal(action_id=action_id, **(known | fields))


def signed(action_id: str, *, n: int = 77) -> ResponseSigned:
    return ResponseSigned(
        chain_id=CHAIN,
        action_id=action_id,
        incident=action_id.split("/")[0],
        signer="guardian-key",
        sender=a(5),
        nonce=0,
        hash=h(n),
        raw=b"\x02raw",
    )


def broadcast(action_id: str, **fields: Any) -> ResponseBroadcast:
    known: dict[str, Any] = {"hash": h(77), "accepted_by": ("node-1",)}
    return ResponseBroadcast(chain_id=CHAIN, action_id=action_id, **(known | fields))


def included(action_id: str, *, block: int = 11, fork: int = 0, ok: bool = True) -> ResponseIncluded:
    return ResponseIncluded(
        chain_id=CHAIN,
        action_id=action_id,
        hash=h(77),
        block_number=block,
        block_hash=block_hash(block, fork),
        ok=ok,
        gas_used=60_000,
        cost=Wei(10**15),
        timestamp=START + block * 12,
    )


def verified(action_id: str, **fields: Any) -> ResponseVerified:
    known: dict[str, Any] = {"after_blocks": 1, "block_number": 12, "holds": "holds", "blocked": "holds"}
    return ResponseVerified(chain_id=CHAIN, action_id=action_id, **(known | fields))


def orphaned(number: int, fork: int = 0) -> BlockOrphaned:
    return BlockOrphaned(chain_id=CHAIN, number=number, hash=block_hash(number, fork))


def proposed(step: Step) -> str:
    """The id of the one action that the lab is asked about."""
    ((action,),) = (wanted.actions for wanted in step.rehearse)
    return action.id


def answered(driver: Driver, *action_ids: str, **found: Any) -> Step:
    """The lab's answer, the same for each of these actions."""
    rehearsals = tuple(rehearsal(action_id, **found) for action_id in action_ids)
    return driver.feed(CandidatesRehearsed(incident=action_ids[0].split("/")[0], rehearsals=rehearsals))


def feed_to_sent(driver: Driver) -> str:
    """An attack mined in block 10, answered by one action that is on its way."""
    action_id = proposed(driver.feed(head(10), mined()))
    answered(driver, action_id)
    driver.feed(signed(action_id), broadcast(action_id))
    return action_id


def feed_to_containment(driver: Driver) -> str:
    """The same, included in block 11 and verified after block 12."""
    action_id = feed_to_sent(driver)
    driver.feed(head(11), included(action_id), head(12), verified(action_id))
    return action_id
