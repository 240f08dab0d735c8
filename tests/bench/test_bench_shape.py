"""What `drawbridge bench` gives: its shape, its names, and rows that say what was not measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monitor.bench import MEASUREMENTS, run
from monitor.bench.figure import Figure, figure, missing, percentile, single
from monitor.bench.machine import flushes, machine, resident_bytes
from monitor.cli_bench import bench
from monitor.model.errors import ConfigurationError

STATISTICS = {"value", "unit", "runs", "p50", "p95", "p99", "max"}
PROMISED = {  # interface.md
    "event_to_broadcast_ms",
    "event_to_broadcast_prearmed_ms",
    "pipeline_tx_per_s",
    "pipeline_journalled_tx_per_s",
    "watch_cost_ratio",
    "watch_increment_mb",
    "replay_events_per_s",
    "rehearsal_ms",
    "screening_ms",
}


def test_a_figure_is_the_median_of_its_samples_with_their_tail() -> None:
    found = figure([3.0, 1.0, 2.0, 100.0, 4.0], "ms")
    assert (found.value, found.p50, found.max, found.runs) == (3.0, 3.0, 100.0, 5)
    assert found.shown().keys() >= STATISTICS


def test_the_tail_of_five_hundred_runs_is_not_their_worst() -> None:
    samples = [1.0] * 496 + [50.0] * 4
    assert percentile(samples, 0.99) == 1.0
    assert percentile(samples, 1) == 50.0
    assert percentile([7.0], 0.99) == 7.0


def test_a_rate_is_shown_in_whole_units_and_a_small_time_to_four_figures() -> None:
    assert figure([71_234.56], "tx/s").value == 71_235
    assert single(0.000123456, "s", runs=1).value == 0.0001235


def test_what_is_not_measured_has_no_value_and_says_why() -> None:
    found = missing("ms", "npm is not installed")
    assert found.value is None
    assert found.note == "not measured: npm is not installed"
    assert found.shown().keys() >= STATISTICS


def test_every_promised_figure_has_a_measurement() -> None:
    assert {name for _, figures in MEASUREMENTS.values() for name in figures} >= PROMISED


def test_a_name_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no measurement pipelin; there are: .*pipeline.*pipeline_tx_per_s"):
        run(["pipelin"])


def test_what_was_not_built_is_a_row_that_says_so() -> None:
    found = run(["screening_ms"], quick=True)
    assert found["figures"]["screening_ms"]["value"] is None
    assert "withdrawals" in found["figures"]["screening_ms"]["note"]
    assert found["peers"] == []


def test_the_machine_is_named_with_what_a_flush_costs_on_it(tmp_path: Path) -> None:
    said = machine(tmp_path)
    assert said.keys() == {"cpu", "cores", "python", "os", "fdatasync_ms"}
    assert all(each > 0 for each in flushes(tmp_path, 3))
    assert resident_bytes() > 1_000_000


def test_a_figure_can_be_named_in_place_of_its_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fake(name: str) -> object:
        from monitor.bench.figure import Results

        def measure(data: Path | None, *, quick: bool, progress: object) -> Results:
            asked.append(name)
            return Results({f"{name}_s": Figure(value=1.0, unit="s")})

        return (measure, (f"{name}_s",))

    monkeypatch.setattr("monitor.bench.MEASUREMENTS", {name: fake(name) for name in ("one", "two")})
    assert run(["two_s", "two"])["figures"].keys() == {"two_s"}
    assert run()["figures"].keys() == {"one_s", "two_s"}
    assert asked == ["two", "one", "two"]


def test_the_command_prints_a_row_for_each_figure_and_why_one_has_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(("screening_ms",), json=False, quick=True) == 0
    said = capsys.readouterr()
    assert "fdatasync_ms" in said.out
    assert "screening_ms: not measured: POST /api/v1/withdrawals/screen" in said.out
    assert "screening …" in said.err


def test_the_command_prints_json_and_nothing_else_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(("screening_ms",), json=True, quick=True) == 0
    assert json.loads(capsys.readouterr().out).keys() == {"machine", "figures", "peers"}
