"""What a rehearsal costs over a loopback anvil: tier one alone, all three tiers, and with a gas bomb in the attack.

    python benchmarks/rehearsal.py [--runs 500]

The attack is Euler's shape on a small market (a flash loan, some 25 logs, 1.3 M gas), the response a pause through a
Guardian with two golden calls; loss with and without it in two blocks, and its variants, are part of the figure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from eth_abi.abi import encode

from monitor.chain.lab import ForkLab, LabChain
from monitor.chain.rpc import Nodes, Rpc
from monitor.chain.simulate import NodeSimulator
from monitor.clock import SystemClock
from monitor.evm import wire
from monitor.evm.abi import encode_call
from monitor.evm.watch import Protected
from monitor.model.actions import ActionClass, Attack, Pause, Plan
from monitor.model.assets import Asset, Golden, PauseRoute, Token
from monitor.model.chain import Call, Header, Transaction
from monitor.model.units import DOLLAR, Address, ChainId, Hash, Usd, Wei, address, shown
from monitor.rehearsal.anvil import CHECKOUT, Anvil
from responders.pause import PauseResponder

CHAIN = ChainId(31_337)
ETHER = 10**18
ADMIN = address("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")
PAUSER = address("0x70997970c51812dc3a010c7d01b50e0d17dc79c8")
BOMB = Address(b"\xb0" * 20)
KECCAK_LOOP = bytes.fromhex("5b60205f20505f56")


class DollarPrices:
    """Every token is worth a dollar."""

    def usd(self, chain_id: ChainId, token: Address, amount: Wei) -> Usd | None:
        return Usd(amount * DOLLAR // ETHER)


class Chain:
    """Sends as whoever is asked and mines at once."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def send(self, to: Address | None, data: bytes) -> Any:
        target = {"to": shown(to)} if to else {}
        sent = {"from": shown(ADMIN), "input": shown(data), "gas": hex(10_000_000)} | target
        tx_hash = await self._rpc.call("eth_sendTransaction", (sent,))
        await self._rpc.call("evm_mine")
        return await self._rpc.call("eth_getTransactionReceipt", (tx_hash,))

    async def deploy(self, name: str, types: Sequence[str] = (), *values: Any) -> Address:
        artefact = json.loads((CHECKOUT / "contracts" / "out" / f"{name}.json").read_text())
        code = bytes.fromhex(artefact["bytecode"].removeprefix("0x"))
        return address((await self.send(None, code + encode(list(types), list(values))))["contractAddress"])

    async def head(self) -> Header:
        return wire.header(await self._rpc.call("eth_getBlockByNumber", ("latest", False), into=wire.WireHeader))


async def scene(chain: Chain) -> tuple[Protected, Plan, Attack]:
    """A guarded market with a thousand tokens in it, the plan to pause it, and an attack that takes most of them."""
    limits = ["address", "uint64", "uint64", "uint64", "uint64", "uint32"]
    guardian = await chain.deploy("Guardian", limits, ADMIN, 60, 86_400, 604_800, 86_400, 3)
    token = await chain.deploy("Token", ["string", "string", "uint8"], "Token", "TKN", 18)
    market = await chain.deploy("Market", ["address"] * 3, token, ADMIN, guardian)
    lender = await chain.deploy("FlashLender")
    attacker = await chain.deploy("MarketAttacker", ["address"], lender)
    await chain.send(guardian, encode_call("setPauser(address)", PAUSER))
    await chain.send(guardian, encode_call("register(address)", market))
    await chain.send(token, encode_call("mint(address,uint256)", ADMIN, 2_000 * ETHER))
    await chain.send(token, encode_call("mint(address,uint256)", lender, 4_000 * ETHER))
    await chain.send(token, encode_call("approve(address,uint256)", market, 2**255))
    await chain.send(market, encode_call("deposit(uint256)", 1_000 * ETHER))
    asset = Asset(
        "market",
        "contract",
        CHAIN,
        market,
        tokens=(Token(token),),
        pause=PauseRoute("guardian", market, guardian, 3_600, "guardian-key"),
        golden=(
            Golden(Call(market, encode_call("withdraw(uint256)", ETHER), sender=ADMIN), "pass", "withdraw"),
            Golden(Call(market, encode_call("deposit(uint256)", ETHER), sender=ADMIN), "fail", "deposit"),
        ),
    )
    assets = Protected((asset,))
    action = Pause(
        id="p",
        incident="i",
        assets=("market",),
        action_class=ActionClass.SCOPED,
        cause=1,
        because="",
        duration_s=3_600,
    )
    (plan,) = PauseResponder(assets).plan(action)
    return assets, plan, attack_on(attacker, encode_call("attack(address)", market))


def attack_on(to: Address, data: bytes, *, gas: int = 10_000_000, count: int = 1) -> Attack:
    tx = Transaction(Hash(b"\x77" * 32), ADMIN, to, 0, Wei(0), gas, 20 * 10**9, 10**9, data)
    return Attack((tx,) * count, "market", ADMIN, mined=False)


async def timed(lab: ForkLab, plan: Plan, attack: Attack | None, *, runs: int) -> tuple[list[float], str]:
    took, said = [], ""
    for _ in range(runs):
        started = time.perf_counter()
        event, _ = await lab.rehearse("i", (plan,), attack)
        took.append((time.perf_counter() - started) * 1e3)
        said = f"valid {event.rehearsals[0].valid}, loss {event.rehearsals[0].loss_verdict}"
    return sorted(took), said


def row(name: str, took: Sequence[float], said: str) -> str:
    p50, p95, p99 = (took[min(int(len(took) * share), len(took) - 1)] for share in (0.5, 0.95, 0.99))
    figures = f"p50 {p50:7.2f}   p95 {p95:7.2f}   p99 {p99:7.2f}   max {took[-1]:7.2f} ms"
    return f"{name:<28} {len(took):4} runs   {figures}   {said}"


async def main(runs: int) -> None:
    clock = SystemClock()
    async with Anvil() as anvil:
        rpc = Rpc(anvil.ws_url, clock=clock, name="anvil")
        nodes, chain = Nodes(CHAIN, [rpc], clock=clock), Chain(rpc)
        assets, plan, attack = await scene(chain)
        await rpc.call("anvil_setCode", (shown(BOMB), shown(KECCAK_LOOP)))
        await rpc.call("evm_mine")
        head = await chain.head()
        lab = ForkLab(
            {CHAIN: LabChain(NodeSimulator(nodes, clock=clock), nodes, 12)},
            heads=lambda _chain: head,
            signers={"guardian-key": PAUSER},
            assets=assets,
            prices=DollarPrices(),
            clock=clock,
        )
        bomb = attack_on(BOMB, b"", gas=16_000_000, count=4)
        await timed(lab, plan, attack, runs=20)
        print(row("tier one", *await timed(lab, plan, None, runs=runs)))
        print(row("all tiers", *await timed(lab, plan, attack, runs=runs)))
        print(row("with a gas bomb of 64 M", *await timed(lab, plan, bomb, runs=max(runs // 50, 3))))
        await nodes.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    asyncio.run(main(parser.parse_args().runs))
