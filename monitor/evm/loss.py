"""What an asset loses and who gains by it: exact accounting over the effects of one transaction.

Only listed tokens count; a price that is unknown makes a value unknown, never zero. Size says nothing by itself: value
may leave because its owner redeems a claim, so `unmatched_outflow` takes off what burned shares were owed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from monitor.evm.abi import word
from monitor.evm.tokens import TOTAL_ASSETS, TOTAL_SUPPLY
from monitor.model.assets import Asset
from monitor.model.chain import Effects, Probe, Transfer, ether_probe, token_probe
from monitor.model.ports import Assets, Prices
from monitor.model.units import NATIVE, NOBODY, Address, ChainId, Usd, Wei

PAYS_GAS: Final = ("hot_wallet", "exchange_account", "treasury")  # a falling ether balance of these may be a fee


def standard_probes(asset: Asset) -> tuple[Probe, ...]:
    """What to read of an asset each block and around each simulation: balances, invariants, and a vault's totals."""
    probes = [token_probe(token.address, asset.address) for token in asset.tokens]
    probes.append(ether_probe(asset.address))
    probes.extend(probe for invariant in asset.invariants for probe in invariant.probes)
    if asset.kind == "contract":
        probes.extend((total_assets_probe(asset), total_supply_probe(asset)))
    return tuple(dict.fromkeys(probes))


def total_assets_probe(asset: Asset) -> Probe:
    return Probe(asset.address, TOTAL_ASSETS)


def total_supply_probe(asset: Asset) -> Probe:
    return Probe(asset.address, TOTAL_SUPPLY)


def read(effects: Effects, probe: Probe) -> tuple[int, int] | None:
    """A probe's word before and after; None where either is missing, reverted or short."""
    for reading in effects.readings:
        if reading.probe == probe and reading.before is not None and reading.after is not None:
            if min(len(reading.before), len(reading.after)) < 32:
                return None
            return word(reading.before), word(reading.after)
    return None


def net(transfers: Iterable[Transfer], holder: Address) -> dict[Address, int]:
    """By token, what `holder` got less what it gave."""
    change: Counter[Address] = Counter()
    for each in transfers:
        change[each.token] += each.amount * ((each.to == holder) - (each.sender == holder))
    return dict(change)


def gains(effects: Effects, holders: Iterable[Address]) -> dict[Address, dict[Address, int]]:
    """By holder and token, what each got less what it gave; tokens that came out even are left out."""
    found = {holder: net(effects.transfers, holder) for holder in holders}
    return {holder: {token: amount for token, amount in change.items() if amount} for holder, change in found.items()}


def outflow(effects: Effects, asset: Asset) -> dict[Address, Wei]:
    """By listed token, what left the asset and did not come back. Balances read count above logs."""
    changes = _changes(effects, asset)
    return {token: Wei(-change) for token, change in changes.items() if change < 0}


def asset_loss_usd(effects: Effects, asset: Asset, prices: Prices) -> Usd | None:
    """What the asset lost, what came in for it taken off; None where a price that matters is unknown."""
    change = _value(_changes(effects, asset), asset.chain_id, prices)
    return None if change is None else Usd(max(0, -change))


def attacker_gain_usd(
    effects: Effects, attackers: Iterable[Address], *, chain_id: ChainId, assets: Assets, prices: Prices
) -> Usd | None:
    """What these addresses together gained in listed tokens; negative for a loss, None where a price is unknown."""
    together: Counter[Address] = Counter()
    for change in gains(effects, set(attackers)).values():
        together.update(change)
    return _value({token: n for token, n in together.items() if assets.token(chain_id, token)}, chain_id, prices)


def price_per_share_drop_bps(
    before_assets: int, before_supply: int, *, after_assets: int, after_supply: int
) -> int | None:
    """How far a vault's share price fell, in hundredths of a percent, rounded down; None where it had or has none."""
    before, after = before_assets * after_supply, after_assets * before_supply
    if not before or not before_supply:
        return None
    return max(0, before - after) * 10_000 // before


def share_price_drop_bps(effects: Effects, asset: Asset) -> int | None:
    """The same from the readings of totalAssets() and totalSupply(); None where they were not read."""
    held, supply = read(effects, total_assets_probe(asset)), read(effects, total_supply_probe(asset))
    if held is None or supply is None:
        return None
    return price_per_share_drop_bps(held[0], supply[0], after_assets=held[1], after_supply=supply[1])


def claims_burned(effects: Effects, asset: Asset) -> Wei:
    """Shares of the asset's own token that were given up, fresh ones taken off."""
    return Wei(max(0, net(effects.transfers, NOBODY).get(asset.address, 0)))


def unmatched_outflow(effects: Effects, asset: Asset) -> dict[Address, Wei] | None:
    """By listed token, what left beyond what the burned shares were owed at the price before.

    None where the asset's supply or holdings were not read: then nobody can say what was owed.
    """
    supply = read(effects, total_supply_probe(asset))
    if supply is None:
        return None
    burned, unmatched = claims_burned(effects, asset), {}
    for token, amount in outflow(effects, asset).items():
        held = _held(effects, asset, token)
        if held is None:
            return None
        owed = -(-burned * held // supply[0]) if supply[0] else 0
        if amount > owed:
            unmatched[token] = Wei(amount - owed)
    return unmatched


def _held(effects: Effects, asset: Asset, token: Address) -> int | None:
    """What backs the shares: totalAssets() of a vault of one token, else the balance."""
    totals = read(effects, total_assets_probe(asset)) if len(asset.tokens) == 1 else None
    balances = totals or read(effects, token_probe(token, asset.address))
    return None if balances is None else balances[0]


def _changes(effects: Effects, asset: Asset) -> dict[Address, int]:
    """By listed token, how the asset's balance changed: as read around the call, else by what was transferred."""
    return dict(_change_by_token(effects, asset, net(effects.transfers, asset.address)))


def _change_by_token(effects: Effects, asset: Asset, moved: Mapping[Address, int]) -> Iterator[tuple[Address, int]]:
    for token in asset.tokens:
        fee = token.address == NATIVE and asset.kind in PAYS_GAS
        balances = None if fee else read(effects, token_probe(token.address, asset.address))
        yield token.address, balances[1] - balances[0] if balances else moved.get(token.address, 0)


def _value(changes: Mapping[Address, int], chain_id: ChainId, prices: Prices) -> Usd | None:
    total = 0
    for token, amount in changes.items():
        worth = prices.usd(chain_id, token, Wei(abs(amount))) if amount else Usd(0)
        if worth is None:
            return None
        total += worth if amount > 0 else -worth
    return Usd(total)
