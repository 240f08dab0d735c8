"""What the sources of one chain look for: the watch index, the assets, and the probes that are read each block."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.evm.loss import standard_probes
from monitor.evm.watch import Protected, WatchIndex
from monitor.model.assets import Asset
from monitor.model.chain import Effects, Probe, Transaction
from monitor.model.units import NATIVE, Address, ChainId
from monitor.sources.touched import Quiet

WALLETS = ("hot_wallet", "treasury", "exchange_account")


class Watch:
    """One chain's part of what is protected. A changed configuration makes a new one."""

    def __init__(self, chain_id: ChainId, assets: Protected, index: WatchIndex | None = None) -> None:
        """`index` also holds what only detectors look for; by default it is what is protected."""
        self.chain_id = chain_id
        self.assets = assets
        self.index = index if index is not None else WatchIndex(assets.watched(chain_id))
        self.mine = tuple(asset for asset in assets.all() if asset.chain_id == chain_id)
        self.probes = probes_of(self.mine)
        self.holders = frozenset(asset.address for asset in self.mine)
        self.quiet = Quiet(
            tokens=frozenset(token.address for asset in self.mine for token in asset.tokens) - {NATIVE},
            wallets=frozenset(asset.address for asset in self.mine if asset.kind in WALLETS),
        )

    def touched_assets(self, transaction: Transaction, effects: Effects) -> tuple[Asset, ...]:
        """Assets that a transaction names or whose value, storage or code it touches, in configured order."""
        seen, data = set(_addresses(transaction, effects)), transaction.data
        return tuple(asset for asset in self.mine if asset.address in seen or bytes(asset.address) in data)

    def with_sisters(self, touched: Iterable[Asset]) -> tuple[Asset, ...]:
        """These assets and those of the same family on this chain, each once."""
        found = dict.fromkeys(touched)
        for asset in tuple(found):
            found |= dict.fromkeys(other for other in self.assets.sisters(asset) if other.chain_id == self.chain_id)
        return tuple(found)


def probes_of(assets: Iterable[Asset]) -> tuple[Probe, ...]:
    """What is read of these assets, each probe once."""
    found: dict[Probe, None] = {}
    for asset in assets:
        found |= dict.fromkeys(standard_probes(asset))
    return tuple(found)


def _addresses(transaction: Transaction, effects: Effects) -> Iterable[Address]:
    yield transaction.sender
    if transaction.to is not None:
        yield transaction.to
    for entry in transaction.authorizations:
        yield from (entry.address, entry.authority or entry.address)
    for moved in effects.transfers:
        yield from (moved.sender, moved.to)
    for log in effects.logs:
        yield log.address
    for frame in effects.calls:
        yield from (frame.sender, frame.to or frame.sender)
    for change in effects.storage:
        yield change.address
