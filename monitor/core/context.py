"""What detectors may read: the core's state behind model.ports.Context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.core.state import CoreState, IncidentRecord
from monitor.model.actions import Attack
from monitor.model.chain import Header
from monitor.model.ports import Assets, Labels
from monitor.model.units import NATIVE, SECOND, Address, ChainId, Instant, Usd, Wei


def price_key(chain_id: int, token: bytes) -> str:
    return f"{chain_id}:{token.hex()}"


@dataclass(slots=True)
class StatePrices:
    """Prices as events brought them. A stale one is the last value (decision.md, Value); none at all is None."""

    state: CoreState

    def usd(self, chain_id: ChainId, token: Address, amount: Wei) -> Usd | None:
        seen = self.state.prices.get(price_key(chain_id, token))
        if seen is None:
            return None
        return Usd(amount * seen.usd // 10**seen.decimals)

    def wei(self, chain_id: ChainId, usd: Usd) -> Wei | None:
        """How much ether these dollars buy."""
        seen = self.state.prices.get(price_key(chain_id, NATIVE))
        if seen is None or seen.usd <= 0:
            return None
        return Wei(usd * 10**seen.decimals // seen.usd)


@dataclass(slots=True)
class CoreContext:
    state: CoreState
    assets: Assets
    labels: Labels
    prices: StatePrices
    now: Instant

    def head(self, chain_id: ChainId) -> Header | None:
        known = self.state.heads.get(chain_id)
        return known.header if known else None

    def safe_height(self, chain_id: ChainId) -> int:
        known = self.state.heads.get(chain_id)
        return known.finalised if known else 0

    def confirmed_attacks(self) -> Sequence[Attack]:
        found = [
            attack
            for incident in reversed(self.state.incidents.values())
            if incident.stage != "closed"
            for name, attack in incident.attacks.items()
            if not attack.code_overrides and self._proven(incident, name)
        ]
        return tuple(found[:32])

    def _proven(self, incident: IncidentRecord, asset: str) -> bool:
        """Whether a proof on this asset stands: not one that was taken back, or that a reorg took."""
        found = (self.state.hypotheses.get(key) for key in incident.hypotheses)
        return any(h is not None and h.asset == asset and h.last is not None and h.last.proof for h in found)


def age_s(now: Instant, then: Instant) -> float:
    return max(0, now - then) / SECOND
