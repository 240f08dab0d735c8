"""Signing, sending and finding responses on a real anvil: once, in order, at a bounded price, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.chain.rpc import Nodes, Rpc
from monitor.chain.submit import EnforceSubmit
from monitor.chain.withheld import ProposeSubmit, ShadowSubmit
from monitor.clock import SystemClock
from monitor.evm.transactions import decode_raw
from monitor.model.actions import Bid
from monitor.model.chain import Call, SignedTransaction, Transaction, TransactionRequest
from monitor.model.errors import Refused, SignerRefused, Undecodable, Unreachable
from monitor.model.events import ResponseSigned
from monitor.model.ports import Submit
from monitor.model.units import NO_HASH, ChainId, Wei, shown
from tests.chain.guarded_chain import GAS, GuardedChain, guarded_chain
from tests.chain.responding import BID, CHAIN, ETHER, GWEI, SENDER, rehearsed

pytestmark = pytest.mark.chain
RICH = Bid(tip=2 * GWEI, max_tip=5_000 * GWEI, max_cost=Wei(5 * ETHER))


@pytest.fixture
async def chain() -> AsyncIterator[GuardedChain]:
    async with guarded_chain() as made:
        yield made


async def send(
    chain: GuardedChain, submit: EnforceSubmit, action_id: str = "main:1/pause", **plan: Any
) -> ResponseSigned:
    """Sign, journal, send, as the shell does."""
    (signed,) = await submit.sign(chain.plan(action_id, **plan), BID)
    event = chain.written(signed, action_id)
    sent = await submit.send(CHAIN, action_id, signed.raw, signed.hash)
    assert sent.accepted_by
    return event


def seen(sent: ResponseSigned) -> Transaction:
    return decode_raw(sent.raw, chain_id=CHAIN)


class TestOneResponse:
    async def test_is_signed_sent_mined_and_found(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        sent = await send(chain, submit)
        assert await submit.find(CHAIN, sent.action_id, sent.hash) is None
        await chain.mine()
        found = await submit.find(CHAIN, sent.action_id, sent.hash)
        assert found is not None
        receipt = await chain.rpc.call("eth_getTransactionReceipt", [shown(sent.hash)])
        block = await chain.rpc.call("eth_getBlockByNumber", ["latest", False])
        assert (found.ok, found.hash, found.action_id) == (True, sent.hash, sent.action_id)
        assert shown(found.block_hash) == receipt["blockHash"] == block["hash"]
        assert found.cost == int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
        assert found.timestamp == int(block["timestamp"], 16)
        assert [await chain.paused(target) for target in chain.targets] == [True, False]

    async def test_is_signed_once_however_often_it_is_asked_for(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(submit.sign(chain.plan(), BID)) for _ in range(5)]
        assert len({task.result() for task in tasks}) == 1

    async def test_may_be_sent_again_and_again(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        sent = await send(chain, submit)
        again = await submit.send(CHAIN, sent.action_id, sent.raw, sent.hash)
        assert (len(again.accepted_by), again.refused_by) == (1, ())
        await chain.mine()
        mined = await chain.submit().send(CHAIN, sent.action_id, sent.raw, sent.hash)
        assert (len(mined.accepted_by), mined.refused_by) == (1, ())
        await chain.mine()
        assert await chain.count() == 1

    async def test_is_not_sent_under_another_hash(self, chain: GuardedChain) -> None:
        with pytest.raises(Undecodable, match="do not have the hash"):
            await chain.submit().send(CHAIN, "main:1/pause", b"\x02", NO_HASH)

    async def test_that_reverts_is_found_as_failed(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        sent = await send(chain, submit)
        await chain.rpc.call("anvil_setCode", [shown(chain.guardian), "0xfe"])
        await chain.mine()
        found = await submit.find(CHAIN, sent.action_id, sent.hash)
        assert found is not None
        assert not found.ok

    async def test_of_several_calls_takes_nonces_in_their_order_and_shares_the_bid(self, chain: GuardedChain) -> None:
        calls = tuple(chain.plan(targets=[target]).plan.calls[0] for target in chain.targets)
        signed = await chain.submit().sign(rehearsed(calls=calls), BID)
        assert [s.request.nonce for s in signed] == [0, 1]
        assert [s.request.data for s in signed] == [call.data for call in calls]
        assert sum(s.request.gas * s.request.max_fee for s in signed) <= BID.max_cost


class TestTwoIncidentsOnOneKey:
    async def test_take_neighbouring_nonces_at_the_same_instant(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        async with asyncio.TaskGroup() as group:
            group.create_task(send(chain, submit, "main:1/pause", targets=chain.targets[:1]))
            group.create_task(send(chain, submit, "main:2/pause", targets=chain.targets[1:]))
        assert sorted(event.nonce for event in chain.journal) == [0, 1]
        await chain.mine()
        for event in chain.journal:
            found = await submit.find(CHAIN, event.action_id, event.hash)
            assert found is not None
            assert found.ok
        assert [await chain.paused(target) for target in chain.targets] == [True, True]

    async def test_at_most_eight_are_in_flight(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        for number in range(8):
            await send(chain, submit, f"main:{number}/pause")
        with pytest.raises(Refused, match="lane: guardian-key: 8 in flight and 1 more"):
            await submit.sign(chain.plan("main:9/pause"), BID)
        await chain.mine()
        assert len(await submit.sign(chain.plan("main:9/pause"), BID)) == 1

    async def test_the_urgent_one_raises_what_is_below_it(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        low = await send(chain, submit)
        urgent_bid = replace(RICH, tip=50 * GWEI)
        (signed,) = await submit.sign(chain.plan("main:2/pause", targets=chain.targets[1:]), urgent_bid)
        urgent = chain.written(signed, "main:2/pause")
        await submit.send(CHAIN, urgent.action_id, urgent.raw, urgent.hash)
        (raised,) = await submit.outbid(urgent, urgent_bid)
        assert (raised.action_id, raised.incident, raised.nonce) == (low.action_id, "main:1", low.nonce)
        assert raised.replaces == low.hash
        await submit.send(CHAIN, raised.action_id, raised.raw, raised.hash)
        assert await submit.outbid(urgent, urgent_bid) == (), "they pay enough now"
        await chain.mine()
        for event in (low, urgent):
            assert await submit.find(CHAIN, event.action_id, event.hash) is not None

    async def test_what_is_lent_to_others_comes_out_of_the_bid(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        low = await send(chain, submit)
        poor = Bid(tip=50 * GWEI, max_tip=50 * GWEI, max_cost=Wei(GAS * 60 * GWEI))
        (signed,) = await submit.sign(chain.plan("main:2/pause", targets=chain.targets[1:]), poor)
        urgent = chain.written(signed, "main:2/pause")
        newest = low
        while raised := await submit.outbid(urgent, poor):
            newest = raised[0]
        lent = GAS * (seen(newest).max_fee - seen(low).max_fee)
        assert 0 < lent <= poor.max_cost - GAS * signed.request.max_fee

    async def test_to_raise_others_asks_nothing_and_signs_nothing_where_nobody_is_below(
        self, chain: GuardedChain
    ) -> None:
        submit = chain.submit()
        sent = await send(chain, submit)
        await chain.nodes.close()
        chain.nodes.drop(chain.nodes.usable()[0].name, "so that a question would fail")
        assert await submit.outbid(sent, RICH) == ()

    async def test_to_raise_others_never_fails_a_response_that_is_out(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        await send(chain, submit)
        urgent = await send(chain, submit, "main:2/pause")
        chain.nodes.drop(chain.nodes.usable()[0].name, "nobody answers any more")
        assert await submit.outbid(urgent, replace(RICH, tip=50 * GWEI)) == ()

    async def test_no_raise_costs_more_than_the_bid_or_the_binding_allows(self) -> None:
        async with guarded_chain(max_cost=ETHER) as chain:
            submit, most = chain.submit(), Bid(tip=9_000 * GWEI, max_tip=9_000 * GWEI, max_cost=Wei(ETHER))
            await send(chain, submit, gas_used=10)
            (signed,) = await submit.sign(
                chain.plan("main:2/pause", gas_used=10), replace(most, max_cost=Wei(ETHER // 2))
            )
            urgent = chain.written(signed, "main:2/pause")
            for _ in range(5):
                for raised in await submit.outbid(urgent, most):
                    assert seen(raised).max_fee * GAS <= 8 * ETHER


class TestAResponseThatIsNotMined:
    async def test_is_replaced_on_its_nonce_at_a_higher_fee(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        sent = await send(chain, submit)
        first = seen(sent)
        assert await submit.bump(sent, RICH) is None, "no block has passed yet"
        await chain.mine(base_fee=first.max_fee + 1)
        assert await submit.find(CHAIN, sent.action_id, sent.hash) is None
        bumped = await submit.bump(sent, RICH)
        assert bumped is not None
        assert bumped.request.nonce == sent.nonce
        assert bumped.request.max_fee * 8 > first.max_fee * 9
        assert bumped.request.max_priority_fee * 8 > first.max_priority_fee * 9
        assert (bumped.request.to, bumped.request.data) == (first.to, first.data)
        chain.written(bumped, replaces=sent.hash)
        assert (await submit.send(CHAIN, sent.action_id, bumped.raw, bumped.hash)).accepted_by
        await chain.mine()
        found = await submit.find(CHAIN, sent.action_id, sent.hash)
        assert found is not None, "asked for by its first hash"
        assert found.hash == bumped.hash
        assert await chain.count() == 1

    async def test_is_raised_step_by_step_but_never_above_the_bid(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        bid = Bid(tip=2 * GWEI, max_tip=4 * GWEI, max_cost=Wei(ETHER))
        (signed,) = await submit.sign(chain.plan(), bid)
        sent, steps = chain.written(signed), 0
        while True:
            await chain.mine(base_fee=100 * GWEI)
            bumped = await submit.bump(sent, bid)
            if bumped is None:
                break
            assert bumped.request.max_priority_fee <= bid.max_tip
            assert bumped.request.max_fee * bumped.request.gas <= bid.max_cost
            sent, steps = chain.written(bumped, replaces=sent.hash), steps + 1
        assert 1 <= steps <= 6

    async def test_waits_where_another_is_below_it(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        low = await send(chain, submit)
        high = await send(chain, submit, "main:2/pause")
        await chain.mine(base_fee=200 * GWEI)
        assert await submit.bump(high, RICH) is None
        assert await submit.bump(low, RICH) is not None

    async def test_moves_when_somebody_else_used_its_nonce(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        (signed,) = await submit.sign(chain.plan(), BID)
        sent = chain.written(signed)
        await chain.used_by_another()
        refused = await submit.send(CHAIN, sent.action_id, sent.raw, sent.hash)
        assert refused.accepted_by == ()
        assert "nonce too low" in refused.refused_by[0]
        assert await submit.bump(sent, RICH) is None, "receipts may lag"
        await chain.mine()
        moved = await submit.bump(sent, RICH)
        assert moved is not None
        assert (moved.request.nonce, moved.request.data) == (1, signed.request.data)
        chain.written(moved, replaces=sent.hash)
        assert (await submit.send(CHAIN, sent.action_id, moved.raw, moved.hash)).accepted_by
        await chain.mine()
        assert await submit.find(CHAIN, sent.action_id, moved.hash) is not None
        assert await chain.paused(chain.targets[0])

    async def test_fills_the_gap_below_it(self, chain: GuardedChain) -> None:
        before = chain.submit()
        await before.sign(chain.plan("main:0/pause"), BID)  # never journalled, never sent, forgotten by the restart
        lonely = await send(chain, before)
        assert lonely.nonce == 1
        submit = chain.submit()
        await chain.mine()
        assert await submit.find(CHAIN, lonely.action_id, lonely.hash) is None
        filler = await submit.bump(lonely, RICH)
        assert filler is not None
        assert (filler.request.nonce, filler.request.data) == (0, seen(lonely).data)
        chain.written(filler, replaces=lonely.hash)
        await submit.send(CHAIN, lonely.action_id, filler.raw, filler.hash)
        await chain.mine()
        assert await submit.find(CHAIN, lonely.action_id, filler.hash) is not None
        assert await chain.paused(chain.targets[0])


class TestReorgs:
    @pytest.mark.parametrize("depth", [1, 2])
    async def test_a_dropped_response_goes_out_again_with_the_same_bytes(self, chain: GuardedChain, depth: int) -> None:
        submit = chain.submit()
        sent = await send(chain, submit)
        for _ in range(depth):
            await chain.mine()
        assert await submit.find(CHAIN, sent.action_id, sent.hash) is not None
        await chain.reorg(depth)
        assert await submit.find(CHAIN, sent.action_id, sent.hash) is None
        assert not await chain.paused(chain.targets[0])
        assert (await submit.sign(chain.plan(), BID))[0].raw == sent.raw
        assert (await submit.send(CHAIN, sent.action_id, sent.raw, sent.hash)).accepted_by
        await chain.mine()
        assert await submit.find(CHAIN, sent.action_id, sent.hash) is not None
        assert await chain.paused(chain.targets[0])
        assert await chain.count() == 1

    async def test_its_nonce_is_not_given_away_meanwhile(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        sent = await send(chain, submit)
        await chain.mine()
        await submit.find(CHAIN, sent.action_id, sent.hash)
        await chain.reorg()
        (other,) = await submit.sign(chain.plan("main:2/pause"), BID)
        assert other.request.nonce == 1


class TestAfterARestart:
    async def test_journalled_bytes_keep_their_nonce_and_are_not_signed_again(self, chain: GuardedChain) -> None:
        (signed,) = await chain.submit().sign(chain.plan(), BID)
        chain.written(signed)
        submit = chain.submit()
        (other,) = await submit.sign(chain.plan("main:2/pause"), BID)
        assert other.request.nonce == 1
        assert await submit.sign(chain.plan(), BID) == (signed,)

    async def test_a_plan_that_was_journalled_in_part_is_signed_to_its_end(self, chain: GuardedChain) -> None:
        calls = tuple(chain.plan(targets=[target]).plan.calls[0] for target in chain.targets)
        first, second = await chain.submit().sign(rehearsed(calls=calls), BID)
        chain.written(first)
        assert await chain.submit().sign(rehearsed(calls=calls), BID) == (first, second)

    async def test_what_was_mined_meanwhile_takes_no_place(self, chain: GuardedChain) -> None:
        sent = await send(chain, chain.submit())
        await chain.mine()
        submit = chain.submit()
        (other,) = await submit.sign(chain.plan("main:2/pause"), BID)
        assert other.request.nonce == 1
        found = await submit.find(CHAIN, sent.action_id, sent.hash)
        assert found is not None
        assert await submit.bump(sent, RICH) is None

    async def test_a_fee_is_raised_without_anything_remembered(self, chain: GuardedChain) -> None:
        sent = await send(chain, chain.submit())
        await chain.mine(base_fee=300 * GWEI)
        bumped = await chain.submit().bump(sent, RICH)
        assert bumped is not None
        assert bumped.request.nonce == sent.nonce

    async def test_bytes_that_are_not_what_the_journal_says_stop_the_key(self, chain: GuardedChain) -> None:
        (signed,) = await chain.submit().sign(chain.plan(), BID)
        event = chain.written(signed)
        chain.journal[0] = replace(event, nonce=5)
        with pytest.raises(Undecodable, match="are not the transaction that they are said to be"):
            await chain.submit().sign(chain.plan("main:2/pause"), BID)


class TestThePrice:
    async def test_follows_base_fee_tip_and_ladder(self, chain: GuardedChain) -> None:
        (signed,) = await chain.submit().sign(chain.plan(), RICH)
        block = await chain.rpc.call("eth_getBlockByNumber", ["latest", False])
        base = int(block["baseFeePerGas"], 16)
        assert signed.request.max_priority_fee == RICH.tip
        assert 1.7 * base < signed.request.max_fee - RICH.tip < 2.1 * base

    @pytest.mark.parametrize("max_cost", [0, GAS, GAS * 10**6])
    async def test_a_bid_that_does_not_pay_the_base_fee_is_refused(self, chain: GuardedChain, max_cost: int) -> None:
        await chain.mine(base_fee=GWEI)
        with pytest.raises(Refused, match="bid: limit and purse allow"):
            await chain.submit().sign(chain.plan(), replace(BID, max_cost=Wei(max_cost)))

    async def test_is_what_the_purse_can_pay(self, chain: GuardedChain) -> None:
        await chain.rpc.call("anvil_setBalance", [shown(chain.signer.address), hex(GAS * 3 * GWEI)])
        submit = chain.submit()
        (signed,) = await submit.sign(chain.plan(), replace(RICH, tip=100 * GWEI))
        assert signed.request.max_fee == 3 * GWEI
        with pytest.raises(Refused, match="bid: limit and purse allow 0"):
            await submit.sign(chain.plan("main:2/pause"), RICH)

    async def test_the_bid_is_held_against_the_gas_that_the_fork_measured(self, chain: GuardedChain) -> None:
        bid = Bid(tip=1_000 * GWEI, max_tip=1_000 * GWEI, max_cost=Wei(ETHER // 8))
        (blind,) = await chain.submit().sign(chain.plan(), bid)
        (measured,) = await chain.submit().sign(chain.plan(gas_used=72_000), bid)
        assert blind.request.max_fee * GAS <= bid.max_cost
        assert blind.request.max_fee < measured.request.max_fee <= bid.max_cost // 108_000


class SlowSigner:
    """Signs when it is let."""

    def __init__(self, chain: GuardedChain) -> None:
        self.name, self.address = chain.signer.name, chain.signer.address
        self.let, self.chain = asyncio.Event(), chain

    async def sign(self, request: TransactionRequest) -> SignedTransaction:
        await self.let.wait()
        return await self.chain.signer.sign(request)


class TestWhatGoesWrong:
    async def test_a_signer_that_hangs_costs_the_deadline_and_no_nonce(self, chain: GuardedChain) -> None:
        slow = SlowSigner(chain)
        submit = EnforceSubmit(
            {CHAIN: chain.nodes}, {slow.name: slow}, quorum={}, journalled=lambda: (), deadline_ms=200
        )
        with pytest.raises(Unreachable, match="guardian-key on chain 31337: not signed within 200 ms"):
            await submit.sign(chain.plan(), BID)
        slow.let.set()
        (signed,) = await submit.sign(chain.plan("main:2/pause"), BID)
        assert signed.request.nonce == 0

    async def test_a_key_that_refuses_one_call_of_a_plan_takes_no_nonce(self, chain: GuardedChain) -> None:
        submit = chain.submit()
        calls = (chain.plan().plan.calls[0], Call(chain.targets[0], b"\x3f\x4b\xa8\x3a", gas=GAS))
        with pytest.raises(SignerRefused, match="is not among the 3 functions"):
            await submit.sign(rehearsed(calls=calls), BID)
        (signed,) = await submit.sign(chain.plan(), BID)
        assert signed.request.nonce == 0

    async def test_a_plan_for_another_sender_key_or_chain_is_refused(self, chain: GuardedChain) -> None:
        submit, plan = chain.submit(), chain.plan()
        named = replace(plan.plan.calls[0], sender=chain.guardian)
        with pytest.raises(Refused, match="signer: main:1/pause: guardian-key is not the sender"):
            await submit.sign(rehearsed(calls=(named,)), BID)
        with pytest.raises(Refused, match="no signer named 'other' is configured"):
            await submit.sign(rehearsed(calls=plan.plan.calls, signer="other"), BID)
        elsewhere = replace(plan, plan=replace(plan.plan, chain_id=ChainId(5)))
        with pytest.raises(Refused, match="no node of chain 5 is configured"):
            await submit.sign(elsewhere, BID)

    async def test_one_dead_node_of_three_holds_nothing_up(self, chain: GuardedChain) -> None:
        clock = SystemClock()
        dead = Rpc("http://127.0.0.1:9", clock=clock, name="dead")
        alive = [Rpc(chain.url, clock=clock, name=name) for name in ("one", "two")]
        nodes = Nodes(CHAIN, [dead, *alive], clock=clock)
        submit = EnforceSubmit(
            {CHAIN: nodes}, {chain.signer.name: chain.signer}, quorum={CHAIN: 2}, journalled=lambda: ()
        )
        (signed,) = await submit.sign(chain.plan(), BID)
        sent = await submit.send(CHAIN, "main:1/pause", signed.raw, signed.hash)
        assert set(sent.accepted_by) == {"one", "two"}
        assert sent.refused_by[0].startswith("dead: ")
        await chain.mine()
        assert await submit.find(CHAIN, "main:1/pause", signed.hash) is not None
        await nodes.close()

    async def test_without_any_node_it_is_unreachable(self, chain: GuardedChain) -> None:
        clock = SystemClock()
        nodes = Nodes(CHAIN, [Rpc("http://127.0.0.1:9", clock=clock)], clock=clock)
        submit = EnforceSubmit({CHAIN: nodes}, {chain.signer.name: chain.signer}, quorum={}, journalled=lambda: ())
        with pytest.raises(Unreachable):
            await submit.sign(chain.plan(), BID)
        with pytest.raises(Unreachable, match="no receipt from any node"):
            await submit.find(CHAIN, "main:1/pause", NO_HASH)
        await nodes.close()


@pytest.mark.parametrize(("submit", "mode"), [(ShadowSubmit(), "shadow"), (ProposeSubmit(), "propose")])
async def test_shadow_and_propose_sign_and_send_nothing(submit: Submit, mode: str) -> None:
    plan = rehearsed(calls=())
    event = ResponseSigned(
        chain_id=CHAIN,
        action_id="a",
        incident="i",
        signer="k",
        sender=SENDER,
        nonce=0,
        hash=NO_HASH,
        raw=b"",
    )
    assert submit.withheld == mode
    assert await submit.sign(plan, BID) == ()
    assert await submit.bump(event, BID) is None
    assert await submit.find(CHAIN, "a", NO_HASH) is None
    told = await submit.send(CHAIN, "a", b"", NO_HASH)
    assert (told.accepted_by, told.refused_by) == ((), (mode,))


async def test_enforce_is_a_submit_that_withholds_nothing(chain: GuardedChain) -> None:
    submit: Submit = chain.submit()
    assert submit.withheld == ""
    assert await ShadowSubmit().outbid(chain.written((await submit.sign(chain.plan(), BID))[0]), BID) == ()
