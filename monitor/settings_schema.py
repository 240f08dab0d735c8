"""The shape of drawbridge.yaml as pydantic models, which `drawbridge schema` prints: unknown keys are errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from eth_utils.address import is_checksum_address
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Role = Literal["viewer", "operator", "approver", "admin"]
LevelText = Literal["L0", "L1", "L2", "L3"]


def _checksummed(text: str) -> str:
    digits = text[2:]
    if not (digits.islower() or digits.isupper() or digits.isdigit()) and not is_checksum_address(text):
        raise ValueError("its EIP-55 checksum is wrong: a digit was mistyped; copy it again, or write it in lower case")
    if int(text, 16) == 0:
        raise ValueError("is the zero address; nobody holds it")
    return text


def _node(url: str) -> str:
    if not url.startswith(("ws://", "wss://", "http://", "https://", "${")):
        raise ValueError("must start with ws://, wss://, http:// or https://")
    try:
        named = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        named = False
    if not named and not url.startswith("${"):
        raise ValueError("names no host, or a port that cannot be")
    return url


AddressText = Annotated[
    str,
    Field(pattern=r"^0x[0-9a-fA-F]{40}$", description="0x and 40 hex digits; mixed case must be a valid checksum"),
    AfterValidator(_checksummed),
]
Name = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        description="letters, digits, '_', '.', '-', at most 64, a letter or digit first",
    ),
]
Plugin = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,127}(:[A-Za-z_][A-Za-z0-9_]{0,127})?$",
        description="a shipped one's name, or package.module:Class",
    ),
]
Variable = Annotated[
    str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", description="the name of an environment variable")
]
NodeUrl = Annotated[str, Field(max_length=2_048), AfterValidator(_node)]
Text = Annotated[str, Field(max_length=2_048)]


class Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ChainShape(Strict):
    """One EVM chain and the nodes that tell of it."""

    name: Name
    chain_id: Annotated[int, Field(gt=0, lt=2**63)]
    """EIP-155; checked against every node."""
    rpc: Annotated[list[NodeUrl], Field(min_length=1, max_length=16)]
    """Nodes; two or more make a quorum. A WebSocket is faster than HTTP."""
    block_time_ms: Annotated[int, Field(ge=50, le=600_000)] = 12_000
    rpc_quorum: Annotated[int, Field(ge=1, le=16)] = 2
    """How many nodes must agree on a block. 1 caps automatic action at class 2."""
    mempool: bool = True
    """Watch pending transactions."""
    simulations_per_s: Annotated[int, Field(ge=0, le=10_000)] = 200
    """At most so many pending transactions are simulated a second."""


class StaticPrice(Strict):
    """A price that the owner vouches for."""

    usd: Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
    """US dollars for one whole token."""
    decimals: Annotated[int, Field(ge=0, le=36)] = 18


class PricesShape(Strict):
    """What tokens are worth. Keys are chain:0xtoken, or chain:native."""

    feeds: Annotated[dict[str, AddressText], Field(max_length=10_000)] = Field(default_factory=dict)
    """Chainlink aggregators, read at the block before the head or older."""
    static: Annotated[dict[str, StaticPrice], Field(max_length=10_000)] = Field(default_factory=dict)
    max_age_s: Annotated[int, Field(ge=1, le=31_536_000)] = 3_600


class LedgerShape(Strict):
    """A feed of authorised withdrawals: a SQL table with signed watermarks."""

    url: Text
    key_env: Variable
    """Environment variable that holds the HMAC key, at least 16 bytes."""
    poll_ms: Annotated[int, Field(ge=20, le=60_000)] = 250


class OperatorShape(Strict):
    """A person or a machine, with a role and a credential of their own."""

    name: Name
    role: Role
    """viewer reads, operator disarms and arms, approver decides waiting actions, admin may do all."""
    token_env: Variable | None = None
    """Environment variable of the monitor that holds the token."""
    token_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="64 lower-case hex digits")] | None = None
    """SHA-256 of the token, where the token itself stays with the person. Keep it as you would the token."""
    address: AddressText | None = None
    """Address of the person's own key."""


class PauseShape(Strict):
    """How this asset is paused."""

    via: Literal["guardian", "direct", "safe"]
    """guardian: through our Guardian contract; direct: the key has the pauser role on the target itself."""
    guardian: AddressText | None = None
    target: AddressText | None = None
    """The contract to pause, where it is not the asset itself."""
    duration_s: Annotated[int, Field(ge=60, le=604_800)] = 3_600
    signer: Name | None = None
    """Name in `signers`; else responders.pause.signer."""


class TightenShape(Strict):
    """How a WithdrawalGate's limits are lowered for a time."""

    gate: AddressText | None = None
    """The gate, where it is not the asset itself."""
    signer: Name | None = None
    """Name in `signers`; else responders.tighten.signer."""
    lowered_bps: Annotated[int, Field(ge=0, le=10_000)] = 1_000
    """Limits become this share of themselves, in basis points."""


class GoldenShape(Strict):
    """A call of an ordinary user that must still pass, or must fail, once the response is in force."""

    from_: AddressText = Field(alias="from")
    call: Annotated[str, Field(max_length=512)]
    """name(type,…)"""
    to: AddressText | None = None
    args: Annotated[list[Any], Field(max_length=64)] = Field(default_factory=list)
    value: Annotated[int, Field(ge=0, lt=2**256)] = 0
    must: Literal["pass", "fail"] = "pass"


