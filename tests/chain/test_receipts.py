"""What nodes say of a transaction or an account: one that lies, lags or fails is not believed alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from monitor.chain.accounts import read_account
from monitor.chain.receipts import search
from monitor.chain.rpc import Nodes, Rpc, RpcError
from monitor.chain.rpc_wire import canonical, decode_as
from monitor.chain.submit import EnforceSubmit
from monitor.clock import SystemClock
from monitor.model.errors import Unreachable
from monitor.model.units import Hash, shown
from tests.chain.responding import CHAIN, ETHER, GWEI, SENDER

OURS, OLDER = Hash(b"\x01" * 32), Hash(b"\x02" * 32)
BLOCK, FORK = Hash(b"\xb1" * 32), Hash(b"\xf0" * 32)


class ScriptedRpc:
    """A node that answers by method from a table; a callable answer is called, an error is raised."""

    def __init__(self, name: str, **answers: Any) -> None:
        self.name = name
        self.answers = answers

    async def call(self, method: str, params: Any = (), *, deadline_ms: int = 0, into: Any = None) -> Any:
        answer = self.answers.get(method.removeprefix("eth_"))
        answer = answer(*params) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer if into is None else decode_as(canonical(answer), into)

    async def batch(self, calls: Sequence[Any], *, deadline_ms: int = 0, into: Any = None) -> list[Any]:
        kinds = into if isinstance(into, tuple) else (into,) * len(calls)
        answers = []
        for (method, params), kind in zip(calls, kinds, strict=True):
            try:
                answers.append(await self.call(method, params, into=kind))
            except RpcError as error:
                answers.append(error)
        return answers

    async def close(self) -> None:
        return None


class Hanging(ScriptedRpc):
    """A node that never answers."""

    async def batch(self, calls: Sequence[Any], *, deadline_ms: int = 0, into: Any = None) -> list[Any]:
        await asyncio.Event().wait()
        return []


def block(block_hash: Hash = BLOCK, *, number: int = 9) -> dict[str, Any]:
    zero = "0x" + "00" * 32
    fields = {"parentHash": zero, "timestamp": "0x64", "gasLimit": "0x1c9c380", "gasUsed": "0xe4e1c0"}
    return {"number": hex(number), "hash": shown(block_hash), "baseFeePerGas": hex(GWEI), **fields}


def receipt(tx_hash: Hash = OURS, *, block_hash: Hash = BLOCK, status: str = "0x1") -> dict[str, Any]:
    price = {"gasUsed": "0x5208", "effectiveGasPrice": hex(2 * GWEI), "status": status}
    return {"transactionHash": shown(tx_hash), "blockNumber": "0x9", "blockHash": shown(block_hash), **price}


def of(*receipts: dict[str, Any]) -> Callable[..., Any]:
    by_hash = {r["transactionHash"]: r for r in receipts}
    return lambda tx_hash: by_hash.get(tx_hash)


def honest(name: str, **changes: Any) -> ScriptedRpc:
    answers = {
        "getTransactionReceipt": of(receipt()),
        "getBlockByNumber": lambda *params: block(),
        "getTransactionCount": "0x5",
        "getBalance": hex(ETHER),
    }
    return ScriptedRpc(name, **{**answers, **changes})


def nodes_of(*rpcs: ScriptedRpc) -> Nodes:
    return Nodes(CHAIN, cast("list[Rpc]", list(rpcs)), clock=SystemClock())


async def included(*rpcs: ScriptedRpc, need: int, hashes: Sequence[Hash] = (OLDER, OURS)) -> Any:
    return (await search(nodes_of(*rpcs), hashes, need=need, deadline_ms=500)).found


class TestInclusion:
    async def test_is_believed_when_enough_nodes_say_the_same(self) -> None:
        found = await included(honest("a"), honest("b"), need=2)
        assert (found.hash, found.block_number, found.block_hash, found.timestamp) == (OURS, 9, BLOCK, 100)
        assert (found.ok, found.gas_used, found.cost) == (True, 21_000, 42_000 * GWEI)

    async def test_of_one_node_alone_is_not_believed(self) -> None:
        nothing = honest("b", getTransactionReceipt=None)
        assert await included(honest("liar"), nothing, need=2) is None
        assert await included(honest("liar"), nothing, nothing_named("c"), need=2) is None

    async def test_with_another_outcome_is_outvoted(self) -> None:
        liar = honest("liar", getTransactionReceipt=of(receipt(status="0x0")))
        found = await included(liar, honest("b"), honest("c"), need=2)
        assert found.ok

    async def test_in_a_block_that_a_reorg_left_behind_does_not_count(self) -> None:
        stale = honest("a", getTransactionReceipt=of(receipt(block_hash=FORK)))
        assert await included(stale, need=1) is None
        gone = honest("b", getBlockByNumber=lambda *params: None)
        assert await included(gone, need=1) is None

    async def test_of_a_transaction_that_nobody_asked_for_does_not_count(self) -> None:
        other = honest("a", getTransactionReceipt=lambda tx_hash: receipt(Hash(b"\x09" * 32)))
        assert await included(other, need=1) is None

    async def test_of_a_pending_transaction_does_not_count(self) -> None:
        pending = honest("a", getTransactionReceipt=lambda h: {**receipt(), "blockHash": None, "blockNumber": None})
        assert await included(pending, need=1) is None

    async def test_needs_no_more_nodes_than_are_in_use(self) -> None:
        nodes = nodes_of(honest("a"), honest("left out"))
        nodes.drop("left out", "it lags")
        assert (await search(nodes, [OURS], need=2, deadline_ms=500)).found is not None

    async def test_does_not_wait_for_a_node_that_hangs_once_it_is_settled(self) -> None:
        hanging = Hanging("hangs")
        assert await included(honest("a"), hanging, honest("b"), need=2) is not None

    async def test_is_found_by_one_node_though_another_lags_where_one_is_enough(self) -> None:
        assert await included(nothing_named("lags"), honest("b"), need=1) is not None

    async def test_is_denied_only_by_as_many_nodes_as_would_be_believed(self) -> None:
        silent, empty = honest("silent", getTransactionReceipt=Unreachable("gone")), nothing_named("empty")
        unsure = await search(nodes_of(silent, empty), [OURS], need=2, deadline_ms=500)
        assert (unsure.found, unsure.absent) == (None, False)
        sure = await search(nodes_of(silent, empty, nothing_named("c")), [OURS], need=2, deadline_ms=500)
        assert (sure.found, sure.absent) == (None, True)

    @pytest.mark.parametrize("fault", [RpcError(-32005, "limit"), Unreachable("gone"), {"gasUsed": []}, 7])
    async def test_of_a_node_that_fails_is_not_a_no(self, fault: Any) -> None:
        broken = honest("broken", getTransactionReceipt=lambda tx_hash: fault)
        with pytest.raises(Unreachable, match="no receipt from any node: broken: "):
            await included(broken, need=1)
        assert await included(broken, honest("b"), need=1) is not None


class TestLookingFor:
    """EnforceSubmit.find: whoever takes None for `gone` sends again and gives up what is in force."""

    async def find(self, *rpcs: ScriptedRpc) -> Any:
        nodes = {CHAIN: nodes_of(*rpcs)}
        submit = EnforceSubmit(nodes, {}, quorum={CHAIN: 2}, journalled=list, deadline_ms=50)
        return await submit.find(CHAIN, "main:1/pause", OURS)

    async def test_finds_what_enough_nodes_have(self) -> None:
        assert (await self.find(honest("a"), honest("b"))).block_number == 9

    async def test_says_none_where_enough_nodes_have_nothing(self) -> None:
        assert await self.find(nothing_named("a"), nothing_named("b")) is None

    async def test_does_not_say_none_where_too_few_can_tell(self) -> None:
        for other in (Hanging("b"), nothing_named("b"), honest("b")):
            with pytest.raises(Unreachable, match="too few nodes say"):
                await self.find(Hanging("a"), other)


class TestAccount:
    async def test_is_read_in_one_frame_from_a_single_node(self) -> None:
        account = await read_account(nodes_of(honest("a")), SENDER, need=1, deadline_ms=500)
        assert (account.next_nonce, account.purse, account.head.number) == (5, ETHER, 9)

    async def test_is_what_the_nodes_agree_on(self) -> None:
        liar = honest("a liar", getTransactionCount="0xff", getBalance="0x0")
        account = await read_account(nodes_of(liar, honest("b"), honest("c")), SENDER, need=2, deadline_ms=500)
        assert (account.next_nonce, account.purse) == (5, ETHER)

    async def test_is_the_healthiest_nodes_where_they_do_not_agree(self) -> None:
        ahead = honest("ahead", getTransactionCount="0x6")
        account = await read_account(nodes_of(ahead, honest("b")), SENDER, need=2, deadline_ms=500)
        assert account.next_nonce == 6

    @pytest.mark.parametrize("need", [1, 2])
    async def test_that_nobody_knows_is_unreachable(self, need: int) -> None:
        gone = [honest(name, getBalance=Unreachable(f"{name} is gone")) for name in "ab"]
        with pytest.raises(Unreachable):
            await read_account(nodes_of(*gone), SENDER, need=need, deadline_ms=500)

    async def test_with_an_error_in_it_is_that_error(self) -> None:
        failing = honest("a", getTransactionCount=RpcError(-32000, "state is pruned"))
        with pytest.raises(RpcError, match="state is pruned"):
            await read_account(nodes_of(failing), SENDER, need=1, deadline_ms=500)


def nothing_named(name: str) -> ScriptedRpc:
    return honest(name, getTransactionReceipt=None)
