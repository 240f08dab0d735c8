"""Curve and Vyper 2023: a pool whose lock was missing, drained by re-entering it, and its sisters after it."""

from __future__ import annotations

from monitor.rehearsal.scenario import Priced, Script, contract_asset, let_pause, make_guardian
from monitor.rehearsal.stage import ETHER, ETHER_ASSET, GWEI, Deployed, Stage

SIZES = (50, 900, 1_100)  # ether, and as many tokens
ETHER_USD = 4_000 * 10**6


class Reentrancy:
    name = "reentrancy"
    title = "Re-entered pools, one of them with a token that burns all gas in balanceOf"
    based_on = "Curve/Vyper 2023"
    benign = False
    variant = "sister pools, gas-burning token"

    async def prepare(self, stage: Stage) -> Script:
        guardian = await make_guardian(stage, ())
        token = await stage.deploy("Token", "Staked ether", "SETH", 18)
        burner = await stage.deploy("GasBurnToken")
        lender = await stage.deploy("FlashLender")
        thief = await stage.person("thief", ether=20_000)
        pools = [await _pool(stage, i, size, token, burner) for i, size in enumerate(SIZES)]
        await let_pause(stage, guardian, pools)
        await stage.setup(thief, lender, "", value=sum(SIZES) * 4 * ETHER)
        await stage.setup(stage.admin, burner, "setBad(bool)", True)
        await stage.builder.seal()
        attackers = [await stage.deploy("ReentrancyAttacker", lender, by=thief) for _ in pools]
        priced = [Priced(ETHER_ASSET, 18, ETHER_USD), Priced(token.address, 18, ETHER_USD)]
        listed = [*priced, Priced(burner.address, 18, 10**6)]
        assets = [
            contract_asset(
                f"pool-{i}",
                pool,
                guardian,
                tokens=listed if i == 1 else priced,
                family="pools",
                invariants=["reserves() >= claims() * 999 / 1000"],
                golden=[
                    {
                        "from": (await stage.person("provider")).address,
                        "call": "approve(address,uint256)",
                        "args": [thief.address, 0],
                    }
                ],
            )
            for i, pool in enumerate(pools)
        ]
        cast = {"pools": pools, "attackers": attackers, "thief": thief, "token": token}
        return Script(assets, priced, [a.address for a in attackers], [p.address for p in pools], cast=cast)

    async def play(self, stage: Stage, script: Script) -> None:
        pools, attackers, thief = script.cast["pools"], script.cast["attackers"], script.cast["thief"]
        for i in range(5):
            await ordinary_swaps(stage, script, i)
            await stage.end_slot()
        for i, pool in enumerate(pools):
            await ordinary_swaps(stage, script, 10 + i)
            how = {"private": i % 2 == 0, "tip": 3 * GWEI}
            await stage.attack(thief, attackers[i], "attack(address,uint256)", pool, 6, **how)
            stage.mark_attack()
            await stage.end_slot()


async def ordinary_swaps(stage: Stage, script: Script, number: int) -> None:
    """Swaps both ways and a provider who comes and goes, up to twice what the first theft takes."""
    pool = script.cast["pools"][stage.random.randrange(len(SIZES))]
    token = script.cast["token"]
    who = await stage.person(f"trader {number}")
    amount = stage.random.randrange(1, 10) * ETHER
    await stage.send(stage.admin, token, "mint(address,uint256)", who, amount, tip=9 * GWEI)
    await stage.send(who, token, "approve(address,uint256)", pool, 2**256 - 1, tip=8 * GWEI)
    await stage.send(who, pool, "swapTokens(uint256)", amount, gas=400_000, tip=7 * GWEI)
    await stage.send(who, pool, "addLiquidity(uint256)", 0, value=ETHER, gas=400_000, tip=6 * GWEI)
    await stage.send(who, pool, "removeLiquidity(uint256)", ETHER // 2, gas=400_000, tip=5 * GWEI)


async def _pool(stage: Stage, i: int, size: int, token: Deployed, burner: Deployed) -> Deployed:
    extra = burner if i == 1 else "0x" + "00" * 20
    pool = await stage.deploy("Pool", token, extra, stage.admin, stage.admin)
    provider = await stage.person("provider", ether=50_000)
    await stage.setup(stage.admin, token, "mint(address,uint256)", provider, size * ETHER)
    await stage.setup(provider, token, "approve(address,uint256)", pool, 2**256 - 1)
    if i == 1:
        await stage.setup(stage.admin, burner, "mint(address,uint256)", pool, 1_000 * ETHER)
    await stage.builder.seal()
    await stage.setup(provider, pool, "addLiquidity(uint256)", size * ETHER, value=size * ETHER)
    await stage.builder.seal()
    return pool
