"""`drawbridge bench`: the performance figures of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from monitor.bench import run
from monitor.cli_show import console, print_json, say, table, warn

_STATISTICS: Final = ("p50", "p95", "p99", "max")


def bench(names: tuple[str, ...], *, json: bool, quick: bool) -> int:
    """Measure and print. 0 when everything was measured."""
    found = run(names, progress=warn, quick=quick)
    if json:
        print_json(found)
        return 0
    say(", ".join(f"{key} {value}" for key, value in found["machine"].items()))
    columns = ("figure", "value", "unit", "runs", *_STATISTICS, "target")
    console().print(table("", columns, _figures(found["figures"])))
    if found.get("peers"):
        beside = ("name", "version", "work", "ours", "theirs", "ratio")
        rows = (tuple(_number(peer.get(column)) for column in beside) for peer in found["peers"])
        console().print(table("beside others", beside, rows))
    for name, note in _notes(found):
        say(f"{name}: {note}")
    return 0


def _notes(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """On what each was measured, or why it was not."""
    rows = [*found["figures"].items(), *((peer["name"], peer) for peer in found.get("peers", ()))]
    return ((name, row["note"]) for name, row in rows if row.get("note"))


def _figures(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    for name, figure in figures.items():
        yield (name, *(_number(figure.get(key)) for key in ("value", "unit", "runs", *_STATISTICS, "target")))


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
