"""What a valid shape must also fulfil: names that meet, secrets that exist, what a mode demands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path as File
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from monitor.model.assets import Asset, Level
from monitor.model.codec import digest
from monitor.model.errors import ConfigurationError
from monitor.model.operators import Operator
from monitor.model.policy import Policy
from monitor.model.units import DOLLAR, NATIVE, Address, Usd, address
from monitor.settings_assets import AssetReader
from monitor.settings_schema import LabelShape, OperatorShape, SettingsShape, SignerShape
from monitor.settings_yaml import Document, Path, read_text

LEAST_TOKEN: Final = 16  # characters
_SECRET_LENGTH: Final = 20  # a path segment this long is a key, as RPC providers make them
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class PartsReader:
    """One pass over a valid shape that collects what does not fit together."""

    def __init__(
        self,
        document: Document,
        shape: SettingsShape,
        environment: Mapping[str, str],
        *,
        secrets: bool = True,
        original: Callable[[Path], Path] = lambda path: path,
    ) -> None:
        """Without `secrets` what is not set is empty. `original` says where in the file a path of the shape stands."""
        self._document, self._shape, self._environment = document, shape, environment
        self._secrets, self._original = secrets, original
        self._declared = _declared(document.data)
        self._directory = File(document.name).absolute().parent
        self._chain_ids = {c.name: c.chain_id for c in shape.chains}
        self._warnings: list[str] = []
        self.faults: dict[Path, str] = {}

    def check(self) -> None:
        """Whatever concerns no asset."""
        self._check_chains()
        self._check_signers()
        self._check_ledgers()
        self._check_labels()
        self._check_console()
        self._check_responders()

    def assets(self) -> tuple[Asset, ...]:
        if not self._shape.assets:
            self._warn(("assets",), "none is configured: nothing is protected")
        return AssetReader(self._shape, self._declared, self._chain_ids, self._fault).read()

    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings)

    def check_mode(self, assets: tuple[Asset, ...]) -> None:
        """What enforce mode needs to know before it may act without a person."""
        if self._shape.mode != "enforce":
            return
        for i, asset in enumerate(assets):
            shape, path = self._shape.assets[i], ("assets", i)
            acts = [c for c in (1, 2, 3) if asset.autonomy[c] == Level.AUTOMATIC]
            if (asset.pause or asset.tighten) and acts and shape.outage_usd_per_min is None:
                self._fault((*path, "outage_usd_per_min"), "is required in enforce mode: what a minute of pause costs")
            if asset.pause and 2 in acts and asset.kind == "contract" and not asset.golden:
                self._fault((*path, "golden"), "is required in enforce mode: calls that must work while it is paused")
            if asset.kind == "hot_wallet" and 2 in acts and not asset.ledger:
                self._fault((*path, "ledger"), "is required in enforce mode for automatic class 2 on a hot wallet")
            if asset.kind == "hot_wallet" and 2 in acts and asset.cold_address is None:
                self._warn((*path, "cold_address"), "is absent: nothing can be evacuated from this wallet")

    def beside(self, given: str | None, suffix: str) -> str:
        """A path relative to the configuration; by default the configuration's own name and a suffix."""
        if given == "":
            self._warnings.append(f"{suffix[1:]} is switched off by an empty path")
            return ""
        return str(self._directory / (given or File(self._document.name).name + suffix))

    def store(self) -> str:
        """The store's URL; a SQLite file relative to the configuration."""
        url = self._shape.store
        if not url.startswith(("sqlite:///", "postgresql://", "${")):
            self._fault(("store",), "must be sqlite:///file.db or postgresql://user@host/name")
        if _holds_password(url) and not self._document.from_environment(("store",)):
            self._warn(("store",), "a password in plain text; write ${NAME}")
        prefix, _, file = url.partition("sqlite:///")
        return f"sqlite:///{self._directory / file}" if not prefix and file else url

    def policy(self) -> Policy:
        given = self._shape.policy
        if given == "default":
            return Policy()
        try:
            if isinstance(given, str):
                name = str(self._directory / given)
                given = Document(name, read_text(name), self._environment).data
            unknown = sorted(set(given) - set(Policy.__struct_fields__)) if isinstance(given, dict) else ()
            if unknown:
                raise msgspec.ValidationError(f"unknown: {', '.join(map(str, unknown))[:200]}")
            policy = msgspec.convert(given, Policy)
            unmeant = _unmeant(policy)
            if unmeant:
                raise msgspec.ValidationError(unmeant)
            return policy
        except (ConfigurationError, msgspec.ValidationError) as error:
            allowed = ", ".join(Policy.__struct_fields__)
            self._fault(("policy",), f"{error}; 'default', a file, or a mapping of {allowed}")
            return Policy()

    def signers(self) -> dict[str, SignerShape]:
        return {
            name: signer.model_copy(update={"keystore": str(self._directory / signer.keystore)})
            if signer.keystore
            else signer
            for name, signer in self._shape.signers.items()
        }

    def labels(self) -> tuple[LabelShape, ...]:
        return tuple(
            label.model_copy(update={"path": str(self._directory / label.path)}) if label.path else label
            for label in self._shape.labels
        )

    def label_digests(self) -> tuple[str, ...]:
        """What each label file says, as far as it decides."""
        return tuple(self._label_digest(label) for label in self.labels() if label.path)

    def _label_digest(self, label: LabelShape) -> str:
        try:
            with File(label.path or "").open("rb") as handle:
                content = hashlib.file_digest(handle, "sha256").hexdigest()
        except OSError:
            content = "absent"
        return f"{label.kind} {label.days} {content}"

    def static_prices(self) -> Iterable[tuple[int, Address, Usd, int]]:
        for key, price in self._shape.prices.static.items():
            chain_id, token = self._priced(("prices", "static", key), key)
            yield chain_id, token, Usd(round(price.usd * DOLLAR)), price.decimals

    def price_feeds(self) -> tuple[tuple[int, Address, Address], ...]:
        feeds = self._shape.prices.feeds.items()
        return tuple((*self._priced(("prices", "feeds", key), key), address(feed)) for key, feed in feeds)

    def operators(self) -> tuple[Operator, ...]:
        found = tuple(self._operator(("operators", i), shape) for i, shape in enumerate(self._shape.operators))
        for i, operator in enumerate(found):
            if any(other.name == operator.name for other in found[:i]):
                self._fault(("operators", i, "name"), f"{operator.name!r} is used twice")
            token = operator.token_sha256
            if token and any(other.token_sha256 == token for other in found[:i]):
                self._fault(("operators", i), "has the same token as another; each person and machine needs their own")
        return found

    def notify(self) -> tuple[str, ...]:
        return tuple(self._channel(("notify", i), url) for i, url in enumerate(self._shape.notify))

    def _fault(self, path: Path, what: str) -> None:
        path = self._original(path)
        self.faults.setdefault(path, self._document.fault(path, what))

    def _warn(self, path: Path, what: str) -> None:
        self._warnings.append(f"{'.'.join(map(str, path))}: {what}")

    def _check_chains(self) -> None:
        for i, chain in enumerate(self._shape.chains):
            path, named = ("chains", i), [c.name for c in self._shape.chains[:i]]
            if chain.rpc_quorum > len(set(chain.rpc)):
                nodes = f"{len(set(chain.rpc))} different node{'s are' if len(set(chain.rpc)) > 1 else ' is'} named"
                self._fault((*path, "rpc_quorum"), f"is {chain.rpc_quorum}, but {nodes}; name more, or lower it")
            if chain.rpc_quorum == 1:
                self._warn(path, f"{chain.name}: a single node decides; automatic action is capped at class 2")
            if chain.name in named:
                self._fault((*path, "name"), f"{chain.name!r} is used twice")
            if chain.chain_id in [c.chain_id for c in self._shape.chains[:i]]:
                self._fault((*path, "chain_id"), f"{chain.chain_id} is configured twice; put all its nodes into one")
            for j, url in enumerate(chain.rpc):
                self._plain((*path, "rpc", j), url)

    def _check_signers(self) -> None:
        for name, signer in self._shape.signers.items():
            path = ("signers", name)
            if signer.aws_kms:
                self._fault((*path, "aws_kms"), "is not in this version; use rpc or keystore")
            elif bool(signer.keystore) == bool(signer.rpc):
                self._fault(path, "needs either keystore and password_env, or rpc and address")
            elif signer.keystore and not signer.password_env:
                self._fault(path, "a keystore needs password_env, the name of an environment variable")
            elif signer.rpc and not signer.address:
                self._fault(path, "a remote signer needs address, so that a swapped key is found")
            if signer.password_env:
                self._needs((*path, "password_env"), signer.password_env)
            if signer.rpc:
                self._plain((*path, "rpc"), signer.rpc)

    def _check_ledgers(self) -> None:
        for name, ledger in self._shape.ledgers.items():
            self._needs(("ledgers", name, "key_env"), ledger.key_env)
            if _holds_password(ledger.url) and not self._document.from_environment(("ledgers", name, "url")):
                self._warn(("ledgers", name, "url"), "a password in plain text; write ${NAME}")

    def _check_labels(self) -> None:
        for i, label in enumerate(self._shape.labels):
            if label.url is not None:
                self._fault(("labels", i, "url"), "is not in this version; fetch it into a file and name its path")
            elif label.path is None:
                self._fault(("labels", i), "needs path")
            elif not (self._directory / label.path).is_file():
                self._fault(("labels", i, "path"), f"{label.path!r} is no file")

    def _check_console(self) -> None:
        console = self._shape.console
        if console is None:
            return
        if console.host not in _LOOPBACK:
            self._warn(("console", "host"), f"{console.host} is open to the network; put TLS in front of it")
        if not any(o.token_env or o.token_sha256 for o in self._shape.operators):
            self._warn(("console",), "no operator has a token: nobody can use it but /livez")

    def _check_responders(self) -> None:
        for name, responder in self._shape.responders.items():
            if responder.signer is not None and responder.signer not in self._declared["signers"]:
                known = ", ".join(self._declared["signers"]) or "none"
                self._fault(("responders", name, "signer"), f"{responder.signer!r} is not in `signers`: {known}")

    def _operator(self, path: Path, shape: OperatorShape) -> Operator:
        token = shape.token_sha256 or ""
        if shape.token_env and shape.token_sha256:
            self._fault(path, "needs token_env or token_sha256, not both")
        elif shape.token_env:
            secret = self._needs((*path, "token_env"), shape.token_env)
            if secret and len(secret) < LEAST_TOKEN:
                self._fault((*path, "token_env"), f"{shape.token_env} is too short; at least {LEAST_TOKEN} characters")
            token = digest(secret.encode()).hex() if secret else ""
        elif not token and not shape.address:
            self._fault(path, "needs token_env, token_sha256 or address")
        return Operator(shape.name, shape.role, token, address(shape.address) if shape.address else None)

    def _channel(self, path: Path, url: str) -> str:
        if url.startswith("env:"):
            return self._needs(path, url[4:])
        scheme, _, rest = url.partition("://")
        if not rest:
            self._fault(path, "must be an apprise URL such as slack://…, or env:NAME")
        elif not self._document.from_environment(path) and scheme not in ("console", "syslog", "dbus"):
            self._warn(path, f"{scheme}://… in plain text, and such a URL holds a secret; write env:NAME")
        return url

    def _needs(self, path: Path, name: str) -> str:
        """A variable's value; a fault where it is not set."""
        value = self._environment.get(name, "")
        if not value and self._secrets:
            self._fault(path, f"environment variable {name} is not set; export it")
        return value

    def _plain(self, path: Path, url: str) -> None:
        parts = urlsplit(url)
        long = any(len(part) >= _SECRET_LENGTH for part in (*parts.path.split("/"), parts.query))
        if (parts.password or long) and not self._document.from_environment(path):
            self._warn(path, "a key in plain text; write ${NAME}")

    def _priced(self, path: Path, key: str) -> tuple[int, Address]:
        chain, _, token = key.partition(":")
        if chain not in self._declared["chains"]:
            self._fault(path, f"chain {chain!r} is not configured; write chain:0xtoken or chain:native")
        try:
            return self._chain_ids.get(chain, 0), NATIVE if token == "native" else address(token)  # noqa: S105
        except ValueError as error:
            self._fault(path, f"{error}; write chain:0xtoken or chain:native")
            return 0, NATIVE


