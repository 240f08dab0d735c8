"""A decoy on the cheapest vault, then a thief who waits until the pause lapses, with nobody present."""

from __future__ import annotations

from monitor.rehearsal.scenario import Priced, Script, contract_asset, let_pause, make_guardian
from monitor.rehearsal.stage import GWEI, Stage

SIZES = (50_000, 2_000_000, 4_000_000, 9_000_000)
PAUSE_S = 3_600
LEAP_S = 600


class WaitsOut:
    name = "waits_out"
    title = "A decoy, then a thief who waits until the pause runs out"
    based_on = "GateSeal and finite pauses; UwU Lend 2024's second drain"
    benign = False
    variant = "decoy on the cheapest vault"

    async def prepare(self, stage: Stage) -> Script:
        guardian = await make_guardian(stage, (), uses=3)
        token = await stage.deploy("Token", "Vault dollar", "VUSD", 18)
        vaults = [
            await stage.deploy("Vault", token, f"Vault {i}", f"V{i}", stage.admin, stage.admin)
            for i in range(len(SIZES))
        ]
        await let_pause(stage, guardian, vaults)
        saver = await stage.person("saver")
        await stage.setup(stage.admin, token, "mint(address,uint256)", saver, 10 * sum(SIZES) * 10**18)
        for vault in vaults:
            await stage.setup(saver, token, "approve(address,uint256)", vault, 2**256 - 1)
        await stage.builder.seal()
        for vault, size in zip(vaults, SIZES, strict=True):
            await stage.setup(saver, vault, "deposit(uint256,address)", size * 10**18, saver)
        await stage.builder.seal()
        thief = await stage.person("thief")
        attackers = [await stage.deploy("VaultAttacker", by=thief) for _ in vaults]
        priced = Priced(token.address, 18, 10**6)
        assets = [
            contract_asset(
                f"vault-{i}",
                vault,
                guardian,
                tokens=[priced],
                family="vaults",
                invariants=["totalAssets() >= totalSupply() * 999 / 1000"],
                golden=[{"from": saver.address, "call": "transfer(address,uint256)", "args": [thief.address, 0]}],
            )
            for i, vault in enumerate(vaults)
        ]
        cast = {"vaults": vaults, "attackers": attackers, "thief": thief, "guardian": guardian, "saver": saver}
        holders = [a.address for a in attackers]
        return Script(assets, [priced], holders, [v.address for v in vaults], cast=cast)

    async def play(self, stage: Stage, script: Script) -> None:
        cast = script.cast
        for i in range(4):
            await ordinary_saving(stage, script, i)
            await stage.end_slot()
        await stage.attack(cast["thief"], cast["attackers"][0], "attack(address,uint256)", cast["vaults"][0], 9)
        stage.mark_attack()
        await stage.end_slot()
        await self._strike(stage, script)
        for leap in range(3 * PAUSE_S // LEAP_S):
            await stage.end_slot(slot_s=LEAP_S)
            if leap % 3 == 2:
                await self._strike(stage, script)
        await stage.end_slot()

    async def _strike(self, stage: Stage, script: Script) -> None:
        """Lapse whatever lapses, then attack the largest vault that is left; the thief reads the chain like anybody."""
        cast = script.cast
        for vault in cast["vaults"]:
            call = "lapse(address)"
            await stage.attack(cast["thief"], cast["guardian"], call, vault, gas=700_000, tip=9 * GWEI)
        for i in (3, 2, 1):
            victim, attacker = cast["vaults"][i], cast["attackers"][i]
            await stage.attack(cast["thief"], attacker, "attack(address,uint256)", victim, 9, gas=500_000, tip=8 * GWEI)
        await stage.end_slot()


async def ordinary_saving(stage: Stage, script: Script, number: int) -> None:
    """Deposits, and redemptions of up to twice what the decoy takes."""
    vaults, saver = script.cast["vaults"], script.cast["saver"]
    for i in range(len(vaults)):
        amount = stage.random.randrange(100, 2 * SIZES[0]) * 10**18
        receiver = await stage.person(f"receiver {number} {i}", ether=0)
        await stage.send(saver, vaults[i], "deposit(uint256,address)", 2 * amount, saver, gas=300_000)
        await stage.send(saver, vaults[i], "redeem(uint256,address,address)", amount, receiver, saver, gas=300_000)
