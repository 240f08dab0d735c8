"""The signed bytes are on the disk before they leave the process: what the kernel saw, in its own order."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.store.migrate import migrate
from tests.shell import victim
from tests.shell.siege import Siege, besieged_chain, configuration, lay_siege, until

pytestmark = [pytest.mark.chain, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
STRACE = shutil.which("strace")
CALLS = "trace=pwrite64,fdatasync,fsync,sendto,write,writev"
_CALL = re.compile(r"^(?P<task>\d+)\s+(?P<at>[\d.]+) (?P<call>\w+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<task>\d+)\s+(?P<at>[\d.]+) <\.\.\. (?P<call>\w+) resumed>(?P<rest>.*)$")


@dataclass(frozen=True)
class Traced:
    """One system call; `begun` and `ended` are places in the kernel's order."""

    call: str
    text: str
    begun: int
    ended: int
    at: float


def traced(lines: Iterator[str]) -> Iterator[Traced]:
    """Calls in the order in which they ended; those of other threads may stand in between."""
    open_calls: dict[tuple[str, str], tuple[str, int, float]] = {}
    for number, line in enumerate(lines):
        began, ended = _CALL.match(line), _RESUMED.match(line)
        if began and began["rest"].rstrip().endswith("<unfinished ...>"):
            open_calls[began["task"], began["call"]] = (began["rest"], number, float(began["at"]))
        elif began:
            yield Traced(began["call"], began["rest"], number, number, float(began["at"]))
        elif ended:
            text, begun, _ = open_calls.pop((ended["task"], ended["call"]))
            yield Traced(ended["call"], text + ended["rest"], begun, number, float(ended["at"]))


@asynccontextmanager
async def under_strace(siege: Siege, log: Path) -> AsyncIterator[None]:
    """The program in a process of its own, every write, flush and send of it in `log`."""
    program = (sys.executable, str(ROOT / "tests" / "shell" / "victim.py"), str(siege.config))
    options = ("-f", "-y", "-ttt", "-s", "6000", "-e", CALLS, "-o", str(log))
    process = await asyncio.create_subprocess_exec(
        *(str(STRACE), *options, *program),
        env={"PYTHONPATH": str(ROOT)},
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(60):
            while not (siege.folder / victim.TURNING).exists():
                assert process.returncode is None, (await process.communicate())[1].decode()
                await asyncio.sleep(0.02)
        yield
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # the tracer alone would leave the program running
        await process.communicate()


@pytest.mark.skipif(STRACE is None, reason="strace is not installed; the order in the process is tested in test_run")
async def test_a_traced_run_flushes_the_journal_between_writing_and_sending(tmp_path: Path) -> None:
    log = tmp_path / "trace.txt"
    async with besieged_chain(tmp_path / "stage") as stage:
        siege = await lay_siege(stage, tmp_path / "siege")
        written = configuration(siege)
        written["chains"][0] |= {"rpc": [n.http_url for n in stage.nodes.values()], "mempool": False}
        siege.config.write_text(json.dumps(written))  # frames of a WebSocket are masked: over HTTP a trace shows them
        await migrate(siege.store)
        async with under_strace(siege, log):
            await siege.besieged_slot()
            await until(lambda: siege.sent() > 0)
    calls = list(traced(iter(log.read_text(errors="replace").splitlines())))
    wal = f"<{siege.folder}/drawbridge.db-wal>"
    wrote = next(c for c in calls if c.call == "pwrite64" and wal in c.text and "ResponseSigned" in c.text)
    sent = next(c for c in calls if c.call in ("sendto", "write", "writev") and "eth_sendRawTransaction" in c.text)
    flushes = [c for c in calls if c.call in ("fdatasync", "fsync") and wal in c.text and c.text.endswith("= 0")]
    between = [c for c in flushes if c.begun > wrote.ended and c.ended < sent.begun]
    assert between, "no flush ended between the journal's write and the send"
    flushed, left = (between[0].at - wrote.at) * 1e3, (sent.at - wrote.at) * 1e3
    print(f"journal written, flushed {flushed:.2f} ms later, bytes sent {left:.2f} ms later (traced)")  # noqa: T201


def test_a_trace_is_read_in_the_order_in_which_calls_ended() -> None:
    lines = (
        "7 1.0 fdatasync(3</a-wal> <unfinished ...>",
        '8 1.1 sendto(5<socket>, "x", 1, 0) = 1',
        "7 1.2 <... fdatasync resumed>) = 0",
    )
    sent, flushed = traced(iter(lines))
    assert (sent.call, flushed.call, flushed.begun, flushed.ended) == ("sendto", "fdatasync", 0, 2)
    assert flushed.text.endswith("= 0")
