"""A real anvil with victims, attackers, a Guardian and a lab: for tests of what a rehearsal says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from eth_abi.abi import encode

from monitor.chain.lab import ForkLab, LabChain
from monitor.chain.rpc import Nodes, Rpc
from monitor.chain.simulate import NodeSimulator
from monitor.clock import SystemClock
from monitor.evm import wire
from monitor.evm.abi import encode_call
from monitor.evm.watch import Protected
from monitor.model.actions import ActionClass, Attack, Pause, Plan, Rehearsal, Rehearsed
from monitor.model.assets import Asset, Golden, PauseRoute, Token
from monitor.model.chain import Call, Header, Transaction
from monitor.model.events import ResponseIncluded
from monitor.model.units import DOLLAR, NATIVE, Address, ChainId, Hash, Usd, Wei, address, shown
from monitor.rehearsal.anvil import CHECKOUT, Anvil
from responders.pause import PauseResponder

CHAIN = ChainId(31_337)
ETHER = 10**18
ADMIN = address("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")
PAUSER = address("0x70997970c51812dc3a010c7d01b50e0d17dc79c8")
THIEF = address("0x15d34aaf54267db7d7c367839aaf71a00a2c6a65")
USER = address("0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc")
SIGNER = "guardian-key"

T = TypeVar("T")


class DollarPrices:
    """Every token is worth a dollar, ether two thousand; those in `unknown` have no price."""

    def __init__(self) -> None:
        self.unknown: set[Address] = set()

    def usd(self, chain_id: ChainId, token: Address, amount: Wei) -> Usd | None:
        if token in self.unknown:
            return None
        return Usd(amount * DOLLAR * (2_000 if token == NATIVE else 1) // ETHER)


@dataclass
class LabWorld:
    anvil: Anvil
    rpc: Rpc
    nodes: Nodes
    prices: DollarPrices = field(default_factory=DollarPrices)
    assets: Protected = field(default_factory=lambda: Protected(()))
    signers: dict[str, Address] = field(default_factory=lambda: {SIGNER: PAUSER})
    head: Header | None = None
    guardian: Address | None = None
    lender: Address | None = None

    async def deploy(self, name: str, types: Sequence[str] = (), *values: Any) -> Address:
        artefact = json.loads((CHECKOUT / "contracts" / "out" / f"{name}.json").read_text())
        data = bytes.fromhex(artefact["bytecode"].removeprefix("0x")) + encode(list(types), list(values))
        receipt = await self.send(None, data)
        return address(receipt["contractAddress"])

    async def send(
        self, to: Address | None, data: bytes = b"", *, sender: Address = ADMIN, value: int = 0
    ) -> dict[str, Any]:
        """Send from an unlocked account and mine; the receipt."""
        sent = {"from": shown(sender), "input": shown(data), "value": hex(value), "gas": hex(10_000_000)}
        tx_hash = await self.rpc.call("eth_sendTransaction", (sent | ({"to": shown(to)} if to else {}),))
        await self.mine()
        receipt: dict[str, Any] = await self.rpc.call("eth_getTransactionReceipt", (tx_hash,))
        return receipt

    async def mine(self) -> Header:
        await self.rpc.call("evm_mine")
        block = await self.rpc.call("eth_getBlockByNumber", ("latest", False), into=wire.WireHeader)
        self.head = wire.header(block)
        return self.head

    async def install(self, where: Address, code: bytes, *, ether: int = 0) -> None:
        await self.rpc.call("anvil_setCode", (shown(where), shown(code)))
        await self.rpc.call("anvil_setBalance", (shown(where), hex(ether)))
        await self.mine()

    async def guard(self) -> Address:
        if self.guardian is not None:
            return self.guardian
        types = ["address", "uint64", "uint64", "uint64", "uint64", "uint32"]
        self.guardian = await self.deploy("Guardian", types, ADMIN, 60, 86_400, 604_800, 86_400, 3)
        await self.send(self.guardian, encode_call("setPauser(address)", PAUSER))
        return self.guardian

    async def token(self, *, mint: Iterable[tuple[Address, int]] = ()) -> Address:
        token = await self.deploy("Token", ["string", "string", "uint8"], "Token", "TKN", 18)
        for holder, amount in mint:
            await self.send(token, encode_call("mint(address,uint256)", holder, amount * ETHER))
        return token

    async def market(self, cash: int = 1_000) -> tuple[Address, Address]:
        """A guarded market with a user's deposit in it, and its token; a lender with enough to attack it."""
        guardian, lender = await self.guard(), self.lender or await self.deploy("FlashLender")
        self.lender = lender
        token = await self.token(mint=[(USER, 2 * cash), (lender, 4 * cash)])
        market = await self.deploy("Market", ["address", "address", "address"], token, ADMIN, guardian)
        await self.send(guardian, encode_call("register(address)", market))
        await self.send(token, encode_call("approve(address,uint256)", market, 2**255), sender=USER)
        await self.send(market, encode_call("deposit(uint256)", cash * ETHER), sender=USER)
        return market, token

    async def bridge(self, cash: int = 1_000, *, broken: bool = True) -> tuple[Address, Address]:
        """A broken bridge with a direct pauser, and its token."""
        bridge = await self.deploy("Bridge", ["address", "address", "address", "bool"], ADMIN, ADMIN, PAUSER, broken)
        return bridge, await self.token(mint=[(bridge, cash)])

    def protect(self, *assets: Asset) -> None:
        self.assets = Protected(assets)

    def lab(self, *, deadline_ms: int = 3_000, nodes: Nodes | None = None) -> ForkLab:
        """Deadlines are wide: tests share the machine."""
        clock, used = SystemClock(), nodes or self.nodes
        return ForkLab(
            {CHAIN: LabChain(NodeSimulator(used, clock=clock), used, 12)},
            heads=lambda _chain: self.head,
            signers=self.signers,
            assets=self.assets,
            prices=self.prices,
            clock=clock,
            deadline_ms=deadline_ms,
        )

    def pausing(self, *names: str, action_id: str = "main:1/pause") -> Plan:
        action = Pause(
            id=action_id,
            incident="main:1",
            assets=names,
            action_class=ActionClass.SCOPED,
            cause=1,
            because="",
            duration_s=3_600,
        )
        (plan,) = PauseResponder(self.assets).plan(action)
        return plan

    async def rehearse(self, plan: Plan, attack: Attack | None, **options: Any) -> Rehearsal:
        event, ready = await self.lab(**options).rehearse("main:1", (plan,), attack)
        (rehearsal,) = event.rehearsals
        assert (plan.action.id in ready) == (rehearsal.valid == "holds")
        return rehearsal

    async def respond(self, plan: Plan) -> ResponseIncluded:
        """Send the plan's one call from its key and mine it."""
        (call,) = plan.calls
        receipt = await self.send(call.to, call.data, sender=self.signers[plan.signer])
        return ResponseIncluded(
            chain_id=CHAIN,
            action_id=plan.action.id,
            hash=Hash(bytes.fromhex(receipt["transactionHash"][2:])),
            block_number=int(receipt["blockNumber"], 16),
            block_hash=Hash(bytes.fromhex(receipt["blockHash"][2:])),
            ok=receipt["status"] == "0x1",
            gas_used=int(receipt["gasUsed"], 16),
            cost=Wei(0),
        )

    async def mined(self, to: Address, data: bytes, asset: str, *, sender: Address = THIEF) -> Attack:
        """An attack that a block already holds."""
        receipt = await self.send(to, data, sender=sender)
        assert receipt["status"] == "0x1"
        seen = await self.rpc.call("eth_getTransactionByHash", (receipt["transactionHash"],), into=wire.WireTransaction)
        return Attack((wire.transaction(seen),), asset, sender, mined=True)


