"""Counting, queueing and judging, without a node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clock import ManualClock, SystemClock
from monitor.model.assets import Asset
from monitor.model.chain import Effects, Reading, Transaction, Transfer, ether_probe
from monitor.model.events import AnyEvent, Fault, Tick
from monitor.model.units import NATIVE, SECOND, Address, ChainId, Hash, Wei, hash32
from monitor.sources.backlog import Backlog, Block, Orphan
from monitor.sources.contexts import agree, code_of, contexts, created_by
from monitor.sources.faults import MAX_KINDS, FaultTally
from monitor.sources.header_hash import bloom_of
from monitor.sources.heads import Change
from monitor.sources.health import HealthTable, Level, age_level, head_level, nodes_level
from monitor.sources.latest import Latest
from monitor.sources.ordered_root import ordered_root
from monitor.sources.outlet import Outlet
from monitor.sources.pending import (
    Budget,
    Held,
    PendingQueue,
    SeenHashes,
    SenderPool,
    Suspicion,
    Waiting,
    suspicion,
)
from monitor.sources.reads import Turns, exchanged
from monitor.sources.ticks import TickSource
from tests.sources.header_builders import chain

ALICE, BOB = Address(b"\xaa" * 20), Address(b"\xbb" * 20)


def tx(**fields: object) -> Transaction:
    base = Transaction(Hash(b"\1" * 32), ALICE, BOB, 0, Wei(0), 21_000, 10**9, 1)
    return msgspec.structs.replace(base, **fields)


def waiting(kind: Suspicion = Suspicion.OTHER_CODE, **fields: object) -> Waiting:
    return Waiting(tx(**fields), kind, 0)


def test_faults_are_told_at_most_once_a_second_for_each_kind() -> None:
    clock = ManualClock()
    tally = FaultTally("source", clock)
    for _ in range(500):
        tally.note("broken", on="node")
    assert tally.due() == (Fault(where="source", what="broken", on="node", count=500),)
    tally.note("broken", on="node", detail="again\nand again")
    assert tally.due() == ()
    clock.advance(1)
    assert tally.due() == (Fault(where="source", what="broken: again and again", on="node", count=1),)
    assert tally.due() == ()
    assert tally.totals() == {"broken": 501}


def test_kinds_of_faults_are_bounded() -> None:
    tally = FaultTally("source", ManualClock())
    for place in range(2 * MAX_KINDS):
        tally.note("broken", on=f"node-{place}")
    assert len(tally.due()) == MAX_KINDS + 1


async def test_a_worker_s_failure_reaches_the_reader_after_what_it_said() -> None:
    clock = SystemClock()
    outlet = Outlet(FaultTally("source", clock), clock)

    async def work() -> None:
        await outlet.put(Tick())
        raise ZeroDivisionError("a bug")

    said: list[AnyEvent] = []

    async def read() -> None:
        async for event in outlet.stream(work):
            said.append(event)

    with pytest.raises(ZeroDivisionError, match="a bug"):
        await read()
    assert said == [Tick()]


async def test_a_reader_that_leaves_stops_the_worker() -> None:
    clock, stopped = SystemClock(), asyncio.Event()
    outlet = Outlet(FaultTally("source", clock), clock)

    async def work() -> None:
        try:
            while True:
                await outlet.put(Tick())
                await asyncio.sleep(0)
        finally:
            stopped.set()

    stream: AsyncGenerator[AnyEvent, None] = outlet.stream(work)
    async with aclosing(stream):
        async for _ in stream:
            break
    assert stopped.is_set()


async def test_ticks_come_on_whole_seconds_and_are_not_made_up_for() -> None:
    clock = ManualClock(instant=0)
    ticks = TickSource(clock).events()
    at = []
    for late in (0.0, 0.0, 2.5, 0.0):
        clock.advance(late)
        assert await anext(ticks) == Tick()
        at.append(clock.instant / SECOND)
    assert at == [1.0, 2.0, 5.0, 6.0]


def test_health_is_told_on_change_and_again_every_thirty_seconds() -> None:
    clock = ManualClock()
    table = HealthTable(clock)
    fine, bad = Level(1.0, "fine"), Level(0.0, "bad")
    assert [len(table.report("head:x", level)) for level in (fine, fine, bad, bad)] == [1, 0, 1, 0]
    clock.advance(30)
    assert len(table.report("head:x", bad)) == 1


@pytest.mark.parametrize(
    ("silent_s", "behind", "block_ms", "level"),
    [
        (3, 2, 1_000, 1.0),
        (3.1, 0, 1_000, 0.5),
        (6.1, 0, 1_000, 0.0),
        (24, 0, 12_000, 1.0),
        (25, 0, 12_000, 0.5),
        (0, 3, 12_000, 0.5),
        (0, 5, 12_000, 0.0),
        (9_999, 0, 0, 1.0),
    ],
)
def test_a_head_is_fresh_within_two_blocks_or_three_seconds(
    silent_s: float, behind: int, block_ms: int, level: float
) -> None:
    silent = int(silent_s * SECOND)
    assert head_level(silent_ns=silent, behind=behind, block_time_ms=block_ms).level == level


@pytest.mark.parametrize(
    ("agreeing", "dissenting", "quorum", "level"), [(2, 0, 2, 1.0), (1, 0, 2, 0.0), (2, 2, 2, 0.5), (3, 1, 2, 1.0)]
)
def test_nodes_are_well_while_a_quorum_agrees_and_outvotes_the_rest(
    agreeing: int, dissenting: int, quorum: int, level: float
) -> None:
    assert nodes_level(agreeing=agreeing, dissenting=dissenting, quorum=quorum, left_out=()).level == level


def test_a_watermark_ages_in_two_steps() -> None:
    levels = [age_level(age, limit_ns=10, noun="w").level for age in (None, 0, 10, 11, 20, 21)]
    assert levels == [0.0, 1.0, 1.0, 0.5, 0.5, 0.0]


def test_a_block_that_is_orphaned_before_it_was_told_is_never_told() -> None:
    one, two = chain(2)
    other = chain(1, on=one, branch="other")[0]
    backlog = Backlog()
    backlog.apply(Change(added=(one, two)))
    assert backlog.done(Block(one)) is False
    step = backlog.next()
    assert step == Block(one)
    assert step is not None
    assert backlog.done(step)
    backlog.apply(Change(orphaned=(two,), added=(other,)))
    backlog.apply(Change(orphaned=(other, one)))
    assert backlog.next() == Orphan(one)


def test_the_queue_gives_the_most_suspicious_first_and_sheds_the_least() -> None:
    queue = PendingQueue(limit=2)
    plain, code, names = (
        waiting(kind, nonce=kind) for kind in (Suspicion.PLAIN, Suspicion.OTHER_CODE, Suspicion.NAMES_WATCHED)
    )
    assert queue.put(plain)
    assert queue.put(code)
    assert not queue.put(names)
    assert queue.shed == 1
    assert queue.take(9) == [names, code]
    assert queue.peek() is None


@pytest.mark.parametrize(
    ("fields", "known", "kind"),
    [
        ({"to": None, "data": b"\1"}, False, Suspicion.HEAVY_CODE),
        ({"gas": 400_000, "data": b"\1"}, False, Suspicion.HEAVY_CODE),
        ({"gas": 400_000, "data": b"\1"}, True, Suspicion.OTHER_CODE),
        ({"gas": 99_000, "data": b"\1"}, False, Suspicion.OTHER_CODE),
        ({"gas": 400_000}, False, Suspicion.PLAIN),
    ],
)
def test_unknown_heavy_code_is_more_suspicious(fields: dict[str, object], known: bool, kind: Suspicion) -> None:
    assert suspicion(tx(**fields), names_watched=False, known=known) is kind
    assert suspicion(tx(**fields), names_watched=True, known=known) is Suspicion.NAMES_WATCHED


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10**9)), max_size=300))
def test_no_flood_of_one_kind_takes_the_whole_budget(asks: list[tuple[bool, int]]) -> None:
    budget, now, taken = Budget(100, 0), 0, {True: 0, False: 0}
    for urgent, later in asks:
        now += later
        taken[urgent] += budget.take(now, urgent=urgent)
    assert sum(taken.values()) <= 100 + now * 100 / SECOND
    budget = Budget(100, 0)
    assert sum(budget.take(0, urgent=True) for _ in range(1_000)) == 75
    assert budget.take(0, urgent=False)


def test_a_hash_is_new_once() -> None:
    seen = SeenHashes(limit=2)
    assert [seen.add(text) for text in ("a", "a", "b", "c", "a")] == [True, False, True, True, True]


def test_what_a_sender_must_send_first_is_found_or_unknown() -> None:
    pool = SenderPool()
    first, second = waiting(nonce=5, hash=hash32("0x" + "05" * 32)), waiting(nonce=6)
    pool.put(first)
    assert pool.before(second.transaction, 5) == (first.transaction,)
    assert pool.before(second.transaction, 6) == ()
    assert pool.before(second.transaction, 4) is None
    assert pool.before(tx(nonce=60), 5) is None
    pool.put(second)
    assert pool.behind(first.transaction) == second
    assert not pool.current(tx(nonce=5, hash=hash32("0x" + "07" * 32)))


def test_what_is_held_goes_when_mined_or_stale() -> None:
    held = Held(limit=3, most_blocks=10)
    kept = [waiting(hash=Hash(bytes([place]) * 32)) for place in range(4)]
    for place, each in enumerate(kept):
        held.put(each, place)
    assert held.again(5, mined=frozenset({kept[2].transaction.hash})) == (kept[3], kept[1])
    assert held.again(12, mined=frozenset()) == (kept[3],)
    held.drop(kept[3].transaction.hash)
    assert len(held) == 0


def moved(amount: int) -> Effects:
    reading = Reading(ether_probe(ALICE), (100).to_bytes(32, "big"), (100 - amount).to_bytes(32, "big"))
    return Effects(True, 21_000, (Transfer(NATIVE, ALICE, BOB, Wei(amount)),), readings=(reading,))


def test_a_loss_agrees_when_it_shows_again_nearly_as_large() -> None:
    hot = [Asset(name="hot", kind="hot_wallet", chain_id=ChainId(1), address=ALICE)]
    assert agree(moved(50), moved(46), hot)
    assert not agree(moved(50), moved(20), hot)
    assert not agree(moved(50), Effects(False, 0), hot)


def test_the_second_context_differs_in_all_that_a_contract_can_see() -> None:
    one, other = contexts(chain(1)[0], 12)
    assert one.base_fee == other.base_fee
    assert len({one.number, other.number, one.timestamp, other.timestamp}) == 4
    assert one.coinbase != other.coinbase
    assert one.prev_randao != other.prev_randao


def test_a_deployment_runs_as_the_code_of_its_new_address() -> None:
    deploy = tx(to=None, data=b"\x60\x01", sender=Address(bytes.fromhex("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")))
    assert created_by(deploy).hex() == "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
    assert code_of([deploy]) == {created_by(deploy): b"\x60\x01"}


def test_an_empty_block_has_the_well_known_root_and_no_bloom() -> None:
    assert ordered_root([]).hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert bloom_of([]) == bytes(256)


def test_addresses_in_code_are_exchanged_all_at_once() -> None:
    assert exchanged(b"x" + ALICE + BOB, {ALICE: BOB, BOB: ALICE}) == b"x" + BOB + ALICE


async def test_turns_go_to_the_most_urgent_who_waits() -> None:
    turns, order = Turns(1), []

    async def work(priority: int) -> None:
        async with turns.turn(priority):
            order.append(priority)

    async with asyncio.TaskGroup() as group, turns.turn(0):
        tasks = [group.create_task(work(priority)) for priority in (2, 1, 3)]
        await asyncio.sleep(0)
        tasks[2].cancel()
    assert order == [1, 2]
    async with turns.turn(0):
        pass


async def test_the_latest_head_wakes_who_waits_for_another() -> None:
    one, two = chain(2)
    latest = Latest()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(latest.moved(None))
        await asyncio.sleep(0)
        latest.agree(one)
        assert await first == one
        second = group.create_task(latest.moved(one))
        await asyncio.sleep(0)
        latest.agree(two)
        assert await second == two
    latest.mine(frozenset({one.hash}))
    mark, mined = latest.mined_since(0)
    assert mined == {one.hash}
    assert latest.mined_since(mark) == (mark, frozenset())
