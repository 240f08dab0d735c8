"""What a key may sign: contract, function, bounds on each argument, value 0, gas and cost. Checked before it signs.

A binding is made from the owner's asset list, not from what a responder plans: it is the second opinion. A plan that a
bug or an attacker in the process has bent (another target, a year instead of an hour, ether along with it) is refused
here with one line. What contracts bound themselves (tighten's end in time) is left to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from monitor.evm.abi import decode_call, encode_call, selector
from monitor.evm.fees import EXPOSURE
from monitor.model.assets import Asset, PauseRoute
from monitor.model.chain import TransactionRequest
from monitor.model.errors import SignerRefused, Undecodable
from monitor.model.units import Address, ChainId, Wei, shown

PAUSE: Final = "pause()"
GUARDIAN_PAUSE: Final = "pause(address[],uint64)"
GUARDIAN_EXTEND: Final = "extend(address[],uint64)"
TIGHTEN: Final = "tighten(address,uint192,uint64)"

MAX_GAS: Final = 1 << 24  # EIP-7825: no transaction may have more
MAX_TARGETS: Final = 32  # Guardian.MAX_TARGETS


class Between(Struct, frozen=True):
    """A number in these bounds, both included."""

    least: int
    most: int

    def admits(self, value: object) -> bool:
        return isinstance(value, int) and self.least <= value <= self.most


class OneOf(Struct, frozen=True):
    """One of these addresses."""

    addresses: tuple[Address, ...]

    def admits(self, value: object) -> bool:
        return value in self.addresses


class Subset(Struct, frozen=True):
    """Some of these addresses: at least one, none twice, no more than `most`."""

    addresses: tuple[Address, ...]
    most: int = MAX_TARGETS

    def admits(self, value: object) -> bool:
        if not isinstance(value, tuple) or not 0 < len(value) <= self.most or len(set(value)) != len(value):
            return False
        return set(value) <= set(self.addresses)


class Permit(Struct, frozen=True):
    """One function of one contract, with a bound for each argument in order."""

    chain_id: ChainId
    contract: Address
    function: str
    bounds: tuple[Between | OneOf | Subset, ...] = ()

    def covers(self, request: TransactionRequest) -> bool:
        here = request.chain_id == self.chain_id and request.to == self.contract
        return here and request.data[:4] == selector(self.function)

    def objection(self, request: TransactionRequest) -> str:
        """Why these arguments are out of bounds; empty where they are not."""
        try:
            arguments = decode_call(self.function, request.data)
        except Undecodable as error:
            return str(error)
        if encode_call(self.function, *arguments) != request.data:
            return f"the arguments of {self.function} are not in their one canonical form"
        for place, (bound, value) in enumerate(zip(self.bounds, arguments, strict=True), 1):
            if not bound.admits(value):
                return f"argument {place} of {self.function} is outside its bounds"
        return ""


class Binding(Struct, frozen=True):
    """All that one key may sign."""

    permits: tuple[Permit, ...]
    max_exposure: Wei  # gas limit · max_fee of one transaction: what it could cost at the very worst
    max_gas: int = MAX_GAS

    def check(self, request: TransactionRequest, *, name: str, address: Address) -> None:
        """Raises SignerRefused, naming the key and what is wrong."""
        objection = self._objection(request, address)
        if objection:
            raise SignerRefused(f"{name} refuses to sign: {objection}")

    def _objection(self, request: TransactionRequest, address: Address) -> str:
        if request.sender != address:
            return f"the sender is {shown(request.sender)}, its own address is {shown(address)}"
        if request.value != 0:
            return f"it would send {request.value} wei along; a response sends none"
        if not 0 < request.gas <= self.max_gas:
            return f"{request.gas} gas; at most {self.max_gas}"
        if not 0 <= request.max_priority_fee <= request.max_fee or request.nonce < 0:
            return "fees or nonce make no sense"
        if request.gas * request.max_fee > self.max_exposure:
            return f"it may cost {request.gas * request.max_fee} wei; at most {self.max_exposure}"
        permit = next((permit for permit in self.permits if permit.covers(request)), None)
        if permit is None:
            called = f"{shown(request.data[:4])} of {shown(request.to)} on chain {request.chain_id}"
            return f"{called} is not among the {len(self.permits)} functions that it is bound to"
        return permit.objection(request)


def binding(assets: Iterable[Asset], signer: str, *, max_cost: Wei) -> Binding:
    """What a signer needs for the routes that name it, and nothing else.

    `max_cost` is the owner's limit for one response; see fees.billed for how it becomes the hard one.
    """
    listed = tuple(assets)
    permits = (*_pauses(listed, signer), *_tightenings(listed, signer))
    return Binding(permits, Wei(max_cost * EXPOSURE))


def _pauses(assets: tuple[Asset, ...], signer: str) -> list[Permit]:
    batches: dict[tuple[ChainId, Address], list[PauseRoute]] = {}
    permits = []
    for asset in assets:
        route = asset.pause
        if route is None or route.signer != signer:
            continue
        if route.via == "direct":
            permits.append(Permit(asset.chain_id, route.target, PAUSE))
        elif route.guardian is not None:
            batches.setdefault((asset.chain_id, route.guardian), []).append(route)
    for (chain_id, guardian), routes in batches.items():
        targets = Subset(tuple(dict.fromkeys(route.target for route in routes)))
        bounds = (targets, Between(1, max(route.duration_s for route in routes)))
        permits += [Permit(chain_id, guardian, f, bounds) for f in (GUARDIAN_PAUSE, GUARDIAN_EXTEND)]
    return permits


def _tightenings(assets: tuple[Asset, ...], signer: str) -> list[Permit]:
    """The contract holds amount and time: it only lowers, and for two hours at most."""
    permits = []
    for asset in assets:
        route = asset.tighten
        if route is not None and route.signer == signer:
            tokens = OneOf(tuple(token.address for token in asset.tokens))
            bounds = (tokens, Between(0, 2**192 - 1), Between(1, 2**64 - 1))
            permits.append(Permit(asset.chain_id, route.gate, TIGHTEN, bounds))
    return permits
