"""Plays scenarios, each on a chain of its own, with and without the defence, and writes the report."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitor.clock import SystemClock
from monitor.model.errors import ConfigurationError
from monitor.model.events import ResponseIncluded
from monitor.rehearsal.builder_slot import PROFILES
from monitor.rehearsal.defence import Defence, defend
from monitor.rehearsal.loss import Holdings, holdings, write_chain
from monitor.rehearsal.measure import Readings, measure
from monitor.rehearsal.report import write_html
from monitor.rehearsal.scenario import Play, Scenario, Script
from monitor.rehearsal.scenarios import SCENARIOS
from monitor.rehearsal.stage import Stage, dump_json
from monitor.rehearsal.undefended import open_stage, play_undefended

AFTERMATH = 14  # slots after the play, so that the last verification is in
SCENARIO_S = 240.0


def chosen(names: Sequence[str], scenario: str | None) -> tuple[Scenario, ...]:
    """The scenarios of these names, all without any, and an outsider's by dotted path. Raises ConfigurationError."""
    known = {s.name for s in SCENARIOS}
    wrong = [n for n in names if n not in known]
    if wrong:
        raise ConfigurationError((f"no scenario {', '.join(wrong)}; there are: {', '.join(sorted(known))}",))
    found = [s for s in SCENARIOS if s.name in names or (not names and scenario is None)]
    return (*found, _outsider(scenario)) if scenario else tuple(found)


async def run_all(
    names: Sequence[str],
    *,
    out: Path,
    seed: int = 1,
    mode: str = "enforce",
    latency: str = "l1",
    scenario: str | None = None,
    fork_url: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Play them, write report.json, report.html and chain/ under `out`, and return the report."""
    clock, rows, out = SystemClock(), [], out.resolve()  # a configuration's paths are relative to its own folder
    started = datetime.fromtimestamp(clock.now() / 10**9, tz=UTC).isoformat(timespec="seconds")
    for one in chosen(names, scenario):
        folder = out / _folder(one)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        progress(f"{one.name} ({one.variant}) …")
        async with asyncio.timeout(SCENARIO_S):
            row = await run_one(Play(one, seed, mode, PROFILES[latency], fork_url), folder)
        row["chain"] = {"defended": f"{folder.name}/chain", "undefended": f"{folder.name}/undefended/chain"}
        rows.append(row)
        progress(_line(row))
    report = {
        "version": 1,
        "seed": seed,
        "chain_id": 31_337,
        "started_at": started,
        "scenarios": rows,
        "totals": _totals(rows),
    }
    await asyncio.to_thread(_write, out, report)
    return report


async def run_one(play: Play, folder: Path) -> dict[str, Any]:
    """One scenario: undefended, then defended, on equal chains."""
    without = await play_undefended(play, folder / "undefended")
    async with open_stage(play, folder) as stage:
        script = await play.scenario.prepare(stage)
        before = await holdings(stage, script)
        async with defend(play, stage, script) as defence:
            await _play(play, stage, script)
            story = await defence.story()
        readings = Readings(before, await _at_response(stage, script, defence, story), await holdings(stage, script))
        row = await measure(play, stage, script, story, readings, without)
        await write_chain(stage, script, folder / "chain", before)
        return row


async def _play(play: Play, stage: Stage, script: Script) -> None:
    stage.begin()
    await stage.end_slot()
    await play.scenario.play(stage, script)
    for _ in range(AFTERMATH):
        await stage.end_slot()
    await stage.reconnected()


async def _at_response(stage: Stage, script: Script, defence: Defence, story: Any) -> Holdings | None:
    """Holdings of the attackers at the block that holds our first response."""
    included = [s.event for s, _ in story if isinstance(s.event, ResponseIncluded) and s.event.ok]
    return await holdings(stage, script, at=included[0].block_number) if included else None


def _outsider(dotted: str) -> Scenario:
    module, _, name = dotted.replace(":", ".").rpartition(".")
    try:
        made: Scenario = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigurationError((f"scenario {dotted} cannot be loaded: {error}; give package.module.Class",)) from None
    return made


def _folder(scenario: Scenario) -> str:
    variant = "".join(c if c.isalnum() else "-" for c in scenario.variant).strip("-").lower()
    return f"{scenario.name}-{variant}"


def _line(row: dict[str, Any]) -> str:
    verdict = "contained" if row["contained"] else "NOT contained"
    if row["contained"] is None:
        verdict = "left alone" if row["ok"] else "DISTURBED"
    saved, lost = row["saved_ratio"], row["loss_usd"] / 10**6
    return (
        f"{row['name']}: {verdict}, saved {saved:.4f}, lost {lost:,.0f} of {row['loss_without_usd'] / 10**6:,.0f} USD"
    )


def _totals(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    attacks = [r for r in rows if r["contained"] is not None]
    detect = [r["detected_at_ms"] - r["first_malicious_at_ms"] for r in attacks if r["detected_at_ms"] is not None]
    sent = [r["broadcast_at_ms"] - r["detected_at_ms"] for r in attacks if r["broadcast_at_ms"] is not None]
    without = sum(r["loss_without_usd"] for r in attacks)
    return {
        "contained": sum(1 for r in attacks if r["contained"]),
        "of": len(attacks),
        "median_detect_ms": round(statistics.median(detect), 1) if detect else None,
        "p95_detect_to_broadcast_ms": round(sorted(sent)[int(0.95 * (len(sent) - 1))], 1) if sent else None,
        "saved_ratio": round(1 - sum(r["loss_usd"] for r in attacks) / without, 6) if without else 0.0,
        "false_alarms": sum(r["benign"]["false_alarms"] for r in rows),
    }


def _write(out: Path, report: dict[str, Any]) -> None:
    dump_json(out / "report.json", report)
    write_html(out / "report.html", report)
