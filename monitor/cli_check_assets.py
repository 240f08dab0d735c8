"""What `check` looks at for one asset: code where code must be, decimals, invariants, golden calls, the response.

The response is rehearsed on the head as the loop would do it, only without an attack.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Literal

from monitor.chain.lab_cases import scene_of
from monitor.chain.rpc_wire import RpcError
from monitor.chain.simulate_wire import Outcome, Run
from monitor.cli_inspect import Chain, Inspection, Line
from monitor.cli_show import shown
from monitor.evm.abi import encode_call
from monitor.evm.hexes import octets, quantity
from monitor.evm.invariants import described, evaluate
from monitor.model.actions import AnyAction
from monitor.model.assets import Asset
from monitor.model.chain import Probe
from monitor.model.errors import DrawbridgeError, Refused
from monitor.model.units import NATIVE, Address
from monitor.shell.keeper import trial_actions

DEADLINE_MS: Final = 5_000
CODELESS: Final = ("hot_wallet", "treasury")  # may be plain accounts


async def asset_lines(inspection: Inspection, asset: Asset) -> AsyncIterator[Line]:
    """Everything about one asset; one line where its chain is not there."""
    chain = inspection.chains[asset.chain_id]
    if chain.head is None:
        yield Line("warning", asset.name, f"not looked at: {chain.rule.name} does not answer")
        return
    try:
        async for line in _code(chain, asset):
            yield line
        async for line in _tokens(chain, asset):
            yield line
        async for line in _now(chain, asset):
            yield line
        for action in trial_actions(asset):
            async for line in _response(inspection, asset, action):
                yield line
    except DrawbridgeError as error:
        yield Line("finding", asset.name, f"not known: {error}")


async def _code(chain: Chain, asset: Asset) -> AsyncIterator[Line]:
    wanted: dict[Address, str] = {}
    if asset.kind not in CODELESS or asset.tighten is not None or asset.pause is not None:
        wanted[asset.address] = "its address"
    if asset.pause is not None:
        wanted.setdefault(asset.pause.target, "what its pause stops")
        if asset.pause.guardian is not None:
            wanted[asset.pause.guardian] = "its guardian"
    if asset.tighten is not None:
        wanted.setdefault(asset.tighten.gate, "its gate")
    missing = [f"{what} {shown(where)}" for where, what in wanted.items() if not await _has_code(chain, where)]
    for each in missing:
        yield Line("finding", asset.name, f"there is no code at {each}: is it on {chain.rule.name}?")
    if wanted and not missing:
        yield Line("ok", asset.name, f"code at {', '.join(wanted.values())}")


async def _has_code(chain: Chain, where: Address) -> bool:
    return len(octets(await chain.nodes.first("eth_getCode", ["0x" + where.hex(), "latest"], into=str))) > 0


async def _tokens(chain: Chain, asset: Asset) -> AsyncIterator[Line]:
    """A wrong number of decimals makes every sum wrong by powers of ten."""
    for token in asset.tokens:
        if token.address == NATIVE:
            continue
        call = {"to": "0x" + token.address.hex(), "data": "0x" + encode_call("decimals()").hex()}
        name = token.symbol or shown(token.address)
        try:
            answer = octets(await chain.nodes.first("eth_call", [call, "latest"], into=str))
        except DrawbridgeError as error:
            yield Line("finding", asset.name, f"token {name}: decimals() is not known: {error}")
            continue
        if len(answer) < 32:
            yield Line("finding", asset.name, f"token {name} has no decimals(): is it a token?")
        elif int.from_bytes(answer[:32], "big") != token.decimals:
            said = int.from_bytes(answer[:32], "big")
            yield Line("finding", asset.name, f"token {name} says {said} decimals, the configuration {token.decimals}")


async def _now(chain: Chain, asset: Asset) -> AsyncIterator[Line]:
    """Invariants and golden calls, as they are at the head."""
    if chain.head is None:
        return
    context = scene_of(asset.chain_id, chain.head, chain.rule.slot_s).first
    runs = tuple(Run(calls=(golden.call,), context=context, at=chain.head.hash) for golden in asset.golden)
    outcomes = await chain.simulator.run_many(runs, deadline_ms=DEADLINE_MS) if runs else ()
    for golden, outcome in zip(asset.golden, outcomes, strict=True):
        if golden.must == "pass" and (not isinstance(outcome, Outcome) or not outcome.effects[0].ok):
            why = outcome.effects[0].error if isinstance(outcome, Outcome) else str(outcome)
            yield Line("finding", asset.name, f"golden call {golden.text} does not pass even now: {why}")
    for invariant in asset.invariants:
        readings = {probe: await _read(chain, probe) for probe in invariant.probes}
        holds = evaluate(invariant, readings)
        level: Literal["ok", "finding"] = "ok" if holds else "finding"
        said = {True: "holds", False: "is broken NOW", None: "cannot be read"}[holds]
        yield Line(level, asset.name, f"invariant {invariant.text} {said}: {described(invariant, readings)}")


async def _read(chain: Chain, probe: Probe) -> bytes | None:
    """What a probe returns at the head; None where it reverts."""
    to = "0x" + probe.to.hex()
    if not probe.data:
        return quantity(await chain.nodes.first("eth_getBalance", [to, "latest"], into=str)).to_bytes(32, "big")
    try:
        call = {"to": to, "data": "0x" + probe.data.hex()}
        return octets(await chain.nodes.first("eth_call", [call, "latest"], into=str))
    except RpcError:
        return None


async def _response(inspection: Inspection, asset: Asset, action: AnyAction) -> AsyncIterator[Line]:
    kind = type(action).__name__.lower()
    try:
        plans = list(inspection.plans(action))
    except Refused as refused:
        yield Line("finding", asset.name, f"{kind} cannot be planned: {refused.reason}")
        return
    report, _ = await inspection.lab.rehearse("check", plans, None)
    for plan, rehearsal in zip(plans, report.rehearsals, strict=True):
        probed = await inspection.lab.probe(plan)
        uses = f", {probed.uses_left} uses left" if probed.uses_left >= 0 else ""
        if rehearsal.valid == "holds":
            golden = f", {rehearsal.golden_passed} golden calls still pass" if rehearsal.golden_passed else ""
            said = f"{kind} by {plan.signer} works on the fork: {rehearsal.gas_used:,} gas{golden}{uses}"
            yield Line("ok", asset.name, said)
        else:
            why = rehearsal.why or ", ".join(rehearsal.golden_broken)
            yield Line("finding", asset.name, f"{kind} by {plan.signer} {rehearsal.valid}: {why}{uses}")
