"""Ledgers, prices and answers: what comes, what fails, what is said about it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from monitor.clock import ManualClock
from monitor.model.chain import BlockContext, Call, Effects, Probe, Transaction
from monitor.model.errors import Unreachable
from monitor.model.events import (
    Fault,
    HealthSeen,
    LedgerComplete,
    PriceSeen,
    Request,
    RequestFailed,
    SimulationDone,
    WithdrawalAuthorised,
)
from monitor.model.units import DOLLAR, NATIVE, Address, ChainId, Hash, Instant, Usd, Wei
from monitor.sources.feed import Endpoint
from monitor.sources.latest import Latest
from monitor.sources.ledger import LedgerSource
from monitor.sources.prices import FeedChain, FixedPrice, PriceFeed, PriceSource
from monitor.sources.reads import ChainReads, RequestAnswerer
from tests.sources.header_builders import chain
from tests.sources.live_chain import CHAIN, CLOCK, listening, nodes_of, staged

WHO = Address(b"\x0a" * 20)
TX = Transaction(Hash(b"\1" * 32), WHO, WHO, 0, Wei(0), 21_000, 1, 1)
AGGREGATOR = "0x" + "c1" * 20
FEED_CODE = "0x5f3560e01c63313ce56714601e57600154602052600354606052" + "60a05ff3" + "5b60085f5260205ff3"
"""A Chainlink feed of 8 decimals: answer from slot 1, its time from slot 3."""


def row(sequence: int) -> WithdrawalAuthorised:
    return WithdrawalAuthorised(
        ledger="main",
        id=f"w{sequence}",
        chain_id=ChainId(1),
        token=NATIVE,
        to=WHO,
        amount=Wei(1),
        authorised_at=Instant(0),
        sequence=sequence,
    )


@dataclass
class FakeLedger:
    """Implements LedgerReader over lists."""

    name: str = "main"
    rows: list[WithdrawalAuthorised] = field(default_factory=list)
    complete: LedgerComplete | None = None
    broken: int = 0

    async def after(self, sequence: int, limit: int = 1000) -> Sequence[WithdrawalAuthorised]:
        if self.broken:
            self.broken -= 1
            raise Unreachable("ledger main: no answer")
        return [each for each in self.rows if each.sequence > sequence][:limit]

    async def watermark(self) -> LedgerComplete | None:
        return self.complete


async def test_rows_come_once_and_before_the_watermark_that_covers_them() -> None:
    complete = LedgerComplete(ledger="main", sequence=2_500, at=CLOCK.now())
    ledger = FakeLedger(rows=[row(sequence) for sequence in range(1, 2_501)], complete=complete)
    async with listening(LedgerSource(ledger, clock=CLOCK, poll_s=0.01, after=10)) as heard:
        await heard.until(lambda: complete in heard.events)
        ledger.rows.append(row(2_501))
        await heard.until(lambda: row(2_501) in heard.events)
    assert [each.sequence for each in heard.of(WithdrawalAuthorised)] == list(range(11, 2_502))
    assert heard.events.index(complete) > heard.events.index(row(2_500))
    assert heard.of(LedgerComplete) == [complete]
    assert [(seen.component, seen.level) for seen in heard.of(HealthSeen)] == [("ledger:main", 1.0)]


async def test_a_watermark_beyond_the_rows_that_came_is_not_passed_on() -> None:
    ledger = FakeLedger(rows=[row(1)], complete=LedgerComplete(ledger="main", sequence=5, at=CLOCK.now()))
    async with listening(LedgerSource(ledger, clock=CLOCK, poll_s=0.01)) as heard:
        await heard.until(lambda: bool(heard.of(HealthSeen)))
    assert heard.of(LedgerComplete) == []
    assert heard.of(HealthSeen)[0].level == 0.0


async def test_a_ledger_that_cannot_be_read_is_a_fault_and_comes_back() -> None:
    ledger = FakeLedger(rows=[row(1)], broken=2)
    async with listening(LedgerSource(ledger, clock=CLOCK, poll_s=0.01)) as heard:
        await heard.until(lambda: bool(heard.of(WithdrawalAuthorised)) and bool(heard.of(Fault)))
    assert "ledger not readable" in heard.of(Fault)[0].what


async def test_fixed_prices_are_told_again_before_they_grow_old() -> None:
    clock = ManualClock()
    source = PriceSource([FixedPrice(CHAIN, NATIVE, Usd(3_000 * DOLLAR))], [], {}, clock=clock, max_age_s=60)
    prices = []
    async for event in source.events():
        prices.append(event)
        if len(prices) == 3:
            break
    times = [event.at for event in prices if isinstance(event, PriceSeen)]
    assert [later - earlier for earlier, later in pairwise(times)] == [30 * 10**9, 30 * 10**9]


@pytest.mark.chain
async def test_a_chainlink_price_is_read_a_block_behind_and_stale_ones_are_only_flagged(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        now = int((await stage.builder.head())["timestamp"], 16)
        await stage.rpc("anvil_setCode", AGGREGATOR, FEED_CODE)
        await set_answer(stage, 2_500 * 10**8, at=now)
        await stage.end_slot()
        await stage.end_slot()
        latest = Latest()
        latest.agree(await head_of(stage))
        chains = {CHAIN: FeedChain(nodes_of([Endpoint("n", stage.builder.ws_url)]), latest)}
        feed = PriceFeed(CHAIN, NATIVE, Address(bytes.fromhex(AGGREGATOR[2:])), symbol="ETH")
        source = PriceSource([], [feed], chains, clock=CLOCK, max_age_s=100, poll_s=0.02)
        async with listening(source) as heard:
            await heard.until(lambda: bool(heard.of(HealthSeen)))
            await set_answer(stage, 9_999 * 10**8, at=now - 5_000)
            await stage.end_slot()
            await stage.end_slot()
            latest.agree(await head_of(stage))
            await heard.until(lambda: heard.of(HealthSeen)[-1].level == 0.0)
            await set_answer(stage, 2**256 - 1, at=now)
            await stage.end_slot()
            await stage.end_slot()
            latest.agree(await head_of(stage))
            await heard.until(lambda: any("not positive" in fault.what for fault in heard.of(Fault)))
    (seen,) = heard.of(PriceSeen)
    assert (seen.usd, seen.decimals, seen.block_number) == (2_500 * DOLLAR, 18, 1)


async def set_answer(stage: Any, answer: int, *, at: int) -> None:
    for slot, value in ((1, answer), (3, at)):
        await stage.rpc("anvil_setStorageAt", AGGREGATOR, hex(slot), "0x" + value.to_bytes(32, "big").hex())


async def head_of(stage: Any) -> Any:
    block = await stage.builder.head()
    (header,) = chain(1)
    number, timestamp = int(block["number"], 16), int(block["timestamp"], 16)
    return type(header)(number, Hash(bytes.fromhex(block["hash"][2:])), header.parent, timestamp, 0, 0, 0, WHO)


@dataclass
class FakeSimulator:
    """Implements Simulator: says how it was asked, when it is let go."""

    engine: str = "fake"
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[Call, ...]] = field(default_factory=list)
    failure: str = ""

    async def run(
        self,
        calls: Sequence[Call],
        *,
        context: BlockContext,
        probes: Sequence[Probe] = (),
        code: Mapping[Address, bytes] | None = None,
        storage: Mapping[Address, Mapping[Hash, Hash]] | None = None,
        balances: Mapping[Address, Wei] | None = None,
        fees: Sequence[tuple[int, int]] = (),
        trace: bool = False,
        at: Hash | None = None,
        gas_cap: int = 16_000_000,
        deadline_ms: int = 500,
    ) -> tuple[Effects, ...]:
        self.asked.append(tuple(calls))
        await self.gate.wait()
        if self.failure:
            raise Unreachable(self.failure)
        return tuple(Effects(True, 21_000) for _ in calls)


def answerer(simulator: FakeSimulator, *, together: int = 8) -> RequestAnswerer:
    latest = Latest()
    latest.agree(chain(1)[0])
    nodes = nodes_of([Endpoint("n", "http://127.0.0.1:9")])
    return RequestAnswerer({CHAIN: ChainReads(simulator, nodes, latest, 12_000)}, clock=CLOCK, together=together)


def request(key: str, **how: Any) -> Request:
    fields: dict[str, Any] = {"transactions": (TX,), "deadline_ms": 2_000, "chain_id": CHAIN} | how
    return Request(key=key, **fields)


async def test_equal_keys_share_one_answer() -> None:
    simulator = FakeSimulator()
    asker = answerer(simulator)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asker.answer(request("k"))) for _ in range(5)]
        await asyncio.sleep(0)
        simulator.gate.set()
    assert len(simulator.asked) == 1
    assert len({task.result() for task in tasks}) == 1
    assert isinstance(await asker.answer(request("k")), SimulationDone)
    assert len(simulator.asked) == 1


async def test_a_request_that_takes_too_long_fails_in_time() -> None:
    answer = await answerer(FakeSimulator()).answer(request("k", deadline_ms=20))
    assert answer == RequestFailed(chain_id=CHAIN, key="k", why="no answer within 20 ms")


async def test_urgent_requests_go_first_when_many_wait() -> None:
    simulator = FakeSimulator()
    asker = answerer(simulator, together=1)
    async with asyncio.TaskGroup() as group:
        for place, priority in enumerate((5, 5, 1)):
            transaction = Transaction(TX.hash, WHO, WHO, place, Wei(place), 21_000, 1, 1)
            asking = request(f"k{place}", priority=priority, transactions=(transaction,))
            group.create_task(asker.answer(asking))
            await asyncio.sleep(0)
        simulator.gate.set()
    assert [calls[0].value for calls in simulator.asked] == [0, 2, 1]


async def test_what_cannot_be_answered_says_why() -> None:
    simulator = FakeSimulator(failure="node n: no answer")
    simulator.gate.set()
    asker = answerer(simulator)
    whys = [
        await asker.answer(request("a", chain_id=ChainId(5))),
        await asker.answer(request("b")),
        await asker.answer(request("c", transactions=(TX,) * 65)),
    ]
    assert [each.why for each in whys if isinstance(each, RequestFailed)] == [
        "the chain is not configured",
        "node n: no answer",
        "asks for too much at once",
    ]


@pytest.mark.chain
async def test_code_is_rewritten_for_a_sister(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        ours, theirs, between = (Address(bytes([n]) * 20) for n in (0xA1, 0xB2, 0xC3))
        await stage.rpc("anvil_setCode", "0x" + between.hex(), "0x73" + ours.hex() + "00")
        await stage.end_slot()
        latest, simulator = Latest(), FakeSimulator()
        simulator.gate.set()
        latest.agree(await head_of(stage))
        nodes = nodes_of([Endpoint("n", stage.builder.ws_url)])
        asker = RequestAnswerer({CHAIN: ChainReads(simulator, nodes, latest, 12_000)}, clock=CLOCK)
        answer = await asker.answer(request("k", rewrite=(between, WHO), exchange=((ours, theirs),)))
    assert isinstance(answer, SimulationDone)
    assert answer.code_overrides == ((between, b"\x73" + theirs + b"\x00"),)
