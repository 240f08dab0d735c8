"""From arguments to exit codes: fast help, one line for every fault, and never a traceback unless asked."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from monitor import cli_people
from monitor.cli import app
from monitor.cli_main import run
from monitor.cli_rehearse import succeeded
from monitor.cli_show import clean, usd, when
from monitor.model.errors import ConfigurationError, JournalLost, Refused, Unreachable
from tests.cli.cli_journal import TOKEN, configured
from tests.cli.cli_stage import command

VERBS = (
    "check run rehearse replay incidents approve reject disarm arm audit authority schema bench version".split()  # noqa: SIM905
)
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(app, arguments)
        return code, *capsys.readouterr()

    return call


def test_help_names_every_verb_and_needs_no_heavy_import() -> None:
    source = (
        "import sys; from monitor.cli_main import run; from monitor.cli import app; code = run(app, ['--help']);"
        "heavy = {'pydantic', 'sqlalchemy', 'web3', 'fastapi', 'msgspec', 'eth_abi', 'rich.table'} & set(sys.modules);"
        "sys.exit(f'{code} {heavy}' if heavy or code else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert all(f"\n  {verb} " in ran.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_help(cli: Cli, verb: str) -> None:
    code, out, err = cli(verb, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: drawbridge {verb}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonesuch",), "No such command 'nonesuch'"),
        (("check", "a", "b"), "unexpected extra argument"),
        (("run", "--for", "soon"), "--for"),
        (("run", "--for", "-1"), "--for"),
        (("reject", "7/pause/x"), "Missing option '--reason'"),
        (("approve",), "Missing argument 'ID'"),
        (("check", "--mode", "loud"), "must be shadow, propose or enforce"),
        (("rehearse", "--latency", "warp"), "must be one of l1, base, loopback"),
        (("rehearse", "nonesuch"), "no scenario nonesuch"),
        (("rehearse", "--scenario", "nonesuch.Thing"), "cannot be loaded"),
        (("incidents", "--config", "/absent.yaml"), "/absent.yaml:1: file: cannot be read: No such file"),
        (("check", "/absent.yaml"), "cannot be read"),
        (("replay", "/absent.yaml"), "cannot be read"),
        (("authority", "/absent.yaml"), "cannot be read"),
        (("run", "/absent.yaml"), "cannot be read"),
        (("audit", "verify", "--config", "/absent.yaml"), "cannot be read"),
        (("disarm", "--config", "/absent.yaml"), "cannot be read"),
    ],
)
def test_usage_and_configuration_are_2_and_one_line(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = cli(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == (2 if arguments[0] == "disarm" else 1)
    assert "Traceback" not in err


def raising(error: BaseException) -> typer.Typer:
    made = typer.Typer()

    @made.command()
    def fail() -> None:
        raise error

    return made


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Unreachable("node a: no answer"), 1, "node a: no answer\n"),
        (Refused("role", "too low"), 1, "role: too low\n"),
        (ConfigurationError(("a.yaml:1: x: y", "a.yaml:2: x: y")), 2, "a.yaml:1: x: y\na.yaml:2: x: y\n"),
        (JournalLost("journal: gone"), 3, "journal: gone\n"),
        (BaseExceptionGroup("g", [Unreachable("u"), ExceptionGroup("h", [JournalLost("lost")])]), 3, "lost\n"),
        (ExceptionGroup("g", [ConfigurationError(("c",)), Unreachable("u")]), 2, "c\n"),
        (typer.Exit(7), 7, ""),
        (typer.Abort(), 130, "interrupted\n"),
    ],
)
def test_what_a_command_raises_becomes_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(error), []) == code
    assert capsys.readouterr().err == said


def test_debug_shows_the_traceback_and_may_stand_anywhere() -> None:
    with pytest.raises(Unreachable):
        run(raising(Unreachable("x")), ["--debug"])
    with pytest.raises(ConfigurationError):
        run(app, ["check", "/absent.yaml", "--debug"])


def test_a_fault_of_ours_inside_a_group_is_not_passed_off_as_the_users() -> None:
    with pytest.raises(ExceptionGroup):
        run(raising(ExceptionGroup("g", [Unreachable("u"), ZeroDivisionError("bug")])), [])


async def test_what_nobody_foresaw_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    script = (
        "import sys; import monitor.cli as cli; from monitor import cli_main\n"
        "def broken(*a): raise ExceptionGroup('g', [ZeroDivisionError('bug\\nand more')])\n"
        "cli_main.run = broken; cli.run_application = broken; sys.argv = ['drawbridge', 'version']; cli.main()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert err.decode() == (
        "drawbridge: internal fault: ZeroDivisionError: bug; run it again with --debug and report that\n"
    )


async def test_a_fault_is_told_quickly(tmp_path: Path) -> None:
    began = time.monotonic()
    code, _, _ = await command("nonesuch", folder=tmp_path)
    assert code == 2
    assert time.monotonic() - began < 3  # 0.3 s on an idle machine; this one may be shared


async def test_colour_is_for_terminals_only(tmp_path: Path) -> None:
    for environment in ({}, {"NO_COLOR": "1"}):
        _, out, err = await command("rehearse", "--list", folder=tmp_path, environment=environment)
        assert "\x1b" not in out + err
        assert "hot_key_theft" in out


def test_the_schema_is_json(cli: Cli) -> None:
    code, out, _ = cli("schema")
    assert code == 0
    assert json.loads(out)["properties"]["version"]["const"] == 1


def test_the_version_names_the_code_that_decides(cli: Cli) -> None:
    from monitor.version import CODE_VERSION

    assert cli("version")[:2] == (0, f"drawbridge {CODE_VERSION}\n")


def test_the_scenarios_are_listed_as_json(cli: Cli) -> None:
    code, out, _ = cli("rehearse", "--list", "--json")
    assert code == 0
    assert {"name", "variant", "title", "based_on"} == set(json.loads(out)[0])


@pytest.mark.parametrize(
    ("row", "good"),
    [
        ({"contained": True}, True),
        ({"contained": False}, False),
        ({"contained": None, "ok": True}, True),
        ({"contained": None, "ok": False}, False),
        ({"contained": None, "benign": {"broken": 0, "false_alarms": 0}}, True),
        ({"contained": None, "benign": {"broken": 1, "false_alarms": 0}}, False),
    ],
)
def test_a_benign_scenario_succeeds_when_it_is_left_alone(row: dict[str, object], good: bool) -> None:
    assert succeeded({"benign": {"broken": 0, "false_alarms": 0}} | row) is good


def test_money_time_and_text_are_readable() -> None:
    assert usd(1_234_567_890_000) == "1,234,568 USD"
    assert usd(12_340_000) == "12.34 USD"
    assert usd(0) == "0 USD"
    assert when(1_700_000_000_123_456_789) == "2023-11-14 22:13:20.123 UTC"
    assert clean("plain “text” λ") == "plain “text” λ"


@pytest.mark.parametrize(
    ("token", "name", "said"),
    [
        ("", None, "DRAWBRIDGE_TOKEN is not set"),
        ("a wrong token, quite long", None, "is no operator's of"),
        ("the wall's own token", None, "wall is viewer; disarm needs operator"),
    ],
)
def test_who_may_not_disarm_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli, token: str, name: str | None, said: str
) -> None:
    path = configured(tmp_path)
    for variable, value in (("ALICE_TOKEN", TOKEN), ("WALL_TOKEN", "the wall's own token")):
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("DRAWBRIDGE_TOKEN", token)
    code, out, err = cli("disarm", "--config", path)
    assert (code, out) == (1, "")
    assert said in err
    assert token not in err or not token
    assert not Path(path + ".disarmed").exists()


def test_disarm_works_without_a_database_and_without_the_monitors_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    path = configured(tmp_path, store="postgresql://nobody@127.0.0.1:9/none", notify=["env:NOT_SET"])
    monkeypatch.setenv("DRAWBRIDGE_TOKEN", TOKEN)
    code, out, err = cli("disarm", "--reason", "now", "--config", path)
    assert code == 1
    assert "give --as with one of alice, wall" in err
    code, out, err = cli("disarm", "--as", "alice", "--reason", "now", "--config", path)
    assert code == 0
    assert "nothing is signed while it is" in out
    assert "not told to a running monitor" in err
    assert json.loads(Path(path + ".disarmed").read_text())["by"] == "alice"
    assert TOKEN not in Path(path + ".disarmed").read_text()


def test_a_kill_file_that_cannot_be_written_is_said_and_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    path = configured(tmp_path, kill_file="/proc/nowhere/disarmed")
    monkeypatch.setenv("ALICE_TOKEN", TOKEN)
    monkeypatch.setenv("DRAWBRIDGE_TOKEN", TOKEN)
    monkeypatch.setattr(cli_people, "ANSWER_WITHIN_S", 0.1)
    code, out, err = cli("disarm", "--config", path)
    assert (code, out) == (1, "")
    assert "create it by hand, or make its directory writable" in err
