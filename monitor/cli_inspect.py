"""What `check` and `authority` look at: chains, keys and the fork lab of a configuration, without a journal or a loop.

Everything here only reads and simulates. What does not answer is kept as a line, so that all of it is told at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from monitor.chain.bindings import binding
from monitor.chain.gate_view import GateView
from monitor.chain.lab import ForkLab, LabChain
from monitor.chain.rpc import Nodes, Rpc
from monitor.chain.rpc_wire import RpcError
from monitor.chain.signers import KeystoreSigner
from monitor.chain.simulate import NodeSimulator
from monitor.core.context import StatePrices
from monitor.core.state import CoreState
from monitor.evm import wire
from monitor.evm.watch import Protected
from monitor.model.actions import AnyAction, Plan
from monitor.model.chain import Header
from monitor.model.errors import DrawbridgeError
from monitor.model.policy import ChainRule
from monitor.model.ports import Clock, Responder
from monitor.model.units import Address, ChainId, Wei, address, shown
from monitor.settings import Settings
from monitor.settings_schema import ChainShape, SignerShape
from responders import CATALOGUE

Level = Literal["ok", "note", "warning", "finding"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at. A finding is something wrong."""

    level: Level
    about: str
    text: str


@dataclass(slots=True)
class Chain:
    """One chain, as far as it answers. `head` is None where no node can be used."""

    shape: ChainShape
    rule: ChainRule
    nodes: Nodes
    simulator: NodeSimulator
    faults: tuple[str, ...] = ()
    head: Header | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """One response key. `fault` says why it cannot be used."""

    name: str
    kind: Literal["keystore", "remote"]
    address: Address | None
    fault: str = ""


@dataclass(slots=True)
class Inspection:
    """All of it."""

    settings: Settings
    chains: dict[ChainId, Chain]
    keys: dict[str, Key]
    lab: ForkLab
    responders: tuple[Responder, ...]
    gate_faults: list[str]

    def plans(self, action: AnyAction) -> Iterator[Plan]:
        """As the loop would plan it. Raises Refused."""
        for responder in self.responders:
            if type(action) in responder.handles:
                yield from responder.plan(action)


@asynccontextmanager
async def inspected(settings: Settings, clock: Clock) -> AsyncIterator[Inspection]:
    """Connect to everything at once; nothing that is silent or wrong raises."""
    async with AsyncExitStack() as stack:
        chains = {ChainId(rule.chain_id): _chain(settings, rule, clock, stack) for rule in settings.rules}
        async with asyncio.TaskGroup() as group:
            for chain in chains.values():
                group.create_task(_connect(chain))
            asked = [group.create_task(_key(settings, name, clock)) for name in settings.signers]
        keys = {task.result().name: task.result() for task in asked}
        assets = Protected(settings.assets)
        nodes = {chain_id: chain.nodes for chain_id, chain in chains.items()}
        gates = GateView(nodes, lambda chain_id: chains[chain_id].head)
        lab = ForkLab(
            {i: LabChain(chain.simulator, chain.nodes, chain.rule.slot_s) for i, chain in chains.items()},
            heads=lambda chain_id: chains[chain_id].head,
            signers={key.name: key.address for key in keys.values() if key.address is not None},
            assets=assets,
            prices=StatePrices(CoreState()),
            clock=clock,
            deadline_ms=5_000,
        )
        responders = tuple(build(assets, gates) for build in CATALOGUE.values())
        yield Inspection(settings, chains, keys, lab, responders, await gates.refresh(settings.assets))


def _chain(settings: Settings, rule: ChainRule, clock: Clock, stack: AsyncExitStack) -> Chain:
    shape = next(each for each in settings.chains if each.chain_id == rule.chain_id)
    rpcs = [Rpc(url, clock=clock, name=f"{shape.name}-{i}") for i, url in enumerate(shape.rpc)]
    nodes = Nodes(ChainId(rule.chain_id), rpcs, clock=clock)
    stack.push_async_callback(nodes.close)
    return Chain(shape, rule, nodes, NodeSimulator(nodes, clock=clock))


async def _connect(chain: Chain) -> None:
    chain.faults = await chain.nodes.check()
    if len(chain.faults) >= len(chain.shape.rpc):
        return
    try:
        answer = await chain.nodes.first("eth_getBlockByNumber", ("latest", False), into=wire.WireHeader)
        chain.head = wire.header(answer)
    except (DrawbridgeError, RpcError) as error:
        chain.faults = (*chain.faults, str(error))


async def _key(settings: Settings, name: str, clock: Clock) -> Key:
    shape = settings.signers[name]
    expected = address(shape.address) if shape.address else None
    try:
        if shape.keystore is not None:
            return Key(name, "keystore", await _decrypted(settings, name, shape))
        return Key(name, "remote", expected, await _remote(name, shape, clock))
    except DrawbridgeError as error:
        return Key(name, "keystore" if shape.keystore else "remote", expected, str(error))


async def _decrypted(settings: Settings, name: str, shape: SignerShape) -> Address:
    password = settings.secret(shape.password_env or "") or ""
    bound = binding(settings.assets, name, max_cost=Wei(settings.policy.bid_max_wei))
    expected = address(shape.address) if shape.address else None
    path = Path(shape.keystore or "")
    signer = await KeystoreSigner.open(name, path, password=lambda: password, binding=bound, address=expected)
    signer.close()
    return signer.address


async def _remote(name: str, shape: SignerShape, clock: Clock) -> str:
    """Whether the signer is there and has the key, as far as it says: clef keeps its accounts to itself."""
    rpc = Rpc(shape.rpc or "", clock=clock, name=name)
    try:
        accounts = await rpc.call("eth_accounts", into=list[str])
    except RpcError:
        return ""
    finally:
        await rpc.close()
    expected = shown(address(shape.address or ""))
    if expected not in [account.lower() for account in accounts]:
        return f"signer {name}: answers, but has no key of {shape.address}; correct signers.{name}"
    return ""
