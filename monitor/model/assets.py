"""What is protected, and what may be done for it: the owner's configuration as frozen values."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from msgspec import Struct

from monitor.model.chain import Call, Probe
from monitor.model.units import Address, ChainId, Usd

AssetKind = Literal["hot_wallet", "contract", "safe", "treasury", "venue_account", "exchange_account", "api_key"]


class Level(IntEnum):
    """How far an action may go without a person."""

    OBSERVE = 0
    RECOMMEND = 1
    WITH_APPROVAL = 2
    AUTOMATIC = 3


class Token(Struct, frozen=True):
    """A token on an asset's list. Tokens that no asset lists count nothing (airdrops)."""

    address: Address  # NATIVE for ether
    decimals: int = 18
    symbol: str = ""


class PauseRoute(Struct, frozen=True):
    """How this asset is paused: through our Guardian contract, or by a pauser role on the target itself."""

    via: Literal["guardian", "direct"]
    target: Address
    guardian: Address | None = None
    duration_s: int = 3600
    signer: str = ""  # name in `signers`


class TightenRoute(Struct, frozen=True):
    """WithdrawalGate's tighten(): lower the limits for at most two hours."""

    gate: Address
    signer: str = ""
    lowered_bps: int = 0  # limits become this share of themselves


class Operand(Struct, frozen=True, tag="number"):
    value: int


class View(Struct, frozen=True, tag="view"):
    """A view call inside an invariant, decoded as one unsigned or signed word."""

    probe: Probe
    text: str
    signed: bool = False


class Operation(Struct, frozen=True, tag="operation"):
    """left <operator> right over exact integers; comparison and boolean operators give 0 or 1."""

    operator: Literal["+", "-", "*", "/", ">=", ">", "<=", "<", "==", "!=", "and", "or"]
    left: Operand | View | Operation
    right: Operand | View | Operation


Expression = Operand | View | Operation


class Invariant(Struct, frozen=True):
    """What the owner declares must always hold; the text is theirs, the tree is what we run."""

    text: str
    tree: Expression
    probes: tuple[Probe, ...]


class Golden(Struct, frozen=True):
    """A call of an ordinary user that must still pass (or must now fail) once the response is in force."""

    call: Call
    must: Literal["pass", "fail"]
    text: str


class Asset(Struct, frozen=True):
    name: str
    kind: AssetKind
    chain_id: ChainId
    address: Address
    owner: str = ""
    tokens: tuple[Token, ...] = ()
    value_usd: Usd | None = None
    known_destinations: tuple[Address, ...] = ()
    cold_address: Address | None = None
    ledger: str = ""
    outage_usd_per_min: Usd = Usd(0)
    autonomy: tuple[Level, Level, Level, Level] = (
        Level.AUTOMATIC,
        Level.RECOMMEND,
        Level.RECOMMEND,
        Level.RECOMMEND,
    )  # by action class 0 to 3
    pause: PauseRoute | None = None
    tighten: TightenRoute | None = None
    invariants: tuple[Invariant, ...] = ()
    golden: tuple[Golden, ...] = ()
    family: str = ""  # assets of one family are sisters: the same code or design
