"""Who did it: a rule was found broken between two blocks, and one of the transactions of that block broke it.

State is read once a block, so the reading names no transaction. Of those that touched the asset in that block, the one
that took most out of it is accused. Reading and transactions may come in either order.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from monitor.evm.loss import asset_loss_usd, outflow
from monitor.evm.sighting import Sighting
from monitor.model.assets import Asset
from monitor.model.chain import Effects
from monitor.model.ports import Prices
from monitor.model.units import Hash, Usd

MOST_TOUCHES: Final = 8
NO_EFFECTS: Final = Effects(ok=True, gas_used=0)  # what was remembered of a transaction's own


class Touch(Struct):
    """A mined transaction that touched an asset: what it took in dollars, and in smallest units of whatever it took."""

    sighting: Sighting
    usd: Usd
    units: int

    @property
    def rank(self) -> tuple[int, int]:
        return self.usd, self.units


class Verdict(Struct):
    """What was found broken at one block, and the rank of whom we accused so far."""

    block_hash: Hash
    text: str
    accused: tuple[int, int] = (-1, -1)


class Blame(Struct):
    """The last touches and the last verdict of each asset; bounded by the number of assets."""

    touches: dict[str, list[Touch]] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def accuse(self, asset: Asset, block_hash: Hash, text: str) -> Touch | None:
        """Record that a rule of `asset` broke in this block; the worst touch known, if any."""
        verdict = self.verdicts[asset.name] = Verdict(block_hash, text)
        found = [t for t in self.touches.get(asset.name, ()) if t.sighting.block_hash == block_hash]
        if not found:
            return None
        worst = max(found, key=lambda touch: touch.rank)
        verdict.accused = worst.rank
        return worst

    def note(self, asset: Asset, sighting: Sighting, prices: Prices) -> tuple[Touch, str]:
        """Remember a mined touch; with it the text of a verdict on its block, where it is the worst so far."""
        touch = touch_of(asset, sighting, prices)
        kept = [t for t in self.touches.get(asset.name, ()) if t.sighting.block_number + 1 >= sighting.block_number]
        kept.append(touch)
        if len(kept) > MOST_TOUCHES:
            kept.remove(min(kept, key=lambda t: (t.sighting.block_number, t.rank)))
        self.touches[asset.name] = kept
        verdict = self.verdicts.get(asset.name)
        if verdict is None or verdict.block_hash != sighting.block_hash or touch.rank <= verdict.accused:
            return touch, ""
        verdict.accused = touch.rank
        return touch, verdict.text


def touch_of(asset: Asset, sighting: Sighting, prices: Prices) -> Touch:
    """What a transaction took out of an asset; 0 dollars where a price is unknown."""
    usd = asset_loss_usd(sighting.effects, asset, prices) or Usd(0)
    bare = replace(sighting, effects=NO_EFFECTS)
    return Touch(bare, usd, sum(outflow(sighting.effects, asset).values()))
