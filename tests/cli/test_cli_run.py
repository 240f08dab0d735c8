"""`drawbridge run` as a process on a real chain: starts whole or not at all, obeys, reloads, stops."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.model.events import AnyEvent, Armed, ConfigurationLoaded, Disarmed, Fault
from monitor.rehearsal.anvil import Anvil, AnvilOptions
from monitor.settings import load
from monitor.store.journal import SqlJournal
from tests.cli.cli_stage import TOKEN, Town, command, started, town, vault

pytestmark = pytest.mark.chain
ENVIRONMENT = {"ALICE_TOKEN": TOKEN, "DRAWBRIDGE_TOKEN": TOKEN}
CONSOLE = {"host": "127.0.0.1", "port": 0}


class Running:
    """A monitor as its own process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process, self.said = process, list[str]()

    async def says(self, words: str) -> str:
        """The next line on stderr that holds these words."""
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            while True:
                line = (await self.process.stderr.readline()).decode()
                assert line, "\n".join(self.said)
                self.said.append(line.strip())
                if words in line:
                    return line.strip()

    async def ended(self, within_s: float = 12) -> int:
        async with asyncio.timeout(within_s):
            await self.process.wait()
        return self.process.returncode if self.process.returncode is not None else -1


@asynccontextmanager
async def running(made: Town, *options: str) -> AsyncIterator[Running]:
    """A monitor that turns."""
    found = Running(await started("run", made.path, *options, folder=made.folder, environment=ENVIRONMENT))
    try:
        await found.says("turns:")
        yield found
    finally:
        if found.process.returncode is None:
            found.process.kill()
        await found.process.communicate()


async def journalled(made: Town) -> list[AnyEvent]:
    settings = load(made.path, environment=ENVIRONMENT)
    async with await SqlJournal.read_only(settings.store) as journal:
        return [stamped.event async for stamped, _ in journal.read(1)]


