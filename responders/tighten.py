"""Tighten: lower a WithdrawalGate's limits for at most two hours; then they are back by themselves.

One call for each token that the asset lists, since limits are held by token. The gate only ever lowers, so a plan that
is late or wrong cannot loosen anything: the gate refuses it, and the fork says so before it is sent.

Worst case if this is wrong: ordinary withdrawals above the lowered limit wait for up to two hours, or until the gate's
admin lifts the tightening. No funds move.
"""

from __future__ import annotations

from typing import ClassVar, Final, Protocol

from monitor.evm.abi import encode_call
from monitor.model.actions import Action, AnyAction, Expectation, Plan, Tighten
from monitor.model.assets import Asset, TightenRoute, Token
from monitor.model.chain import Call
from monitor.model.errors import Refused
from monitor.model.ports import Assets
from monitor.model.units import Address, ChainId, shown

FUNCTION: Final = "tighten(address,uint192,uint64)"
EFFECTIVE: Final = "effectiveLimit(address)"
MAX_UNTIL_S: Final = 7_200  # WithdrawalGate.MAX_TIGHTENING
MAX_CALLS: Final = 8  # as many as one key may have in flight
WHOLE: Final = 10_000  # basis points
GAS: Final = 120_000


class Gates(Protocol):
    """What a plan must know of the chain; both are views of what was seen last."""

    def timestamp(self, chain_id: ChainId) -> int | None:
        """Of the head, seconds; None before the first head."""

    def limit(self, chain_id: ChainId, gate: Address, token: Address) -> int | None:
        """effectiveLimit(token) of a gate; None where it was not read. Asked only if `lowered_bps` is not 0."""


class TightenResponder:
    """Plans Tighten. One plan for each chain and signer."""

    handles: ClassVar[tuple[type[Action], ...]] = (Tighten,)

    def __init__(self, assets: Assets, gates: Gates) -> None:
        self._assets, self._gates = assets, gates

    def plan(self, action: AnyAction) -> tuple[Plan, ...]:
        """Raises Refused (gate `plan`) where an asset has no gate, no tokens, or the chain was not seen yet."""
        if not isinstance(action, Tighten):
            raise Refused("plan", f"{action.id}: a tighten responder does not plan {type(action).__name__}")
        if not 0 < action.until_s <= MAX_UNTIL_S:
            raise Refused("plan", f"{action.id}: tightened for {action.until_s} s; between 1 and {MAX_UNTIL_S}")
        desks: dict[tuple[ChainId, str], list[tuple[Asset, TightenRoute]]] = {}
        for name in dict.fromkeys(action.assets):
            asset, route = self._routed(action, name)
            desks.setdefault((asset.chain_id, route.signer), []).append((asset, route))
        if not desks:
            raise Refused("plan", f"{action.id} names no asset")
        return tuple(self._plan(action, chain_id, signer, routed=r) for (chain_id, signer), r in desks.items())

    def _routed(self, action: AnyAction, name: str) -> tuple[Asset, TightenRoute]:
        asset = self._assets.named(name)
        if asset is None or asset.tighten is None:
            raise Refused(
                "plan", f"{action.id}: {name} has no withdrawal gate; give it one under assets, or leave it out"
            )
        if not asset.tighten.signer:
            raise Refused("plan", f"{action.id}: the withdrawal gate of {name} names no signer")
        if not asset.tokens:
            raise Refused("plan", f"{action.id}: {name} lists no tokens, and limits are held by token")
        return asset, asset.tighten

    def _plan(
        self, action: Tighten, chain_id: ChainId, signer: str, *, routed: list[tuple[Asset, TightenRoute]]
    ) -> Plan:
        now = self._gates.timestamp(chain_id)
        if now is None:
            raise Refused("plan", f"{action.id}: no head of chain {chain_id} was seen yet, so no end can be set")
        until = now + action.until_s
        lowered = [
            (route.gate, token, self._lowered(asset, route, token)) for asset, route in routed for token in asset.tokens
        ]
        if len(lowered) > MAX_CALLS:
            raise Refused(
                "plan", f"{action.id}: {len(lowered)} limits at once; a key has at most {MAX_CALLS} in flight"
            )
        golden = dict.fromkeys(g.call for asset, _ in routed for g in asset.golden if g.must == "pass")
        return Plan(
            action=action,
            chain_id=chain_id,
            signer=signer,
            calls=tuple(_call(gate, token, limit=limit, until=until) for gate, token, limit in lowered),
            expects=tuple(_expectation(gate, token, limit=limit) for gate, token, limit in lowered),
            golden=tuple(golden),
            inverse=_inverse(routed, until),
            max_gas=GAS,
        )

    def _lowered(self, asset: Asset, route: TightenRoute, token: Token) -> int:
        if not 0 <= route.lowered_bps < WHOLE:
            raise Refused("plan", f"{asset.name}: lowered_bps {route.lowered_bps}; from 0 to {WHOLE - 1}")
        if route.lowered_bps == 0:
            return 0
        limit = self._gates.limit(asset.chain_id, route.gate, token.address)
        if limit is None:
            raise Refused("plan", f"{asset.name}: the limit of {shown(token.address)} is not known, so not its share")
        return limit * route.lowered_bps // WHOLE


def _call(gate: Address, token: Token, *, limit: int, until: int) -> Call:
    return Call(gate, encode_call(FUNCTION, token.address, limit, until), gas=GAS)


def _expectation(gate: Address, token: Token, *, limit: int) -> Expectation:
    view = Call(gate, encode_call(EFFECTIVE, token.address))
    return Expectation(view, limit.to_bytes(32, "big"), f"effectiveLimit({shown(token.address)}) is {limit}")


def _inverse(routed: list[tuple[Asset, TightenRoute]], until: int) -> str:
    gates = dict.fromkeys(shown(route.gate) for _, route in routed)
    return f"The admin of {', '.join(gates)} calls lift() for each token; else it ends by itself at {until}."
