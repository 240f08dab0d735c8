"""What the replays of one attack found, by response; whole at any time: a deadline loses only the rest. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from monitor.chain.lab_cases import Case, Side
from monitor.chain.lab_loss import Loss, Pair, largest, verdict
from monitor.model.actions import VariantResult, Verdict
from monitor.model.units import Usd

AGAIN: Final = frozenset({"repeated", "fresh message"})  # where these pay, only the holdings end it


class Findings(Struct):
    """`pairs` are the attack as it was seen, by action and block; `without` all that was shown to pay on its asset."""

    asset: str = ""
    way: str = ""  # which way of running it paid first
    pairs: dict[str, list[Pair]] = {}
    variants: dict[str, list[VariantResult]] = {}
    without: list[Loss] = []
    holdings: Usd | None = None
    repeatable: bool = False
    why: str = ""

    def note_seen(self, sides: Sequence[Side], by_block: Sequence[Sequence[Loss | None]]) -> None:
        """The attack as seen: by block, the loss on each side, the first of which is without a response."""
        self.without.extend(losses[0] for losses in by_block if losses[0] is not None)
        for at, side in enumerate(sides[1:], 1):
            self.pairs[side.action_id] = [Pair(losses[0], losses[at]) for losses in by_block]

    def note_variant(self, case: Case, sides: Sequence[Side], losses: Sequence[Loss | None]) -> None:
        """One variant, by side. On a sister it is told even where it does not pay; one that was not run is not told."""
        without, own = losses[0], case.asset.name == self.asset
        if without is None or (own and not without.pays):
            return
        if own and case.name in AGAIN:
            self.repeatable = True
        elif own:
            self.without.append(without)
        for side, loss in zip(sides[1:], losses[1:], strict=True):
            said = VariantResult(
                name=case.name,
                asset=case.asset.name,
                loss_without_usd=without.known,
                loss_with_usd=loss.known if loss is not None else Usd(0),
                verdict=verdict((Pair(without, loss),)),
            )
            self.variants.setdefault(side.action_id, []).append(said)

    def verdict(self, action_id: str) -> Verdict:
        return verdict(self.pairs.get(action_id, ()))

    def without_usd(self) -> Usd:
        """What could be taken now: the most that a run showed, or all that is held where it can be done again."""
        most = largest(self.without)
        return self._at_most_held(most, again=self.repeatable and most > 0)

    def leaves_much(self) -> bool:
        """Whether what was shown to be taken is less than four fifths of what is held."""
        return self.holdings is None or largest(self.without) * 5 < self.holdings * 4

    def with_usd(self, action_id: str) -> Usd:
        """What could still be taken from the attack's own asset with the response in force, by the same rule."""
        own = [each for each in self.variants.get(action_id, ()) if each.asset == self.asset]
        seen = largest(pair.with_it for pair in self.pairs.get(action_id, ()))
        most = Usd(max((seen, *(each.loss_with_usd for each in own if each.name not in AGAIN))))
        again = any(each.loss_with_usd for each in own if each.name in AGAIN)
        return self._at_most_held(most, again=again)

    def _at_most_held(self, most: Usd, *, again: bool) -> Usd:
        """All that the asset holds where it can be done again, and never more than it holds.

        A mined attack that is run with its loot put back shows what is gone already.
        """
        if self.holdings is None or not (most or again):
            return most
        return self.holdings if again else min(most, self.holdings)
