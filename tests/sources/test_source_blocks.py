"""Blocks from a real chain: told once, in order, by a quorum, with what they did to what is watched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monitor.model.chain import ether_probe
from monitor.model.events import BlockOrphaned, Fault, HeadSeen, HealthSeen, StateRead, TransactionMined
from monitor.model.units import NATIVE, ChainId
from monitor.rehearsal.builder_faults import Faults
from monitor.rehearsal.stage import ETHER
from tests.sources.live_chain import asset, block_source, deploy_payer, listening, staged

pytestmark = pytest.mark.chain


async def test_every_block_comes_once_with_its_transactions_and_its_state(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        owner, thief = await stage.person("owner"), await stage.person("thief", ether=0)
        hot = asset("hot", owner)
        async with listening(block_source([stage.builder.ws_url], [hot])) as heard:
            await heard.head(0)
            await stage.send(owner, thief.address, "", value=3 * ETHER)
            await stage.send(stage.admin, stage.responder.address, "", value=1)
            block = await stage.end_slot()
            await heard.until(lambda: any(read.block_number == 1 for read in heard.of(StateRead)))
        (mined,) = heard.of(TransactionMined)
        assert mined.transaction.sender == hot.address
        assert mined.effects.ok
        assert mined.effects.gas_used == 21_000
        assert [(t.token, t.amount) for t in mined.effects.transfers] == [(NATIVE, 3 * ETHER)]
        head = heard.of(HeadSeen)[-1]
        assert (head.count, "0x" + head.header.hash.hex()) == (2, block.mined.block["hash"])
        reading = next(r for r in heard.of(StateRead)[-1].readings if r.probe == ether_probe(hot.address))
        assert int.from_bytes(reading.before or b"", "big") == 1_000 * ETHER
        assert int.from_bytes(reading.after or b"", "big") < 997 * ETHER
        order = [type(event).__name__ for event in heard.events if getattr(event, "block_number", 1) == 1]
        assert order.index("TransactionMined") < order.index("StateRead")


async def test_a_cut_socket_is_followed_by_a_backfill_without_gap(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        node = await stage.builder.endpoint("flaky")
        async with listening(block_source([node.ws_url], [asset("hot", stage.admin)])) as heard:
            await heard.head(0)
            await stage.end_slot()
            await heard.head(1)
            await node.set_faults(Faults(cut=True))
            for _ in range(5):
                await stage.end_slot()
            await node.set_faults(Faults())
            await heard.head(6)
            await stage.end_slot()
            await heard.head(7)
        assert [header.number for header in heard.chain()][-7:] == [1, 2, 3, 4, 5, 6, 7]
        assert any("subscription lost" in fault.what for fault in heard.of(Fault)) or heard.of(Fault) == []


async def test_a_reorg_of_depth_two_is_told_from_the_tip_down(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        hot = asset("hot", stage.admin)
        async with listening(block_source([stage.builder.ws_url], [hot])) as heard:
            await heard.head(0)
            lost = await stage.send(stage.admin, stage.responder.address, "", value=5)
            for _ in range(3):
                await stage.end_slot()
            await heard.head(3)
            made = await stage.builder.reorg(3, drop=frozenset({lost}))
            await heard.hash(made[-1].mined.block["hash"])
        assert [orphan.number for orphan in heard.of(BlockOrphaned)] == [3, 2, 1]
        assert [header.number for header in heard.chain()][-3:] == [1, 2, 3]
        assert len(heard.of(TransactionMined)) == 1


async def test_a_lying_node_is_left_out_and_admitted_when_it_agrees_again(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        nodes = [await stage.builder.endpoint(name) for name in ("one", "two", "three")]
        source = block_source([node.ws_url for node in nodes], [asset("hot", stage.admin)], quorum=2)
        async with listening(source) as heard:
            await heard.head(0)
            await stage.end_slot()
            await heard.head(1)
            await nodes[2].set_faults(Faults(lying=True))
            for _ in range(3):
                await stage.end_slot()
            await heard.head(4)
            await heard.until(lambda: any("left out" in f.what and f.on == "node-2" for f in heard.of(Fault)))
            await nodes[2].set_faults(Faults())
            await stage.end_slot()
            await heard.head(5)
            await heard.until(lambda: any("admitted again" in f.what and f.on == "node-2" for f in heard.of(Fault)))
        assert [header.number for header in heard.chain()][-5:] == [1, 2, 3, 4, 5]
        assert not heard.of(BlockOrphaned)
        assert all(seen.level == 1 for seen in heard.of(HealthSeen) if seen.component == "nodes:devnet")


async def test_a_node_that_forges_a_body_is_caught_by_the_root(tmp_path: Path) -> None:
    def hidden(params: list[Any], result: Any) -> Any:
        return result | {"transactions": []} if params[1:] == [True] else result

    async with staged(tmp_path) as stage:
        owner = await stage.person("owner")
        faults = Faults(forged={"eth_getBlockByHash": hidden})
        nodes = [await stage.builder.endpoint("liar", faults), await stage.builder.endpoint("honest")]
        source = block_source([node.ws_url for node in nodes], [asset("hot", owner)], quorum=2)
        async with listening(source) as heard:
            await stage.send(owner, stage.responder.address, "", value=9)
            await stage.end_slot()
            await heard.until(lambda: len(heard.of(TransactionMined)) == 1)
            await heard.until(lambda: any("left out" in f.what and f.on == "node-0" for f in heard.of(Fault)))


async def test_a_stalled_node_is_reported_and_blinds_nobody(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        nodes = [await stage.builder.endpoint(name) for name in ("one", "two", "three")]
        source = block_source([node.ws_url for node in nodes], [asset("hot", stage.admin)], quorum=2)
        async with listening(source) as heard:
            await heard.head(0)
            await stage.end_slot()
            await heard.head(1)
            await nodes[0].set_faults(Faults(stalled=True))
            for _ in range(5):
                await stage.end_slot()
            await heard.head(6)
            await heard.until(lambda: any("behind" in f.what and f.on == "node-0" for f in heard.of(Fault)))


async def test_a_node_without_a_websocket_is_polled(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        async with listening(block_source([stage.builder.http_url], [asset("hot", stage.admin)])) as heard:
            await heard.head(0)
            for number in range(1, 6):
                await stage.end_slot()
                await heard.head(number)
        assert [header.number for header in heard.chain()][-5:] == [1, 2, 3, 4, 5]


async def test_duplicate_and_late_heads_change_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        async with listening(block_source([stage.builder.ws_url], [asset("hot", stage.admin)])) as heard:
            await heard.head(0)
            await stage.end_slot()
            await heard.head(1)
            await stage.builder.seal(announce=False)
            await stage.builder.seal()
            stage.builder.announce(2, 2, 1, 3)
            await heard.head(3)
            await stage.end_slot()
            await heard.head(4)
        assert [header.number for header in heard.chain()][-4:] == [1, 2, 3, 4]


async def test_a_node_of_another_chain_is_refused(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        source = block_source([stage.builder.ws_url], [], chain_id=ChainId(1))
        async with listening(source) as heard:
            await stage.end_slot()
            await heard.until(lambda: any("serves chain 31337" in fault.what for fault in heard.of(Fault)))
            await heard.until(lambda: any(s.component == "nodes:devnet" and s.level == 0 for s in heard.of(HealthSeen)))
        assert not heard.of(HeadSeen)


async def test_a_long_gap_is_filled_from_where_the_journal_ends(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        async with listening(block_source([stage.builder.ws_url], [])) as heard:
            await heard.head(0)
            for _ in range(3):
                await stage.end_slot()
            await heard.head(3)
        known = heard.chain()
        await stage.rpc("anvil_mine", hex(300))
        async with listening(block_source([stage.builder.ws_url], [], known=known)) as resumed:
            await resumed.head(303)
        assert [header.number for header in resumed.chain()] == list(range(4, 304))


async def test_telling_begins_at_the_height_that_is_asked_for(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        for _ in range(4):
            await stage.end_slot()
        async with listening(block_source([stage.builder.ws_url], [], first=2)) as heard:
            await heard.head(4)
        assert [header.number for header in heard.chain()] == [2, 3, 4]


async def test_ether_moved_where_nothing_names_the_wallet_is_found_by_its_balance(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        cold = await stage.person("cold")
        payer = await deploy_payer(stage, cold.address)
        async with listening(block_source([stage.builder.ws_url], [asset("cold", cold)])) as heard:
            await heard.until(lambda: bool(heard.of(StateRead)))
            await stage.send(stage.admin, payer, "", value=7 * ETHER)
            await stage.end_slot()
            await heard.until(lambda: bool(heard.of(TransactionMined)))
        (mined,) = heard.of(TransactionMined)
        moved = [t.amount for t in mined.effects.transfers if t.to == asset("cold", cold).address]
        assert moved == [7 * ETHER]
        assert [frame.depth for frame in mined.effects.calls] == [0, 1]


async def test_tokens_pulled_through_a_router_are_seen_by_their_logs(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        owner, thief = await stage.person("owner"), await stage.person("thief")
        token, router = await stage.deploy("Token", "Token", "TKN", 18), await stage.deploy("Router")
        await stage.setup(owner, token, "approve(address,uint256)", router, 2**255)
        await stage.setup(stage.admin, token, "mint(address,uint256)", owner, 100)
        await stage.end_slot()
        await stage.end_slot()
        hot = asset("hot", owner, tokens=[token.address])
        async with listening(block_source([stage.builder.ws_url], [hot])) as heard:
            await heard.until(lambda: bool(heard.of(StateRead)))
            await stage.send(owner, router, "forward(address,address,uint256)", token, thief, 60)
            await stage.end_slot()
            await heard.until(lambda: bool(heard.of(TransactionMined)) and len(heard.of(StateRead)) > 1)
        (mined,) = heard.of(TransactionMined)
        paid = [t for t in mined.effects.transfers if t.to == asset("thief", thief).address]
        assert [(t.token, t.amount) for t in paid] == [(token.raw, 60)]
        assert mined.effects.calls


async def test_tokens_that_revert_burn_gas_or_return_megabytes_read_as_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        owner = await stage.person("owner")
        bad = [await stage.deploy(name) for name in ("RevertToken", "GasBurnToken", "MegabyteToken")]
        for token in bad:
            await stage.setup(stage.admin, token, "setBad(bool)", True)
        await stage.end_slot()
        hot = asset("hot", owner, tokens=[token.address for token in bad])
        async with listening(block_source([stage.builder.ws_url], [hot])) as heard:
            await heard.until(lambda: bool(heard.of(StateRead)))
        words = {reading.probe: reading.after for reading in heard.of(StateRead)[0].readings}
        assert words.pop(ether_probe(hot.address)) == (1_000 * ETHER).to_bytes(32, "big")
        assert list(words.values()) == [None, None, None]


async def test_a_node_that_forges_state_is_outvoted_and_named(tmp_path: Path) -> None:
    faults = Faults(forged={"eth_getBalance": lambda params, result: "0x1"})
    async with staged(tmp_path) as stage:
        names = ("liar", "one", "two")
        nodes = [await stage.builder.endpoint(name, faults if name == "liar" else None) for name in names]
        source = block_source([node.ws_url for node in nodes], [asset("hot", stage.admin)], quorum=2)
        async with listening(source) as heard:
            for number in range(1, 30):
                await stage.end_slot()
                await heard.head(number)
                if source.faults.total("node left out"):
                    break
            await heard.until(lambda: any("another state" in f.what and f.on == "node-0" for f in heard.of(Fault)))
            await heard.until(lambda: bool(heard.of(StateRead)))
        assert all(int.from_bytes(r.readings[0].after or b"", "big") > ETHER for r in heard.of(StateRead))
