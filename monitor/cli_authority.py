"""`drawbridge authority`: which response key can do what, on chain, now; and what it could do that it should not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from monitor.chain.gas_health import ACTION_GAS, GAS_PRICE, HEALTHY
from monitor.chain.rpc_wire import RpcError
from monitor.cli_inspect import Chain, Inspection, Key, Line, inspected
from monitor.cli_powers import held
from monitor.cli_show import console, print_json, say, shown, table
from monitor.clock import SystemClock
from monitor.evm.abi import encode_call
from monitor.evm.hexes import octets, quantity
from monitor.http.plain import plain
from monitor.model.actions import AnyAction
from monitor.model.assets import Asset
from monitor.model.errors import DrawbridgeError
from monitor.model.events import AuthorityProbed
from monitor.model.units import NATIVE, Address, ChainId
from monitor.settings import Settings, load
from monitor.shell.keeper import trial_actions

RICH: Final = 100 * HEALTHY * ACTION_GAS * GAS_PRICE  # wei; more than any defence burns


@dataclass(slots=True)
class Report:
    """What one key may do, and what it may do too much."""

    key: Key
    probes: list[AuthorityProbed] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


def authority(path: str, *, json: bool) -> int:
    """0 as it should be; 1 where a key lacks what it needs, or has more."""
    reports = asyncio.run(_reports(load(path)))
    if json:
        print_json([_plain(report) for report in reports])
    else:
        _show(reports)
    return 1 if any(_wrong(report) for report in reports) else 0


async def _reports(settings: Settings) -> list[Report]:
    async with inspected(settings, SystemClock()) as inspection:
        return [await report_of(inspection, key) for key in inspection.keys.values()]


async def report_of(inspection: Inspection, key: Key) -> Report:
    """Everything about one key."""
    report = Report(key)
    if key.fault:
        report.lines.append(Line("finding", "key", key.fault))
    report.lines += _standing(inspection.settings, key)
    if key.address is None:
        return report
    for asset in inspection.settings.assets:
        for action in trial_actions(asset):
            report.probes += await _probed(inspection, action, key.name)
    for chain_id, chain in inspection.chains.items():
        try:
            report.lines += [line async for line in _on_chain(inspection, chain_id, chain, key.address)]
        except DrawbridgeError as error:
            report.lines.append(Line("finding", chain.rule.name, f"not known: {error}"))
    return report


async def _probed(inspection: Inspection, action: AnyAction, signer: str) -> list[AuthorityProbed]:
    return [await inspection.lab.probe(plan) for plan in inspection.plans(action) if plan.signer == signer]


def _standing(settings: Settings, key: Key) -> Iterator[Line]:
    """What the configuration alone tells."""
    routes = [r.signer for a in settings.assets for r in (a.pause, a.tighten) if r is not None]
    if key.name not in routes:
        yield Line("note", "configuration", "no asset uses this key")
    for asset in settings.assets:
        known = {asset.address: "is the asset itself", asset.cold_address: "is its cold address"}
        known |= dict.fromkeys(asset.known_destinations, "is one of its known destinations")
        if key.address in known:
            yield Line("finding", asset.name, f"the key {known[key.address]}")
    for operator in settings.operators:
        if key.address is not None and operator.address == key.address:
            yield Line("finding", "operators", f"it is {operator.name}'s own key: a person and a machine share it")


async def _on_chain(inspection: Inspection, chain_id: ChainId, chain: Chain, key: Address) -> AsyncIterator[Line]:
    """What the chain tells: code at the key, what it holds, what it may spend, which powers it has."""
    reads = _Reads(chain, key)
    if chain.head is None:
        yield Line("finding", chain.rule.name, f"not known: {'; '.join(chain.faults) or 'no node answers'}")
        return
    code = await reads.code()
    if code:
        delegated = " (an EIP-7702 delegation)" if code.startswith(b"\xef\x01\x00") else ""
        yield Line("finding", chain.rule.name, f"there is code at the key{delegated}: others may act as it")
    wei = await reads.ether()
    if wei > RICH:
        yield Line(
            "warning", chain.rule.name, f"holds {wei / 10**18:,.2f} ether: far more than gas; who steals it has it"
        )
    assets = [asset for asset in inspection.settings.assets if asset.chain_id == chain_id]
    for token in {t.address: t for a in assets for t in a.tokens if t.address != NATIVE}.values():
        balance = await reads.number(token.address, encode_call("balanceOf(address)", key))
        if balance:
            yield Line("finding", chain.rule.name, f"holds {balance} of {token.symbol or shown(token.address)}")
    for asset in assets:
        async for line in _over(inspection, asset, key, reads):
            yield line


async def _over(inspection: Inspection, asset: Asset, key: Address, reads: _Reads) -> AsyncIterator[Line]:
    """Powers and grants on one asset that a response key should not have."""
    for token in asset.tokens:
        if token.address != NATIVE:
            allowance = await reads.number(token.address, encode_call("allowance(address,address)", asset.address, key))
            if allowance:
                what = token.symbol or shown(token.address)
                yield Line("finding", asset.name, f"may spend {allowance} of its {what}")
    guardian = asset.pause.guardian if asset.pause is not None else None
    if guardian is not None and await reads.number(guardian, encode_call("people(address)", key)):
        yield Line("finding", asset.name, "is one of the Guardian's people: it pauses without count")
    direct = asset.pause is not None and asset.pause.via == "direct"
    for power in await held(inspection, asset.chain_id, key, asset):
        mild = direct and power.startswith("end ")
        yield Line("warning" if mild else "finding", asset.name, f"can {power}")


class _Reads:
    """Views about one key. A contract that has no such view reads as 0."""

    def __init__(self, chain: Chain, key: Address) -> None:
        self._nodes, self._key = chain.nodes, "0x" + key.hex()

    async def code(self) -> bytes:
        text = str(await self._nodes.first("eth_getCode", [self._key, "latest"], into=str))
        return bytes.fromhex(text.removeprefix("0x"))

    async def ether(self) -> int:
        return quantity(await self._nodes.first("eth_getBalance", [self._key, "latest"], into=str))

    async def number(self, to: Address, data: bytes) -> int:
        call = {"to": "0x" + to.hex(), "data": "0x" + data.hex()}
        try:
            answer = octets(await self._nodes.first("eth_call", [call, "latest"], into=str))
        except RpcError:
            return 0
        return int.from_bytes(answer[:32], "big")


def _wrong(report: Report) -> bool:
    return any(line.level == "finding" for line in report.lines) or any(not probe.ok for probe in report.probes)


def _plain(report: Report) -> dict[str, Any]:
    return {
        "key": report.key.name,
        "kind": report.key.kind,
        "address": shown(report.key.address) if report.key.address else None,
        "may": [plain(probe) for probe in report.probes],
        "lines": [asdict(line) for line in report.lines],
    }


def _show(reports: Sequence[Report]) -> None:
    for report in reports:
        key = report.key
        where = shown(key.address) if key.address else "address not known"
        rows = [_row(probe) for probe in report.probes] + [(line.level, line.about, line.text) for line in report.lines]
        console().print(
            table(f"{key.name} ({key.kind}) {where}", ("", "on", "what"), rows or [("note", "", "nothing")])
        )
    if not reports:
        say("no signers are configured: nothing can be done on chain")
    wrong = sum(1 for report in reports if _wrong(report))
    say(f"{len(reports)} keys, {wrong} with findings" if wrong else f"{len(reports)} keys, no finding")


def _row(probe: AuthorityProbed) -> tuple[str, str, str]:
    uses = f", {probe.uses_left} uses left" if probe.uses_left >= 0 else ""
    if probe.ok:
        return "ok", probe.asset, f"{probe.kind.lower()} works at block {probe.block_number}{uses}"
    return "finding", probe.asset, f"{probe.kind.lower()} does NOT work: {probe.why}{uses}"
