"""SIGKILL at any instant of a response leads, after a restart, to exactly one response on chain and a whole journal."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from monitor.model.events import ResponseSigned, ResponseVerified
from monitor.store.migrate import migrate
from tests.shell import victim
from tests.shell.siege import USES, Siege, besieged_chain, fend_off, lay_siege
from tests.shell.victim import Cut, Side

pytestmark = [pytest.mark.chain, pytest.mark.slow, pytest.mark.timeout(600)]

SEED = 20_240_229
SERVER = os.environ.get("DRAWBRIDGE_TEST_POSTGRES", "postgresql://127.0.0.1:5432/postgres")
GROUPS = 5
BEFORE_AND_AFTER = (
    "append decision",
    "lab.rehearse",
    "append clearance",
    "submit.sign",
    "signer.sign",
    "append signed",
    "submit.send",
    "append broadcast",
    "append included",
    "lab.verify",
    "append verified",
)
INCLUSION = (Cut("submit.look", "before"), Cut("submit.found", "after"))
AMID = ("append decision", "signer.sign", "append signed", "submit.send", "append broadcast", "append included")
NEEDS_BLOCKS = ("submit.look", "submit.found", "append included", "lab.verify", "append verified")
SLOT_S = 1.0  # real time that a slot takes while we wait for the victim to get further
DIES_WITHIN_S = 30.0


def instants() -> list[Cut]:
    """Before and after each point of the response, and six in the midst of what takes long: 30, in a seeded order."""
    random = Random(SEED)
    sides: tuple[Side, ...] = ("before", "after")
    cuts = [Cut(point, side) for point in BEFORE_AND_AFTER for side in sides]
    cuts += [*INCLUSION, *(Cut(point, "amid", delay_us=random.randrange(20, 2_500)) for point in AMID)]
    random.shuffle(cuts)
    return cuts


INSTANTS = instants()


def processes() -> multiprocessing.context.ForkServerContext:
    """Victims are forked from a server that has imported the program and done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.shell.victim"])
    return context


@asynccontextmanager
async def victimised(siege: Siege, cut: Cut | None) -> AsyncIterator[BaseProcess]:
    """The program in a process of its own, turning; killed at the end whatever happened."""
    (siege.folder / victim.TURNING).unlink(missing_ok=True)
    process = processes().Process(target=victim.live, args=(str(siege.config), cut), daemon=True)
    process.start()
    try:
        async with asyncio.timeout(DIES_WITHIN_S):
            while not (siege.folder / victim.TURNING).exists():
                assert process.is_alive(), complaint(siege)
                await asyncio.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.join(5)


def complaint(siege: Siege) -> str:
    path = siege.folder / victim.WENT_WRONG
    return path.read_text() if path.exists() else "the victim ended without a word"


async def dead(process: BaseProcess, within_s: float) -> bool:
    """Whether it died within so long; the chain goes on meanwhile."""
    loop, died = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, died.set)
    try:
        async with asyncio.timeout(within_s):
            await died.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(process.sentinel)
    process.join(5)
    return True


async def killed(siege: Siege, cut: Cut) -> None:
    """Attack, and wait until the program has died where it was told to."""
    async with victimised(siege, cut) as process:
        await siege.besieged_slot()
        async with asyncio.timeout(DIES_WITHIN_S):
            while not await dead(process, SLOT_S if cut.point in NEEDS_BLOCKS else DIES_WITHIN_S):
                await siege.besieged_slot()
        assert process.exitcode == -signal.SIGKILL, complaint(siege)


async def killed_again(siege: Siege, after_ms: int) -> None:
    """Restart, and kill from outside, wherever it is by then."""
    async with victimised(siege, None) as process:
        await dead(process, after_ms / 1_000)


async def judged(siege: Siege, cut: Cut) -> str:
    """Assert all that must hold on chain and in the journal; a line for the log."""
    responses = await siege.responses()
    assert [(r["status"], int(r["nonce"], 16)) for r in responses] == [("0x1", siege.first_nonce)], cut
    assert await siege.nonces() == (siege.first_nonce + 1, siege.first_nonce + 1), "nothing more is on its way"
    assert await siege.paused()
    events = await siege.events()
    assert await siege.uses_left() == USES - 1
    assert any(isinstance(event, ResponseVerified) and event.holds == "holds" for event in events)
    signed = [event for event in events if isinstance(event, ResponseSigned)]
    assert {event.nonce for event in signed} == {siege.first_nonce}, "one nonce only"
    assert any("0x" + event.hash.hex() == responses[0]["hash"] for event in signed), "journalled before it was mined"
    audit = await siege.audited()
    assert audit.intact, f"{cut}: {audit.why}"
    rows, differing = await siege.replayed()
    assert differing == 0, f"{cut}: {differing} of {rows} steps differ in replay"
    return f"{cut}: one pause, {rows} events, {len(signed)} signed, {audit.anchors} anchors hold"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def store_of(kind: str, folder: Path) -> AsyncIterator[str]:
    """A place for one journal; a PostgreSQL database is dropped again."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/drawbridge.db"
        return
    name = f"kill_{uuid.uuid4().hex}"
    await on_server(f"CREATE DATABASE {name}")
    try:
        yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    finally:
        await on_server(f"DROP DATABASE {name} WITH (FORCE)")


async def on_server(statement: str) -> None:
    try:
        connection = await asyncpg.connect(SERVER, timeout=5)
    except (OSError, asyncpg.PostgresError) as error:
        pytest.skip(f"no PostgreSQL at {SERVER}: {error}")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("group", range(GROUPS))
async def test_a_kill_at_any_instant_leads_to_exactly_one_response(kind: str, group: int, tmp_path: Path) -> None:
    random = Random(SEED + group)
    async with besieged_chain(tmp_path / "stage") as stage:
        for number, cut in enumerate(INSTANTS[group::GROUPS]):
            folder = tmp_path / f"siege-{number}"
            async with store_of(kind, folder) as store:
                siege = await lay_siege(stage, folder, store)
                await migrate(store)
                await killed(siege, cut)
                for _ in range(random.randrange(3)):
                    await siege.besieged_slot()  # the chain goes on while nobody defends
                again_ms = random.randrange(400) if number % 2 else 0
                if again_ms:
                    await killed_again(siege, again_ms)
                await fend_off(siege)
                again = f", again {again_ms} ms after the restart" if again_ms else ""
                print(f"{kind}, killed {await judged(siege, cut)}{again}")  # noqa: T201
