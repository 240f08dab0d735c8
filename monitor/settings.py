"""YAML and environment to frozen Settings; every fault is reported at once, with file, line and field.

Secrets are named rather than held where that can be; what holds one is left out of `repr`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any, Literal

from msgspec import Struct
from pydantic import ValidationError

from monitor import settings_faults
from monitor.model.assets import Asset
from monitor.model.codec import digest, encode
from monitor.model.errors import ConfigurationError
from monitor.model.operators import Operator
from monitor.model.policy import ChainRule, Policy
from monitor.model.units import Address, Hash, Usd
from monitor.settings_parts import PartsReader
from monitor.settings_schema import ChainShape, ConsoleShape, LabelShape, LedgerShape, SettingsShape, SignerShape
from monitor.settings_yaml import Document, Path, read_text

Mode = Literal["shadow", "propose", "enforce"]


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
        return encode(Deciding(self.rules, self.assets, self.policy, detectors, tuple(self.ledgers), self.mode))

    @property
    def digest(self) -> Hash:
        return digest(self.content)

    def fault(self, path: Path, what: str) -> ConfigurationError:
        """An error that names file, line and field, for what only wiring can judge."""
        return ConfigurationError((self.document.fault(path, what),))


def load(
    path: str, *, mode: str | None = None, environment: Mapping[str, str] | None = None, secrets: bool = True
) -> Settings:
    """Read, validate and cross-check a file. Raises ConfigurationError with every fault.

    Without `secrets` nothing of the environment is read: enough for the journal, not for connecting.
    """
    known = os.environ if environment is None else environment
    document = Document(path, read_text(path), known if secrets else None)
    try:
        shape = SettingsShape.model_validate(document.data)
    except ValidationError as error:
        found = settings_faults.lines(document, error.errors(include_url=False), SettingsShape)
        raise ConfigurationError(found) from None
    if mode is not None:
        shape = SettingsShape.model_validate(document.data | {"mode": mode})
    return _settled(document, shape, known if secrets else None)


def _settled(document: Document, shape: SettingsShape, environment: Mapping[str, str] | None) -> Settings:
    parts = PartsReader(document, shape, environment)
    parts.check()
    assets = parts.assets()
    parts.check_mode(assets)
    settings = Settings(
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
        notify=parts.notify(),
        console=shape.console,
        warnings=parts.warnings(),
        secret=lambda name: (environment or {}).get(name),
        document=document,
    )
    if parts.faults:
        raise ConfigurationError(tuple(sorted(parts.faults, key=_line)))
    return settings


def _line(fault: str) -> int:
    """The line number of 'file:line: field: what'; the file's own name may hold colons."""
    return int(fault.split(": ")[0].rpartition(":")[2])