async def test_it_runs_for_as_long_as_asked_and_ends_with_0(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        code, out, err = await made.command("run", made.path, "--for", "1.5", environment=ENVIRONMENT)
        assert (code, out) == (0, "")
        assert "turns: shadow, 1 asset on devnet; journal sqlite:///" in err
        assert err.splitlines()[-1] == "stopped"
        events = await journalled(made)
        assert isinstance(events[0], ConfigurationLoaded)
        code, out, _ = await made.command("audit", "verify", environment=ENVIRONMENT)
        assert (code, out.startswith("intact")) == (0, True)
        code, out, _ = await made.command("replay", made.path, environment=ENVIRONMENT)
        assert (code, out.startswith("same")) == (0, True), out


async def test_sigterm_stops_it_in_time_and_a_restart_goes_on(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        for _ in range(2):
            async with running(made) as monitor:
                monitor.process.send_signal(signal.SIGTERM)
                assert await monitor.ended(within_s=10) == 0
        events = await journalled(made)
        assert sum(isinstance(event, ConfigurationLoaded) for event in events) == 2
        code, out, _ = await made.command("replay", made.path, environment=ENVIRONMENT)
        assert code == 0, out


async def test_disarm_takes_effect_within_a_second_and_says_who(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        made.configured(console=CONSOLE)
        async with running(made) as monitor:
            url = monitor.said[-1].rpartition("console ")[2]
            code, out, err = await made.command("disarm", "--reason", "drill", environment=ENVIRONMENT)
            assert (code, err) == (0, "")
            assert "nothing is signed while it is" in out
            assert "disarm by alice: journalled as event" in out
            assert (tmp_path / "drawbridge.yaml.disarmed").exists()
            assert await _figure(url, "drawbridge_armed") == 0
            code, out, err = await made.command("arm", "--reason", "over", environment=ENVIRONMENT)
            assert (code, err) == (0, "")
            assert not (tmp_path / "drawbridge.yaml.disarmed").exists()
            assert await _figure(url, "drawbridge_armed") == 1
            code, _, err = await made.command("approve", "7/pause/x", environment=ENVIRONMENT)
            assert (code, err) == (1, "approval: no action '7/pause/x'; waiting: none\n")
        events = await journalled(made)
        assert Disarmed(by="alice", reason="drill") in events
        assert Armed(by="alice", reason="over") in events


async def test_the_console_shows_and_takes_what_the_commands_do(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        made.configured(console=CONSOLE)
        async with running(made) as monitor:
            url = monitor.said[-1].rpartition("console ")[2]
            async with _http(url) as http:
                assert (await http.get("/livez", headers={"Authorization": ""})).json() == {"live": True}
                assert (await http.get("/readyz")).status_code in (200, 503)
                assert (await http.post("/api/v1/disarm", json={"reason": "by http"})).json() == {"by": "alice"}
                assert (await http.get("/api/v1/incidents")).json()["waiting"] == []
                answer = await http.post("/api/v1/approvals/7/pause/x", json={"approve": True})
                assert answer.status_code == 409
        assert Disarmed(by="alice", reason="by http") in await journalled(made)


async def test_a_reload_is_journalled_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        async with running(made) as monitor:
            made.configured(assets=[vault(made, address="0x12")])
            monitor.process.send_signal(signal.SIGHUP)
            await monitor.says("reload refused:")
            made.configured(assets=[vault(made, value_usd=5)])
            monitor.process.send_signal(signal.SIGHUP)
            await monitor.says("loading the new configuration")
            await monitor.says("turns:")
            monitor.process.send_signal(signal.SIGTERM)
            assert await monitor.ended() == 0
        events = await journalled(made)
        loaded = [event.settings for event in events if isinstance(event, ConfigurationLoaded)]
        assert len(set(loaded)) == len(loaded) == 2
        assert any(isinstance(event, Fault) and event.where == "reload" for event in events)
        code, out, _ = await made.command("replay", made.path, environment=ENVIRONMENT)
        assert code == 0, out


async def test_a_reload_that_does_not_open_falls_back(tmp_path: Path) -> None:
    async with town(tmp_path) as made, running(made) as monitor:
        absent = {"name": "devnet", "chain_id": 31_337, "rpc": ["ws://127.0.0.1:9"], "rpc_quorum": 1}
        made.configured(chains=[absent])
        monitor.process.send_signal(signal.SIGHUP)
        await monitor.says("going on with the former configuration")
        await monitor.says("turns:")


async def test_it_does_not_half_start(tmp_path: Path) -> None:
    async with town(tmp_path) as made, Anvil(AnvilOptions(chain_id=7)) as other:
        for url, said in (("ws://127.0.0.1:9", "devnet-0"), (other.ws_url, "serves chain 7, not 31337")):
            made.configured(chains=[{"name": "devnet", "chain_id": 31_337, "rpc": [url], "rpc_quorum": 1}])
            code, out, err = await made.command("run", made.path, "--for", "5", environment=ENVIRONMENT)
            assert (code, out) == (1, "")
            assert err.splitlines()[-1].startswith("chain devnet: no node can be used:")
            assert said in err
        made.configured(store="sqlite:////proc/nowhere/journal.db")
        code, out, err = await made.command("run", made.path, "--for", "5", environment=ENVIRONMENT)
        assert (code, out, len(err.splitlines())) == (3, "", 1)
        code, _, err = await made.command("run", made.path, "--mode", "loud", environment=ENVIRONMENT)
        assert (code, len(err.splitlines())) == (2, 1)
        code, _, err = await made.command("run", made.path)
        assert (code, "ALICE_TOKEN is not set" in err) == (2, True)


async def test_a_second_monitor_on_one_journal_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path) as made, running(made):
        code, _, err = await made.command("run", made.path, "--for", "5", environment=ENVIRONMENT)
        assert (code, len(err.splitlines())) == (3, 1)


async def test_a_port_that_is_taken_is_could_not_start(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        made.configured(console=CONSOLE)
        async with running(made) as monitor:
            port = int(monitor.said[-1].rpartition(":")[2])
            second = tmp_path / "second"
            second.mkdir()
            configuration = _read(made.path) | {"console": {"port": port}}
            (second / "drawbridge.yaml").write_text(json.dumps(configuration))
            code, _, err = await command("run", "--for", "5", folder=second, environment=ENVIRONMENT)
            assert code == 1
            assert "cannot listen on 127.0.0.1" in err


async def test_a_journal_that_is_lost_ends_it_with_3(tmp_path: Path) -> None:
    async with town(tmp_path) as made, running(made) as monitor:
        with sqlite3.connect(tmp_path / "journal.db") as database:
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                database.execute(f"DROP TRIGGER {name}")
            database.execute("DROP TABLE journal")
        assert await monitor.ended() == 3


async def test_an_order_without_a_running_monitor_expires(tmp_path: Path) -> None:
    async with town(tmp_path) as made:
        await made.command("run", made.path, "--for", "1", environment=ENVIRONMENT)
        code, out, err = await made.command("disarm", environment=ENVIRONMENT)
        assert code == 0
        assert "nothing is signed while it is" in out
        assert "no running monitor took it" in err
        code, out, err = await made.command("arm", "--reason", "x", environment=ENVIRONMENT)
        assert (code, out) == (1, "")
        assert (tmp_path / "drawbridge.yaml.disarmed").exists()


def _read(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text())
    return found


def _http(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, trust_env=False, headers={"Authorization": f"Bearer {TOKEN}"})


async def _figure(url: str, name: str) -> float:
    async with _http(url) as http:
        lines = (await http.get("/metrics")).text.splitlines()
    return float(next(line for line in lines if line.startswith(name + " ")).split()[1])
