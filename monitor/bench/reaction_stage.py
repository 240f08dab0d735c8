"""The stage of the reaction figures: a theft that can be shown again and again, on a chain behind relays."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from eth_account import Account

from monitor.bench.reaction_thefts import Theft
from monitor.model.errors import Unreachable
from monitor.rehearsal.anvil import DEV_KEYS
from monitor.rehearsal.builder_slot import LOOPBACK
from monitor.rehearsal.scenario import Play, Script
from monitor.rehearsal.scenarios.flash_loan_price import FlashLoanPrice
from monitor.rehearsal.stage import ETHER_ASSET, GWEI, Stage
from monitor.rehearsal.undefended import open_stage

PASSWORD: Final = "worth nothing"
NODES: Final = 2
BLOCKS: Final = 3  # of ordinary use before the attack
GAS: Final = 3_000_000
_START_S: Final = 20.0


@dataclass
class Told:
    """What the relay noted: when a pending transaction was first written to us, and every raw transaction it got."""

    notices: dict[str, int] = field(default_factory=dict)
    raws: list[tuple[int, bytes]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, line: bytes) -> None:
        said = json.loads(line)
        match said["kind"]:
            case "notice":
                self.notices.setdefault(said["what"], said["ns"])
            case "raw":
                self.raws.append((said["ns"], bytes.fromhex(said["what"][2:])))
            case _:
                raise Unreachable(f"the node does not take the attack: {said['what']}")
        self.news.set()


@dataclass(frozen=True)
class Relays:
    """Ports before the node, in a process of their own; what it noted, and where it takes transactions to send."""

    ports: list[int]
    told: Told
    given: asyncio.StreamWriter


class Scene:
    """One chain on which the same attack can be shown again and again, each time with another hash."""

    def __init__(self, stage: Stage, theft: Theft, script: Script, relays: Relays) -> None:
        self.folder, self.secrets = stage.folder, {"GUARDIAN_PASSWORD": PASSWORD}
        self._stage, self._theft, self._script = stage, theft, script
        self._ports, self._told = relays.ports, relays.told
        self._relays, self._shown = relays.given, 0
        self._keystore = stage.folder / "guardian.json"
        encrypted = Account.encrypt(bytes.fromhex(DEV_KEYS[1][2:]), PASSWORD, kdf="pbkdf2", iterations=2)
        self._keystore.write_text(json.dumps(encrypted))

    def configuration(self, folder: Path) -> dict[str, Any]:
        """What an owner would write."""
        token = self._script.tokens[0]
        prices = {
            f"devnet:{token.address}": {"usd": token.usd / 10**6, "decimals": token.decimals},
            "devnet:native": {"usd": 4_000, "decimals": 18},
        }
        assert token.address != ETHER_ASSET
        return {
            "version": 1,
            "mode": "enforce",
            "store": f"sqlite:///{folder / 'drawbridge.db'}",
            "chains": [
                {
                    "name": "devnet",
                    "chain_id": self._stage.anvil.options.chain_id,
                    "rpc": [f"ws://127.0.0.1:{port}" for port in self._ports],
                    "block_time_ms": 12_000,
                    "rpc_quorum": NODES,
                    "mempool": True,
                }
            ],
            "prices": {"static": prices},
            "assets": self._script.assets,
            "signers": {
                "guardian-key": {
                    "keystore": str(self._keystore),
                    "password_env": "GUARDIAN_PASSWORD",
                    "address": self._stage.responder.address,
                }
            },
            "responders": {"pause": {"signer": "guardian-key"}},
        }

    def attack(self) -> str:
        """Send the attack to the node's own port; its hash. Its gas limit is one lower each time, so that it is new."""
        self._shown += 1
        thief, (target, data, value) = self._script.cast["thief"], self._theft.call(self._script)
        signed = thief.account.sign_transaction(
            {
                "chainId": self._stage.anvil.options.chain_id,
                "nonce": thief.nonce,
                "to": target.address,
                "value": value,
                "gas": GAS - self._shown,
                "maxFeePerGas": 220 * GWEI,
                "maxPriorityFeePerGas": 20 * GWEI,
                "data": data,
            }
        )
        self._told.raws.clear()
        self._told.notices.clear()
        self._relays.write(b"0x" + bytes(signed.raw_transaction).hex().encode() + b"\n")
        return "0x" + bytes(signed.hash).hex()

    async def answered(self, tx_hash: str) -> float:
        """Milliseconds from the notice of this transaction to the first raw one that our responder signed."""
        while True:
            self._told.news.clear()
            began = self._told.notices.get(tx_hash)
            ours = [at for at, raw in self._told.raws if self._is_ours(raw)]
            if began is not None and ours:
                return (min(ours) - began) / 1e6
            await self._told.news.wait()

    async def clear(self) -> None:
        """Nothing pending any more, as before the run."""
        await self._stage.rpc("anvil_dropAllTransactions")

    def _is_ours(self, raw: bytes) -> bool:
        return str(Account.recover_transaction(raw)) == self._stage.responder.address


@asynccontextmanager
async def open_scene(theft: Theft, folder: Path) -> AsyncIterator[Scene]:
    """Deploy, use for a few blocks as ordinary people do, then stand still behind the relays."""
    async with open_stage(Play(FlashLoanPrice(), 1, "enforce", LOOPBACK), folder) as stage:
        script = await theft.prepare(stage)
        for i in range(BLOCKS):
            await theft.use(stage, script, i)
            await stage.builder.seal()
        async with _relays(stage.anvil.http_url) as relays:
            yield Scene(stage, theft, script, relays)


@asynccontextmanager
async def _relays(node_url: str) -> AsyncIterator[Relays]:
    port = node_url.rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "monitor.bench.relay",
        port,
        str(NODES),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 22,
    )
    if process.stdout is None or process.stdin is None:
        raise Unreachable("the relay of the bench has no pipes")
    lines, told = process.stdout, Told()
    try:
        async with asyncio.timeout(_START_S):
            ports = json.loads(await lines.readline())["ports"]
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_read(lines, told))
            yield Relays(ports, told, process.stdin)
            reading.cancel()
    finally:
        process.kill()
        await process.wait()


async def _read(lines: asyncio.StreamReader, told: Told) -> None:
    while line := await lines.readline():
        told.take(line)
