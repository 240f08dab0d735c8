"""Pause: stop what a contract does, through our Guardian or by a pauser role on the target itself.

Through a Guardian all targets that share it and the signer go in one batch call, which spends one use; the pause lapses
by itself after the duration, and ExtendPause holds it while the attack still pays. By a direct pauser role each target
gets a call of its own, and nothing lapses: the owner's people end it.

Worst case if this is wrong: ordinary users of every named target are stopped for the duration (through a Guardian), or
until a person unpauses (direct). Golden transactions say what must still work; where one breaks, nothing is sent. A
pause takes no funds; what users cannot do in time is what `outage_usd_per_min` prices.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from monitor.evm.abi import encode_call, selector
from monitor.model.actions import Action, AnyAction, Expectation, ExtendPause, Pause, Plan
from monitor.model.assets import Asset, PauseRoute
from monitor.model.chain import Call
from monitor.model.errors import Refused
from monitor.model.ports import Assets
from monitor.model.units import Address, ChainId, shown

GUARDIAN_PAUSE: Final = "pause(address[],uint64)"
GUARDIAN_EXTEND: Final = "extend(address[],uint64)"
DIRECT_PAUSE: Final = selector("pause()")
PAUSED: Final = selector("paused()")
YES: Final = (1).to_bytes(32, "big")

MAX_TARGETS: Final = 32  # Guardian.MAX_TARGETS
MAX_DURATION_S: Final = 365 * 86_400  # no Guardian can be deployed that allows more
DIRECT_GAS: Final = 200_000
BATCH_GAS: Final = 45_000  # what a batch costs besides its targets: transaction, heartbeat, result
TARGET_GAS: Final = 387_000  # Guardian.GAS_PER_TARGET, the 1/63 on top that EIP-150 keeps back, calldata


class PauseResponder:
    """Plans Pause and ExtendPause. One plan for each chain and signer."""

    handles: ClassVar[tuple[type[Action], ...]] = (Pause, ExtendPause)

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    def plan(self, action: AnyAction) -> tuple[Plan, ...]:
        """Raises Refused (gate `plan`) where an asset has no route, or the duration makes no sense."""
        if not isinstance(action, (Pause, ExtendPause)):
            raise Refused("plan", f"{action.id}: a pause responder does not plan {type(action).__name__}")
        if not 0 < action.duration_s <= MAX_DURATION_S:
            raise Refused("plan", f"{action.id}: a pause of {action.duration_s} s; between 1 and {MAX_DURATION_S}")
        desks: dict[tuple[ChainId, str], list[tuple[Asset, PauseRoute]]] = {}
        for name in dict.fromkeys(action.assets):
            asset, route = self._routed(action, name)
            desks.setdefault((asset.chain_id, route.signer), []).append((asset, route))
        if not desks:
            raise Refused("plan", f"{action.id} names no asset")
        return tuple(_plan(action, chain_id, signer, routed=routed) for (chain_id, signer), routed in desks.items())

    def _routed(self, action: AnyAction, name: str) -> tuple[Asset, PauseRoute]:
        asset = self._assets.named(name)
        if asset is None or asset.pause is None:
            raise Refused("plan", f"{action.id}: {name} has no pause route; give it one under assets, or leave it out")
        route = asset.pause
        if route.via == "guardian" and route.guardian is None:
            raise Refused("plan", f"{action.id}: the pause route of {name} names no guardian")
        if not route.signer:
            raise Refused("plan", f"{action.id}: the pause route of {name} names no signer")
        if route.via == "direct" and isinstance(action, ExtendPause):
            raise Refused("plan", f"{action.id}: {name} is paused directly, which does not lapse: nothing to extend")
        return asset, route


def _plan(
    action: Pause | ExtendPause, chain_id: ChainId, signer: str, *, routed: list[tuple[Asset, PauseRoute]]
) -> Plan:
    calls = (*_batches(action, [route for _, route in routed]), *_directs([route for _, route in routed]))
    targets = dict.fromkeys(route.target for _, route in routed)
    golden = dict.fromkeys(g.call for asset, _ in routed for g in asset.golden if g.must == "pass")
    forbidden = dict.fromkeys(g.call for asset, _ in routed for g in asset.golden if g.must == "fail")
    return Plan(
        action=action,
        chain_id=chain_id,
        signer=signer,
        calls=calls,
        expects=tuple(Expectation(Call(t, PAUSED), YES, f"paused() of {shown(t)} is true") for t in targets),
        golden=tuple(golden),
        forbidden=tuple(forbidden),
        inverse=" ".join(dict.fromkeys(_inverse(route, action.duration_s) for _, route in routed)),
        max_gas=max(call.gas for call in calls),
    )


def _batches(action: Pause | ExtendPause, routes: Iterable[PauseRoute]) -> list[Call]:
    """One call for each Guardian and 32 targets."""
    function = GUARDIAN_PAUSE if isinstance(action, Pause) else GUARDIAN_EXTEND
    guarded: dict[Address, dict[Address, None]] = {}
    for route in routes:
        if route.via == "guardian" and route.guardian is not None:
            guarded.setdefault(route.guardian, {})[route.target] = None
    return [
        _batch(function, guardian, list(targets)[first : first + MAX_TARGETS], duration_s=action.duration_s)
        for guardian, targets in guarded.items()
        for first in range(0, len(targets), MAX_TARGETS)
    ]


def _batch(function: str, guardian: Address, targets: list[Address], *, duration_s: int) -> Call:
    data = encode_call(function, targets, duration_s)
    return Call(guardian, data, gas=BATCH_GAS + TARGET_GAS * len(targets))


def _directs(routes: Iterable[PauseRoute]) -> list[Call]:
    targets = dict.fromkeys(route.target for route in routes if route.via == "direct")
    return [Call(target, DIRECT_PAUSE, gas=DIRECT_GAS) for target in targets]


def _inverse(route: PauseRoute, duration_s: int) -> str:
    target = shown(route.target)
    if route.via == "direct" or route.guardian is None:
        return f"A person with the role calls unpause() on {target}; it does not lapse."
    return (
        f"The admin of guardian {shown(route.guardian)} calls resume({target});"
        f" else anybody may call lapse({target}) once {duration_s} s are over."
    )
