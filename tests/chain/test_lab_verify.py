"""What is said of a response after it was mined."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.evm.abi import encode_call
from monitor.model.actions import Attack, Plan, Rehearsed
from monitor.model.chain import SlotChange
from monitor.model.events import ResponseIncluded, ResponseVerified
from monitor.model.units import DOLLAR, NO_HASH, Address, Hash
from tests.chain.lab_world import ADMIN, ETHER, THIEF, LabWorld, but, direct, guarded, lab_world, pending

pytestmark = pytest.mark.chain


@pytest.fixture
async def world() -> AsyncIterator[LabWorld]:
    async with lab_world() as opened:
        yield opened


@pytest.fixture
async def market(world: LabWorld) -> tuple[LabWorld, Attack]:
    where, token = await world.market()
    attacker = await world.deploy("MarketAttacker", ["address"], world.lender)
    world.protect(guarded("market", where, world.guardian, token))
    return world, pending(attacker, encode_call("attack(address)", where), "market")


async def responded(world: LabWorld, plan: Plan, attack: Attack | None) -> tuple[Rehearsed, ResponseIncluded]:
    found = await world.rehearse(plan, attack)
    return Rehearsed(plan, found), await world.respond(plan)


async def verified(world: LabWorld, plan: Plan, attack: Attack | None) -> ResponseVerified:
    rehearsed, included = await responded(world, plan, attack)
    return await world.lab().verify(rehearsed, attack, included, 1)


async def test_a_pause_in_force_blocks_the_attack_that_would_pay_without_it(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    said = await verified(world, world.pausing("market"), attack)
    assert (said.holds, said.blocked, said.why, said.differs) == ("holds", "holds", "", ())
    assert 900 * DOLLAR < said.attack_pays_usd <= 1_000 * DOLLAR
    assert said.after_blocks == 1


async def test_a_pause_that_a_person_lifted_fails_and_blocks_nothing(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    rehearsed, included = await responded(world, world.pausing("market"), attack)
    assert world.guardian is not None
    await world.send(world.guardian, encode_call("resume(address)", world.assets.all()[0].address), sender=ADMIN)
    said = await world.lab().verify(rehearsed, attack, included, 3)
    assert (said.holds, said.blocked) == ("fails", "fails")
    assert "paused()" in said.why


async def test_a_response_on_something_else_blocks_nothing(world: LabWorld) -> None:
    first, token = await world.market()
    second, _ = await world.market()
    attacker = await world.deploy("MarketAttacker", ["address"], world.lender)
    world.protect(guarded("first", first, world.guardian, token), guarded("second", second, world.guardian))
    attack = pending(attacker, encode_call("attack(address)", first), "first")
    said = await verified(world, world.pausing("second"), attack)
    assert (said.holds, said.blocked) == ("holds", "fails")


async def test_an_attack_that_is_mined_is_run_with_what_it_spent_put_back(world: LabWorld) -> None:
    bridge, token = await world.bridge()
    world.protect(direct("bridge", bridge, token))
    message = encode_call("encode(uint256,address,address,uint256)", 7, token, THIEF, 10 * ETHER)[4:]
    attack = await world.mined(bridge, encode_call("process(bytes)", message), "bridge")
    said = await verified(world, world.pausing("bridge"), attack)
    assert (said.holds, said.blocked) == ("holds", "holds")
    assert said.attack_pays_usd == 990 * DOLLAR  # another message would take the rest


async def test_a_pending_attack_that_was_mined_before_the_pause_is_still_judged(world: LabWorld) -> None:
    bridge, token = await world.bridge()
    world.protect(direct("bridge", bridge, token))
    message = encode_call("encode(uint256,address,address,uint256)", 7, token, THIEF, 10 * ETHER)[4:]
    attack = but(await world.mined(bridge, encode_call("process(bytes)", message), "bridge"), mined=False)
    said = await verified(world, world.pausing("bridge"), attack)
    assert (said.holds, said.blocked) == ("holds", "holds")


async def test_a_replay_that_fails_for_another_reason_is_unproven(world: LabWorld) -> None:
    bridge, token = await world.bridge()
    world.protect(direct("bridge", bridge, token))
    message = encode_call("encode(uint256,address,address,uint256)", 7, token, THIEF, 10 * ETHER)[4:]
    call = encode_call("process(bytes)", message)
    await world.send(bridge, call, sender=ADMIN)  # somebody else used the message
    said = await verified(world, world.pausing("bridge"), pending(bridge, call, "bridge"))
    assert (said.holds, said.blocked, said.attack_pays_usd) == ("holds", "UNPROVEN", 0)
    assert "does not pay" in said.why


async def test_without_an_attack_only_the_post_conditions_are_judged(market: tuple[LabWorld, Attack]) -> None:
    world, _ = market
    said = await verified(world, world.pausing("market"), None)
    assert (said.holds, said.blocked) == ("holds", "UNPROVEN")


async def test_a_slot_that_was_not_predicted_is_told(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    plan = world.pausing("market")
    rehearsed, included = await responded(world, plan, attack)
    known = rehearsed.rehearsal.predicted
    short = Rehearsed(plan, but(rehearsed.rehearsal, predicted=known[1:]))
    said = await world.lab().verify(short, attack, included, 1)
    assert [(each.address, each.slot) for each in said.differs] == [(known[0].address, known[0].slot)]


async def test_a_predicted_slot_that_was_not_written_is_no_surprise(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    plan = world.pausing("market")
    rehearsed, included = await responded(world, plan, attack)
    more = SlotChange(Address(b"\x01" * 20), NO_HASH, NO_HASH, Hash(b"\x01" * 32))
    longer = Rehearsed(plan, but(rehearsed.rehearsal, predicted=(*rehearsed.rehearsal.predicted, more)))
    assert (await world.lab().verify(longer, attack, included, 1)).differs == ()


async def test_a_node_that_is_gone_leaves_everything_unproven(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    rehearsed, included = await responded(world, world.pausing("market"), attack)
    lab = world.lab()
    await world.anvil.__aexit__(None, None, None)
    said = await lab.verify(rehearsed, attack, included, 1)
    assert (said.holds, said.blocked, said.attack_pays_usd) == ("UNPROVEN", "UNPROVEN", 0)
    assert "were not read" in said.why


async def test_without_a_head_nothing_is_judged(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    rehearsed, included = await responded(world, world.pausing("market"), attack)
    world.head = None
    said = await world.lab().verify(rehearsed, attack, included, 1)
    assert (said.holds, said.blocked) == ("UNPROVEN", "UNPROVEN")
