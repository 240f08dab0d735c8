"""YAML and environment to frozen Settings; every fault is reported at once, with file, line and field.

Secrets are named rather than held where that can be; what holds one is left out of `repr`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as File
from typing import Any, Final, Literal

from msgspec import Struct
from pydantic import ValidationError

from monitor import settings_faults
from monitor.model.assets import Asset
from monitor.model.codec import decode, digest, encode
from monitor.model.errors import ConfigurationError
from monitor.model.operators import Operator
from monitor.model.policy import ChainRule, Policy
from monitor.model.units import Address, Hash, Usd
from monitor.settings_parts import PartsReader
from monitor.settings_schema import ChainShape, ConsoleShape, LabelShape, LedgerShape, SettingsShape, SignerShape
from monitor.settings_yaml import Document, Path, read_text

Mode = Literal["shadow", "propose", "enforce"]
_FOR_JOURNAL: Final = ("store", "anchor", "kill_file", "operators")
_NOWHERE: Final = {"name": "absent", "chain_id": 2**62, "rpc": ["http://absent.invalid"], "rpc_quorum": 1}


@dataclass(frozen=True, slots=True)
class StaticPriceSetting:
    """Micro-dollars for one whole token."""

    chain_id: int
    token: Address
    usd: Usd
    decimals: int


class Deciding(Struct, frozen=True):
    """The part of a configuration that decides, without any secret: journalled whole, so that replay can use it."""

    rules: tuple[ChainRule, ...]
    assets: tuple[Asset, ...]
    policy: Policy
    detectors: dict[str, dict[str, Any]] | None
    ledgers: tuple[str, ...]
    mode: Mode
    labels: tuple[str, ...] = ()  # SHA-256 of each file, with its kind and days to live


@dataclass(frozen=True, slots=True)
class Settings:
    """What the owner asked for, parsed and cross-checked. Paths are absolute; `secret` reads the environment."""

    path: str
    mode: Mode
    store: str = field(repr=False)
    anchor: str
    kill_file: str
    chains: tuple[ChainShape, ...] = field(repr=False)
    assets: tuple[Asset, ...]
    policy: Policy
    detectors: Mapping[str, Mapping[str, Any]] | None
    signers: Mapping[str, SignerShape] = field(repr=False)
    ledgers: Mapping[str, LedgerShape] = field(repr=False)
    static_prices: tuple[StaticPriceSetting, ...]
    price_feeds: tuple[tuple[int, Address, Address], ...]
    price_max_age_s: int
    operators: tuple[Operator, ...] = field(repr=False)
    labels: tuple[LabelShape, ...]
    label_digests: tuple[str, ...]
    notify: tuple[str, ...] = field(repr=False)
    console: ConsoleShape | None
    warnings: tuple[str, ...]
    secret: Callable[[str], str | None] = field(repr=False, compare=False)
    document: Document = field(repr=False, compare=False)

    @property
    def rules(self) -> tuple[ChainRule, ...]:
        """What the core knows of each chain."""
        return tuple(
            ChainRule(c.chain_id, c.name, max(c.block_time_ms // 1000, 1), min(c.rpc_quorum, len(c.rpc)))
            for c in self.chains
        )

    @property
    def content(self) -> bytes:
        """Canonical bytes of the part that decides: what the journal keeps under `digest`."""
        detectors = None if self.detectors is None else {name: dict(given) for name, given in self.detectors.items()}
        ledgers = tuple(self.ledgers)
        return encode(Deciding(self.rules, self.assets, self.policy, detectors, ledgers, self.mode, self.label_digests))

    @property
    def digest(self) -> Hash:
        return digest(self.content)

    def recorded(self, content: bytes) -> Settings:
        """These settings with the deciding part of a journalled configuration. Raises Undecodable."""
        was = decode(content, Deciding)
        nowhere = "http://recorded.invalid"
        chains = tuple(
            ChainShape(
                name=rule.name,
                chain_id=rule.chain_id,
                rpc=[nowhere] * rule.quorum,
                block_time_ms=rule.slot_s * 1_000,
                rpc_quorum=rule.quorum,
            )
            for rule in was.rules
        )
        return replace(
            self,
            chains=chains,
            assets=was.assets,
            policy=was.policy,
            detectors=was.detectors,
            ledgers=dict.fromkeys(was.ledgers, LedgerShape(url="recorded", key_env="RECORDED")),
            mode=was.mode,
            label_digests=was.labels,
        )

    def fault(self, path: Path, what: str) -> ConfigurationError:
        """An error that names file, line and field, for what only wiring can judge."""
        return ConfigurationError((self.document.fault(path, what),))


def load(
    path: str, *, mode: str | None = None, environment: Mapping[str, str] | None = None, secrets: bool = True
) -> Settings:
    """Read, validate and cross-check a file. Raises ConfigurationError with every fault.

    Without `secrets` what is not set in the environment stays empty: enough for the journal, not for connecting.
    """
    known = os.environ if environment is None else environment
    document = Document(path, read_text(path), known, secrets=secrets)
    try:
        shape = SettingsShape.model_validate(document.data)
    except ValidationError as error:
        found = settings_faults.found(document, error.errors(include_url=False), SettingsShape)
        raise ConfigurationError(_all(document, found, known, secrets=secrets)) from None
    if document.faults:
        raise ConfigurationError(_all(document, document.faults, known, secrets=secrets))
    if mode is not None:
        shape = SettingsShape.model_validate(document.data | {"mode": mode})
    parts = PartsReader(document, shape, known, secrets=secrets)
    settings = _settled(document, shape, parts, known)
    if parts.faults:
        raise ConfigurationError(settings_faults.ordered(parts.faults, document))
    return settings


def load_journal(path: str, *, environment: Mapping[str, str] | None = None) -> Settings:
    """Only what reading the journal and giving orders need: store, anchor, kill file, operators.

    A fault anywhere else, or a secret that is not set, must not keep anybody from disarming. Raises ConfigurationError.
    """
    known = os.environ if environment is None else environment
    document = Document(path, read_text(path), known, secrets=False)
    given = document.data if isinstance(document.data, dict) else {}
    least = {name: given[name] for name in _FOR_JOURNAL if name in given}
    try:
        shape = SettingsShape.model_validate(least | {"version": 1, "chains": [_NOWHERE]})
    except ValidationError as error:
        found = settings_faults.found(document, error.errors(include_url=False), SettingsShape)
        raise ConfigurationError(settings_faults.ordered(found, document)) from None
    parts = PartsReader(document, shape, known, secrets=False)
    settings = _settled(document, shape, parts, known)
    if parts.faults:
        raise ConfigurationError(settings_faults.ordered(parts.faults, document))
    return settings


def _all(
    document: Document, found: Mapping[Path, str], environment: Mapping[str, str], *, secrets: bool
) -> tuple[str, ...]:
    """The faults of the shape, and those of what is left without them."""
    rest = settings_faults.Remainder(document, found)
    whole = rest.data | {"version": 1, "chains": rest.data.get("chains") or [_NOWHERE]}
    try:
        shape = SettingsShape.model_validate(whole)
    except ValidationError:
        return settings_faults.ordered(found, document)
    parts = PartsReader(document, shape, environment, secrets=secrets, original=rest.original)
    _settled(document, shape, parts, environment)
    return settings_faults.ordered(parts.faults | dict(found), document)


def _settled(document: Document, shape: SettingsShape, parts: PartsReader, environment: Mapping[str, str]) -> Settings:
    parts.check()
    assets = parts.assets()
    parts.check_mode(assets)
    return Settings(
        path=str(File(document.name).absolute()),
        mode=shape.mode,
        store=parts.store(),
        anchor=parts.beside(shape.anchor, ".anchor"),
        kill_file=parts.beside(shape.kill_file, ".disarmed"),
        chains=tuple(shape.chains),
        assets=assets,
        policy=parts.policy(),
        detectors=shape.detectors,
        signers=parts.signers(),
        ledgers=shape.ledgers,
        static_prices=tuple(StaticPriceSetting(*price) for price in parts.static_prices()),
        price_feeds=parts.price_feeds(),
        price_max_age_s=shape.prices.max_age_s,
        operators=parts.operators(),
        labels=parts.labels(),
        label_digests=parts.label_digests(),
        notify=parts.notify(),
        console=shape.console,
        warnings=parts.warnings(),
        secret=environment.get,
        document=document,
    )
