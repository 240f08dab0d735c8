"""One transaction that did, or would do, something: mined or simulated, in one shape for whoever judges it.

A pending transaction that is later mined is the same thing seen twice: `root` is equal for both, and `place` is equal
for whatever competes with it for one nonce. What reverts moves nothing and is no sighting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from monitor.model.assets import Asset
from monitor.model.chain import Effects, Transaction, Transfer
from monitor.model.events import AnyEvent, PendingSimulated, TransactionMined
from monitor.model.ports import Assets
from monitor.model.signals import Fact, Threat
from monitor.model.units import ChainId, Hash

WALLETS = ("hot_wallet", "exchange_account", "treasury", "safe")

Rule = Literal["conservation", "invariant", "no_ledger_entry", "declared_never"]


class Sighting(Struct, frozen=True):
    """A transaction with its effects. `firm` is whether it is mined, or includable and the same under two contexts.

    `includable` is whether it is mined or could be next.
    """

    chain_id: ChainId
    transaction: Transaction
    effects: Effects
    mined: bool
    firm: bool
    block_hash: Hash | None = None
    block_number: int = 0
    timestamp: int = 0  # of its block, seconds; 0 while pending
    includable: bool = True

    @property
    def root(self) -> str:
        return root_of(self.transaction)

    @property
    def place(self) -> str:
        return place_of(self.chain_id, self.transaction)

    def fact(self, rule: Rule, text: str) -> Fact:
        """What a proof that this transaction shows rests on."""
        return Fact(
            rule=rule,
            chain_id=self.chain_id,
            text=text,
            attack=self.transaction,
            mined=self.mined,
            block_hash=self.block_hash,
            held_at=self.block_number,
        )


def sighting_of(event: AnyEvent) -> Sighting | None:
    """The sighting in an event; None where there is none or the transaction fails."""
    match event:
        case TransactionMined(effects=effects) if effects.ok:
            return Sighting(
                chain_id=event.chain_id,
                transaction=event.transaction,
                effects=effects,
                mined=True,
                firm=True,
                block_hash=event.block_hash,
                block_number=event.block_number,
                timestamp=event.timestamp,
            )
        case PendingSimulated(effects=effects) if effects.ok:
            includable = not event.not_includable
            return Sighting(
                chain_id=event.chain_id,
                transaction=event.transaction,
                effects=effects,
                mined=False,
                firm=includable and event.agrees,
                includable=includable,
            )
        case _:
            return None


def touched(sighting: Sighting, assets: Assets) -> list[Asset]:
    """Assets that are called, log, pay or are paid in this transaction; by address."""
    effects, target = sighting.effects, sighting.transaction.to
    found = {t.sender for t in effects.transfers} | {t.to for t in effects.transfers}
    found |= {entry.address for entry in effects.logs} | {f.to for f in effects.calls if f.to is not None}
    if target is not None:
        found.add(target)
    known = (assets.at(sighting.chain_id, address) for address in sorted(found))
    return [asset for asset in known if asset is not None]


def root_of(transaction: Transaction) -> str:
    """The root by which signals about one transaction are one group."""
    return f"tx:0x{transaction.hash.hex()}"


def roots_of(sighting: Sighting, paid: Sequence[Transfer]) -> tuple[str, ...]:
    """The transaction first, then at most eight destinations: whatever shares one of them is one group."""
    return (sighting.root, *(f"to:0x{to.hex()}" for to in sorted({t.to for t in paid})[:8]))


def place_of(chain_id: ChainId, transaction: Transaction) -> str:
    """Chain, sender and nonce: of all transactions with one place, at most one is ever mined."""
    return f"{chain_id}:{transaction.sender.hex()}:{transaction.nonce}"


def threat_to(asset: Asset) -> Threat:
    """What value that leaves against the rules means: a wallet's key is stolen, a contract is exploited."""
    return "stolen_key" if asset.kind in WALLETS else "exploit"
