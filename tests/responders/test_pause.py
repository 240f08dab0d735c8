"""Pause and extend: the exact calls, what must hold after them, and where there is no way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from monitor.chain.rpc import Rpc
from monitor.clock import SystemClock
from monitor.evm.abi import decode_call, encode_call
from monitor.model.actions import AnyAction, Plan
from monitor.model.assets import Asset, PauseRoute
from monitor.model.chain import Call
from monitor.model.errors import Refused
from monitor.model.units import Address, ChainId, address, shown
from monitor.rehearsal.anvil import CHECKOUT, Anvil
from responders.pause import MAX_TARGETS, PauseResponder
from tests.responders.responder_builders import (
    CHAIN,
    DEPOSIT,
    GUARDIAN,
    OTHER_GUARDIAN,
    REPAY,
    SomeAssets,
    direct,
    extend,
    guarded,
    notify,
    pause,
    target,
    tighten,
)

PAUSE = "pause(address[],uint64)"
EXTEND = "extend(address[],uint64)"


def plan(action: AnyAction, *assets: Asset) -> Plan:
    (only,) = PauseResponder(SomeAssets(*assets)).plan(action)
    return only


class TestThroughAGuardian:
    def test_one_target_is_one_call(self) -> None:
        made = plan(pause("vault-1"), guarded(1))
        assert [(call.to, call.data) for call in made.calls] == [(GUARDIAN, encode_call(PAUSE, [target(1)], 3_600))]
        assert (made.chain_id, made.signer, made.action) == (CHAIN, "guardian-key", pause("vault-1"))

    def test_sisters_of_one_guardian_share_one_batch(self) -> None:
        made = plan(pause("vault-1", "vault-2"), guarded(1), guarded(2), guarded(3))
        assert len(made.calls) == 1
        assert decode_call(PAUSE, made.calls[0].data) == ((target(1), target(2)), 3_600)

    def test_an_asset_named_twice_is_paused_once(self) -> None:
        made = plan(pause("vault-1", "vault-1"), guarded(1))
        assert decode_call(PAUSE, made.calls[0].data) == ((target(1),), 3_600)
        assert len(made.expects) == 1

    def test_more_targets_than_a_batch_takes_go_in_several(self) -> None:
        assets = [guarded(number) for number in range(1, 41)]
        made = plan(pause(*(asset.name for asset in assets)), *assets)
        sizes = [len(decode_call(PAUSE, call.data)[0]) for call in made.calls]
        assert sizes == [MAX_TARGETS, 8]
        assert made.max_gas == made.calls[0].gas < 1 << 24

    def test_guardians_and_signers_are_kept_apart(self) -> None:
        assets = (guarded(1), guarded(2, guardian=OTHER_GUARDIAN), guarded(3, signer="other-key"))
        plans = PauseResponder(SomeAssets(*assets)).plan(pause("vault-1", "vault-2", "vault-3"))
        assert [p.signer for p in plans] == ["guardian-key", "other-key"]
        assert [call.to for call in plans[0].calls] == [GUARDIAN, OTHER_GUARDIAN]

    def test_chains_are_kept_apart(self) -> None:
        elsewhere = Asset("far", "contract", ChainId(1), target(9), pause=guarded(9).pause)
        plans = PauseResponder(SomeAssets(guarded(1), elsewhere)).plan(pause("vault-1", "far"))
        assert [p.chain_id for p in plans] == [CHAIN, 1]

    def test_to_extend_calls_extend(self) -> None:
        made = plan(extend("vault-1", duration_s=600), guarded(1))
        assert made.calls[0].data == encode_call(EXTEND, [target(1)], 600)
        assert made.expects == plan(pause("vault-1"), guarded(1)).expects

    def test_people_are_told_how_to_undo_it(self) -> None:
        inverse = plan(pause("vault-1"), guarded(1)).inverse
        assert f"The admin of guardian {shown(GUARDIAN)} calls resume({shown(target(1))})" in inverse
        assert "once 3600 s are over" in inverse

    @given(numbers=st.lists(st.integers(1, 200), min_size=1, max_size=100), duration_s=st.integers(1, 31_536_000))
    def test_every_target_is_in_exactly_one_call_with_gas_for_all(self, numbers: list[int], duration_s: int) -> None:
        assets = [guarded(number) for number in set(numbers)]
        made = plan(pause(*(f"vault-{number}" for number in numbers), duration_s=duration_s), *assets)
        decoded = [decode_call(PAUSE, call.data) for call in made.calls]
        named = [t for targets, _ in decoded for t in targets]
        assert sorted(named) == sorted(target(number) for number in set(numbers))
        assert {duration for _, duration in decoded} == {duration_s}
        assert all(
            call.gas >= 380_000 * len(t) * 64 // 63 + 30_000 for call, (t, _) in zip(made.calls, decoded, strict=True)
        )
        assert all(call.value == 0 and call.sender is None for call in made.calls)


class TestByADirectRole:
    def test_the_target_itself_is_called(self) -> None:
        made = plan(pause("direct-5"), direct(5))
        assert [(call.to, call.data.hex()) for call in made.calls] == [(target(5), "8456cb59")]
        assert made.expects[0].word == (1).to_bytes(32, "big")
        assert "unpause()" in made.inverse
        assert "does not lapse" in made.inverse

    def test_with_guarded_ones_of_the_same_key_it_is_one_plan(self) -> None:
        made = plan(pause("vault-1", "direct-5"), guarded(1), direct(5))
        assert [call.to for call in made.calls] == [GUARDIAN, target(5)]
        assert [e.call.to for e in made.expects] == [target(1), target(5)]

    def test_there_is_nothing_to_extend(self) -> None:
        with pytest.raises(Refused, match="direct-5 is paused directly, which does not lapse"):
            plan(extend("direct-5"), direct(5))


class TestWhatMustHold:
    def test_every_target_says_that_it_is_paused(self) -> None:
        made = plan(pause("vault-1", "vault-2"), guarded(1), guarded(2))
        assert [(e.call.to, e.call.data.hex(), e.word) for e in made.expects] == [
            (target(1), "5c975abb", (1).to_bytes(32, "big")),
            (target(2), "5c975abb", (1).to_bytes(32, "big")),
        ]

    def test_golden_calls_are_those_of_the_assets_acted_on(self) -> None:
        made = plan(pause("vault-1"), guarded(1, golden=(REPAY, DEPOSIT, REPAY)), guarded(2, golden=(REPAY,)))
        assert (made.golden, made.forbidden) == ((REPAY.call,), (DEPOSIT.call,))

    def test_equal_actions_give_equal_plans(self) -> None:
        assert plan(pause("vault-1"), guarded(1)) == plan(pause("vault-1"), guarded(1))


class TestRefused:
    @pytest.mark.parametrize(
        ("action", "asset", "why"),
        [
            (pause("vault-9"), guarded(1), "vault-9 has no pause route"),
            (pause("bare"), Asset("bare", "contract", CHAIN, target(1)), "bare has no pause route"),
            (pause("vault-1"), guarded(1, guardian=None), "the pause route of vault-1 names no guardian"),
            (pause("vault-1"), guarded(1, signer=""), "the pause route of vault-1 names no signer"),
            (pause(), guarded(1), "names no asset"),
            (pause("vault-1", duration_s=0), guarded(1), "a pause of 0 s; between 1 and 31536000"),
            (pause("vault-1", duration_s=31_536_001), guarded(1), "a pause of 31536001 s"),
            (pause("vault-1", "vault-2"), guarded(1), "vault-2 has no pause route"),
            (tighten("vault-1"), guarded(1), "a pause responder does not plan Tighten"),
            (notify("vault-1"), guarded(1), "a pause responder does not plan Notify"),
        ],
    )
    def test_with_one_line_that_says_what_to_do(self, action: AnyAction, asset: Asset, why: str) -> None:
        with pytest.raises(Refused) as raised:
            plan(action, asset)
        assert raised.value.gate == "plan"
        assert why in raised.value.reason
        assert "\n" not in raised.value.reason


ADMIN = address("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")
KEY = address("0x70997970c51812dc3a010c7d01b50e0d17dc79c8")


class RealChain:
    """Contracts of ours on anvil, and the planned calls sent exactly as planned."""

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc

    async def deploy(self, name: str, types: list[str], *args: Any) -> Address:
        artefact = json.loads((CHECKOUT / "contracts" / "out" / f"{name}.json").read_text())
        code = bytes.fromhex(artefact["bytecode"].removeprefix("0x")) + encode(types, args)
        return address((await self.send(ADMIN, None, code, gas=8_000_000))["contractAddress"])

    async def send(self, sender: Address, to: Address | None, data: bytes, *, gas: int = 1_000_000) -> Any:
        fields: dict[str, Any] = {"from": shown(sender), "data": shown(data), "gas": hex(gas)}
        tx_hash = await self.rpc.call("eth_sendTransaction", [fields if to is None else {**fields, "to": shown(to)}])
        await self.rpc.call("evm_mine", [])
        return await self.rpc.call("eth_getTransactionReceipt", [tx_hash])

    async def view(self, call: Call) -> bytes:
        result = await self.rpc.call("eth_call", [{"to": shown(call.to), "data": shown(call.data)}, "latest"])
        return bytes.fromhex(result[2:])

    async def carry_out(self, made: Plan) -> list[int]:
        """Send every call from the key; gas used by each. Then all that the plan expects must be so."""
        used = []
        for call in made.calls:
            receipt = await self.send(KEY, call.to, call.data, gas=call.gas)
            assert receipt["status"] == "0x1", receipt
            used.append(int(receipt["gasUsed"], 16))
        for expected in made.expects:
            assert await self.view(expected.call) == expected.word, expected.text
        return used


@pytest.fixture
async def chain() -> AsyncIterator[RealChain]:
    async with Anvil() as anvil:
        rpc = Rpc(anvil.http_url, clock=SystemClock())
        yield RealChain(rpc)
        await rpc.close()


@pytest.mark.chain
class TestOnARealChain:
    async def test_a_batch_with_the_planned_gas_pauses_and_extends(self, chain: RealChain) -> None:
        types = ["address", "uint64", "uint64", "uint64", "uint64", "uint32"]
        guardian = await chain.deploy("Guardian", types, ADMIN, 60, 86_400, 604_800, 86_400, 3)
        await chain.send(ADMIN, guardian, encode_call("setPauser(address)", KEY))
        assets = []
        for number in range(3):
            bridge = await chain.deploy(
                "Bridge", ["address", "address", "address", "bool"], ADMIN, ADMIN, guardian, False
            )
            await chain.send(ADMIN, guardian, encode_call("register(address)", bridge))
            route = PauseRoute("guardian", bridge, guardian, 3_600, "guardian-key")
            assets.append(Asset(f"bridge-{number}", "contract", CHAIN, bridge, pause=route))
        names = [asset.name for asset in assets]
        used = await chain.carry_out(plan(pause(*names), *assets))
        assert 60_000 < used[0] < 300_000
        until = Call(guardian, encode_call("pausedUntil(address)", assets[0].address))
        before = await chain.view(until)
        await chain.carry_out(plan(extend(*names, duration_s=7_200), *assets))
        assert await chain.view(until) > before
        left = await chain.view(Call(guardian, encode_call("usesLeft()")))
        assert int.from_bytes(left, "big") == 2, "one use for a batch of three, none to extend"

    async def test_a_direct_role_pauses_with_the_planned_gas(self, chain: RealChain) -> None:
        bridge = await chain.deploy("Bridge", ["address", "address", "address", "bool"], ADMIN, ADMIN, KEY, False)
        asset = Asset("bridge", "contract", CHAIN, bridge, pause=PauseRoute("direct", bridge, signer="guardian-key"))
        used = await chain.carry_out(plan(pause("bridge"), asset))
        assert used[0] < 60_000
