"""The assets of a configuration as model values: routes, tokens, invariants, golden calls; each fault at its field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from monitor.evm.abi import encode_call
from monitor.evm.invariants import parse
from monitor.model.assets import Asset, Golden, Invariant, Level, PauseRoute, TightenRoute, Token
from monitor.model.chain import Call
from monitor.model.errors import ConfigurationError
from monitor.model.units import DOLLAR, NATIVE, Address, ChainId, Usd, Wei, address
from monitor.settings_schema import AssetShape, GoldenShape, SettingsShape, TokenShape
from monitor.settings_yaml import Path


class AssetReader:
    """Reads every asset of a valid shape; faults go to the given collector."""

    def __init__(
        self,
        shape: SettingsShape,
        declared: Mapping[str, Sequence[str]],
        chain_ids: Mapping[str, int],
        fault: Callable[[Path, str], None],
    ) -> None:
        self._shape, self._declared, self._chain_ids, self._fault = shape, declared, chain_ids, fault

    def read(self) -> tuple[Asset, ...]:
        names: set[str] = set()
        places: dict[tuple[str, Address], str] = {}
        for i, asset in enumerate(self._shape.assets):
            place = asset.chain, address(asset.address)
            if asset.name in names:
                self._fault(("assets", i, "name"), f"{asset.name!r} is used twice")
            if place in places:
                self._fault(("assets", i, "address"), f"is {places[place]!r} already; one asset for each address")
            names.add(asset.name)
            places.setdefault(place, asset.name)
        return tuple(self._asset(i, a) for i, a in enumerate(self._shape.assets))

    def _asset(self, i: int, shape: AssetShape) -> Asset:
        path: Path = ("assets", i)
        self._known((*path, "chain"), "chains", shape.chain)
        if shape.ledger is not None:
            self._known((*path, "ledger"), "ledgers", shape.ledger)
        where = address(shape.address)
        if shape.cold_address is not None and address(shape.cold_address) == where:
            self._fault((*path, "cold_address"), "is the asset itself; give another address")
        return Asset(
            name=shape.name,
            kind=shape.kind,
            chain_id=ChainId(self._chain_ids.get(shape.chain, 0)),
            address=where,
            owner=shape.owner,
            tokens=self._tokens(shape),
            value_usd=None if shape.value_usd is None else Usd(shape.value_usd * DOLLAR),
            known_destinations=tuple(address(a) for a in shape.known_destinations),
            cold_address=address(shape.cold_address) if shape.cold_address else None,
            ledger=shape.ledger or "",
            outage_usd_per_min=Usd((shape.outage_usd_per_min or 0) * DOLLAR),
            autonomy=self._autonomy(shape),
            pause=self._pause(path, shape, where),
            tighten=self._tighten(path, shape, where),
            invariants=self._invariants(path, shape, where),
            golden=tuple(g for j, s in enumerate(shape.golden) if (g := self._golden((*path, "golden", j), s, where))),
            family=shape.family,
        )

    def _tokens(self, shape: AssetShape) -> tuple[Token, ...]:
        listed = [
            Token(address(t.address), t.decimals, t.symbol) if isinstance(t, TokenShape) else Token(address(t))
            for t in shape.tokens
        ]
        if not any(t.address == NATIVE for t in listed):
            listed.append(Token(NATIVE, 18, "ether"))
        return tuple(listed)

    def _autonomy(self, shape: AssetShape) -> tuple[Level, Level, Level, Level]:
        a = shape.autonomy
        zero, one, two, three = (Level(int(text[1])) for text in (a.class_0, a.class_1, a.class_2, a.class_3))
        return zero, one, two, three

    def _signer(self, path: Path, named: str | None, responder: str) -> str:
        configured = self._shape.responders.get(responder)
        name = named or (configured.signer if configured else None)
        if name is None:
            self._fault(path, f"names no signer; set responders.{responder}.signer")
            return ""
        self._known(path, "signers", name)
        return name

    def _known(self, path: Path, section: str, name: str) -> None:
        names = self._declared[section]
        if name not in names:
            self._fault(path, f"{name!r} is not in `{section}`; there: {', '.join(names)[:200] or 'nothing'}")

    def _pause(self, path: Path, shape: AssetShape, where: Address) -> PauseRoute | None:
        if shape.pause is None:
            return None
        path = (*path, "pause")
        if shape.pause.via == "safe":
            self._fault((*path, "via"), "'safe' is not in this version; guardian or direct")
            return None
        if shape.pause.via == "guardian" and shape.pause.guardian is None:
            self._fault(path, "via guardian needs guardian, the contract's address")
            return None
        return PauseRoute(
            via=shape.pause.via,
            target=address(shape.pause.target) if shape.pause.target else where,
            guardian=address(shape.pause.guardian) if shape.pause.guardian else None,
            duration_s=shape.pause.duration_s,
            signer=self._signer(path, shape.pause.signer, "pause"),
        )

    def _tighten(self, path: Path, shape: AssetShape, where: Address) -> TightenRoute | None:
        if shape.tighten is None:
            return None
        signer = self._signer((*path, "tighten"), shape.tighten.signer, "tighten")
        gate = address(shape.tighten.gate) if shape.tighten.gate else where
        return TightenRoute(gate, signer, shape.tighten.lowered_bps)

    def _invariants(self, path: Path, shape: AssetShape, where: Address) -> tuple[Invariant, ...]:
        found = []
        for j, text in enumerate(shape.invariants):
            try:
                found.append(parse(text, asset=where))
            except ConfigurationError as error:
                self._fault((*path, "invariants", j), str(error))
        return tuple(found)

    def _golden(self, path: Path, shape: GoldenShape, where: Address) -> Golden | None:
        try:
            data = encode_call(shape.call, *(_argument(a) for a in shape.args))
        except (ConfigurationError, ValueError) as error:
            self._fault((*path, "call"), f"{error}; write name(type,…) with as many args")
            return None
        to = address(shape.to) if shape.to else where
        call = Call(to, data, Wei(shape.value), address(shape.from_))
        return Golden(call, shape.must, f"{shape.call} from {shape.from_}")


def _argument(value: object) -> object:
    if isinstance(value, str) and value.startswith("0x"):
        return bytes.fromhex(value[2:]) if len(value) != 42 else value
    return [_argument(v) for v in value] if isinstance(value, list) else value
