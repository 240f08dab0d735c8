"""Trouble in mid-response: a reorg that drops the pause, a node that dies, two incidents on one key."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from monitor.model.events import (
    ActionFailed,
    BlockOrphaned,
    Fault,
    HealthSeen,
    ResponseBroadcast,
    ResponseIncluded,
    ResponseSigned,
    ResponseVerified,
)
from monitor.rehearsal.builder_faults import Faults
from monitor.rehearsal.defence import Defence
from monitor.rehearsal.stage import Stage
from tests.shell.siege import USES, Siege, besieged_chain, configuration, lay_siege, turning, until
from tests.shell.victim import Cut, Knife, arm

GONE_S = 3.0
pytestmark = [
    pytest.mark.chain,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]  # a node that is killed leaves sockets behind


async def one_pause_and_nothing_doubled(siege: Siege) -> None:
    responses = await siege.responses()
    assert [(r["status"], int(r["nonce"], 16)) for r in responses] == [("0x1", siege.first_nonce)]
    assert await siege.nonces() == (siege.first_nonce + 1, siege.first_nonce + 1)
    assert await siege.paused()
    assert await siege.uses_left() == USES - 1
    assert {e.nonce for e in await siege.events() if isinstance(e, ResponseSigned)} == {siege.first_nonce}
    assert (await siege.audited()).intact
    rows, differing = await siege.replayed()
    assert (rows > 0, differing) == (True, 0)


async def until_mined(siege: Siege, defence: Defence) -> str:
    """Attack until the pause is in the newest block; its hash."""
    for _ in range(6):
        await defence.settle(True)
        await siege.besieged_slot()
        found = await siege.responses()
        if found:
            return str(found[0]["hash"])
    raise AssertionError("no pause was mined")


async def slots(siege: Siege, defence: Defence, count: int) -> None:
    for _ in range(count):
        await defence.settle(True)
        await siege.besieged_slot()
    await defence.settle(True)


@pytest.mark.parametrize(("later", "depth"), [(0, 2), (1, 2), (3, 4)])
async def test_a_reorg_that_drops_the_pause_is_contained_all_the_same(later: int, depth: int, tmp_path: Path) -> None:
    async with besieged_chain(tmp_path / "stage") as stage:
        siege = await lay_siege(stage, tmp_path / "siege")
        async with turning(siege) as defence:
            pause = await until_mined(siege, defence)
            await slots(siege, defence, later)
            await stage.builder.reorg(depth, drop=frozenset({bytes.fromhex(pause[2:])}))
            assert await siege.responses() == []
            await slots(siege, defence, 6)
            (action,) = defence.drawbridge.core.state.actions.values()
            assert action.stage == "verified"
        await one_pause_and_nothing_doubled(siege)
        events = await siege.events()
        assert 1 <= sum(isinstance(e, BlockOrphaned) for e in events) <= depth, "a block without a change stays"
        assert len({e.block_hash for e in events if isinstance(e, ResponseIncluded)}) == 2
        number = int((await siege.responses())[0]["blockNumber"], 16)
        print(f"a reorg of depth {depth}: the pause is back in block {number}, on its nonce")  # noqa: T201


@pytest.mark.parametrize("point", ["lab.rehearse", "submit.sign", "submit.send", "submit.look", "lab.verify"])
@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_a_node_that_dies_in_mid_response_ends_nothing_and_the_response_goes_on(
    how: str, point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    struck = asyncio.Event()
    async with besieged_chain(tmp_path / "stage") as stage:
        siege = await lay_siege(stage, tmp_path / "siege")

        def strike() -> None:
            struck.set()
            if how == "hangs":
                os.kill(stage.anvil.pid or 0, signal.SIGSTOP)

        arm(Knife(Cut(point, "before"), strike, monkeypatch.setattr))
        async with turning(siege) as defence, asyncio.TaskGroup() as group:
            mining = group.create_task(_besieged(siege, defence, struck))
            await asyncio.wait_for(struck.wait(), 30)
            await _nodes(stage, gone=how == "refuses")
            await asyncio.sleep(GONE_S)  # the real deadlines pass
            os.kill(stage.anvil.pid or 0, signal.SIGCONT)
            await _nodes(stage, gone=False)
            await mining
            await _until_verified(siege, defence)
        await one_pause_and_nothing_doubled(siege)
        told = await _told(siege)
        assert told
        print(f"a node {how} at {point}: one pause all the same; told: {'; '.join(sorted(told))[:160]}")  # noqa: T201


async def _told(siege: Siege) -> set[str]:
    """All ways in which the journal says that a node did not answer."""
    said = set[str]()
    for event in await siege.events():
        match event:
            case Fault(where=where, what=what) | ActionFailed(stage=where, why=what):
                said.add(f"{where}: {what}")
            case HealthSeen(component=component, level=level, why=why) if level < 1:
                said.add(f"{component}: {why}")
            case ResponseBroadcast(refused_by=refused) if refused:
                said.add(f"broadcast: {refused[0]}")
            case ResponseVerified(holds="UNPROVEN", why=why):
                said.add(f"verification: {why}")
    return said


async def _besieged(siege: Siege, defence: Defence, struck: asyncio.Event) -> None:
    """Slots with attacks until the node is struck."""
    for _ in range(8):
        await defence.settle(True)
        if struck.is_set():
            return
        await siege.besieged_slot()


async def _until_verified(siege: Siege, defence: Defence) -> None:
    for _ in range(10):
        await slots(siege, defence, 1)
        if any(record.stage == "verified" for record in defence.drawbridge.core.state.actions.values()):
            return
    raise AssertionError("the pause was never verified")


async def _nodes(stage: Stage, *, gone: bool) -> None:
    for node in stage.nodes.values():
        await node.set_faults(Faults(cut=gone))


async def _allied(stage: Stage, folder: Path, count: int) -> list[Siege]:
    """Bridges of different owners before one drawbridge with one key; the first one's configuration has them all."""
    sieges = [await lay_siege(stage, folder / f"siege-{n}") for n in range(count)]
    written = configuration(sieges[0])
    for number, siege in enumerate(sieges):
        (asset,), token = siege.script.assets, siege.script.tokens[0]
        asset |= {"name": f"bridge-{number}", "owner": f"dao-{number}"}
        written["prices"]["static"][f"devnet:{token.address}"] = {"usd": 1, "decimals": token.decimals}
    written["assets"] = [siege.script.assets[0] for siege in sieges]
    sieges[0].config.write_text(json.dumps(written))
    return sieges