def pending(to: Address | None, data: bytes, asset: str, *, sender: Address = THIEF, gas: int = 10_000_000) -> Attack:
    tx = Transaction(Hash(b"\x77" * 32), sender, to, 0, Wei(0), gas, 20 * 10**9, 10**9, data)
    return Attack((tx,), asset, sender, mined=False)


def guarded(name: str, where: Address, guardian: Address | None, *tokens: Address, **options: Any) -> Asset:
    route = PauseRoute("guardian", where, guardian, 3_600, SIGNER)
    return _asset(name, where, route, tokens, options)


def direct(name: str, where: Address, *tokens: Address, **options: Any) -> Asset:
    return _asset(name, where, PauseRoute("direct", where, None, 3_600, SIGNER), tokens, options)


def golden(to: Address, signature: str, *values: Any, must: str = "pass", sender: Address = USER) -> Golden:
    return Golden(Call(to, encode_call(signature, *values), sender=sender), must, signature)  # type: ignore[arg-type]


def rehearsed(plan: Plan, rehearsal: Rehearsal) -> Rehearsed:
    return Rehearsed(plan, rehearsal)


def but(value: T, **changes: Any) -> T:
    """The same with these fields changed."""
    return msgspec.structs.replace(value, **changes)  # type: ignore[type-var]


def _asset(name: str, where: Address, route: PauseRoute, tokens: Sequence[Address], options: dict[str, Any]) -> Asset:
    listed = tuple(Token(token) for token in tokens)
    return Asset(name, "contract", CHAIN, where, tokens=listed, pause=route, **options)


@asynccontextmanager
async def lab_world() -> AsyncIterator[LabWorld]:
    clock = SystemClock()
    async with Anvil() as anvil:
        rpc = Rpc(anvil.ws_url, clock=clock, name="anvil")
        nodes = Nodes(CHAIN, [rpc], clock=clock)
        world = LabWorld(anvil, rpc, nodes)
        await world.mine()
        try:
            yield world
        finally:
            await nodes.close()
