"""Tier one: whether a response works on the head, breaks nothing that must go on, and harms nothing of ours. Pure.

The response's calls run from its own signer, with the fee and gas that they will really carry. Every expectation must
then read as it should, golden calls must pass that pass without it, forbidden ones must fail, and no asset that it
touches may hold less or break an invariant that held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

import msgspec
from msgspec import Struct

from monitor.chain.lab_cases import FRESH, Scene
from monitor.chain.lab_loss import together
from monitor.chain.simulate_wire import Outcome, Run
from monitor.evm import invariants
from monitor.evm.loss import PAYS_GAS, read, standard_probes
from monitor.model.actions import Plan, Verdict
from monitor.model.assets import Asset
from monitor.model.chain import Call, Effects, Probe, SlotChange, token_probe
from monitor.model.errors import DrawbridgeError
from monitor.model.units import NATIVE, Address, shown

MOST_GOLDEN: Final = 64


class Validity(Struct, frozen=True):
    """What tier one says of one plan."""

    verdict: Verdict
    why: str = ""
    gas_used: int = 0
    golden_passed: int = 0
    golden_broken: tuple[str, ...] = ()
    predicted: tuple[SlotChange, ...] = ()


def unproven(why: str) -> Validity:
    return Validity("UNPROVEN", why)


def response_calls(plan: Plan, signer: Address) -> tuple[Call, ...]:
    """The plan's calls, from the key that will sign them."""
    return tuple(call if call.sender else msgspec.structs.replace(call, sender=signer) for call in plan.calls)


def response_run(scene: Scene, plan: Plan, signer: Address, assets: Iterable[Asset]) -> Run:
    """The response alone, traced, with its expectations and these assets read before and after."""
    calls = response_calls(plan, signer)
    read_too = chain.from_iterable(standard_probes(asset) for asset in assets)
    return Run(
        calls=calls,
        context=scene.first,
        probes=tuple(dict.fromkeys((*expected_probes(plan), *read_too))),
        fees=(scene.fee,) * len(calls),
        trace=True,
        at=scene.head.hash,
    )


def golden_runs(scene: Scene, plan: Plan, signer: Address) -> tuple[Run, ...]:
    """For each golden and forbidden call: alone, and after the response."""
    response = response_calls(plan, signer)
    runs: list[Run] = []
    for call in _tried(plan):
        user = call if call.sender else msgspec.structs.replace(call, sender=FRESH)
        for first in ((), response):
            fees = (scene.fee,) * len(first)
            runs.append(Run(calls=(*first, user), context=scene.first, fees=fees, at=scene.head.hash))
    return tuple(runs)


def expected_probes(plan: Plan) -> tuple[Probe, ...]:
    """The views whose words are expected."""
    return tuple(dict.fromkeys(Probe(each.call.to, each.call.data) for each in plan.expects))


def unmet(plan: Plan, effects: Effects) -> str:
    """The first expectation that does not read as it should; '' where all do. Unknown is not met."""
    after = {reading.probe: reading.after for reading in effects.readings}
    for each in plan.expects:
        raw = after.get(Probe(each.call.to, each.call.data))
        if raw is None or raw[:32] != each.word:
            return f"not so: {each.text} (reads {shown(raw[:32]) if raw is not None else 'nothing'})"
    return ""


def judged(
    plan: Plan, outcome: Outcome, golden: Sequence[Outcome | DrawbridgeError], assets: Sequence[Asset]
) -> Validity:
    """Tier one from its runs; `golden` in the order of `golden_runs`."""
    effects = outcome.effects
    gas_used = sum(each.gas_used for each in effects)
    predicted = tuple(change for each in effects for change in each.storage)
    why = accepted(plan, effects) or worse(effects, assets)
    passed, broken, lost = _golden(plan, golden)
    if len(plan.golden) + len(plan.forbidden) > MOST_GOLDEN:
        lost = f"more than {MOST_GOLDEN} golden calls: the rest were not tried"
    if not why and lost:
        return Validity("UNPROVEN", lost, gas_used, passed, broken, predicted)
    why = why or (f"breaks what must go on: {broken[0]}" if broken else "")
    return Validity("fails" if why else "holds", why, gas_used, passed, broken, predicted)


def accepted(plan: Plan, effects: Sequence[Effects]) -> str:
    """Why the response does not work: a call fails, costs too much, or an expectation is not met; '' where it does."""
    return _failed(plan, effects) or unmet(plan, effects[-1])


def worse(effects: Sequence[Effects], assets: Iterable[Asset]) -> str:
    """Which asset the response leaves with less, or with a broken invariant; '' where none."""
    whole = together(effects)
    before, after = invariants.before(whole.readings), invariants.after(whole.readings)
    for asset in assets:
        for token in asset.tokens:
            held = read(whole, token_probe(token.address, asset.address))
            fee = token.address == NATIVE and asset.kind in PAYS_GAS
            if held is not None and held[1] < held[0] and not fee:
                return f"harms {asset.name}: it holds {held[0] - held[1]} less of {shown(token.address)}"
        for invariant in asset.invariants:
            if invariants.evaluate(invariant, before) and invariants.evaluate(invariant, after) is False:
                return f"harms {asset.name}: breaks {invariant.text}"
    return ""


def touched(effects: Sequence[Effects], assets: Iterable[Asset]) -> tuple[Asset, ...]:
    """Assets that what was changed could matter to: themselves, their tokens, or what their invariants read."""
    changed = {change.address for each in effects for change in each.storage}
    changed |= {who for each in effects for transfer in each.transfers for who in (transfer.sender, transfer.to)}
    return tuple(asset for asset in assets if not changed.isdisjoint(_rests_on(asset)))


def _rests_on(asset: Asset) -> Iterator[Address]:
    yield asset.address
    yield from (token.address for token in asset.tokens if token.address != NATIVE)
    yield from (probe.to for invariant in asset.invariants for probe in invariant.probes)


def _failed(plan: Plan, effects: Sequence[Effects]) -> str:
    for call, each in zip(plan.calls, effects, strict=True):
        if not each.ok:
            return f"call of {plan.signer} to {shown(call.to)} {each.error}"
        if each.gas_used > plan.max_gas:
            return f"call to {shown(call.to)} uses {each.gas_used} gas, over {plan.max_gas}"
    return "" if effects else "a plan without calls"


def _tried(plan: Plan) -> tuple[Call, ...]:
    return (*plan.golden, *plan.forbidden)[:MOST_GOLDEN]


def _golden(plan: Plan, outcomes: Sequence[Outcome | DrawbridgeError]) -> tuple[int, tuple[str, ...], str]:
    """How many are as they must be, which are not, and why the rest is not known."""
    passed, broken, lost = 0, list[str](), ""
    for index, call in enumerate(_tried(plan)):
        alone, after = outcomes[2 * index], outcomes[2 * index + 1]
        if isinstance(alone, DrawbridgeError) or isinstance(after, DrawbridgeError):
            lost = lost or f"golden call to {shown(call.to)} was not tried"
            continue
        works, must_fail = after.effects[-1].ok, index >= len(plan.golden)
        if works != must_fail:
            passed += 1
        elif must_fail or alone.effects[-1].ok:
            what = "must fail and passes" if must_fail else f"must pass and {after.effects[-1].error}"
            broken.append(f"{shown(call.data[:4])} on {shown(call.to)} {what}")
    return passed, tuple(broken), lost