class TokenShape(Strict):
    """A token on an asset's list; unlisted tokens count nothing."""

    address: AddressText
    decimals: Annotated[int, Field(ge=0, le=36)] = 18
    symbol: Annotated[str, Field(max_length=16)] = ""


class AutonomyShape(Strict):
    """How far each action class may go by itself: L0 observe, L1 recommend, L2 with approval, L3 automatic."""

    class_0: LevelText = "L3"
    class_1: LevelText = "L1"
    class_2: LevelText = "L1"
    class_3: LevelText = "L1"


class AssetShape(Strict):
    """Something that is protected, and what may be done for it."""

    name: Name
    kind: Literal["hot_wallet", "contract", "safe", "treasury", "venue_account", "exchange_account", "api_key"]
    chain: Name
    address: AddressText
    value_usd: Annotated[int, Field(ge=0, le=10**15)] | None = None
    """What is at stake; absent: priced from balances."""
    tokens: Annotated[list[AddressText | TokenShape], Field(max_length=1_000)] = Field(default_factory=list)
    known_destinations: Annotated[list[AddressText], Field(max_length=100_000)] = Field(default_factory=list)
    owner: Annotated[str, Field(max_length=64)] = ""
    """Assets of one owner are correlated."""
    family: Annotated[str, Field(max_length=64)] = ""
    """Assets of one family share code or design: an attack on one is tried on all."""
    cold_address: AddressText | None = None
    """The only place that funds may be evacuated to."""
    ledger: Name | None = None
    """Name in `ledgers`: which feed authorises its outflows."""
    outage_usd_per_min: Annotated[int, Field(ge=0, le=10**12)] | None = None
    """What a minute of pause costs."""
    autonomy: AutonomyShape = AutonomyShape()
    pause: PauseShape | None = None
    tighten: TightenShape | None = None
    invariants: Annotated[list[Annotated[str, Field(max_length=512)]], Field(max_length=64)] = Field(
        default_factory=list
    )
    """What must always hold, such as totalAssets() >= totalSupply() * 999 / 1000"""
    golden: Annotated[list[GoldenShape], Field(max_length=64)] = Field(default_factory=list)


class SignerShape(Strict):
    """A response key: a keystore with password_env, or a remote signer with its address."""

    keystore: Text | None = None
    """Path of an encrypted key (Web3 Secret Storage), relative to this file."""
    password_env: Variable | None = None
    rpc: NodeUrl | None = None
    """A signer that speaks eth_signTransaction."""
    address: AddressText | None = None
    aws_kms: Text | None = None
    """Not in this version."""


class ResponderShape(Strict):
    """Which key a kind of response uses."""

    signer: Name | None = None


class LabelShape(Strict):
    """A list of labelled addresses."""

    path: Text | None = None
    url: Text | None = None
    """Not in this version; use path."""
    format: Literal["lines", "json", "csv"] = "lines"
    kind: Annotated[str, Field(max_length=32)] = "scam"
    days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """Days to live."""


class ConsoleShape(Strict):
    """The HTTP server; loopback unless told otherwise."""

    host: Annotated[str, Field(max_length=255)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_700


class SettingsShape(Strict):
    """drawbridge.yaml."""

    version: Literal[1]
    mode: Literal["shadow", "propose", "enforce"] = "shadow"
    """shadow and propose never send; enforce does."""
    store: Text = "sqlite:///drawbridge.db"
    """sqlite:///file, relative to this file, or postgresql://user@host/name"""
    anchor: Text | None = None
    """File for signed heads of the journal, outside the database; absent: beside this file; '': none."""
    kill_file: Text | None = None
    """While this file exists nothing is signed; absent: beside this file; '': none."""
    chains: Annotated[list[ChainShape], Field(min_length=1, max_length=64)]
    prices: PricesShape = PricesShape()
    ledgers: Annotated[dict[Name, LedgerShape], Field(max_length=64)] = Field(default_factory=dict)
    operators: Annotated[list[OperatorShape], Field(max_length=1_000)] = Field(default_factory=list)
    labels: Annotated[list[LabelShape], Field(max_length=256)] = Field(default_factory=list)
    assets: Annotated[list[AssetShape], Field(max_length=10_000)] = Field(default_factory=list)
    detectors: Annotated[dict[Plugin, dict[str, Any]], Field(max_length=256)] | None = None
    """Parameters by detector; absent: every shipped detector at its default."""
    responders: Annotated[dict[Name, ResponderShape], Field(max_length=64)] = Field(default_factory=dict)
    signers: Annotated[dict[Name, SignerShape], Field(max_length=64)] = Field(default_factory=dict)
    policy: str | dict[str, Any] = "default"
    """default, a file relative to this one, or a mapping of the policy's fields."""
    notify: Annotated[list[Text], Field(max_length=64)] = Field(default_factory=list)
    """apprise URLs; env:NAME reads the environment."""
    console: ConsoleShape | None = None
    bus: Literal["local"] = "local"
    rules: Annotated[list[Any], Field(max_length=0)] = Field(default_factory=list)
    """Not in this version."""
    exchange: Annotated[dict[str, Any], Field(max_length=0)] = Field(default_factory=dict)
    """Not in this version."""
    safe: Annotated[dict[str, Any], Field(max_length=0)] = Field(default_factory=dict)
    """Not in this version."""


def json_schema() -> dict[str, Any]:
    """JSON Schema of drawbridge.yaml, for editors and for `drawbridge schema`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | SettingsShape.model_json_schema()
