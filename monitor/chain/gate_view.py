"""What plans must know of WithdrawalGates: limits and the chain's time, as they were read last. Implements Gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from monitor.chain.rpc import Nodes
from monitor.evm.abi import encode_call
from monitor.model.assets import Asset
from monitor.model.chain import Header
from monitor.model.errors import DrawbridgeError
from monitor.model.units import Address, ChainId, shown


class GateView:
    """A cache that `refresh` fills; plans read it without waiting."""

    def __init__(self, nodes: Mapping[ChainId, Nodes], head: Callable[[ChainId], Header | None]) -> None:
        self._nodes, self._head = nodes, head
        self._limits: dict[tuple[ChainId, Address, Address], int] = {}

    def timestamp(self, chain_id: ChainId) -> int | None:
        head = self._head(chain_id)
        return head.timestamp if head else None

    def limit(self, chain_id: ChainId, gate: Address, token: Address) -> int | None:
        return self._limits.get((chain_id, gate, token))

    async def refresh(self, assets: Sequence[Asset]) -> list[str]:
        """Read effectiveLimit(token) of every gate; says what could not be read."""
        failed = []
        for asset in assets:
            for token in asset.tokens if asset.tighten else ():
                why = await self._read(asset, token.address)
                if why:
                    failed.append(f"{asset.name}: {why}")
        return failed

    async def _read(self, asset: Asset, token: Address) -> str:
        if asset.tighten is None:
            return ""
        call = {"to": shown(asset.tighten.gate), "data": shown(encode_call("effectiveLimit(address)", token))}
        try:
            word = await self._nodes[asset.chain_id].first("eth_call", [call, "latest"], into=str)
        except DrawbridgeError as error:
            return str(error)
        try:
            limit = int(word, 16)
        except ValueError:
            return "effectiveLimit() does not answer a number"
        self._limits[(asset.chain_id, asset.tighten.gate, token)] = limit
        return ""
