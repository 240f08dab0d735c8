"""Assets and actions for responders' tests; the interesting field is a keyword."""

from __future__ import annotations

from typing import Any

from monitor.model.actions import ActionClass, ExtendPause, Notify, Pause, Tighten
from monitor.model.assets import Asset, Golden, PauseRoute, TightenRoute, Token
from monitor.model.chain import Call
from monitor.model.units import NATIVE, Address, ChainId

CHAIN = ChainId(31_337)
GUARDIAN, OTHER_GUARDIAN = Address(b"\x6a" * 20), Address(b"\x6b" * 20)
GATE, USER = Address(b"\x9a" * 20), Address(b"\x11" * 20)
USDC = Token(Address(b"\xdc" * 20), 6, "USDC")
ETHER = Token(NATIVE)
REPAY = Golden(Call(Address(b"\x01" * 20), b"repay", sender=USER), "pass", "repay still works")
DEPOSIT = Golden(Call(Address(b"\x01" * 20), b"deposit", sender=USER), "fail", "deposit is stopped")
COMMON: dict[str, Any] = {"incident": "main:1", "cause": 1, "because": "a proof"}


def target(number: int) -> Address:
    return Address(bytes([number]) * 20)


def guarded(number: int, *, guardian: Address | None = GUARDIAN, signer: str = "guardian-key", **fields: Any) -> Asset:
    """An asset that a Guardian pauses."""
    route = PauseRoute("guardian", target(number), guardian, 3_600, signer)
    return Asset(f"vault-{number}", "contract", CHAIN, target(number), pause=route, **fields)


def direct(number: int, *, signer: str = "guardian-key", **fields: Any) -> Asset:
    """An asset that our key pauses itself."""
    route = PauseRoute("direct", target(number), signer=signer)
    return Asset(f"direct-{number}", "contract", CHAIN, target(number), pause=route, **fields)


def gated(
    name: str = "hot-1",
    *,
    tokens: tuple[Token, ...] = (ETHER, USDC),
    signer: str = "tighten-key",
    lowered_bps: int = 0,
    **fields: Any,
) -> Asset:
    """A hot wallet behind a WithdrawalGate."""
    route = TightenRoute(GATE, signer, lowered_bps)
    return Asset(name, "hot_wallet", CHAIN, GATE, tokens=tokens, tighten=route, **fields)


class SomeAssets:
    """The Assets protocol over a tuple."""

    def __init__(self, *assets: Asset) -> None:
        self._assets = assets

    def at(self, chain_id: ChainId, address: Address) -> Asset | None:
        return next((a for a in self._assets if (a.chain_id, a.address) == (chain_id, address)), None)

    def named(self, name: str) -> Asset | None:
        return next((asset for asset in self._assets if asset.name == name), None)

    def all(self) -> tuple[Asset, ...]:
        return self._assets

    def sisters(self, asset: Asset) -> tuple[Asset, ...]:
        return ()

    def token(self, chain_id: ChainId, token: Address) -> Token | None:
        return None


class SomeGates:
    """What the chain said last."""

    def __init__(
        self, *, timestamp: int | None = 1_000, limits: dict[tuple[Address, Address], int] | None = None
    ) -> None:
        self._timestamp, self._limits = timestamp, limits or {}

    def timestamp(self, chain_id: ChainId) -> int | None:
        return self._timestamp

    def limit(self, chain_id: ChainId, gate: Address, token: Address) -> int | None:
        return self._limits.get((gate, token))


def pause(*assets: str, duration_s: int = 3_600) -> Pause:
    return Pause(id="p", assets=assets, action_class=ActionClass.SCOPED, duration_s=duration_s, **COMMON)


def extend(*assets: str, duration_s: int = 3_600) -> ExtendPause:
    return ExtendPause(id="x", assets=assets, action_class=ActionClass.SCOPED, duration_s=duration_s, **COMMON)


def tighten(*assets: str, until_s: int = 7_200) -> Tighten:
    return Tighten(id="t", assets=assets, action_class=ActionClass.NARROW, until_s=until_s, **COMMON)


def notify(*assets: str) -> Notify:
    return Notify(id="n", assets=assets, action_class=ActionClass.OBSERVE, severity="page", title="t", **COMMON)
