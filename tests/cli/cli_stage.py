"""A real chain with a vault, a Guardian and keys on it, and the configuration that an owner would write for them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.rehearsal.anvil import Anvil
from monitor.rehearsal.builder import Builder
from monitor.rehearsal.stage import Deployed, Stage

ROOT = str(Path(__file__).resolve().parents[2])
TOKEN = "cli test token, long enough"


@dataclass
class Town:
    """What was deployed, and where the configuration lies."""

    stage: Stage
    folder: Path
    token: Deployed
    vault: Deployed
    guardian: Deployed
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return str(self.folder / "drawbridge.yaml")

    def configured(self, **sections: Any) -> str:
        """Write the configuration; sections replace those of the same name. Returns its path."""
        whole = configuration(self) | sections
        Path(self.path).write_text(json.dumps(whole, indent=1))
        return self.path

    async def command(self, *arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Run `drawbridge …` as its own process: exit code, stdout, stderr."""
        return await command(*arguments, folder=self.folder, environment=environment)


async def command(
    *arguments: str, folder: Path, environment: dict[str, str] | None = None, deadline_s: float = 60
) -> tuple[int, str, str]:
    process = await started(*arguments, folder=folder, environment=environment)
    async with asyncio.timeout(deadline_s):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def started(
    *arguments: str, folder: Path, environment: dict[str, str] | None = None
) -> asyncio.subprocess.Process:
    """A `drawbridge` process with nothing in its environment but what is given."""
    base = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ROOT, "HOME": str(folder), "NO_COLOR": "1"}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "monitor",
        *arguments,
        cwd=folder,
        env=base | (environment or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    """Deployed, registered and configured: the responder is the Guardian's pauser, and nothing else."""
    async with Anvil() as anvil, Builder(anvil.ws_url) as builder:
        stage = Stage(anvil, builder, seed=11, folder=folder)
        try:
            token = await stage.deploy("Token", "Dollar", "USD", 6)
            guardian = await stage.deploy("Guardian", stage.admin, 60, 86_400, 604_800, 864_000, 3)
            vault = await stage.deploy("Vault", token, "Vault", "vUSD", stage.admin, guardian)
            await stage.setup(stage.admin, guardian, "register(address)", vault)
            await stage.setup(stage.admin, guardian, "setPauser(address)", stage.responder)
            await builder.seal()
            made = Town(stage, folder, token, vault, guardian)
            made.configured()
            yield made
        finally:
            await stage.close()


def configuration(town: Town) -> dict[str, Any]:
    stage = town.stage
    return {
        "version": 1,
        "store": "sqlite:///journal.db",
        "chains": [
            {"name": "devnet", "chain_id": 31_337, "rpc": [stage.builder.ws_url, stage.anvil.ws_url], "rpc_quorum": 2}
        ],
        "prices": {"static": {f"devnet:{town.token.address}": {"usd": 1, "decimals": 6}}},
        "operators": [{"name": "alice", "role": "admin", "token_env": "ALICE_TOKEN"}],
        "assets": [vault(town)],
        "signers": {"guardian-key": {"rpc": stage.anvil.http_url, "address": stage.responder.address}},
        "responders": {"pause": {"signer": "guardian-key"}},
    }


def vault(town: Town, **fields: Any) -> dict[str, Any]:
    return {
        "name": "vault",
        "kind": "contract",
        "chain": "devnet",
        "address": town.vault.address,
        "tokens": [{"address": town.token.address, "decimals": 6, "symbol": "USD"}],
        "outage_usd_per_min": 1,
        "autonomy": {"class_2": "L3"},
        "pause": {"via": "guardian", "guardian": town.guardian.address},
        "invariants": ["totalAssets() >= totalSupply() * 999 / 1000"],
        "golden": [
            {"from": town.stage.admin.address, "call": "approve(address,uint256)", "args": [town.token.address, 1]}
        ],
    } | fields
