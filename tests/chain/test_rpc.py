"""One node over JSON-RPC: hostile replies, deadlines, reconnects."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec import Struct

from monitor.chain.rpc import Rpc, RpcError
from monitor.chain.rpc_wire import decode_as
from monitor.clock import SystemClock
from monitor.model.errors import Undecodable, Unreachable
from monitor.rehearsal.anvil import Anvil
from tests.chain.scripted_node import Answers, Bytes, FakeNode, HangUp, Refusal, Silence, says


class Block(Struct):
    number: str


@asynccontextmanager
async def speaking(answers: Answers, *, max_bytes: int = 1 << 20, pool: int = 8) -> AsyncIterator[tuple[FakeNode, Rpc]]:
    async with FakeNode(answers) as node:
        rpc = Rpc(node.url, clock=SystemClock(), name="fake", max_bytes=max_bytes, pool=pool)
        try:
            yield node, rpc
        finally:
            await rpc.close()


async def test_a_call_returns_the_result_as_plain_objects() -> None:
    async with speaking(says(eth_chainId="0x7a69")) as (_, rpc):
        assert await rpc.call("eth_chainId") == "0x7a69"


async def test_a_call_decodes_into_the_asked_type() -> None:
    async with speaking(says(eth_getBlockByNumber={"number": "0x1", "extra": []})) as (_, rpc):
        assert await rpc.call("eth_getBlockByNumber", ("latest", False), into=Block) == Block("0x1")


async def test_a_result_of_another_shape_is_undecodable() -> None:
    async with speaking(says(eth_getBlockByNumber={"number": 1})) as (_, rpc):
        with pytest.raises(Undecodable, match="not Block"):
            await rpc.call("eth_getBlockByNumber", into=Block)


async def test_a_null_result_is_none_and_not_a_fault() -> None:
    async with speaking(says(eth_getTransactionReceipt=None)) as (_, rpc):
        assert await rpc.call("eth_getTransactionReceipt", ("0x00",)) is None


async def test_an_error_keeps_its_code_and_data_and_loses_its_length() -> None:
    refusal = Refusal("execution reverted\n" * 100, code=3, data="0x08c379a0")
    async with speaking(lambda *_: refusal) as (_, rpc):
        with pytest.raises(RpcError) as caught:
            await rpc.call("eth_call")
    assert (caught.value.code, caught.value.data) == (3, "0x08c379a0")
    assert len(caught.value.message) <= 300
    assert "\n" not in caught.value.message


async def test_a_batch_answered_in_another_order_comes_back_in_ours() -> None:
    async with speaking(says(one=1, two=2)) as (_, rpc):
        answers = await rpc.batch([("one", ()), ("unknown", ()), ("two", ())])
    assert (answers[0], answers[2]) == (1, 2)
    assert isinstance(answers[1], RpcError)
    assert answers[1].code == -32601


async def test_an_empty_batch_asks_nothing() -> None:
    async with speaking(says()) as (node, rpc):
        assert await rpc.batch([]) == []
    assert node.asked == []


async def test_a_batch_with_an_answer_missing_is_undecodable() -> None:
    async with speaking(lambda *_: Bytes(b'[{"jsonrpc":"2.0","id":1,"result":1}]')) as (_, rpc):
        with pytest.raises(Undecodable, match="1 of 2 answers are missing"):
            await rpc.batch([("one", ()), ("two", ())])


async def test_a_batch_refused_as_a_whole_says_why() -> None:
    body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch too large"}}'
    async with speaking(lambda *_: Bytes(body)) as (_, rpc):
        with pytest.raises(RpcError, match="batch too large"):
            await rpc.batch([("one", ())])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"42",
        b'{"jsonrpc":"2.0","id":1,"result":',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":7,"result":1}',
        b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"jsonrpc":"2.0","id":1,"result":{"a":1}',
        b'{"jsonrpc":"2.0","id":1,"error":"a string"}',
        b'{"jsonrpc":"2.0","id":{},"result":1}',
    ],
)
async def test_a_malformed_reply_is_undecodable_and_the_next_call_works(body: bytes) -> None:
    queue: list[Any] = [Bytes(body), "fine"]
    async with speaking(lambda *_: queue.pop(0)) as (_, rpc):
        with pytest.raises(Undecodable):
            await rpc.call("eth_blockNumber")
        assert await rpc.call("eth_blockNumber") == "fine"


def test_a_deep_reply_raises_also_where_a_library_lifted_the_recursion_limit() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(Undecodable):
            decode_as(b"[" * 90_000)
    finally:
        sys.setrecursionlimit(limit)


async def test_a_reply_over_the_size_cap_is_undecodable_and_the_next_call_works() -> None:
    queue = ["0x" + "00" * 100_000, "fine"]
    async with speaking(lambda *_: queue.pop(0), max_bytes=10_000) as (_, rpc):
        with pytest.raises(Undecodable, match="over 10000 bytes"):
            await rpc.call("eth_call")
        assert await rpc.call("eth_call") == "fine"


async def test_a_silent_node_is_unreachable_at_the_deadline_and_its_late_reply_is_never_taken() -> None:
    queue: list[Any] = [Silence(), "fine"]
    async with speaking(lambda *_: queue.pop(0)) as (node, rpc):
        with pytest.raises(Unreachable, match="no answer to eth_call within 50 ms"):
            await rpc.call("eth_call", deadline_ms=50)
        assert await rpc.call("eth_call") == "fine"
        assert node.connections == 2


async def test_a_hanging_request_does_not_stand_before_another() -> None:
    async with (
        speaking(lambda method, _: Silence() if method == "slow" else 1) as (_, rpc),
        asyncio.TaskGroup() as group,
    ):
        slow = group.create_task(rpc.call("slow", deadline_ms=30_000))
        await asyncio.sleep(0)
        assert await rpc.call("fast") == 1
        slow.cancel()


async def test_a_full_pool_waits_within_the_deadline() -> None:
    async with speaking(lambda method, _: Silence() if method == "slow" else 1, pool=1) as (_, rpc):
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(rpc.call("slow", deadline_ms=30_000))
            await asyncio.sleep(0)
            with pytest.raises(Unreachable):
                await rpc.call("fast", deadline_ms=50)
            slow.cancel()
        assert await rpc.call("fast") == 1


async def test_a_connection_closed_by_the_node_is_opened_again() -> None:
    queue: list[Any] = [1, HangUp(), 2]
    async with speaking(lambda *_: queue.pop(0)) as (_, rpc):
        assert await rpc.call("a") == 1
        with pytest.raises(Unreachable, match="closed the connection"):
            await rpc.call("b")
        assert await rpc.call("c") == 2


async def test_one_connection_serves_calls_one_after_the_other() -> None:
    async with speaking(says(a=1)) as (node, rpc):
        for _ in range(10):
            await rpc.call("a")
    assert node.connections == 1


async def test_a_node_that_is_not_there_is_unreachable_and_its_key_is_not_shown() -> None:
    rpc = Rpc("ws://someone:secret@127.0.0.1:1/v3/key", clock=SystemClock())
    with pytest.raises(Unreachable) as caught:
        await rpc.call("eth_chainId", deadline_ms=500)
    assert "secret" not in str(caught.value)
    assert "key" not in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)


async def test_after_a_failed_connection_the_next_attempt_waits_and_then_succeeds() -> None:
    async with FakeNode(says(a=1)) as node:
        url = node.url
    rpc = Rpc(url, clock=SystemClock())
    for _ in range(3):
        with pytest.raises(Unreachable):
            await rpc.call("a", deadline_ms=2_000)
    await rpc.close()


@pytest.mark.chain
@pytest.mark.parametrize("kind", ["ws_url", "http_url"])
async def test_both_transports_speak_to_a_real_node(kind: str) -> None:
    async with Anvil() as anvil:
        rpc = Rpc(getattr(anvil, kind), clock=SystemClock())
        assert await rpc.call("eth_chainId") == "0x7a69"
        answers = await rpc.batch([("eth_blockNumber", ()), ("eth_nothing", ())])
        assert answers[0] == "0x0"
        assert isinstance(answers[1], RpcError)
        await rpc.close()


@pytest.mark.chain
async def test_a_node_without_websocket_that_is_gone_is_unreachable() -> None:
    async with Anvil() as anvil:
        rpc = Rpc(anvil.http_url, clock=SystemClock())
        assert await rpc.call("eth_chainId") == "0x7a69"
    with pytest.raises(Unreachable):
        await rpc.call("eth_chainId", deadline_ms=500)
    await rpc.close()


@pytest.mark.chain
async def test_a_reply_over_the_cap_is_refused_over_http_too() -> None:
    async with Anvil() as anvil:
        rpc = Rpc(anvil.http_url, clock=SystemClock(), max_bytes=50)
        with pytest.raises(Undecodable, match="over 50 bytes"):
            await rpc.call("eth_getBlockByNumber", ("latest", False))
        await rpc.close()
