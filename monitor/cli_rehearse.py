"""`drawbridge rehearse`: a line for each scenario as it plays, and a table at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from monitor.cli_show import console, print_json, say, table, usd, warn
from monitor.model.errors import ConfigurationError, Unreachable

LATENCIES: Final = ("l1", "base", "loopback")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    names: tuple[str, ...]
    out: Path
    seed: int
    mode: str
    latency: str
    scenario: str | None
    fork_url: str | None


def list_scenarios(*, json: bool) -> int:
    """Name, title and the incident that each is based on."""
    from monitor.rehearsal.scenarios import SCENARIOS

    rows = [{"name": s.name, "variant": s.variant, "title": s.title, "based_on": s.based_on} for s in SCENARIOS]
    if json:
        print_json(rows)
    else:
        console().print(table("", ("name", "variant", "title", "based on"), (tuple(row.values()) for row in rows)))
    return 0


def rehearse(wanted: Wanted, *, json: bool) -> int:
    """Play them and write the report. 0 all contained, 1 one was not, 2 usage."""
    if wanted.latency not in LATENCIES:
        raise ConfigurationError((f"--latency {wanted.latency!r}: must be one of {', '.join(LATENCIES)}",))
    from monitor.rehearsal.runner import run_all

    playing = run_all(
        wanted.names,
        out=wanted.out,
        seed=wanted.seed,
        mode=wanted.mode,
        latency=wanted.latency,
        scenario=wanted.scenario,
        fork_url=wanted.fork_url,
        progress=warn if json else say,
    )
    try:
        report = asyncio.run(playing)
    except TimeoutError:
        raise Unreachable("rehearse: a scenario did not end in its time; is the machine overloaded?") from None
    if json:
        print_json(report)
    else:
        _show(report, wanted.out)
    return 0 if all(succeeded(row) for row in report["scenarios"]) else 1


def succeeded(row: dict[str, Any]) -> bool:
    """Contained; for a benign scenario, left alone."""
    if row["contained"] is None:
        benign = row["benign"]
        return bool(row.get("ok", not benign["broken"] and not benign["false_alarms"]))
    return bool(row["contained"])


def _show(report: dict[str, Any], out: Path) -> None:
    columns = ("scenario", "variant", "outcome", "detected", "broadcast", "included", "lost", "without", "saved")
    console().print(table("", columns, _rows(report["scenarios"])))
    totals = report["totals"]
    say(f"contained {totals['contained']} of {totals['of']}, saved {totals['saved_ratio']:.4f}")
    say(f"report: {out / 'report.html'}")


def _rows(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        verdict = "contained" if row["contained"] else "NOT contained"
        if row["contained"] is None:
            verdict = "left alone" if succeeded(row) else "DISTURBED"
        since = row["first_malicious_at_ms"]
        times = (_after(row[key], since) for key in ("detected_at_ms", "broadcast_at_ms", "included_at_ms"))
        sums = (usd(row["loss_usd"]), usd(row["loss_without_usd"]), f"{row['saved_ratio']:.4f}")
        yield (row["name"], row["variant"], verdict, *times, *sums)


def _after(at_ms: float | None, since_ms: float | None) -> str:
    """Time since the first malicious transaction."""
    return "–" if at_ms is None or since_ms is None else f"{at_ms - since_ms:+,.0f} ms"
