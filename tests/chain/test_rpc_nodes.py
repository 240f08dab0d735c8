"""Several nodes of one chain: failover, quorum, broadcast."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from eth_account import Account

from monitor.chain.rpc import Nodes, Rpc, RpcError
from monitor.clock import SystemClock
from monitor.model.errors import ConfigurationError, Disagreement, Unreachable
from monitor.model.units import ChainId
from monitor.rehearsal.anvil import DEV_KEYS, Anvil
from tests.chain.scripted_node import Answers, FakeNode, Refusal, Silence, says

CHAIN = ChainId(31_337)


@asynccontextmanager
async def nodes(*answers: Answers) -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as stack:
        fakes = [await stack.enter_async_context(FakeNode(each)) for each in answers]
        clock = SystemClock()
        chain = Nodes(
            CHAIN, [Rpc(fake.url, clock=clock, name=f"n{at}") for at, fake in enumerate(fakes, 1)], clock=clock
        )
        yield chain
        await chain.close()


def refuses(message: str, **results: Any) -> Answers:
    return lambda method, _params: results.get(method, Refusal(message))


async def test_a_node_of_another_chain_is_left_out_with_a_clear_line() -> None:
    async with nodes(says(eth_chainId="0x1"), says(eth_chainId="0x7a69")) as chain:
        assert await chain.check() == ("node n1: serves chain 1, not 31337: correct its rpc entry or the chain_id",)
        assert [node.name for node in chain.usable()] == ["n2"]
        chain.restore("n1")
        assert [node.name for node in chain.usable()] == ["n2"]


async def test_a_node_that_corrects_its_chain_is_used_again() -> None:
    ids = ["0x1", "0x7a69"]
    async with nodes(lambda *_: ids.pop(0) if len(ids) > 1 else ids[0]) as chain:
        assert len(await chain.check()) == 1
        assert await chain.check() == ()
        assert [node.name for node in chain.usable()] == ["n1"]


async def test_an_unreadable_chain_id_is_a_wrong_one() -> None:
    async with nodes(says(eth_chainId={"not": "a number"})) as chain:
        assert "unreadable" in (await chain.check())[0]


async def test_check_leaves_connections_open_for_what_comes_next() -> None:
    async with FakeNode(says(eth_chainId="0x7a69", a=1)) as fake:
        chain = Nodes(CHAIN, [Rpc(fake.url, clock=SystemClock(), name="n1")], clock=SystemClock())
        await chain.check()
        opened = fake.connections
        await chain.first("a")
        assert opened == fake.connections > 1
        await chain.close()


async def test_check_names_the_node_that_does_not_answer() -> None:
    async with nodes(says(eth_chainId="0x7a69"), lambda *_: Silence()) as chain:
        assert await chain.check(deadline_ms=700) == ("node n2: no answer to eth_chainId within 700 ms",)


async def test_a_silent_node_is_passed_over_within_the_deadline() -> None:
    async with nodes(lambda *_: Silence(), says(eth_blockNumber="0x5")) as chain:
        assert await chain.first("eth_blockNumber", deadline_ms=2_000) == "0x5"
        assert chain.health["n1"].failing == 1
        assert [node.name for node in chain.usable()] == ["n2", "n1"]


async def test_a_revert_is_an_answer_and_asks_nobody_else() -> None:
    async with nodes(refuses("execution reverted"), says(eth_call="0x01")) as chain:
        with pytest.raises(RpcError, match="reverted"):
            await chain.first("eth_call")


async def test_a_node_without_the_method_is_passed_over() -> None:
    async with nodes(says(), says(eth_simulateV1=[])) as chain:
        assert await chain.first("eth_simulateV1") == []


async def test_all_silent_is_unreachable_and_names_each() -> None:
    async with nodes(lambda *_: Silence(), lambda *_: Silence()) as chain:
        with pytest.raises(Unreachable, match=r"n1.*n2"):
            await chain.first("eth_blockNumber", deadline_ms=100)


async def test_no_node_in_use_is_unreachable() -> None:
    async with nodes(says(eth_blockNumber="0x5")) as chain:
        chain.drop("n1", "lied about a head")
        with pytest.raises(Unreachable, match="no node is in use"):
            await chain.first("eth_blockNumber")
        chain.restore("n1")
        assert await chain.first("eth_blockNumber") == "0x5"


async def test_a_quorum_ignores_the_order_of_keys_and_the_case_of_hex() -> None:
    async with nodes(says(read={"a": "0xAB", "b": 1}), says(read={"b": 1, "a": "0xab"})) as chain:
        assert await chain.quorum("read", need=2) == {"a": "0xAB", "b": 1}


async def test_a_split_vote_names_who_differs() -> None:
    async with nodes(says(read="0x1"), says(read="0x2")) as chain:
        with pytest.raises(Disagreement, match=r"n1 say 0x1.*n2 say 0x2|n2 say 0x2.*n1 say 0x1"):
            await chain.quorum("read", need=2)


async def test_two_of_three_outvote_a_liar_and_it_is_counted() -> None:
    async with nodes(says(read="0x2"), says(read="0x1"), says(read="0x1")) as chain:
        for _ in range(5):
            assert await chain.quorum("read", need=2) == "0x1"
        assert chain.health["n2"].differed == chain.health["n3"].differed == 0


async def test_a_stalled_node_does_not_hold_a_quorum_up() -> None:
    async with nodes(lambda *_: Silence(), says(read="0x1"), says(read="0x1")) as chain:
        assert await chain.quorum("read", need=2, deadline_ms=30_000) == "0x1"


async def test_too_few_answers_are_unreachable_not_a_disagreement() -> None:
    async with nodes(lambda *_: Silence(), says(read="0x1")) as chain:
        with pytest.raises(Unreachable, match="1 of 2 nodes answered"):
            await chain.quorum("read", need=2, deadline_ms=700)


async def test_nodes_that_agree_on_a_revert_raise_it_however_they_word_it() -> None:
    async with nodes(refuses("execution reverted"), refuses("VM Exception: revert")) as chain:
        with pytest.raises(RpcError):
            await chain.quorum("eth_call", need=2)


async def test_bytes_that_a_node_knows_already_count_as_accepted() -> None:
    raw = b"\x02\x01"
    async with nodes(
        says(eth_sendRawTransaction="0x00"),
        refuses("transaction already imported"),
        refuses("nonce too low", eth_getTransactionByHash={"hash": "0x00"}),
        refuses("nonce too low", eth_getTransactionByHash=None),
        lambda *_: Silence(),
    ) as chain:
        sent = await chain.broadcast(raw, deadline_ms=1_500)
    assert [each.accepted for each in sent] == [True, True, True, False, False]
    assert "nonce too low" in sent[3].why
    assert "no answer" in sent[4].why


async def test_a_broadcast_reaches_a_node_left_out_as_a_liar_but_not_one_of_another_chain() -> None:
    async with nodes(
        says(eth_chainId="0x7a69", eth_sendRawTransaction="0x00"),
        says(eth_chainId="0x1", eth_sendRawTransaction="0x00"),
    ) as chain:
        await chain.check()
        chain.drop("n1", "lied")
        assert [sent.node for sent in await chain.broadcast(b"\x02")] == ["n1"]


def test_two_nodes_of_one_name_are_a_configuration_error() -> None:
    clock = SystemClock()
    twins = [Rpc("ws://127.0.0.1:1", clock=clock, name="a"), Rpc("ws://127.0.0.1:2", clock=clock, name="a")]
    with pytest.raises(ConfigurationError):
        Nodes(CHAIN, twins, clock=clock)


@pytest.mark.chain
async def test_a_real_node_accepts_equal_bytes_before_and_after_they_are_mined() -> None:
    clock = SystemClock()
    async with Anvil() as anvil:
        chain = Nodes(CHAIN, [Rpc(anvil.ws_url, clock=clock, name="anvil")], clock=clock)
        account = Account.from_key(DEV_KEYS[0])
        raw = bytes(
            account.sign_transaction(
                {
                    "chainId": 31_337,
                    "to": account.address,
                    "value": 1,
                    "nonce": 0,
                    "gas": 21_000,
                    "maxFeePerGas": 10**10,
                    "maxPriorityFeePerGas": 1,
                }
            ).raw_transaction
        )
        assert [sent.accepted for sent in await chain.broadcast(raw)] == [True]
        assert [sent.accepted for sent in await chain.broadcast(raw)] == [True]
        await chain.first("evm_mine")
        assert [sent.accepted for sent in await chain.broadcast(raw)] == [True]
        await chain.close()
