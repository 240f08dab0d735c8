"""Bodies, outcomes and traces as nodes tell them, right and wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from monitor.chain.rpc import Nodes, Rpc
from monitor.clock import SystemClock
from monitor.evm.watch import WatchIndex
from monitor.evm.wire import WireLog, decode
from monitor.model.chain import CallFrame, Header, Probe
from monitor.model.errors import Undecodable, Unreachable
from monitor.model.units import NATIVE, NOBODY, Address, ChainId, Hash, Wei
from monitor.sources.block_reader import BlockReader, Body, WireBody
from monitor.sources.envelope import Conversation, Notice
from monitor.sources.faults import FaultTally
from monitor.sources.header_hash import Roots, bloom_of
from monitor.sources.mined import MinedReader
from monitor.sources.ordered_root import ordered_root
from monitor.sources.probes import ProbeReader
from monitor.sources.touched import FullReceipt, Outcome, Quiet, Touched, outcome_of, touched_in, unexplained
from monitor.sources.traces import FlatTrace, Tracer, flat_frames
from tests.chain.scripted_node import Answers, FakeNode, Refusal

CLOCK = SystemClock()
HOT, THIEF, ROUTER = (Address(bytes([n]) * 20) for n in (0xA1, 0xB2, 0xC3))
BLOCK, PARENT = Hash(b"\x10" * 32), Hash(b"\x0f" * 32)
HEADER = Header(16, BLOCK, PARENT, 1_700_000_000, 7, 30_000_000, 0, NOBODY)
FIRST = "0x" + "01" * 32


def hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


def wire_tx(**fields: Any) -> dict[str, Any]:
    base = {"hash": FIRST, "from": hexed(THIEF), "to": hexed(ROUTER), "nonce": "0x0", "value": "0x0", "gas": "0x5208"}
    return base | {"gasPrice": "0x1", "input": "0x"} | fields


def wire_block(*transactions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "number": "0x10",
        "hash": hexed(BLOCK),
        "parentHash": hexed(PARENT),
        "timestamp": hex(1_700_000_000),
    }
    base |= {"gasLimit": hex(30_000_000), "gasUsed": "0x0", "baseFeePerGas": "0x7", "transactions": list(transactions)}
    return base | fields


def body_of(*transactions: dict[str, Any], logs: tuple[dict[str, Any], ...] = (), **fields: Any) -> Body:
    block = decode(msgspec.json.encode(wire_block(*transactions, **fields)), WireBody)
    hashes = tuple(Hash(bytes.fromhex(tx["hash"][2:])) for tx in transactions)
    return Body(HEADER, "node", block, tuple(decode(msgspec.json.encode(logs), list[WireLog])), hashes, 0, {})


def tally() -> FaultTally:
    return FaultTally("test", CLOCK)


@asynccontextmanager
async def nodes(*answers: Answers) -> AsyncIterator[Nodes]:
    """Real sockets to nodes that answer so; named node-0, node-1 …"""
    fakes = [FakeNode(each) for each in answers]
    for fake in fakes:
        await fake.__aenter__()
    rpcs = [Rpc(fake.url, clock=CLOCK, name=f"node-{place}") for place, fake in enumerate(fakes)]
    found = Nodes(ChainId(1), rpcs, clock=CLOCK)
    try:
        yield found
    finally:
        await found.close()
        for fake in fakes:
            await fake.stop()


def telling(**answers: Any) -> Callable[[str, list[Any]], Any]:
    """A node that answers each method with a value, or with what a function makes of the parameters."""

    def answer(method: str, params: list[Any]) -> Any:
        told = answers.get(method, Refusal("no such method", code=-32601))
        return told(params) if callable(told) else told

    return answer


async def read_body(*answers: Answers, roots: Roots | None, strict: bool = True) -> Body:
    async with nodes(*answers) as found:
        reader = BlockReader(found, strict=strict)
        return await reader.read(HEADER, roots, names=[f"node-{place}" for place in range(len(answers))])


def block_node(block: dict[str, Any], logs: list[Any] | None = None) -> Answers:
    return telling(eth_getBlockByHash=block, eth_getLogs=logs or [], eth_getBlockByNumber=None)


EMPTY = Roots(ordered_root([]), bloom_of([]))


async def test_a_body_that_gives_its_root_is_taken_from_the_first_node() -> None:
    body = await read_body(block_node(wire_block()), roots=EMPTY)
    assert (body.node, body.hashes, body.liars, body.finalised) == ("node-0", (), {}, 0)


async def test_another_block_than_the_one_asked_for_is_a_lie() -> None:
    other = wire_block(number="0x11")
    body = await read_body(block_node(other), block_node(wire_block()), roots=EMPTY)
    assert body.node == "node-1"
    assert "told another block" in body.liars["node-0"]


async def test_logs_that_are_not_in_the_bloom_are_a_lie() -> None:
    roots = Roots(EMPTY.transactions, b"\x01" + bytes(255))
    with pytest.raises(Unreachable, match="bloom"):
        await read_body(block_node(wire_block()), roots=roots)


async def test_logs_of_transactions_that_are_not_there_are_a_lie() -> None:
    log = {"address": hexed(HOT), "transactionHash": FIRST, "logIndex": "0x0"}
    with pytest.raises(Unreachable, match="not in the block"):
        await read_body(block_node(wire_block(), [log]), roots=None, strict=False)


async def test_a_transaction_told_twice_is_a_lie() -> None:
    with pytest.raises(Unreachable, match="twice"):
        await read_body(block_node(wire_block(wire_tx(), wire_tx())), roots=None, strict=False)


async def test_a_root_that_cannot_be_made_needs_a_second_node_that_tells_the_same() -> None:
    odd = wire_block(wire_tx(type="0x7e"))
    body = await read_body(block_node(odd), block_node(odd), roots=EMPTY)
    assert len(body.hashes) == 1
    with pytest.raises(Unreachable, match="no second node confirms"):
        await read_body(block_node(odd), roots=EMPTY)
    with pytest.raises(Unreachable, match="told other transactions"):
        await read_body(block_node(odd), block_node(wire_block(wire_tx(type="0x7e", value="0x9"))), roots=EMPTY)


def receipt(**fields: Any) -> FullReceipt:
    base = {"transactionHash": FIRST, "gasUsed": "0x5208", "status": "0x1", "effectiveGasPrice": "0xa"}
    return decode(msgspec.json.encode(base | fields), FullReceipt)


def touching(body: Body) -> list[Touched]:
    quiet = Quiet(wallets=frozenset({HOT}))
    return touched_in(body, WatchIndex([HOT]), quiet=quiet, faults=tally())


def test_a_transaction_touches_by_sender_target_log_or_unindexed_transfer() -> None:
    transfer = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    words = "0x" + (bytes(12) + THIEF + bytes(12) + HOT + (5).to_bytes(32, "big")).hex()
    log = {"address": hexed(ROUTER), "topics": [transfer], "data": words, "transactionHash": FIRST, "logIndex": "0x0"}
    assert len(touching(body_of(wire_tx(to=hexed(HOT))))) == 1
    assert len(touching(body_of(wire_tx(**{"from": hexed(HOT)})))) == 1
    (by_log,) = touching(body_of(wire_tx(input="0x01"), logs=(log,)))
    assert not by_log.plain
    assert touching(body_of(wire_tx())) == []


def test_a_bare_transfer_of_a_wallet_is_plain_and_one_with_data_is_not() -> None:
    assert touching(body_of(wire_tx(to=hexed(HOT))))[0].plain
    assert not touching(body_of(wire_tx(to=hexed(HOT), input="0x1234")))[0].plain


def test_an_undecodable_transaction_is_counted_and_hides_no_other() -> None:
    faults = tally()
    body = body_of(wire_tx(to="0xzz"), wire_tx(hash="0x" + "02" * 32, to=hexed(HOT)))
    found = touched_in(body, WatchIndex([HOT]), quiet=Quiet(), faults=faults)
    assert [each.index for each in found] == [1]
    assert faults.total("undecodable transaction in a block") == 1


@pytest.mark.parametrize("broken", [{"address": "0xzz"}, {"topics": ["0x" + "zz" * 32, "0x" + "zz" * 32]}])
def test_an_undecodable_log_is_counted_with_its_transaction_and_hides_no_other(broken: dict[str, Any]) -> None:
    faults = tally()
    log = {"address": hexed(ROUTER), "topics": [], "transactionHash": FIRST, "logIndex": "0x0"} | broken
    body = body_of(wire_tx(), wire_tx(hash="0x" + "02" * 32, to=hexed(HOT)), logs=(log,))
    found = touched_in(body, WatchIndex([HOT]), quiet=Quiet(), faults=faults)
    assert [each.index for each in found] == [1]
    assert faults.total("undecodable transaction in a block") == 1


def spent(**fields: Any) -> tuple[Body, Outcome]:
    body = body_of(wire_tx(**({"from": hexed(HOT), "value": hex(1_000)} | fields)))
    return body, outcome_of(touching(body)[0], receipt(blobGasUsed="0x2", blobGasPrice="0x3", l1Fee="0x4"))


def test_ether_that_transactions_fees_and_withdrawals_explain_is_no_riddle() -> None:
    body, outcome = spent()
    assert outcome.fee == 21_000 * 10 + 6 + 4
    left = 10**9 - 1_000 - outcome.fee
    assert unexplained({HOT: 10**9}, {HOT: left}, outcomes=[outcome], body=body) == {}
    assert unexplained({HOT: 10**9}, {HOT: left - 5}, outcomes=[outcome], body=body) == {HOT: -5}
    paid = body_of(withdrawals=[{"address": hexed(HOT), "amount": "0x2"}])
    assert unexplained({HOT: 0}, {HOT: 2 * 10**9}, outcomes=[], body=paid) == {}


def test_a_failed_transaction_moves_only_its_fee() -> None:
    body = body_of(wire_tx(**{"from": hexed(HOT), "value": hex(1_000)}))
    outcome = outcome_of(touching(body)[0], receipt(status="0x0"))
    assert not outcome.effects().ok
    assert outcome.effects().transfers == ()
    assert unexplained({HOT: 10**9}, {HOT: 10**9 - 210_000}, outcomes=[outcome], body=body) == {}


def test_the_block_s_own_builder_is_never_a_riddle() -> None:
    assert unexplained({NOBODY: 0}, {NOBODY: 9}, outcomes=[], body=body_of()) == {}


def test_a_receipt_of_another_transaction_is_refused() -> None:
    body = body_of(wire_tx(to=hexed(HOT)))
    with pytest.raises(Undecodable, match="another transaction"):
        outcome_of(touching(body)[0], receipt(transactionHash="0x" + "09" * 32))


async def test_a_receipt_that_one_node_lacks_comes_from_the_next() -> None:
    whole = msgspec.json.decode(msgspec.json.encode(receipt()))
    answers = [telling(eth_getTransactionReceipt=None), telling(eth_getTransactionReceipt=whole)]
    faults = tally()
    async with nodes(*answers) as found:
        reader = MinedReader(found, faults)
        (outcome,) = await reader.read(touching(body_of(wire_tx(to=hexed(HOT)))), names=["node-0", "node-1"])
        assert await reader.read(touching(body_of(wire_tx(to=hexed(HOT)))), names=["node-0"]) == []
    assert outcome.receipt.ok
    assert faults.totals() == {"transaction without receipt": 1}


FLAT: list[dict[str, Any]] = [
    {
        "type": "call",
        "action": {"from": hexed(THIEF), "to": hexed(ROUTER), "value": "0x1", "callType": "call", "input": "0x0102"},
        "traceAddress": [],
        "transactionHash": FIRST,
    },
    {
        "type": "create",
        "action": {"from": hexed(ROUTER), "value": "0x2", "init": "0x60", "creationMethod": "create2"},
        "result": {"address": hexed(THIEF)},
        "traceAddress": [0],
        "transactionHash": FIRST,
    },
    {
        "type": "suicide",
        "action": {"address": hexed(ROUTER), "refundAddress": hexed(HOT), "balance": "0x3"},
        "traceAddress": [1],
        "transactionHash": FIRST,
    },
    {"type": "reward", "action": {}, "traceAddress": []},
]
FRAMES = (
    CallFrame(0, "CALL", THIEF, ROUTER, Wei(1), b"\x01\x02"),
    CallFrame(1, "CREATE2", ROUTER, THIEF, Wei(2), b"\x60"),
    CallFrame(1, "SELFDESTRUCT", ROUTER, HOT, Wei(3), b""),
)


def test_flat_traces_become_frames() -> None:
    assert flat_frames(decode(msgspec.json.encode(FLAT), list[FlatTrace])) == FRAMES


async def test_flat_traces_stand_in_where_nested_ones_are_not_offered() -> None:
    first = Hash(b"\1" * 32)
    faults = tally()
    async with nodes(telling(trace_transaction=FLAT)) as found:
        assert await Tracer(found, faults).transactions([first], names=["node-0"]) == {first: FRAMES}
    async with nodes(telling()) as found:
        assert await Tracer(found, faults).transactions([first] * 70, names=["node-0"]) == {}
    assert faults.total("trace shed: too many in one block") == 6
    assert faults.total("transaction not traced") == 64


async def test_a_block_s_trace_shows_only_what_moved_ether_of_the_holders() -> None:
    body = body_of(wire_tx())
    async with nodes(telling(trace_block=FLAT)) as found:
        tracer = Tracer(found, tally())
        traced = await tracer.block(body, frozenset({HOT}), names=["node-0"])
        assert list(traced) == [body.hashes[0]]
        assert await tracer.block(body, frozenset({NATIVE}), names=["node-0"]) == {}
        with pytest.raises(Unreachable, match="cannot be traced"):
            await tracer.block(body_of(), frozenset({HOT}), names=["node-0"])


async def test_debug_traces_stand_in_where_trace_block_is_not_offered() -> None:
    tree = {"type": "CALL", "from": hexed(HOT), "to": hexed(THIEF), "value": "0x5", "input": "0x"}
    body = body_of(wire_tx())
    async with nodes(telling(debug_traceBlockByHash=[{"txHash": FIRST, "result": tree}])) as found:
        traced = await Tracer(found, tally()).block(body, frozenset({HOT}), names=["node-0"])
    assert traced == {body.hashes[0]: (CallFrame(0, "CALL", HOT, THIEF, Wei(5), b""),)}


async def test_hidden_outcomes_leave_out_what_was_told_already() -> None:
    whole = msgspec.json.decode(msgspec.json.encode(receipt()))
    body, faults = body_of(wire_tx()), tally()
    async with nodes(telling(trace_block=FLAT, eth_getTransactionReceipt=whole)) as found:
        reader = MinedReader(found, faults)
        (outcome,) = await reader.hidden(body, frozenset({HOT}), told=frozenset(), names=["node-0"])
        assert await reader.hidden(body, frozenset({HOT}), told=frozenset({0}), names=["node-0"]) == []
        assert await reader.hidden(body, frozenset({NATIVE}), told=frozenset(), names=["node-0"]) == []
    assert outcome.frames == FRAMES
    assert faults.totals() == {"balance change not explained": 1}


async def test_probes_that_return_too_much_read_as_nothing_and_spoil_no_other() -> None:
    good, big = Probe(HOT, b"\1"), Probe(THIEF, b"\2")

    def call(params: list[Any]) -> Any:
        return "0x" + "00" * (9 << 20) if params[0]["to"] == hexed(THIEF) else "0x" + "00" * 31 + "07"

    async with nodes(telling(eth_call=call, eth_getBalance="0x0")) as found:
        agreed = await ProbeReader(found, quorum=1).read([good, big, big], BLOCK, names=["node-0"])
    assert agreed.words == ((7).to_bytes(32, "big"), None, None)


async def test_a_node_without_the_state_is_no_answer() -> None:
    async with nodes(telling(eth_getBalance=Refusal("header not found"), eth_call="0x")) as found:
        with pytest.raises(Unreachable, match="do not agree"):
            await ProbeReader(found, quorum=1).read([Probe(HOT, b"\1")], BLOCK, names=["node-0"])


def conversation(faults: FaultTally) -> Conversation:
    return Conversation([("newHeads",), ("logs",)], ChainId(7), node="n", faults=faults)


def said(**fields: Any) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0"} | fields)


def notice(subscription: str, result: Any) -> bytes:
    return said(method="eth_subscription", params={"subscription": subscription, "result": result})


def test_notices_that_come_before_their_answer_are_kept() -> None:
    talk = conversation(tally())
    assert len(talk.questions()) == 3
    assert talk.read(notice("0xa", 1)) == ()
    assert talk.read(said(id=1, result="0xa")) == (Notice(0, msgspec.Raw(b"1")),)
    talk.read(said(id=2, result="0xb"))
    assert not talk.ready
    talk.read(said(id=0, result="0x7"))
    assert talk.ready
    assert talk.read(notice("0xb", 2)) == (Notice(1, msgspec.Raw(b"2")),)


def test_what_nobody_asked_for_is_counted() -> None:
    faults = tally()
    talk = conversation(faults)
    for message in (said(id=0, result="0x7"), said(id=1, result="0xa"), said(id=2, result="0xb")):
        assert talk.read(message) == ()
    for message in (said(id=1, result="0xc"), said(id="x", result=1), notice("0xf", 1), b"{", said(method="eth_sign")):
        assert talk.read(message) == ()
    assert faults.totals() == {
        "answer to nothing that was asked": 3,
        "notice of an unknown subscription": 1,
        "undecodable message": 1,
    }


@pytest.mark.parametrize(
    ("result", "why"), [("0x8", "serves chain 8, not 7"), (None, "gives no chain id"), ("0xzz", "gives no chain id")]
)
def test_another_chain_is_noticed_before_anything_is_believed(result: Any, why: str) -> None:
    talk = conversation(tally())
    talk.read(said(id=0, result=result))
    assert talk.wrong_chain == why
    assert not talk.ready


def test_a_topic_that_is_not_offered_is_named() -> None:
    talk = conversation(tally())
    talk.read(said(id=2, error={"code": -32601, "message": "no such subscription"}))
    assert talk.refused == (1, "no such subscription")
