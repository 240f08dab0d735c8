"""Tighten: one call for each token, lower and never for longer than two hours; and notify, which calls nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.chain.rpc import Rpc
from monitor.clock import SystemClock
from monitor.evm.abi import decode_call, encode_call
from monitor.model.actions import AnyAction, Plan
from monitor.model.assets import Asset, TightenRoute, Token
from monitor.model.chain import Call
from monitor.model.errors import Refused
from monitor.model.ports import Responder
from monitor.model.units import NATIVE
from monitor.rehearsal.anvil import Anvil
from responders import CATALOGUE
from responders.notify import NotifyResponder
from responders.tighten import GAS, TightenResponder
from tests.responders.responder_builders import (
    CHAIN,
    DEPOSIT,
    ETHER,
    GATE,
    REPAY,
    USDC,
    SomeAssets,
    SomeGates,
    gated,
    guarded,
    notify,
    pause,
    target,
    tighten,
)
from tests.responders.test_pause import ADMIN, KEY, RealChain

TIGHTEN = "tighten(address,uint192,uint64)"


def plan(action: AnyAction, *assets: Asset, gates: SomeGates | None = None) -> Plan:
    (only,) = TightenResponder(SomeAssets(*assets), gates or SomeGates()).plan(action)
    return only


class TestThePlan:
    def test_lowers_the_limit_of_every_listed_token_to_nothing(self) -> None:
        made = plan(tighten("hot-1", until_s=600), gated())
        assert [(call.to, call.gas) for call in made.calls] == [(GATE, GAS)] * 2
        assert [decode_call(TIGHTEN, call.data) for call in made.calls] == [
            (NATIVE, 0, 1_600),
            (USDC.address, 0, 1_600),
        ]
        assert (made.signer, made.chain_id, made.forbidden) == ("tighten-key", CHAIN, ())

    def test_expects_the_effective_limit_to_be_the_lowered_one(self) -> None:
        made = plan(tighten("hot-1"), gated())
        assert [e.call for e in made.expects] == [
            Call(GATE, encode_call("effectiveLimit(address)", token.address)) for token in (ETHER, USDC)
        ]
        assert {e.word for e in made.expects} == {bytes(32)}

    def test_takes_a_share_of_what_holds_now_where_the_owner_wants_that(self) -> None:
        gates = SomeGates(limits={(GATE, NATIVE): 10**19, (GATE, USDC.address): 999})
        made = plan(tighten("hot-1"), gated(lowered_bps=1_000), gates=gates)
        assert [decode_call(TIGHTEN, call.data)[1] for call in made.calls] == [10**18, 99]
        assert made.expects[0].word == (10**18).to_bytes(32, "big")

    def test_keeps_what_must_still_work_and_forbids_nothing(self) -> None:
        made = plan(tighten("hot-1"), gated(golden=(REPAY, DEPOSIT)))
        assert (made.golden, made.forbidden) == ((REPAY.call,), ())

    def test_says_when_it_ends_by_itself(self) -> None:
        inverse = plan(tighten("hot-1"), gated()).inverse
        assert "calls lift() for each token; else it ends by itself at 8200" in inverse

    @given(until_s=st.integers(1, 7_200), now=st.integers(0, 2**40))
    def test_never_ends_later_than_the_gate_allows(self, until_s: int, now: int) -> None:
        made = plan(tighten("hot-1", until_s=until_s), gated(), gates=SomeGates(timestamp=now))
        for call in made.calls:
            assert now < decode_call(TIGHTEN, call.data)[2] <= now + 7_200


class TestRefused:
    @pytest.mark.parametrize(
        ("action", "asset", "gates", "why"),
        [
            (tighten("hot-2"), gated(), SomeGates(), "hot-2 has no withdrawal gate"),
            (tighten("vault-1"), guarded(1), SomeGates(), "vault-1 has no withdrawal gate"),
            (tighten("hot-1"), gated(signer=""), SomeGates(), "names no signer"),
            (tighten("hot-1"), gated(tokens=()), SomeGates(), "hot-1 lists no tokens"),
            (tighten(), gated(), SomeGates(), "names no asset"),
            (tighten("hot-1", until_s=7_201), gated(), SomeGates(), "tightened for 7201 s; between 1 and 7200"),
            (tighten("hot-1", until_s=0), gated(), SomeGates(), "tightened for 0 s"),
            (tighten("hot-1"), gated(), SomeGates(timestamp=None), "no head of chain 31337 was seen yet"),
            (tighten("hot-1"), gated(lowered_bps=5_000), SomeGates(), "is not known, so not its share"),
            (tighten("hot-1"), gated(lowered_bps=10_000), SomeGates(), "lowered_bps 10000; from 0 to 9999"),
            (tighten("hot-1"), gated(lowered_bps=-1), SomeGates(), "lowered_bps -1"),
            (
                tighten("hot-1"),
                gated(tokens=tuple(Token(target(n)) for n in range(1, 10))),
                SomeGates(),
                "9 limits at once; a key has at most 8 in flight",
            ),
            (pause("hot-1"), gated(), SomeGates(), "a tighten responder does not plan Pause"),
        ],
    )
    def test_with_one_line_that_says_why(self, action: AnyAction, asset: Asset, gates: SomeGates, why: str) -> None:
        with pytest.raises(Refused) as raised:
            plan(action, asset, gates=gates)
        assert raised.value.gate == "plan"
        assert why in raised.value.reason


class TestNotify:
    def test_plans_nothing_on_chain(self) -> None:
        assert NotifyResponder().plan(notify("hot-1")) == ()

    def test_takes_nothing_else(self) -> None:
        with pytest.raises(Refused, match="a notify responder does not plan Pause"):
            NotifyResponder().plan(pause("hot-1"))


class TestCatalogue:
    def test_every_action_has_exactly_one_responder(self) -> None:
        made: list[Responder] = [build(SomeAssets(), SomeGates()) for build in CATALOGUE.values()]
        handled = [kind.__name__ for responder in made for kind in responder.handles]
        assert sorted(handled) == ["ExtendPause", "Notify", "Pause", "Tighten"]


@pytest.mark.chain
async def test_a_real_gate_is_tightened_with_the_planned_gas() -> None:
    async with Anvil() as anvil:
        rpc = Rpc(anvil.http_url, clock=SystemClock())
        chain = RealChain(rpc)
        types = ["address", "address", "address", "address", "uint64", "uint64"]
        gate = await chain.deploy("WithdrawalGate", types, ADMIN, target(7), target(8), KEY, 43_200, 3_600)
        for token in (ETHER, USDC):
            await chain.send(ADMIN, gate, encode_call("setLimit(address,uint192)", token.address, 10**20))
        head = await rpc.call("eth_getBlockByNumber", ["latest", False])
        limits = {(gate, token.address): 10**20 for token in (ETHER, USDC)}
        gates = SomeGates(timestamp=int(head["timestamp"], 16), limits=limits)
        for lowered_bps in (1_000, 0):
            route = TightenRoute(gate, "tighten-key", lowered_bps)
            asset = Asset("hot-1", "hot_wallet", CHAIN, gate, tokens=(ETHER, USDC), tighten=route)
            used = await chain.carry_out(plan(tighten("hot-1"), asset, gates=gates))
            assert max(used) < GAS * 3 // 4
        await rpc.close()
