"""What a running monitor shows over HTTP: from the core's state and the journal, without a queue for anybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from monitor.clock import ManualClock
from monitor.http.metrics import exposition
from monitor.http.plain import plain, shown_bytes
from monitor.model.errors import Unreachable
from monitor.model.events import AuthorityProbed, HealthSeen, Tick
from monitor.model.units import NATIVE, SECOND, Address
from monitor.settings import load
from monitor.shell import overview
from monitor.shell.inbox import Inbox
from monitor.shell.overview import Overview
from monitor.store.journal import SqlJournal
from monitor.store.migrate import migrate
from tests.cli.cli_journal import Scribe, configured, theft
from tests.core.builders import CHAIN, START, head

SLOTS = {int(CHAIN): ("devnet", 12)}


class Watched:
    """An overview over a core and a journal that a scribe writes."""

    def __init__(self, scribe: Scribe) -> None:
        self.scribe, self.clock = scribe, ManualClock((START + scribe.seq) * SECOND)
        self.inbox = Inbox(self.clock)
        loop: Any = SimpleNamespace(
            core=scribe.core,
            journal=scribe.journal,
            inbox=self.inbox,
            clock=self.clock,
            turning=asyncio.Event(),
            busy=0,
        )
        loop.turning.set()
        self.loop = loop
        self.view = Overview(loop, version="1", mode="shadow", slots=SLOTS)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    settings = load(configured(tmp_path), secrets=False)
    await migrate(settings.store)
    async with await SqlJournal.open(settings.store) as journal:
        scribe = Scribe(settings, journal)
        await scribe.start()
        await scribe.write(head(9), head(10))
        yield Watched(scribe)


async def test_the_loop_turns_while_events_are_decided(watched: Watched) -> None:
    assert watched.view.turns()
    watched.clock.advance(30)
    assert not watched.view.turns()
    await watched.scribe.write(Tick())
    watched.clock.instant = watched.scribe.core.state.now
    assert watched.view.turns()
    watched.loop.turning.clear()
    assert not watched.view.turns()


async def test_what_is_stale_is_named(watched: Watched) -> None:
    block_at = watched.scribe.core.state.heads[int(CHAIN)].header.timestamp
    watched.clock.instant = block_at * SECOND
    watched.scribe.core.state.now = watched.clock.now()
    assert watched.view.unready() == ()
    await watched.scribe.write(HealthSeen(component="ledger:main", level=0.5, why="its watermark is 40 s old"))
    watched.clock.advance(100)
    watched.scribe.core.state.now = watched.clock.now()
    assert watched.view.unready() == (
        "devnet: block 10 is 100 s old",
        "ledger:main: its watermark is 40 s old",
    )
    empty = Overview(watched.loop, version="1", mode="shadow", slots={7: ("other", 12)})
    assert "other: no block seen yet" in empty.unready()


async def test_incidents_and_their_stories_are_shown(watched: Watched) -> None:
    assert watched.view.incidents() == ()
    await watched.scribe.write(theft(watched.scribe))
    (incident,) = watched.view.incidents()
    story = await watched.view.story(incident.id)
    assert story is not None
    assert story.incident.assets == ("vault",)
    assert not story.cut
    assert plain(story)["moments"][0]["kind"] == "signal"
    assert await watched.view.story("99") is None
    assert await watched.view.story("x") is None
    assert await watched.view.story("9" * 40) is None


async def test_a_story_over_http_is_bounded(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "MOST_READ", 2)
    await watched.scribe.write(theft(watched.scribe), *(Tick() for _ in range(5)))
    story = await watched.view.story("4")
    assert story is not None
    assert (story.until, story.cut) == (6, True)


async def test_orders_go_through_the_inbox_and_are_answered_when_durable(watched: Watched) -> None:
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(watched.view.disarm("alice", "drill"))
        ((stamped, waiting),) = await watched.inbox.take()
        assert not asked.done()
        assert waiting.done is not None
        waiting.done.set_result(stamped.seq)
    assert asked.result() == ""
    assert "no action" in await watched.view.approve("7/pause/x", "alice")
    assert "no action" in await watched.view.reject("7/pause/x", "alice", "no")
    assert watched.view.actions() == ()


async def test_an_order_that_the_loop_does_not_take_says_so(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "TAKEN_WITHIN_S", 0.01)
    with pytest.raises(Unreachable, match="use the kill file"):
        await watched.view.arm("alice", "over")


async def test_steps_are_followed_from_where_a_client_was(watched: Watched) -> None:
    await watched.scribe.write(Tick(), theft(watched.scribe), Tick())
    async with aclosing(watched.view.steps(0)) as steps:
        stamped, step = _entry(await anext(steps))
        assert step.signals
        assert type(stamped.event).__name__ == "TransactionMined"
        assert await anext(steps) is None
        await watched.scribe.write(HealthSeen(component="head:devnet", level=0.0, why="silent"), theft(watched.scribe))
        later = await anext(steps)
        while later is None:
            later = await anext(steps)
        assert later[0].seq > stamped.seq
    async with aclosing(watched.view.steps(None)) as steps:
        assert await anext(steps) is None


async def test_the_figures_are_metrics(watched: Watched) -> None:
    await watched.scribe.write(
        theft(watched.scribe),
        HealthSeen(component="head:devnet", level=0.5, why="late"),
        AuthorityProbed(
            chain_id=CHAIN, asset="vault", kind="Pause", signer="k", ok=True, why="", block_number=10, uses_left=2
        ),
    )
    text = exposition(watched.view.figures).decode()
    for line in (
        "drawbridge_events_total 6.0",
        "drawbridge_armed 1.0",
        'drawbridge_build{mode="shadow",version="1"} 1.0',
        'drawbridge_health{component="head:devnet"} 0.5',
        'drawbridge_incidents{state="responding"} 1.0',
        'drawbridge_head_number{chain="devnet"} 10.0',
        'drawbridge_authority{response="vault:Pause"} 1.0',
        'drawbridge_uses_left{response="vault:Pause"} 2.0',
    ):
        assert line in text, line


def test_bytes_are_shown_as_what_they_are() -> None:
    assert shown_bytes(NATIVE) == "native"
    assert shown_bytes(Address(bytes.fromhex("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"))) == (
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    )
    assert shown_bytes(b"\x01\x02") == "0x0102"
    assert shown_bytes(bytes(9_000)).endswith("… (9000 bytes)")


def _entry(found: Any) -> Any:
    assert found is not None
    return found
