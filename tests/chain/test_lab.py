"""What a rehearsal says of a response, on a real chain."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.chain.rpc import Nodes, Rpc
from monitor.clock import SystemClock
from monitor.evm.abi import encode_call, selector
from monitor.evm.invariants import parse
from monitor.model.actions import Attack, Expectation
from monitor.model.chain import Call
from monitor.model.errors import Refused
from monitor.model.units import DOLLAR, NATIVE, Address, shown
from tests.chain.lab_world import (
    ADMIN,
    ETHER,
    PAUSER,
    SIGNER,
    THIEF,
    USER,
    LabWorld,
    but,
    direct,
    golden,
    guarded,
    lab_world,
    pending,
)
from tests.chain.programs import KECCAK_BOMB, code

pytestmark = pytest.mark.chain

SAFE = Address(b"\xa1" * 20)  # holds ether, gives it to whoever asks, unless its slot 0 is set
BOMB = Address(b"\xa2" * 20)
AWARE = Address(b"\xa3" * 20)

# pause() sets slot 0; paused() reads it; anything else sends all ether to the caller while slot 0 is zero.
GIVES_AWAY = code(
    f"PUSH0 CALLDATALOAD e0 SHR DUP1 {selector('pause()').hex()} EQ @pause JUMPI"
    f" {selector('paused()').hex()} EQ @read JUMPI"
    " PUSH0 SLOAD @no JUMPI PUSH0 PUSH0 PUSH0 PUSH0 SELFBALANCE CALLER GAS CALL STOP"
    " :pause 01 PUSH0 SSTORE STOP :read PUSH0 SLOAD PUSH0 MSTORE 20 PUSH0 RETURN :no PUSH0 PUSH0 REVERT"
)


@pytest.fixture
async def world() -> AsyncIterator[LabWorld]:
    async with lab_world() as opened:
        yield opened


@pytest.fixture
async def market(world: LabWorld) -> tuple[LabWorld, Attack]:
    """A guarded market, and a pending attack on it."""
    where, token = await world.market()
    attacker = await world.deploy("MarketAttacker", ["address"], world.lender)
    world.protect(guarded("market", where, world.guardian, token))
    return world, pending(attacker, encode_call("attack(address)", where), "market")


async def test_a_pause_that_stops_a_pending_attack_holds_with_its_loss(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    found = await world.rehearse(world.pausing("market"), attack)
    assert (found.valid, found.loss_verdict) == ("holds", "holds")
    assert 900 * DOLLAR < found.loss_without_usd <= 1_000 * DOLLAR
    assert found.loss_with_usd == 0
    assert 40_000 < found.gas_used < 120_000
    assert world.head is not None
    assert (found.block_hash, found.engine) == (world.head.hash, "eth_simulateV1")
    assert {change.address for change in found.predicted} == {world.guardian, world.assets.all()[0].address}


async def test_without_an_attack_only_validity_is_said(market: tuple[LabWorld, Attack]) -> None:
    world, _ = market
    found = await world.rehearse(world.pausing("market"), None)
    assert (found.valid, found.loss_verdict, found.loss_without_usd) == ("holds", "UNPROVEN", 0)


async def test_a_key_without_the_role_fails_with_the_reason(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    world.signers[SIGNER] = USER
    found = await world.rehearse(world.pausing("market"), attack)
    assert found.valid == "fails"
    assert "reverted: 0x" in found.why
    assert found.loss_verdict == "UNPROVEN"


async def test_a_key_that_cannot_pay_for_its_gas_fails(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    await world.rpc.call("anvil_setBalance", (shown(PAUSER), "0x1"))
    await world.mine()
    found = await world.rehearse(world.pausing("market"), attack)
    assert found.valid == "fails"
    assert "rejected" in found.why


async def test_an_unknown_signer_is_unproven_and_never_ready(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    del world.signers[SIGNER]
    found = await world.rehearse(world.pausing("market"), attack)
    assert (found.valid, found.loss_verdict) == ("UNPROVEN", "UNPROVEN")
    assert "no signer is called" in found.why


async def test_no_head_is_unproven(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    world.head = None
    assert (await world.rehearse(world.pausing("market"), attack)).valid == "UNPROVEN"


async def test_an_expectation_that_is_not_met_fails(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    plan = world.pausing("market")
    never = Expectation(plan.expects[0].call, b"\xff" * 32, "paused() of the market is 0xff…")
    found = await world.rehearse(but(plan, expects=(never,)), attack)
    assert found.valid == "fails"
    assert "not so: paused()" in found.why


async def test_golden_calls_that_go_on_are_counted(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    (asset,) = world.assets.all()
    goes_on = (
        golden(asset.address, "withdraw(uint256)", ETHER),
        golden(asset.address, "deposit(uint256)", ETHER, must="fail"),
    )
    world.protect(but(asset, golden=goes_on))
    found = await world.rehearse(world.pausing("market"), attack)
    assert (found.valid, found.golden_passed, found.golden_broken) == ("holds", 2, ())


async def test_a_golden_call_that_the_response_breaks_makes_it_invalid(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    (asset,) = world.assets.all()
    world.protect(but(asset, golden=(golden(asset.address, "deposit(uint256)", ETHER),)))
    found = await world.rehearse(world.pausing("market"), attack)
    assert found.valid == "fails"
    assert len(found.golden_broken) == 1
    assert "must pass" in found.why


async def test_a_golden_call_that_fails_anyway_is_not_held_against_the_response(
    market: tuple[LabWorld, Attack],
) -> None:
    world, attack = market
    (asset,) = world.assets.all()
    world.protect(but(asset, golden=(golden(asset.address, "withdraw(uint256)", 10**30),)))
    found = await world.rehearse(world.pausing("market"), attack)
    assert (found.valid, found.golden_passed, found.golden_broken) == ("holds", 0, ())


async def test_a_forbidden_call_that_still_passes_makes_it_invalid(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    (asset,) = world.assets.all()
    world.protect(but(asset, golden=(golden(asset.address, "withdraw(uint256)", ETHER, must="fail"),)))
    found = await world.rehearse(world.pausing("market"), attack)
    assert found.valid == "fails"
    assert "must fail and passes" in found.why


async def test_a_response_that_takes_from_an_asset_is_harm(world: LabWorld) -> None:
    bridge, token = await world.bridge()
    asset = direct("bridge", bridge, token)
    world.protect(asset)
    message = encode_call("encode(uint256,address,address,uint256)", 1, token, THIEF, ETHER)[4:]
    plan = world.pausing("bridge")
    call = Call(bridge, encode_call("process(bytes)", message), gas=500_000)
    found = await world.rehearse(but(plan, calls=(call,), expects=(), max_gas=500_000), None)
    assert found.valid == "fails"
    assert "harms bridge" in found.why


async def test_a_response_that_breaks_an_invariant_of_another_asset_is_harm(world: LabWorld) -> None:
    bridge, token = await world.bridge()
    rule = f"{shown(token)}.balanceOf({shown(bridge)}) >= {1_000 * ETHER}"
    other = direct("other", Address(b"\xab" * 20), invariants=(parse(rule, asset=Address(b"\xab" * 20)),))
    world.protect(direct("bridge", bridge), other)
    message = encode_call("encode(uint256,address,address,uint256)", 1, token, THIEF, ETHER)[4:]
    plan = world.pausing("bridge")
    call = Call(bridge, encode_call("process(bytes)", message), gas=500_000)
    found = await world.rehearse(but(plan, calls=(call,), expects=(), max_gas=500_000), None)
    assert found.valid == "fails"
    assert "harms other: breaks" in found.why


async def test_a_pause_of_something_else_does_not_stop_the_attack(world: LabWorld) -> None:
    first, token = await world.market()
    second, _ = await world.market()
    attacker = await world.deploy("MarketAttacker", ["address"], world.lender)
    world.protect(guarded("first", first, world.guardian, token), guarded("second", second, world.guardian))
    attack = pending(attacker, encode_call("attack(address)", first), "first")
    found = await world.rehearse(world.pausing("second"), attack)
    assert (found.valid, found.loss_verdict) == ("holds", "fails")
    assert found.loss_with_usd == found.loss_without_usd > 0


async def test_plans_are_rehearsed_together_at_one_head(world: LabWorld) -> None:
    first, token = await world.market()
    second, _ = await world.market()
    attacker = await world.deploy("MarketAttacker", ["address"], world.lender)
    world.protect(guarded("first", first, world.guardian, token), guarded("second", second, world.guardian))
    attack = pending(attacker, encode_call("attack(address)", first), "first")
    plans = (world.pausing("first", action_id="a"), world.pausing("second", action_id="b"))
    event, ready = await world.lab().rehearse("main:1", plans, attack)
    assert [each.loss_verdict for each in event.rehearsals] == ["holds", "fails"]
    assert set(ready) == {"a", "b"}
    assert len({each.block_hash for each in event.rehearsals}) == 1


async def test_a_pending_attack_is_run_from_a_fresh_caller_too(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    found = await world.rehearse(world.pausing("market"), attack)
    (fresh,) = (variant for variant in found.variants if variant.name == "fresh caller")
    assert (fresh.verdict, fresh.loss_with_usd) == ("holds", 0)
    assert fresh.loss_without_usd > 0


async def test_an_attack_that_does_not_pay_shows_nothing(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    await world.respond(world.pausing("market"))
    found = await world.rehearse(world.pausing("market"), attack)
    assert (found.valid, found.loss_verdict, found.loss_without_usd) == ("holds", "UNPROVEN", 0)
    assert "does not pay on this head" in found.why


async def test_an_unpriced_token_leaves_amounts_unknown_and_the_verdict_known(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    world.prices.unknown.add(world.assets.all()[0].tokens[0].address)
    found = await world.rehearse(world.pausing("market"), attack)
    assert (found.loss_verdict, found.loss_without_usd) == ("holds", 0)


async def test_a_mined_attack_whose_message_is_spent_is_run_with_it_put_back(world: LabWorld) -> None:
    bridge, token = await world.bridge()
    world.protect(direct("bridge", bridge, token))
    message = encode_call("encode(uint256,address,address,uint256)", 7, token, THIEF, 10 * ETHER)[4:]
    attack = await world.mined(bridge, encode_call("process(bytes)", message), "bridge")
    found = await world.rehearse(world.pausing("bridge"), attack)
    assert (found.valid, found.loss_verdict, found.loss_with_usd) == ("holds", "holds", 0)


async def test_what_can_be_done_again_can_take_all_that_is_left(world: LabWorld) -> None:
    bridge, token = await world.bridge(1_000)
    world.protect(direct("bridge", bridge, token))
    message = encode_call("encode(uint256,address,address,uint256)", 7, token, THIEF, 10 * ETHER)[4:]
    attack = await world.mined(bridge, encode_call("process(bytes)", message), "bridge")
    found = await world.rehearse(world.pausing("bridge"), attack)
    assert found.loss_without_usd == 990 * DOLLAR
    names = {variant.name for variant in found.variants}
    assert {"fresh message", "scaled", "fresh caller"} <= names
    assert all(variant.verdict == "holds" for variant in found.variants)


async def test_what_is_gone_already_is_not_at_stake(world: LabWorld) -> None:
    bridge, token = await world.bridge(100)
    world.protect(direct("bridge", bridge, token))
    message = encode_call("encode(uint256,address,address,uint256)", 7, token, THIEF, 100 * ETHER)[4:]
    attack = await world.mined(bridge, encode_call("process(bytes)", message), "bridge")
    assert (await world.rehearse(world.pausing("bridge"), attack)).loss_without_usd == 0


async def test_a_sister_is_told_with_what_the_same_hand_could_take(world: LabWorld) -> None:
    first, dai = await world.market(1_000)
    second, usdc = await world.market(500)
    attacker = await world.deploy("MarketAttacker", ["address"], world.lender)
    world.protect(
        guarded("first", first, world.guardian, dai, family="markets"),
        guarded("second", second, world.guardian, usdc, family="markets"),
    )
    attack = pending(attacker, encode_call("attack(address)", first), "first")
    alone = await world.rehearse(world.pausing("first"), attack)
    both = await world.rehearse(world.pausing("first", "second"), attack)
    (sister,) = (variant for variant in alone.variants if variant.asset == "second")
    assert sister.name == "sister second"
    assert 400 * DOLLAR < sister.loss_without_usd == sister.loss_with_usd
    assert sister.verdict == "fails"
    (sister,) = (variant for variant in both.variants if variant.asset == "second")
    assert (sister.verdict, sister.loss_with_usd) == ("holds", 0)


async def test_an_attacker_with_its_market_in_its_code_is_rewritten_for_the_sister(world: LabWorld) -> None:
    first, dai = await world.market(1_000)
    second, usdc = await world.market(500)
    attacker = await world.deploy("FixedMarketAttacker", ["address", "address"], world.lender, first)
    world.protect(
        guarded("first", first, world.guardian, dai, family="markets"),
        guarded("second", second, world.guardian, usdc, family="markets"),
    )
    attack = await world.mined(attacker, encode_call("attack()"), "first")
    found = await world.rehearse(world.pausing("first"), attack)
    (sister,) = (variant for variant in found.variants if variant.asset == "second")
    assert sister.loss_without_usd > 400 * DOLLAR


async def test_an_attack_that_looks_at_its_block_is_caught_in_the_other_one(world: LabWorld) -> None:
    await world.install(SAFE, GIVES_AWAY, ether=5 * ETHER)
    takes = f"PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 {SAFE.hex()} GAS CALL STOP"
    assert world.head is not None
    hides = code(f"{world.head.coinbase.hex()} COINBASE EQ @hide JUMPI {takes} :hide STOP")
    await world.install(AWARE, hides)
    world.protect(direct("safe", SAFE, NATIVE))
    found = await world.rehearse(world.pausing("safe"), pending(AWARE, b"", "safe"))
    assert (found.valid, found.loss_verdict) == ("holds", "holds")
    assert found.loss_without_usd == 10_000 * DOLLAR


async def test_a_gas_bomb_leaves_the_loss_unproven_and_the_response_valid(world: LabWorld) -> None:
    where, token = await world.market()
    await world.install(BOMB, KECCAK_BOMB)
    world.protect(guarded("market", where, world.guardian, token))
    bombs = pending(BOMB, b"", "market", gas=16_000_000)
    attack = Attack(bombs.transactions * 8, "market", THIEF, mined=False)
    found = await world.rehearse(world.pausing("market"), attack, deadline_ms=400)
    assert (found.valid, found.loss_verdict) == ("holds", "UNPROVEN")
    assert "loss: " in found.why
    assert found.took_ms < 1_500


async def test_a_node_that_dies_leaves_everything_unproven_and_nothing_ready(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    plan, lab = world.pausing("market"), world.lab(deadline_ms=500)
    await world.anvil.__aexit__(None, None, None)
    event, ready = await lab.rehearse("main:1", (plan,), attack)
    assert (event.rehearsals[0].valid, dict(ready)) == ("UNPROVEN", {})
    assert "was not run" in event.rehearsals[0].why


async def test_a_second_node_takes_over_where_the_first_is_silent(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    clock = SystemClock()
    dead = Rpc("ws://127.0.0.1:1", clock=clock, name="dead")
    nodes = Nodes(world.nodes.chain_id, [dead, world.rpc], clock=clock)
    found = await world.rehearse(world.pausing("market"), attack, nodes=nodes)
    assert (found.valid, found.loss_verdict) == ("holds", "holds")


async def test_a_response_that_writes_where_the_attack_wrote_is_tried_on_the_block_before(world: LabWorld) -> None:
    spends = code(  # slot 0 holds the flag in its lowest bit and a count above it: packed, as Solidity packs
        f"PUSH0 CALLDATALOAD e0 SHR DUP1 {selector('pause()').hex()} EQ @pause JUMPI"
        f" {selector('paused()').hex()} EQ @read JUMPI PUSH0 SLOAD @no JUMPI"
        " 02 PUSH0 SSTORE PUSH0 PUSH0 PUSH0 PUSH0 SELFBALANCE CALLER GAS CALL STOP"
        " :pause 01 PUSH0 SSTORE STOP :read 01 PUSH0 SLOAD EQ PUSH0 MSTORE 20 PUSH0 RETURN :no PUSH0 PUSH0 REVERT"
    )
    await world.install(SAFE, spends, ether=5 * ETHER)
    await world.mine()
    world.protect(direct("safe", SAFE, NATIVE))
    attack = await world.mined(SAFE, b"", "safe")
    found = await world.rehearse(world.pausing("safe"), attack)
    assert (found.valid, found.loss_verdict, found.loss_with_usd) == ("holds", "holds", 0)


async def test_a_rehearsal_that_was_valid_is_recalled_and_no_other(market: tuple[LabWorld, Attack]) -> None:
    world, attack = market
    plan, lab = world.pausing("market"), world.lab()
    found = await world.rehearse(plan, attack)
    assert lab.recall(plan, found).rehearsal == found
    with pytest.raises(Refused):
        lab.recall(plan, but(found, valid="UNPROVEN"))
    with pytest.raises(Refused):
        lab.recall(world.pausing("market", action_id="another"), found)


async def test_authority_is_probed_with_the_uses_that_are_left(market: tuple[LabWorld, Attack]) -> None:
    world, _ = market
    said = await world.lab().probe(world.pausing("market"))
    assert (said.ok, said.why, said.uses_left, said.asset, said.kind) == (True, "", 3, "market", "Pause")


async def test_authority_that_is_lost_is_said_with_the_reason(market: tuple[LabWorld, Attack]) -> None:
    world, _ = market
    await world.send(world.guardian, encode_call("setPauser(address)", USER), sender=ADMIN)
    said = await world.lab().probe(world.pausing("market"))
    assert not said.ok
    assert "reverted" in said.why


async def test_authority_that_nobody_answers_for_is_not_ok(market: tuple[LabWorld, Attack]) -> None:
    world, _ = market
    plan, lab = world.pausing("market"), world.lab()
    await world.anvil.__aexit__(None, None, None)
    said = await lab.probe(plan)
    assert (said.ok, said.uses_left) == (False, -1)
    assert "not known" in said.why


async def test_a_direct_pauser_counts_no_uses(world: LabWorld) -> None:
    bridge, token = await world.bridge()
    world.protect(direct("bridge", bridge, token))
    said = await world.lab().probe(world.pausing("bridge"))
    assert (said.ok, said.uses_left) == (True, -1)
