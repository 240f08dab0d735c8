"""What an attack takes, with and without a response, and what that says of the response. Pure.

A response counts only where the same calls, on the same state and in the same block, pay without it and pay less with
it. Whatever does not pay without it shows nothing: a replay may fail because its nonce is spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from monitor.evm.loss import asset_loss_usd, outflow
from monitor.model.actions import Verdict
from monitor.model.assets import Asset
from monitor.model.chain import Effects, Reading, token_probe
from monitor.model.ports import Prices
from monitor.model.units import Usd, Wei

LESS: Final = 99  # percent of the loss without that the loss with may be at most, to count as less


class Loss(Struct, frozen=True):
    """What left one asset. `usd` is None where a price is unknown: then only whether anything left is known."""

    usd: Usd | None
    leaves: bool

    @property
    def pays(self) -> bool:
        return self.leaves if self.usd is None else self.usd > 0

    @property
    def known(self) -> Usd:
        return self.usd if self.usd is not None else Usd(0)


class Pair(Struct, frozen=True):
    """One replay without and with a response; None where it was not measured in time."""

    without: Loss | None
    with_it: Loss | None


NOTHING: Final = Loss(Usd(0), leaves=False)


def loss_of(effects: Sequence[Effects], asset: Asset, prices: Prices) -> Loss:
    """What these calls together take from the asset, what came in for it taken off."""
    whole = together(effects)
    return Loss(asset_loss_usd(whole, asset, prices), leaves=bool(outflow(whole, asset)))


def together(effects: Sequence[Effects]) -> Effects:
    """Several calls as one: all that moved, and each probe before the first and after the last."""
    if len(effects) == 1:
        return effects[0]
    after = {reading.probe: reading.after for reading in effects[-1].readings} if effects else {}
    first = effects[0].readings if effects else ()
    return Effects(
        ok=any(each.ok for each in effects),
        gas_used=sum(each.gas_used for each in effects),
        transfers=tuple(transfer for each in effects for transfer in each.transfers),
        logs=tuple(log for each in effects for log in each.logs),
        readings=tuple(Reading(each.probe, each.before, after.get(each.probe)) for each in first),
    )


def verdict(pairs: Iterable[Pair]) -> Verdict:
    """Holds where every replay that pays without the response pays less with it; UNPROVEN where none pays."""
    telling = [pair for pair in pairs if pair.without is not None and pair.without.pays and pair.with_it is not None]
    if not telling:
        return "UNPROVEN"
    return "holds" if all(_less(pair) for pair in telling) else "fails"


def largest(losses: Iterable[Loss | None]) -> Usd:
    return Usd(max((loss.known for loss in losses if loss is not None), default=0))


def holdings_usd(effects: Effects, asset: Asset, prices: Prices) -> Usd | None:
    """What the asset holds of its listed tokens before these effects; None where nothing priced was read."""
    held = {reading.probe: reading.before for reading in effects.readings}
    total, any_priced = 0, False
    for token in asset.tokens:
        raw = held.get(token_probe(token.address, asset.address))
        if raw is None or len(raw) < 32:
            continue
        worth = prices.usd(asset.chain_id, token.address, Wei(int.from_bytes(raw[:32], "big")))
        if worth is not None:
            total, any_priced = total + worth, True
    return Usd(total) if any_priced else None


def _less(pair: Pair) -> bool:
    without, with_it = pair.without, pair.with_it
    if without is None or with_it is None or not with_it.pays:
        return with_it is not None
    if without.usd is None or with_it.usd is None:
        return False
    return with_it.usd * 100 <= without.usd * LESS
