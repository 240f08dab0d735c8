"""`drawbridge check`: is what the configuration says true, and would it work? Everything is told in one table."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict

from monitor.cli_authority import report_of
from monitor.cli_check_assets import asset_lines
from monitor.cli_inspect import Chain, Inspection, Key, Line, inspected
from monitor.cli_show import console, print_json, say, shown, table
from monitor.clock import SystemClock
from monitor.model.assets import Level
from monitor.model.errors import ConfigurationError, DrawbridgeError
from monitor.model.ports import Clock
from monitor.settings import Settings, load
from monitor.store.database import place
from monitor.store.journal import SqlJournal
from monitor.store.ledger import SqlLedger
from monitor.store.migrate import blank
from monitor.wiring_core import core_of

LAG_BLOCKS = 3  # a head older than this many slots is told


def check(path: str, *, mode: str | None, json: bool) -> int:
    """0 fine, 1 something is wrong. Raises ConfigurationError where the file itself cannot be meant."""
    settings = load(path, mode=mode)
    lines = asyncio.run(_lines(settings))
    if json:
        print_json([asdict(line) for line in lines])
    else:
        _show(settings, lines)
    return 1 if any(line.level == "finding" for line in lines) else 0


async def _lines(settings: Settings) -> list[Line]:
    clock = SystemClock()
    async with inspected(settings, clock) as inspection:
        return [line async for line in _all(inspection, clock)]


async def _all(inspection: Inspection, clock: Clock) -> AsyncIterator[Line]:
    settings = inspection.settings
    for line in (*_decided(settings, clock), *_people(settings), *_demanded(settings)):
        yield line
    yield await _store(settings)
    for chain in inspection.chains.values():
        for line in _chain(chain, clock):
            yield line
    for name in settings.ledgers:
        yield await _ledger(settings, name)
    for asset in settings.assets:
        async for line in asset_lines(inspection, asset):
            yield line
    for key in inspection.keys.values():
        for line in await _key(inspection, key):
            yield line


async def _key(inspection: Inspection, key: Key) -> list[Line]:
    about, where = f"signer {key.name}", shown(key.address) if key.address else "address not known"
    lines = [Line(line.level, about, f"{line.about}: {line.text}") for line in (await report_of(inspection, key)).lines]
    if not any(line.level == "finding" for line in lines):
        lines.insert(0, Line("ok", about, f"{key.kind}, {where}: reachable, and can nothing but respond"))
    return lines


def _decided(settings: Settings, clock: Clock) -> Iterator[Line]:
    """Warnings of the file, and detectors and labels, which only wiring can judge."""
    yield from (Line("warning", "configuration", warning) for warning in settings.warnings)
    try:
        core = core_of(settings, clock=clock)
    except ConfigurationError as error:
        yield from (Line("finding", "configuration", fault) for fault in error.faults)
        return
    yield Line("ok", "detectors", ", ".join(detector.about.id for detector in core.detectors))


def _people(settings: Settings) -> Iterator[Line]:
    if not any(operator.may("disarm") and operator.token_sha256 for operator in settings.operators):
        kill = f"; the kill file {settings.kill_file} works for whoever may write it" if settings.kill_file else ""
        yield Line("warning", "operators", f"nobody has a token and the right to disarm{kill}")
    if not settings.notify:
        yield Line("warning", "notify", "nobody is told: no address is configured")


def _demanded(settings: Settings) -> Iterator[Line]:
    """What enforce mode finds fault with, and the others only mention."""
    level = "finding" if settings.mode == "enforce" else "note"
    for name, signer in settings.signers.items():
        if signer.keystore is not None:
            said = "a hot key in a local keystore; a remote signer keeps it off this host"
            yield Line("finding" if settings.mode == "enforce" else "warning", f"signer {name}", said)
    for asset in settings.assets:
        automatic = asset.autonomy[2] == Level.AUTOMATIC
        if asset.kind == "hot_wallet" and asset.cold_address is None:
            yield Line("finding" if level == "finding" and automatic else "note", asset.name, "has no cold_address")
        if asset.kind == "hot_wallet" and not asset.ledger:
            yield Line("warning", asset.name, "has no ledger: nothing above class 1 is automatic on it")
        if asset.pause is None and asset.tighten is None:
            yield Line("note", asset.name, "is watched only: neither pause nor tighten is configured")


async def _store(settings: Settings) -> Line:
    where = place(settings.store)
    try:
        if await blank(settings.store):
            return Line("ok", "store", f"{where.shown} is not there yet; `drawbridge run` makes it")
        async with await SqlJournal.read_only(settings.store) as journal:
            rows, _ = await journal.last()
    except DrawbridgeError as error:
        return Line("finding", "store", str(error))
    return Line("ok", "store", f"{where.shown}, {rows:,} events")


def _chain(chain: Chain, clock: Clock) -> Iterator[Line]:
    name, count = chain.rule.name, len(chain.shape.rpc)
    yield from (Line("finding", name, fault) for fault in chain.faults)
    if chain.head is None:
        if not chain.faults:
            yield Line("finding", name, "no node can be used")
        return
    good = count - len(chain.faults)
    yield Line("ok", name, f"{good} of {count} nodes serve chain {chain.rule.chain_id}; head {chain.head.number}")
    age_s = clock.now() // 10**9 - chain.head.timestamp
    if age_s > LAG_BLOCKS * chain.rule.slot_s:
        yield Line("warning", name, f"the head is {age_s:,} s old, and a slot is {chain.rule.slot_s} s")


async def _ledger(settings: Settings, name: str) -> Line:
    shape, about = settings.ledgers[name], f"ledger {name}"
    reader = SqlLedger(shape.url, name, (settings.secret(shape.key_env) or "").encode())
    try:
        rows = await reader.after(0, limit=1)
        mark = await reader.watermark()
    except DrawbridgeError as error:
        return Line("finding", about, str(error))
    finally:
        await reader.close()
    if reader.rejected:
        return Line("finding", about, f"its first row does not verify: is {shape.key_env} the right key?")
    complete = "a watermark verifies" if mark is not None else "no watermark yet"
    return Line("ok", about, f"answers; {'has rows' if rows else 'no rows yet'}, {complete}")


def _show(settings: Settings, lines: list[Line]) -> None:
    console().print(table("", ("", "on", "what"), ((line.level, line.about, line.text) for line in lines)))
    wrong = sum(1 for line in lines if line.level == "finding")
    mode = f"{settings.path}, {settings.mode} mode"
    say(f"{mode}: {wrong} thing{'' if wrong == 1 else 's'} wrong" if wrong else f"{mode}: fine")
