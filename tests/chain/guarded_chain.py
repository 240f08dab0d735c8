"""A real anvil with a Guardian, two bridges that it may pause, and keys: for tests of what is sent and mined."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import encode

from monitor.chain.bindings import Binding, Permit, binding
from monitor.chain.keystore import Secret
from monitor.chain.rpc import Nodes, Rpc
from monitor.chain.signers import KeystoreSigner
from monitor.chain.submit import EnforceSubmit
from monitor.clock import SystemClock
from monitor.evm.abi import encode_call, selector
from monitor.model.actions import Plan, Rehearsal, Rehearsed
from monitor.model.assets import Asset, PauseRoute
from monitor.model.chain import Call, SignedTransaction
from monitor.model.events import ResponseSigned
from monitor.model.units import NO_HASH, Address, Hash, Usd, Wei, address, shown
from monitor.rehearsal.anvil import CHECKOUT, DEV_KEYS, Anvil
from tests.chain.responding import CHAIN, ETHER, GWEI, pause

GAS = 432_000
ADMIN = address("0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")
STRANGER = address("0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc")


@dataclass
class GuardedChain:
    url: str
    rpc: Rpc
    nodes: Nodes
    signer: KeystoreSigner
    guardian: Address
    targets: tuple[Address, ...]
    journal: list[ResponseSigned] = field(default_factory=list)

    def submit(self, **options: Any) -> EnforceSubmit:
        """As after a start: all that it knows is in the journal."""
        return EnforceSubmit(
            {CHAIN: self.nodes},
            {self.signer.name: self.signer},
            **{"quorum": {CHAIN: 1}, "journalled": lambda: list(self.journal), **options},
        )

    def plan(self, action_id: str = "main:1/pause", *, targets: Iterable[Address] = (), gas_used: int = 0) -> Rehearsed:
        data = encode_call("pause(address[],uint64)", list(targets) or list(self.targets[:1]), 3_600)
        calls = (Call(self.guardian, data, gas=GAS),)
        plan = Plan(pause(action_id), CHAIN, self.signer.name, calls, (), max_gas=GAS)
        found = Rehearsal(action_id, 1, NO_HASH, "holds", "", gas_used, 0, (), Usd(0), Usd(0), "UNPROVEN")
        return Rehearsed(plan, found)

    def written(
        self, signed: SignedTransaction, action_id: str = "main:1/pause", *, replaces: Hash | None = None
    ) -> ResponseSigned:
        """Journal it, as the shell does before it sends."""
        event = ResponseSigned(
            chain_id=CHAIN,
            action_id=action_id,
            incident="main:1",
            signer=self.signer.name,
            sender=signed.request.sender,
            nonce=signed.request.nonce,
            hash=signed.hash,
            raw=signed.raw,
            replaces=replaces,
        )
        self.journal.append(event)
        return event

    async def mine(self, *, base_fee: int | None = None) -> None:
        if base_fee is not None:
            await self.rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(base_fee)])
        await self.rpc.call("evm_mine", [])

    async def reorg(self, depth: int = 1) -> None:
        await self.rpc.call("anvil_reorg", [depth, []])

    async def nonce(self) -> int:
        return int(await self.rpc.call("eth_getTransactionCount", [shown(self.signer.address), "latest"]), 16)

    async def paused(self, target: Address) -> bool:
        call = {"to": shown(target), "data": shown(selector("paused()"))}
        return int(await self.rpc.call("eth_call", [call, "latest"]), 16) == 1

    async def used_by_another(self) -> None:
        """Somebody else who has the key sends with it."""
        sent = {"from": shown(self.signer.address), "to": shown(STRANGER), "value": "0x1"}
        await self.rpc.call("eth_sendTransaction", [{**sent, "gasPrice": hex(100 * GWEI), "gas": "0x5208"}])
        await self.mine()

    async def count(self) -> int:
        """How many transactions the key has in blocks."""
        return await self.nonce()


@asynccontextmanager
async def guarded_chain(*, max_cost: int = 10 * ETHER) -> AsyncIterator[GuardedChain]:
    """A Guardian that the signer is the pauser of, with two bridges registered."""
    async with Anvil() as anvil:
        clock = SystemClock()
        rpc, nodes = Rpc(anvil.http_url, clock=clock), Nodes(CHAIN, [Rpc(anvil.http_url, clock=clock)], clock=clock)
        secret = Secret(bytes.fromhex(DEV_KEYS[1][2:]))
        signer = KeystoreSigner("guardian-key", secret, Binding((), Wei(0)))
        deploy = _Deploy(rpc)
        limits = (ADMIN, 60, 86_400, 604_800, 86_400, 3)
        guardian = await deploy("Guardian", ["address", "uint64", "uint64", "uint64", "uint64", "uint32"], *limits)
        types = ["address", "address", "address", "bool"]
        targets = [await deploy("Bridge", types, ADMIN, ADMIN, guardian, False) for _ in range(2)]
        await deploy.send(guardian, encode_call("setPauser(address)", signer.address))
        for target in targets:
            await deploy.send(guardian, encode_call("register(address)", target))
        routes = [PauseRoute("guardian", target, guardian, 3_600, signer.name) for target in targets]
        assets = [Asset(f"bridge-{n}", "contract", CHAIN, r.target, pause=r) for n, r in enumerate(routes)]
        bound = binding(assets, signer.name, max_cost=Wei(max_cost))
        heartbeat = Binding((*bound.permits, Permit(CHAIN, guardian, "heartbeat()")), bound.max_exposure)
        signer = KeystoreSigner("guardian-key", secret, heartbeat)
        try:
            yield GuardedChain(anvil.http_url, rpc, nodes, signer, guardian, tuple(targets))
        finally:
            await nodes.close()
            await rpc.close()


class _Deploy:
    """The admin's hand, through anvil's own unlocked key."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def __call__(self, name: str, types: list[str], *args: Any) -> Address:
        artefact = json.loads((CHECKOUT / "contracts" / "out" / f"{name}.json").read_text())
        code = bytes.fromhex(artefact["bytecode"].removeprefix("0x")) + encode(types, args)
        receipt = await self.send(None, code)
        return address(receipt["contractAddress"])

    async def send(self, to: Address | None, data: bytes) -> Any:
        sent: dict[str, Any] = {"from": shown(ADMIN), "data": shown(data), "gas": hex(8_000_000)}
        tx_hash = await self._rpc.call("eth_sendTransaction", [sent if to is None else {**sent, "to": shown(to)}])
        await self._rpc.call("evm_mine", [])
        receipt = await self._rpc.call("eth_getTransactionReceipt", [tx_hash])
        assert receipt["status"] == "0x1", receipt
        return receipt
