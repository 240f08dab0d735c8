"""The stage of a rehearsal: a real chain behind the block-building proxy, people with keys, and contracts on it.

It knows nothing of the defence. Every key here is made from a published phrase or is anvil's own: worth nothing.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import rlp
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from monitor.rehearsal.anvil import CHECKOUT, DEV_KEYS, Anvil
from monitor.rehearsal.builder import Builder
from monitor.rehearsal.builder_endpoint import Endpoint
from monitor.rehearsal.builder_maker import BuiltBlock

ETHER = 10**18
GWEI = 10**9
ETHER_ASSET = "0x" + "ee" * 20
ARTEFACTS = CHECKOUT / "contracts" / "out"
_DEADLINE_S = 10.0


@dataclass(slots=True)
class Person:
    """Somebody with a key and a next nonce."""

    name: str
    account: LocalAccount = field(repr=False)
    nonce: int = 0

    @property
    def address(self) -> str:
        return str(self.account.address)


@dataclass(frozen=True, slots=True)
class Deployed:
    name: str
    address: str

    @property
    def raw(self) -> bytes:
        return bytes.fromhex(self.address[2:])


class Stage:
    """Deploys, sends, calls and ends slots. `wait` is asked before each slot ends: the defence's time to react."""

    def __init__(self, anvil: Anvil, builder: Builder, *, seed: int, folder: Path) -> None:
        self.anvil, self.builder, self.folder = anvil, builder, folder
        self.random = Random(seed)
        self.wait: Callable[[bool], Awaitable[None]] | None = None
        self.nodes: dict[str, Endpoint] = {}  # what the defence connects to
        self.slot_began: list[int] = []  # wall clock, ns
        self.sent: dict[str, list[str]] = {"attack": [], "benign": [], "setup": []}
        self._people: dict[str, Person] = {}
        self._client = httpx.AsyncClient(base_url=anvil.http_url, timeout=_DEADLINE_S, trust_env=False)
        self.admin = self._adopt("admin", DEV_KEYS[0])
        self.responder = self._adopt("responder", DEV_KEYS[1])
        self.tightener = self._adopt("tightener", DEV_KEYS[2])
        self.attack_slot: int | None = None  # when the first malicious transaction was sent
        self.attack_ms = 0.0
        self.first_slot = 0  # of the play; what was before is setting up

    async def close(self) -> None:
        await self._client.aclose()

    async def rpc(self, method: str, *params: Any) -> Any:
        """One call straight to the node, past the proxy."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = (await self._client.post("/", json=body)).json()
        if "error" in answer:
            raise RuntimeError(f"{method} failed on the stage: {answer['error']}")
        return answer["result"]

    async def person(self, name: str, *, ether: int = 1_000) -> Person:
        """Somebody of that name, made and funded when first asked for."""
        if name not in self._people:
            key = keccak(f"drawbridge rehearsal {self.random.random()} {name}".encode())
            made = Person(name, Account.from_key(key))
            await self.rpc("anvil_setBalance", made.address, hex(ether * ETHER))
            self._people[name] = made
        return self._people[name]

    async def deploy(self, name: str, *args: Any, by: Person | None = None, value: int = 0) -> Deployed:
        """Deploy contracts/out/<name>.json in a block of its own."""
        artefact = json.loads((ARTEFACTS / f"{name}.json").read_text())
        shape: dict[str, Any] = next((e for e in artefact["abi"] if e["type"] == "constructor"), {"inputs": []})
        types = [entry["type"] for entry in shape["inputs"]]
        data = bytes.fromhex(artefact["bytecode"].removeprefix("0x")) + abi_encode(types, list(map(_plain, args)))
        who = by or self.admin
        nonce = who.nonce
        await self._send(who, None, data, value=value, gas=12_000_000, tip=GWEI, private=False, kind="setup")
        await self.builder.seal()
        where = to_checksum_address(keccak(rlp.encode([bytes.fromhex(who.address[2:]), nonce]))[12:])
        if await self.rpc("eth_getCode", where, "latest") == "0x":
            raise RuntimeError(f"{name} could not be deployed on the stage")
        return Deployed(name, where)

    async def setup(self, who: Person, to: str | Deployed, call: str, *args: Any, value: int = 0) -> None:
        """One ordinary call before the play begins; several of them share a block when `seal` is called later."""
        await self.send(who, to, call, *args, value=value, kind="setup")

    async def send(
        self,
        who: Person,
        to: str | Deployed,
        call: str,
        *args: Any,
        value: int = 0,
        gas: int = 6_000_000,
        tip: int = 2 * GWEI,
        private: bool = False,
        kind: str = "benign",
    ) -> bytes:
        """Sign and send `name(types)`; an empty text sends ether alone. Returns the transaction hash."""
        where = to.address if isinstance(to, Deployed) else to
        data = encode_call(call, args) if call else b""
        return await self._send(who, where, data, value=value, gas=gas, tip=tip, private=private, kind=kind)

    async def attack(self, who: Person, to: str | Deployed, call: str, *args: Any, **how: Any) -> bytes:
        """An attacker's transaction; private unless told otherwise."""
        return await self.send(who, to, call, *args, **({"private": True} | how), kind="attack")

    async def read(
        self,
        target: str | Deployed,
        call: str,
        *args: Any,
        returns: Sequence[str] = ("uint256",),
        at: int | None = None,
    ) -> Any:
        """Call a view at the head, or at an earlier block."""
        where = target.address if isinstance(target, Deployed) else target
        block = "latest" if at is None else hex(at)
        raw = await self.rpc("eth_call", {"to": where, "data": "0x" + encode_call(call, args).hex()}, block)
        found = abi_decode(list(returns), bytes.fromhex(raw[2:]))
        return found[0] if len(found) == 1 else found

    async def balance(self, who: str, *, at: int | None = None) -> int:
        return int(await self.rpc("eth_getBalance", who, "latest" if at is None else hex(at)), 16)

    async def end_slot(self, *, slot_s: int | None = None, patient: bool = True) -> BuiltBlock:
        """Give the defence its part of the slot, then make the block. `slot_s` lets more chain time pass.

        An impatient end does not wait until the defence has seen the head: it may be cut off.
        """
        if self.wait is not None:
            await self.wait(patient)
        timestamp = None
        if slot_s is not None:
            timestamp = int((await self.builder.head())["timestamp"], 16) + slot_s
        block = await self.builder.seal(timestamp)
        self.slot_began.append(time.time_ns())
        return block

    def begin(self) -> None:
        """The play's first slot starts now; what was before was setting up."""
        self.first_slot = self.builder.slots.slot
        self.slot_began.append(time.time_ns())

    async def reconnected(self) -> None:
        """Until the defence has caught up with the chain."""
        if self.wait is not None:
            await self.wait(True)

    def scenario_ms(self, wall_ns: int) -> float:
        """Wall time as milliseconds since the scenario's start, a slot counting its full length."""
        slot = max(bisect_right(self.slot_began, wall_ns) - 1, 0)
        began = self.slot_began[slot] if self.slot_began else wall_ns
        into = min((wall_ns - began) / 10**6, float(self.builder.profile.slot_ms))
        return slot * self.builder.profile.slot_ms + max(into, 0.0)

    def mark_attack(self) -> None:
        """The first malicious transaction was just sent; later calls change nothing."""
        if self.attack_slot is None:
            self.attack_slot = self.builder.slots.slot
            self.attack_ms = self.scenario_ms(time.time_ns())

    async def _send(
        self,
        who: Person,
        to: str | None,
        data: bytes,
        *,
        value: int,
        gas: int,
        tip: int,
        private: bool,
        kind: str,
    ) -> bytes:
        body: dict[str, Any] = {
            "chainId": self.anvil.options.chain_id,
            "nonce": who.nonce,
            "value": value,
            "gas": gas,
            "maxFeePerGas": 200 * GWEI + tip,
            "maxPriorityFeePerGas": tip,
            "data": data,
        }
        if to is not None:
            body["to"] = to_checksum_address(to)
        raw = bytes(who.account.sign_transaction(body).raw_transaction)
        who.nonce += 1
        if private:
            sent = await self.builder.send_private(raw, may_revert=True)
        else:
            sent = await self.builder.send_public(raw)
        self.sent[kind].append("0x" + sent.hex())
        return sent

    def _adopt(self, name: str, key: str) -> Person:
        self._people[name] = Person(name, Account.from_key(key))
        return self._people[name]


def encode_call(call: str, args: Sequence[Any]) -> bytes:
    """Selector and arguments of `name(types)`."""
    inside = call[call.index("(") + 1 : -1]
    return keccak(call.encode())[:4] + abi_encode(_split(inside), list(map(_plain, args)))


def dump_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Deployed):
        return value.address
    if isinstance(value, Person):
        return value.address
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _split(types: str) -> list[str]:
    """Comma-separated types, tuples kept whole."""
    found, depth, start = [], 0, 0
    for i, char in enumerate(types):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            found.append(types[start:i])
            start = i + 1
    return [t for t in (*found, types[start:]) if t]
