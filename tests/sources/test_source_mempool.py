"""Pending transactions on a real chain: told once, simulated all, judged by their effects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from monitor.chain.simulate import NodeSimulator
from monitor.evm.watch import Protected
from monitor.model.assets import Asset
from monitor.model.events import HeadSeen, PendingSimulated, StateRead, TransactionMined, TransactionPending
from monitor.model.units import NATIVE
from monitor.rehearsal.stage import ETHER, Deployed, Person, Stage
from monitor.sources.blocks import BlockSource
from monitor.sources.feed import Endpoint
from monitor.sources.follower import ChainPlan
from monitor.sources.latest import Latest
from monitor.sources.mempool import MempoolSource
from monitor.sources.watch import Watch
from tests.sources.live_chain import (
    CHAIN,
    CLOCK,
    LIMITS,
    asset,
    block_source,
    deploy_payer,
    listening,
    nodes_of,
    staged,
)

pytestmark = pytest.mark.chain


def both_sources(url: str, assets: Sequence[Asset], *, pending_url: str = "") -> tuple[MempoolSource, BlockSource]:
    latest = Latest()
    endpoints = (Endpoint("node-0", pending_url or url),)
    plan = ChainPlan(name="devnet", chain_id=CHAIN, endpoints=endpoints, block_time_ms=12_000, limits=LIMITS)
    nodes = nodes_of(endpoints)
    watch = Watch(CHAIN, Protected(assets))
    simulator = NodeSimulator(nodes, clock=CLOCK)
    mempool = MempoolSource(plan, nodes, watch, simulator, clock=CLOCK, jitter=Random(3).random, latest=latest)
    return mempool, block_source([url], assets, latest=latest)


async def test_a_transaction_that_names_a_wallet_is_told_and_simulated(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        owner = await stage.person("owner")
        hot = asset("hot", owner)
        async with listening(*both_sources(stage.builder.ws_url, [hot])) as heard:
            await heard.until(lambda: bool(heard.of(StateRead)))
            await stage.send(owner, stage.responder.address, "", value=4 * ETHER, gas=50_000)
            await heard.until(lambda: bool(heard.of(PendingSimulated)))
        (told,), (seen,) = heard.of(TransactionPending), heard.of(PendingSimulated)
        assert told.transaction == seen.transaction
        assert seen.not_includable == ""
        assert seen.agrees
        assert [(t.token, t.amount) for t in seen.effects.transfers] == [(NATIVE, 4 * ETHER)]
        assert seen.effects.readings
        assert seen.effects.calls


async def token_and_router(stage: Stage, owner: Person) -> tuple[Deployed, Deployed]:
    token, router = await stage.deploy("Token", "Token", "TKN", 18), await stage.deploy("Router")
    await stage.setup(owner, token, "approve(address,uint256)", router, 2**255)
    await stage.setup(stage.admin, token, "mint(address,uint256)", owner, 100)
    await stage.end_slot()
    await stage.end_slot()
    return token, router


async def test_a_drain_through_a_router_is_seen_pending_and_mined(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        owner, thief = await stage.person("owner"), await stage.person("thief")
        token, router = await token_and_router(stage, owner)
        hot = asset("hot", owner, tokens=[token.address])
        async with listening(*both_sources(stage.builder.ws_url, [hot])) as heard:
            await heard.until(lambda: bool(heard.of(StateRead)))
            await stage.send(owner, router, "forward(address,address,uint256)", token, thief, 60, gas=200_000)
            await heard.until(lambda: bool(heard.of(PendingSimulated)))
            await stage.end_slot()
            await heard.until(lambda: bool(heard.of(TransactionMined)))
        pending, mined = heard.of(PendingSimulated)[0], heard.of(TransactionMined)[0]
        assert pending.transaction == mined.transaction
        for effects in (pending.effects, mined.effects):
            assert [(t.token, t.amount) for t in effects.transfers if t.token == token.raw] == [(token.raw, 60)]


async def test_ether_sent_where_nothing_names_the_wallet_is_seen_by_simulation(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        cold = await stage.person("cold")
        payer = await deploy_payer(stage, cold.address)
        async with listening(*both_sources(stage.builder.ws_url, [asset("cold", cold)])) as heard:
            await heard.until(lambda: bool(heard.of(StateRead)))
            await stage.send(stage.admin, payer, "", value=7 * ETHER, gas=100_000)
            await heard.until(lambda: bool(heard.of(PendingSimulated)))
        assert not heard.of(TransactionPending)
        moved = [t for t in heard.of(PendingSimulated)[0].effects.transfers if t.to == asset("c", cold).address]
        assert [(t.token, t.amount) for t in moved] == [(NATIVE, 7 * ETHER)]


async def test_bodies_are_fetched_by_hash_where_there_is_no_websocket(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        owner = await stage.person("owner")
        sources = both_sources(stage.anvil.ws_url, [asset("hot", owner)], pending_url=stage.anvil.http_url)
        async with listening(*sources) as heard:
            await stage.rpc("evm_mine")
            await heard.until(lambda: bool(heard.of(HeadSeen)))
            body: dict[str, Any] = {"chainId": 31337, "nonce": 0, "value": 5, "gas": 21_000, "to": stage.admin.address}
            body |= {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 1}
            raw = owner.account.sign_transaction(body).raw_transaction
            await stage.rpc("eth_sendRawTransaction", "0x" + raw.hex())
            await heard.until(lambda: bool(heard.of(PendingSimulated)))
        assert heard.of(TransactionPending)[0].transaction.value == 5


async def test_what_touches_is_simulated_again_at_each_head_until_it_is_mined(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        owner = await stage.person("owner")
        async with listening(*both_sources(stage.builder.ws_url, [asset("hot", owner)])) as heard:
            await heard.until(lambda: bool(heard.of(StateRead)))
            owner.nonce = 1
            await stage.send(owner, stage.responder.address, "", value=1, gas=21_000)
            await heard.until(lambda: len(heard.of(PendingSimulated)) == 1)
            await stage.end_slot()
            await heard.until(lambda: len(heard.of(PendingSimulated)) == 2)
            owner.nonce = 0
            await stage.send(owner, stage.responder.address, "", value=2, gas=21_000)
            await heard.until(lambda: len(heard.of(PendingSimulated)) == 4)
        first, again, *later = heard.of(PendingSimulated)
        assert first.not_includable == again.not_includable == "nonce 1, but the sender's next is 0"
        assert {(seen.transaction.nonce, seen.not_includable) for seen in later} == {(0, ""), (1, "")}


async def test_a_constructor_that_pays_is_seen_as_what_it_does(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        cold = await stage.person("cold")
        async with listening(*both_sources(stage.builder.ws_url, [asset("cold", cold)])) as heard:
            await heard.until(lambda: bool(heard.of(StateRead)))
            init = bytes.fromhex("5f5f5f5f3473" + cold.address[2:] + "5af15f5ff3")
            await stage._send(stage.admin, None, init, value=9, gas=200_000, tip=1, private=False, kind="benign")
            await heard.until(lambda: bool(heard.of(PendingSimulated)))
        seen = heard.of(PendingSimulated)[0]
        assert [t.amount for t in seen.effects.transfers if t.to == asset("c", cold).address] == [9]
        assert seen.agrees


@pytest.mark.parametrize(("nonce", "forwarded"), [(0, True), (5, False)])
async def test_a_delegation_counts_only_where_its_nonce_holds(tmp_path: Path, nonce: int, forwarded: bool) -> None:
    async with staged(tmp_path) as stage:
        owner, cold = await stage.person("owner"), await stage.person("cold")
        payer = await deploy_payer(stage, cold.address)
        async with listening(*both_sources(stage.builder.ws_url, [asset("hot", owner)])) as heard:
            await heard.until(lambda: bool(heard.of(StateRead)))
            signed = owner.account.sign_authorization({"chainId": 31337, "address": payer, "nonce": nonce})
            body: dict[str, Any] = {"chainId": 31337, "nonce": stage.admin.nonce, "value": 7, "gas": 200_000}
            body |= {"to": owner.address, "maxFeePerGas": 10**12, "maxPriorityFeePerGas": 1, "type": 4}
            raw = stage.admin.account.sign_transaction(body | {"authorizationList": [signed]}).raw_transaction
            await stage.builder.send_public(bytes(raw))
            await heard.until(lambda: bool(heard.of(PendingSimulated)))
        seen = heard.of(PendingSimulated)[0]
        assert any(t.to == asset("c", cold).address for t in seen.effects.transfers) == forwarded