def _declared(data: Any) -> dict[str, tuple[str, ...]]:
    """The names that a file gives, whether or not what they name is valid."""
    sections = data if isinstance(data, dict) else {}
    chains = sections.get("chains")
    named = [c.get("name") for c in chains if isinstance(c, dict)] if isinstance(chains, list) else []
    found = {"chains": tuple(name for name in named if isinstance(name, str))}
    for section in ("signers", "ledgers"):
        value = sections.get(section)
        found[section] = tuple(value) if isinstance(value, dict) else ()
    return found


def _unmeant(policy: Policy) -> str:
    """A number of a policy that cannot be meant, in words; empty where there is none."""
    priors = ("prior_asset", "prior_precursor", "prior_movement", "discount", "noise", "p_effective")
    shares = (*priors, "floor_tighten", "floor_tighten_off", "bid_share", "bid_blind_share")
    for name in shares:
        if not 0 < getattr(policy, name) < 1:
            return f"{name} must be between 0 and 1, not {getattr(policy, name)}"
    for name in Policy.__struct_fields__:
        value = getattr(policy, name)
        if isinstance(value, int | float) and name != "cap_negative_total" and not 0 <= value < 1e30:
            return f"{name} must not be negative, nor endless: {value}"
    for i, rule in enumerate(policy.classes):
        if not 0 <= rule.off <= rule.floor <= 1:
            return f"classes.{i}: 0 ≤ off ≤ floor ≤ 1 must hold, not {rule.off} and {rule.floor}"
    return ""


def _holds_password(url: str) -> bool:
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return False
