"""One contract for both engines: what a simulation is, whoever runs it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.chain.fork import Fork, ForkSimulator
from monitor.chain.rpc import Nodes, Rpc, RpcError
from monitor.chain.rpc_wire import BatchCall
from monitor.chain.simulate import Engine, FirstOf, NodeSimulator
from monitor.chain.simulate_wire import Run
from monitor.clock import SystemClock
from monitor.evm.tokens import TRANSFER_TOPIC
from monitor.model.chain import BlockContext, Call, Effects, Probe, SlotChange, Transfer, ether_probe, token_probe
from monitor.model.errors import ConfigurationError, DrawbridgeError, Unreachable
from monitor.model.ports import Simulator
from monitor.model.units import NATIVE, Address, ChainId, Hash, Wei
from monitor.rehearsal.anvil import Anvil, find_anvil
from tests.chain.programs import (
    KECCAK_BOMB,
    LOG_BOMB,
    STORES_OR_READS,
    code,
    error_string,
    logs_words,
    reverts_with,
    sends_on,
    words,
)

pytestmark = pytest.mark.chain

CHAIN = ChainId(31_337)
ARTEFACTS = Path(__file__).resolve().parents[2] / "contracts" / "out"
RICH = Address(bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266"))  # anvil's first account
POOR = Address(b"\xf0" * 20)
ONE, TWO, THREE = (Address(bytes([byte]) * 20) for byte in (0xC1, 0xC2, 0xC3))
CONTEXT = BlockContext(
    number=1,
    timestamp=4_000_000_000,
    coinbase=Address(b"\xcb" * 20),
    base_fee=7 * 10**9,
    prev_randao=Hash(b"\xaa" * 32),
)
FEES = ((9 * 10**9, 10**9),)


class World:
    """A node, and an engine on it."""

    def __init__(self, engine: Any, rpc: Rpc) -> None:
        self.simulator: Simulator = engine
        self.engine: Engine = engine
        self.rpc = rpc

    async def run(self, *calls: Call, **options: Any) -> tuple[Effects, ...]:
        options.setdefault("context", CONTEXT)
        options.setdefault("deadline_ms", 5_000)
        return await self.simulator.run(calls, **options)

    async def one(self, to: Address, data: bytes = b"", **options: Any) -> Effects:
        value = Wei(options.pop("value", 0))
        return (await self.run(Call(to, data, value, RICH), **options))[0]

    async def head(self) -> Hash:
        block = await self.rpc.call("eth_getBlockByNumber", ("latest", False))
        return Hash(bytes.fromhex(block["hash"][2:]))


class WithoutSimulate(Rpc):
    """A node of before eth_simulateV1."""

    async def batch(self, calls: Sequence[BatchCall], *, deadline_ms: int = 2_000, into: Any = None) -> list[Any]:
        known = [call for call in calls if call[0] != "eth_simulateV1"]
        answers = iter(await super().batch(known, deadline_ms=deadline_ms, into=into))
        missing = RpcError(-32601, "method not found")
        return [missing if method == "eth_simulateV1" else next(answers) for method, _ in calls]


class Bare(Rpc):
    """A node that can neither simulate nor trace."""

    async def batch(self, calls: Sequence[BatchCall], *, deadline_ms: int = 2_000, into: Any = None) -> list[Any]:
        return [RpcError(-32601, "method not found")] * len(calls)


@pytest.fixture(params=["node", "old node", "fork"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        anvil = await stack.enter_async_context(Anvil())
        kind = WithoutSimulate if request.param == "old node" else Rpc
        rpc = kind(anvil.ws_url, clock=clock, name="anvil")
        nodes = Nodes(CHAIN, [rpc], clock=clock)
        if request.param != "fork":
            yield World(NodeSimulator(nodes, clock=clock), rpc)
        else:
            fork = await stack.enter_async_context(Fork(anvil.http_url, CHAIN, binary=find_anvil(), clock=clock))
            yield World(ForkSimulator(fork, nodes, clock=clock), rpc)
        await nodes.close()


def deployed(name: str) -> bytes:
    return bytes.fromhex(json.loads((ARTEFACTS / f"{name}.json").read_text())["deployedBytecode"].removeprefix("0x"))


async def test_code_sees_the_block_and_the_price_that_were_asked_for(world: World) -> None:
    program = logs_words("NUMBER", "TIMESTAMP", "COINBASE", "BASEFEE", "GASPRICE", "PREVRANDAO")
    effects = await world.one(ONE, code={ONE: program}, fees=FEES)
    assert effects.ok
    seen = [int.from_bytes(effects.logs[0].data[at : at + 32], "big") for at in range(0, 192, 32)]
    coinbase, randao = (int.from_bytes(raw, "big") for raw in (CONTEXT.coinbase, CONTEXT.prev_randao))
    assert seen == [1, 4_000_000_000, coinbase, 7 * 10**9, 8 * 10**9, randao]


async def test_code_sees_the_same_block_while_it_is_traced(world: World) -> None:
    program = code("NUMBER PUSH0 SSTORE TIMESTAMP 01 SSTORE BASEFEE 02 SSTORE GASPRICE 03 SSTORE COINBASE 04 SSTORE")
    effects = await world.one(ONE, code={ONE: program}, fees=FEES, trace=True)
    seen = [int.from_bytes(change.after, "big") for change in effects.storage]
    assert seen == [1, 4_000_000_000, 7 * 10**9, 8 * 10**9, int.from_bytes(CONTEXT.coinbase, "big")]


async def test_probes_see_the_base_fee_too(world: World) -> None:
    program = code("BASEFEE PUSH0 MSTORE 20 PUSH0 RETURN")
    effects = await world.one(TWO, code={ONE: program}, probes=(Probe(ONE, b"?"),), fees=FEES)
    assert effects.readings[0].before == words(7 * 10**9)


async def test_single_slots_code_and_balances_are_overridden(world: World) -> None:
    probes = (Probe(ONE, words(5)), ether_probe(TWO))
    effects = await world.one(
        THREE,
        code={ONE: STORES_OR_READS},
        storage={ONE: {Hash(words(5)): Hash(words(42))}},
        balances={TWO: Wei(77)},
        probes=probes,
    )
    assert [reading.before for reading in effects.readings] == [words(42), words(77)]


async def test_a_revert_says_its_reason(world: World) -> None:
    text = await world.one(ONE, code={ONE: reverts_with(error_string("not today"))})
    custom = await world.one(ONE, code={ONE: reverts_with(b"\xde\xad\xbe\xef" + words(1))})
    panic = await world.one(ONE, code={ONE: reverts_with(bytes.fromhex("4e487b71") + words(0x11))})
    assert (text.ok, text.error) == (False, "reverted: not today")
    assert custom.error == "reverted: 0xdeadbeef" + words(1).hex()
    assert panic.error == "reverted: panic 0x11"


async def test_ether_that_moves_inside_a_call_is_a_transfer(world: World) -> None:
    effects = await world.one(ONE, code={ONE: sends_on(TWO), TWO: sends_on(THREE)}, value=5)
    assert effects.transfers == (
        Transfer(NATIVE, RICH, ONE, Wei(5)),
        Transfer(NATIVE, ONE, TWO, Wei(5)),
        Transfer(NATIVE, TWO, THREE, Wei(5)),
    )


async def test_ether_that_a_reverted_frame_gave_back_is_no_transfer(world: World) -> None:
    effects = await world.one(ONE, code={ONE: sends_on(TWO), TWO: reverts_with(b"no")}, value=5)
    assert effects.ok
    assert effects.transfers == (Transfer(NATIVE, RICH, ONE, Wei(5)),)


async def test_ether_of_a_failed_call_is_no_transfer(world: World) -> None:
    effects = await world.one(ONE, code={ONE: reverts_with(b"no")}, value=5)
    assert (effects.ok, effects.transfers, effects.logs) == (False, (), ())


async def test_token_logs_are_transfers_and_ether_is_no_log(world: World) -> None:
    program = code(f"07 PUSH0 MSTORE {TWO.hex()} {ONE.hex()} {TRANSFER_TOPIC.hex()} 20 PUSH0 LOG3 STOP")
    effects = await world.one(ONE, code={ONE: program}, value=5)
    assert effects.transfers[-1] == Transfer(ONE, ONE, TWO, Wei(7))
    assert [log.address for log in effects.logs] == [ONE]


async def test_later_calls_see_what_earlier_ones_wrote(world: World) -> None:
    first, second = await world.run(
        Call(ONE, words(1, 11), sender=RICH),
        Call(ONE, words(1, 22), sender=RICH),
        code={ONE: STORES_OR_READS},
        probes=(Probe(ONE, words(1)),),
    )
    assert (first.readings[0].before, first.readings[0].after) == (words(0), words(11))
    assert (second.readings[0].before, second.readings[0].after) == (words(11), words(22))


async def test_slot_changes_of_a_sequence_carry_from_call_to_call(world: World) -> None:
    slot = Hash(words(1))
    effects = await world.run(
        Call(ONE, words(1, 11), sender=RICH),
        Call(ONE, words(1, 0), sender=RICH),
        Call(ONE, words(1, 5), sender=RICH),
        code={ONE: STORES_OR_READS},
        trace=True,
    )
    assert [each.storage for each in effects] == [
        (SlotChange(ONE, slot, Hash(words(0)), Hash(words(11))),),
        (SlotChange(ONE, slot, Hash(words(11)), Hash(words(0))),),
        (SlotChange(ONE, slot, Hash(words(0)), Hash(words(5))),),
    ]


async def test_frames_come_in_the_order_of_entry_and_only_when_traced(world: World) -> None:
    program = {ONE: sends_on(TWO), TWO: reverts_with(error_string("no"))}
    traced, plain = await world.one(ONE, code=program, trace=True), await world.one(ONE, code=program)
    assert [(frame.depth, frame.to, bool(frame.error)) for frame in traced.calls] == [(0, ONE, False), (1, TWO, True)]
    assert plain.calls == ()


async def test_a_call_that_no_block_could_hold_is_rejected_and_the_others_run(world: World) -> None:
    effects = await world.run(
        Call(ONE, words(1, 11), sender=RICH),
        Call(ONE, words(1, 22), sender=POOR),
        Call(ONE, words(1, 33), sender=RICH),
        code={ONE: STORES_OR_READS},
        probes=(Probe(ONE, words(1)),),
        fees=FEES * 3,
        trace=True,
    )
    assert [each.ok for each in effects] == [True, False, True]
    assert effects[1].error.startswith("rejected: ")
    assert effects[2].readings[0].before == words(11)
    assert effects[2].storage[0].after == words(33)


async def test_a_sender_without_a_given_fee_needs_no_ether(world: World) -> None:
    (effects,) = await world.run(Call(ONE, words(1, 1), sender=POOR), code={ONE: STORES_OR_READS})
    assert effects.ok


async def test_a_deployment_runs_its_constructor(world: World) -> None:
    initcode = code("2a PUSH0 SSTORE PUSH0 PUSH0 LOG0 PUSH0 PUSH0 RETURN")
    effects = await world.one(Address(b""), initcode, trace=True, probes=(ether_probe(TWO),))
    assert effects.ok
    assert effects.calls[0].kind == "CREATE"
    assert effects.storage[0].after == words(42)
    assert len(effects.logs) == 1
    assert effects.readings[0].after == words(0)


async def test_a_keccak_bomb_ends_at_its_gas_cap(world: World) -> None:
    effects = await world.one(ONE, code={ONE: KECCAK_BOMB}, gas_cap=1_000_000)
    assert (effects.ok, effects.gas_used) == (False, 1_000_000)


async def test_past_the_deadline_it_is_unreachable_and_the_next_run_works(world: World) -> None:
    await world.one(TWO)
    calls = [Call(ONE, b"", sender=RICH)] * 20
    with pytest.raises(Unreachable):
        await world.run(*calls, code={ONE: KECCAK_BOMB}, deadline_ms=100)
    assert (await world.one(TWO)).ok


async def test_thirty_thousand_logs_are_read_or_refused_within_bounds(world: World) -> None:
    effects = await world.one(ONE, code={ONE: LOG_BOMB}, deadline_ms=10_000)
    assert len(effects.logs) > 30_000


@pytest.mark.parametrize("name", ["MegabyteToken", "GasBurnToken", "RevertToken"])
async def test_a_token_that_misbehaves_when_read_is_unknown_and_harms_no_other_probe(world: World, name: str) -> None:
    bad = {Hash(words(slot)): Hash(words(1)) for slot in range(3, 10)}
    effects = await world.one(
        TWO,
        code={ONE: deployed(name)},
        storage={ONE: bad},
        probes=(ether_probe(THREE), token_probe(ONE, RICH), ether_probe(THREE)),
        balances={THREE: Wei(5)},
    )
    first, token, last = effects.readings
    assert token.before is None
    assert token.after is None
    assert first.before == last.before == words(5)


async def test_a_probe_may_return_four_kilobytes_and_no_more(world: World) -> None:
    identity = Address(words(4)[12:])
    probes = (Probe(identity, b"x" * 4_096), Probe(identity, b"x" * 4_097), Probe(identity, b"y"))
    readings = (await world.one(TWO, probes=probes)).readings
    assert [reading.after for reading in readings] == [b"x" * 4_096, None, b"y"]


async def test_a_hundred_probes_are_read_in_calls_that_a_transaction_could_be(world: World) -> None:
    slots = {Hash(words(slot)): Hash(words(slot + 1_000)) for slot in range(100)}
    probes = tuple(Probe(ONE, words(slot)) for slot in range(100))
    first, second = await world.run(
        Call(ONE, words(7, 1), sender=RICH),
        Call(ONE, words(99, 2), sender=RICH),
        code={ONE: STORES_OR_READS},
        storage={ONE: slots},
        probes=probes,
    )
    after = [reading.after for reading in second.readings]
    assert [reading.before for reading in first.readings] == [words(slot + 1_000) for slot in range(100)]
    assert after == [words({7: 1, 99: 2}.get(slot, slot + 1_000)) for slot in range(100)]


async def test_a_deployment_that_nobody_can_pay_for_is_rejected(world: World) -> None:
    (effects,) = await world.run(Call(Address(b""), code("STOP"), sender=POOR), fees=FEES)
    assert (effects.ok, effects.error[:10]) == (False, "rejected: ")


async def test_it_runs_on_the_block_that_was_named(world: World) -> None:
    before = await world.head()
    sent = {"from": "0x" + RICH.hex(), "to": "0x" + THREE.hex(), "value": "0x9", "gas": "0x5208"}
    await world.rpc.call("eth_sendTransaction", (sent,))
    await world.rpc.call("evm_mine")
    after = await world.head()
    probes = (ether_probe(THREE),)
    later = msgspec.structs.replace(CONTEXT, number=2)
    old = await world.one(TWO, probes=probes, at=before)
    new = await world.one(TWO, probes=probes, at=after, context=later)
    head = await world.one(TWO, probes=probes, context=later)
    assert [each.readings[0].before for each in (old, new, head)] == [words(0), words(9), words(9)]


async def test_a_block_that_no_node_has_is_unreachable(world: World) -> None:
    with pytest.raises(Unreachable):
        await world.one(TWO, at=Hash(b"\x12" * 32))


async def test_a_delegated_account_runs_its_delegates_code(world: World) -> None:
    delegation = bytes.fromhex("ef0100") + TWO
    effects = await world.one(ONE, code={ONE: delegation, TWO: logs_words("ADDRESS")})
    assert effects.logs[0].data == b"\0" * 12 + ONE


async def test_many_runs_share_a_frame_and_one_that_fails_harms_no_other(world: World) -> None:
    good = Run(calls=(Call(ONE, words(1, 1), sender=RICH),), context=CONTEXT, code={ONE: STORES_OR_READS}, trace=True)
    lost = Run(calls=good.calls, context=CONTEXT, at=Hash(b"\x12" * 32))
    if isinstance(world.engine, NodeSimulator):
        first, second, third = await world.engine.run_many((good, lost, good), deadline_ms=5_000)
        assert isinstance(second, DrawbridgeError)
        assert not isinstance(first, DrawbridgeError)
        assert first == third


async def test_calls_a_thousand_deep_are_traced(world: World) -> None:
    itself = code("PUSH0 PUSH0 PUSH0 PUSH0 PUSH0 ADDRESS GAS CALL STOP")
    effects = await world.one(ONE, code={ONE: itself}, trace=True)
    assert max(frame.depth for frame in effects.calls) > 400


async def test_a_fork_stands_in_for_a_node_that_can_neither_simulate_nor_trace() -> None:
    clock = SystemClock()
    async with Anvil() as anvil:
        bare = Nodes(CHAIN, [Bare(anvil.ws_url, clock=clock, name="bare")], clock=clock)
        async with Fork(anvil.http_url, CHAIN, binary=find_anvil(), clock=clock) as fork:
            engines = (NodeSimulator(bare, clock=clock), ForkSimulator(fork, bare, clock=clock))
            run = Run(calls=(Call(ONE, words(1, 1), sender=RICH),), context=CONTEXT, code={ONE: STORES_OR_READS})
            with pytest.raises(Unreachable, match="the node refused it"):
                await FirstOf(engines[:1], clock=clock).run_many((run,), deadline_ms=5_000)
            (outcome,) = await FirstOf(engines, clock=clock).run_many((run,), deadline_ms=5_000)
            assert not isinstance(outcome, DrawbridgeError)
            assert outcome.effects[0].ok
        await bare.close()


async def test_a_fork_whose_upstream_is_gone_says_so_and_does_not_hang() -> None:
    clock = SystemClock()
    async with Anvil() as anvil:
        gone = Fork("http://127.0.0.1:1", CHAIN, binary=find_anvil(), clock=clock)
        with pytest.raises(Unreachable, match="anvil ended"):
            await gone.__aenter__()
        nodes = Nodes(CHAIN, [Rpc(anvil.ws_url, clock=clock, name="anvil")], clock=clock)
        async with Fork(anvil.http_url, CHAIN, binary=find_anvil(), clock=clock) as fork:
            simulator = ForkSimulator(fork, nodes, clock=clock)
            await anvil.__aexit__(None, None, None)
            with pytest.raises(Unreachable):
                await simulator.run((Call(ONE, b"", sender=RICH),), context=CONTEXT, deadline_ms=500)
        await nodes.close()


async def test_a_fork_without_its_program_is_a_configuration_error() -> None:
    fork = Fork("http://127.0.0.1:1", CHAIN, binary=Path("/nowhere/anvil"), clock=SystemClock())
    with pytest.raises(ConfigurationError, match="install anvil"):
        await fork.__aenter__()