@pytest.mark.parametrize("count", [2, 5])
async def test_several_incidents_on_one_key_at_once_take_whole_nonces(count: int, tmp_path: Path) -> None:
    async with besieged_chain(tmp_path / "stage") as stage:
        sieges = await _allied(stage, tmp_path, count)
        first = sieges[0]
        async with turning(first) as defence:
            await defence.settle(True)
            for siege in sieges:
                await siege.attack()
            await stage.builder.seal()
            await until(lambda: first.sent() >= count)
            await defence.settle(True)
            assert (await first.nonces())[0] == first.first_nonce, "all are in flight at once"
            for _ in range(4):
                for siege in sieges:
                    await siege.attack()
                await stage.builder.seal()
                await defence.settle(True)
            stages = [record.stage for record in defence.drawbridge.core.state.actions.values()]
        responses = await first.responses()
        wanted = list(range(first.first_nonce, first.first_nonce + count))
        assert [(int(r["nonce"], 16), r["status"]) for r in responses] == [(nonce, "0x1") for nonce in wanted]
        assert len({r["blockNumber"] for r in responses}) == 1
        signed = [event for event in await first.events() if isinstance(event, ResponseSigned)]
        assert sorted({event.nonce for event in signed}) == wanted
        assert len({event.incident for event in signed}) == count
        assert stages == ["verified"] * count
        for siege in sieges:
            assert await siege.paused()
            assert await siege.uses_left() == USES - 1
        assert (await first.audited()).intact
        assert (await first.replayed())[1] == 0
        print(f"{count} incidents on one key: nonces {wanted}, one block")  # noqa: T201
