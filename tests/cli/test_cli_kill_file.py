"""What a kill file says: that it is there is enough, and who made it is told."""

from __future__ import annotations

from pathlib import Path

from monitor.wiring_parts import killed_by


def test_a_file_that_is_not_there_stops_nothing(tmp_path: Path) -> None:
    assert killed_by(tmp_path / "disarmed") == ""


def test_an_empty_file_stops_everything(tmp_path: Path) -> None:
    (tmp_path / "disarmed").touch()
    assert killed_by(tmp_path / "disarmed") == f"kill file {tmp_path}/disarmed is there"


def test_a_file_that_says_who_made_it_is_quoted_in_part(tmp_path: Path) -> None:
    (tmp_path / "disarmed").write_text('{"by": "ann"}' + "x" * 10_000)
    said = killed_by(tmp_path / "disarmed")
    assert said.startswith(f'kill file {tmp_path}/disarmed is there: {{"by": "ann"}}xxx')
    assert len(said) < 1_000


def test_a_file_that_cannot_be_read_stops_everything_too(tmp_path: Path) -> None:
    (tmp_path / "disarmed").mkdir()
    assert killed_by(tmp_path / "disarmed") == f"kill file {tmp_path}/disarmed is there"
