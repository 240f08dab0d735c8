"""The verbs that read a journal: incidents, replay, audit; beside a running monitor, and long after."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import is_checksum_address
from msgspec.structs import replace

from monitor.cli import app
from monitor.cli_main import run
from monitor.cli_show import clean
from monitor.clock import SystemClock
from monitor.model.events import Disarmed, Fault, Stamped, Tick
from monitor.model.incidents import Step
from monitor.settings import load
from monitor.shell.restore import restore
from monitor.shell.story import listed, told
from monitor.store.anchor import Anchor
from monitor.store.anchor_key import AnchorKey
from monitor.store.audit import key_path
from monitor.store.journal import SqlJournal
from monitor.store.migrate import migrate
from tests.cli.cli_journal import Scribe, configured, write_theft
from tests.cli.cli_journal import theft as stolen
from tests.core.builders import broadcast, head

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command line in this process: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(app, arguments)
        return code, *capsys.readouterr()

    return call


@pytest.fixture
async def theft(tmp_path: Path) -> str:
    """The configuration of a journal with one incident."""
    path = configured(tmp_path)
    await write_theft(path, more=(Disarmed(by="alice", reason="look first"), head(13)))
    return path


def test_incidents_are_listed(cli: Cli, theft: str) -> None:
    code, out, err = cli("incidents", "--config", theft)
    assert (code, err) == (0, "")
    assert "exploit" in out
    assert "vault" in out
    assert "contained" in out
    code, out, _ = cli("incidents", "--json", "--config", theft)
    (listed,) = json.loads(out)
    assert (listed["id"], listed["threat"], listed["state"], listed["proof"]) == ("4", "exploit", "contained", True)


async def test_what_was_likely_once_stays_told_when_its_evidence_is_gone(cli: Cli, theft: str) -> None:
    async with await SqlJournal.open(load(theft, secrets=False).store) as journal:
        (was,) = await listed(journal)
        seq, at = await journal.last()
        now = replace(was.incident, p=0.0001, proof=False)
        await journal.append([(Stamped(seq + 1, at, Tick()), Step(seq + 1, incidents=(now,)))])
    _, out, _ = await asyncio.to_thread(cli, "incidents", "--json", "--config", theft)
    (told_now,) = json.loads(out)
    assert (told_now["p"], told_now["highest_p"]) == (0.0001, was.incident.p)
    assert (told_now["proof"], told_now["proven"]) == (False, True)
    _, out, _ = await asyncio.to_thread(cli, "incidents", "4", "--config", theft)
    assert f"p {was.incident.p:.4f}, proven (0.0001 when last told)" in out
    assert "at its highest" in out


async def test_what_shadow_withheld_says_so(cli: Cli, tmp_path: Path) -> None:
    path = configured(tmp_path)
    await write_theft(path, sent=broadcast("", accepted_by=(), refused_by=("shadow",)))
    _, out, _ = await asyncio.to_thread(cli, "incidents", "4", "--config", path)
    assert "withheld, shadow mode +" in out
    assert "withheld: shadow mode, nothing was signed or sent" in out


def test_one_incident_is_told_whole(cli: Cli, theft: str) -> None:
    code, out, err = cli("incidents", "4", "--config", theft)
    assert (code, err) == (0, "")
    for said in (
        "incident 4: exploit on vault; contained",
        "pause vault for 3,600 s (class 2)",
        "rehearsed +1.000 s · signed +2.000 s · included in block 11",
        "proof by invariant_broken, λ +11.50: held() >= owed() is broken: held() = 900, owed() = 1000",
        "loss 1,000,000 USD without it, 0 USD with it (holds)",
        "sent; accepted by node-1",
        "succeeded in block 11",
        "post-conditions holds, the attack is stopped: holds",
        "disarmed by alice: look first",
    ):
        assert said in out.replace("\n", ""), said


def test_the_story_as_json_holds_everything_with_checksummed_addresses(cli: Cli, theft: str) -> None:
    story = json.loads(cli("incidents", "4", "--json", "--config", theft)[1])
    kinds = [moment["kind"] for moment in story["moments"]]
    assert {"signal", "assessment", "action", "rehearsal", "clearance", "outcome", "check", "notice", "person"} <= set(
        kinds
    )
    signed = next(m["value"] for m in story["moments"] if m["value"].get("kind") == "ResponseSigned")
    assert signed["sender"] == "0x0000000000000000000000000000000000000005"
    signal = next(m["value"] for m in story["moments"] if m["kind"] == "signal")
    assert is_checksum_address(signal["fact"]["attack"]["sender"])
    assert all(moment["at"].endswith("Z") for moment in story["moments"])


def test_an_incident_that_is_not_there_is_one_line(cli: Cli, theft: str) -> None:
    for unknown in ("3", "99999", "x", "4/pause", "٣"):
        code, out, err = cli("incidents", unknown, "--config", theft)
        assert (code, out) == (1, "")
        assert len(err.splitlines()) == 1


def test_a_hostile_text_does_not_move_the_cursor() -> None:
    assert clean("a\x1b[2Jb\u202ec\nd\x9be") == "a·[2Jb·c·d·e"


def test_no_incidents_are_said(cli: Cli, tmp_path: Path) -> None:
    path = configured(tmp_path)
    asyncio.run(migrate(load(path, secrets=False).store))
    assert cli("incidents", "--config", path)[:2] == (0, "no incidents\n")
    assert cli("incidents", "--json", "--config", path)[:2] == (0, "[]\n")
    code, _, err = cli("replay", path)
    assert code == 3
    assert "this journal is empty" in err


def test_replay_comes_out_the_same(cli: Cli, theft: str) -> None:
    code, out, err = cli("replay", theft)
    assert (code, err) == (0, "")
    assert out.startswith("same: the steps of events 1 to 13 came out byte for byte as journalled")


@pytest.mark.parametrize(
    ("options", "compared"),
    [
        (("--from", "4"), "4 to 13"),
        (("--to", "6"), "1 to 6"),
        (("--from", "4", "--to", "6"), "4 to 6"),
        (("--incident", "4"), "4 to 12"),
        (("--from", "2023-11-14T22:13:25Z"), "5 to 13"),
        (("--to", "2023-11-14T22:13:25+00:00"), "1 to 5"),
        (("--from", "0", "--to", "999"), "1 to 13"),
    ],
)
def test_replay_compares_what_is_asked_for(cli: Cli, theft: str, options: tuple[str, ...], compared: str) -> None:
    code, out, _ = cli("replay", theft, *options)
    assert code == 0
    assert f"events {compared} came out" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--from", "yesterday"), "--from 'yesterday': must be a sequence number or RFC 3339 with a zone"),
        (("--to", "2023-11-14T22:13:25"), "with a zone"),
        (("--from", "9", "--to", "5"), "nothing lies between"),
        (("--incident", "77"), "no such incident"),
    ],
)
def test_a_range_that_cannot_be_meant_is_usage(cli: Cli, theft: str, options: tuple[str, ...], said: str) -> None:
    code, out, err = cli("replay", theft, *options)
    assert (code, out) == (2, "")
    assert said in err


def test_replay_with_another_configuration_says_how_decisions_differ(cli: Cli, theft: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    careful = json.loads(Path(theft).read_text())["assets"][0] | {"autonomy": {"class_2": "L1"}}
    code, out, _ = cli("replay", theft, "--with", configured(other, assets=[careful]))
    assert code == 1
    assert "- clear: 4/pause/" in out
    assert "+ refuse: 4/pause/" in out
    assert "DIFFERENT:" in out
    assert cli("replay", theft, "--with", theft)[0] == 0


def test_replay_of_another_code_version_is_3(cli: Cli, tmp_path: Path) -> None:
    path = configured(tmp_path)
    asyncio.run(write_theft(path, code_version="0.0.9+feedfacefeedface"))
    code, out, err = cli("replay", path)
    assert (code, out) == (3, "")
    assert "0.0.9+feedfacefeedface" in err


def test_replay_follows_a_change_of_configuration(cli: Cli, tmp_path: Path) -> None:
    path = configured(tmp_path)
    asyncio.run(_restarted(path, tmp_path))
    code, out, err = cli("replay", path)
    assert (code, err) == (0, ""), out
    assert cli("replay", path, "--from", "9")[0] == 0


def _vault(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text())["assets"][0]
    return found


async def _restarted(path: str, folder: Path) -> None:
    """The monitor runs, is stopped, and is started with a policy that never pauses by itself."""
    await write_theft(path)
    changed = (await asyncio.to_thread(_vault, path)) | {"autonomy": {"class_2": "L1"}}
    settings = load(configured(folder, assets=[changed]), secrets=False)
    async with await SqlJournal.open(settings.store) as journal:
        scribe = Scribe(settings, journal, seq=(await journal.last())[0])
        await restore(scribe.core, journal)
        await scribe.start()
        await scribe.write(head(14), stolen(scribe), head(15))


def test_anchors_that_are_gone_are_never_intact(cli: Cli, theft: str) -> None:
    code, out, err = cli("audit", "verify", "--config", theft)
    assert (code, out) == (2, "")
    assert ".anchor.key.pub" in err
    asyncio.run(_anchored(theft))
    Path(theft + ".anchor").unlink()
    code, out, _ = cli("audit", "verify", "--config", theft)
    assert code == 1
    assert "BROKEN: anchor" in out


def test_a_step_that_was_changed_breaks_replay_and_audit(cli: Cli, theft: str, tmp_path: Path) -> None:
    asyncio.run(_anchored(theft))
    with sqlite3.connect(tmp_path / "journal.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE journal SET event = CAST(replace(event, 'chain', 'chian') AS BLOB) WHERE seq = 3")
    code, out, _ = cli("audit", "verify", "--config", theft)
    assert code == 1
    assert "row 3 was changed or moved" in out
    code, _, err = cli("replay", theft)
    assert code == 3
    assert "the chain is broken at row 3" in err


def test_an_intact_journal_with_its_anchor_is_0(cli: Cli, theft: str, tmp_path: Path) -> None:
    asyncio.run(_anchored(theft))
    code, out, err = cli("audit", "verify", "--config", theft)
    assert (code, err) == (0, "")
    assert "intact: 13 rows hold" in out
    assert "1 anchors" in out
    exported = tmp_path / "journal.jsonl"
    code, out, err = cli("audit", "verify", "--json", "--export", str(exported), "--config", theft)
    assert json.loads(out)["intact"] is True
    assert "13 rows written" in err
    assert len(exported.read_text().splitlines()) == 14
    key = Path(theft + ".anchor.key.pub")
    assert cli("audit", "verify", "--public-key", str(key), "--config", theft)[0] == 0
    code, _, err = cli("audit", "verify", "--public-key", str(tmp_path / "none"), "--config", theft)
    assert code == 2
    assert "No such file" in err


async def _anchored(path: str) -> None:
    settings = load(path, secrets=False)
    anchor = Path(settings.anchor)
    async with await SqlJournal.open(settings.store) as journal:
        await Anchor(anchor, AnchorKey.load(key_path(anchor)), clock=SystemClock()).start(journal)


def test_without_a_journal_every_reader_says_so_in_one_line(cli: Cli, tmp_path: Path) -> None:
    path = configured(tmp_path, anchor="")
    for arguments in (("incidents",), ("incidents", "4"), ("audit", "verify")):
        code, out, err = cli(*arguments, "--config", path)
        assert (code, out) == (3, "")
        assert "no such file; `drawbridge run` makes it" in err
        assert len(err.splitlines()) == 1
    assert cli("replay", path)[0] == 3


def test_a_fault_elsewhere_in_the_file_keeps_nobody_from_the_journal(cli: Cli, theft: str) -> None:
    whole = json.loads(Path(theft).read_text()) | {"typo": 1, "notify": ["env:NOT_SET"]}
    Path(theft).write_text(json.dumps(whole))
    assert cli("incidents", "--config", theft)[0] == 0
    assert cli("replay", theft)[0] == 2


async def test_what_does_not_belong_to_an_incident_is_not_in_its_story(tmp_path: Path) -> None:
    path = configured(tmp_path)
    await write_theft(path, more=(Fault(where="elsewhere", what="x", on="other/action"),))
    async with await SqlJournal.read_only(load(path, secrets=False).store) as journal:
        story = await told(journal, "4")
        assert story is not None
        assert not [moment for moment in story.moments if moment.kind == "fault"]
        assert await told(journal, "5") is None
