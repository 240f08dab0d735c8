"""Euler and Telcoin 2023: one exploit, many markets, one transaction for each, minutes apart."""

from __future__ import annotations

from monitor.rehearsal.scenario import Priced, Script, contract_asset, let_pause, make_guardian
from monitor.rehearsal.stage import GWEI, Deployed, Stage

SIZES = (1_000_000, 6_000_000, 7_000_000, 8_000_000)  # dollars; the first holds under 5 %


class RepeatedMarket:
    name = "repeated_market"
    title = "One lending exploit, four markets, the smallest first"
    based_on = "Euler 2023, Telcoin 2023"
    benign = False
    variant = "market as argument, then in the code"

    async def prepare(self, stage: Stage) -> Script:
        guardian = await make_guardian(stage, ())
        lender = await stage.deploy("FlashLender")
        user = await stage.person("market user")
        thief = await stage.person("thief")
        markets: list[Deployed] = []
        tokens: list[Priced] = []
        for i, size in enumerate(SIZES):
            market, token = await _market(stage, i, size, lender)
            markets.append(market)
            tokens.append(Priced(token.address, 18, 10**6))
        await let_pause(stage, guardian, markets)
        attackers = [await stage.deploy("MarketAttacker", lender, by=thief)]
        attackers += [await stage.deploy("FixedMarketAttacker", lender, m, by=thief) for m in markets[2:]]
        assets = [
            contract_asset(
                f"market-{i}",
                market,
                guardian,
                tokens=[tokens[i]],
                family="markets",
                invariants=["assets() >= liabilities() * 999 / 1000"],
                golden=[{"from": user.address, "call": "repay(address,uint256)", "args": [user.address, 1]}],
            )
            for i, market in enumerate(markets)
        ]
        cast = {"markets": markets, "attackers": attackers, "user": user, "thief": thief, "tokens": tokens}
        holders = [thief.address, *(a.address for a in attackers)]
        return Script(assets, tokens, holders, [m.address for m in markets], cast=cast)

    async def play(self, stage: Stage, script: Script) -> None:
        markets, attackers, thief = script.cast["markets"], script.cast["attackers"], script.cast["thief"]
        for i in range(5):
            await ordinary_lending(stage, script, i)
            await stage.end_slot()
        await ordinary_lending(stage, script, 10)
        await stage.attack(thief, attackers[0], "attack(address)", markets[0], tip=3 * GWEI)
        stage.mark_attack()
        await stage.end_slot()
        await stage.attack(thief, attackers[0], "attack(address)", markets[1], private=False, tip=3 * GWEI)
        await ordinary_lending(stage, script, 11)
        await stage.end_slot()
        for i, attacker in enumerate(attackers[1:]):
            await stage.attack(thief, attacker, "attack()", private=i % 2 == 0, tip=3 * GWEI)
            await ordinary_lending(stage, script, 12 + i)
            await stage.end_slot()


async def ordinary_lending(stage: Stage, script: Script, number: int) -> None:
    """Fresh users deposit and borrow through the functions that the attack uses; an old one repays."""
    markets, tokens = script.cast["markets"], script.cast["tokens"]
    i = stage.random.randrange(len(markets))
    who = await stage.person(f"lender {number}")
    amount = stage.random.randrange(1_000, 100_000) * 10**18
    await stage.send(stage.admin, tokens[i].address, "mint(address,uint256)", who, amount, tip=9 * GWEI)
    await stage.send(who, tokens[i].address, "approve(address,uint256)", markets[i], 2**256 - 1, tip=8 * GWEI)
    await stage.send(who, markets[i], "deposit(uint256)", amount, gas=300_000, tip=7 * GWEI)
    await stage.send(who, markets[i], "borrow(uint256)", amount // 2, gas=300_000, tip=6 * GWEI)
    await stage.send(script.cast["user"], markets[i], "repay(address,uint256)", script.cast["user"], 5, gas=200_000)


async def _market(stage: Stage, i: int, size: int, lender: Deployed) -> tuple[Deployed, Deployed]:
    """A market with deposits, one borrower, and three times its cash in the flash lender."""
    token = await stage.deploy("Token", f"Market token {i}", f"MT{i}", 18)
    market = await stage.deploy("Market", token, stage.admin, stage.admin)
    whale, user = await stage.person(f"whale {i}"), await stage.person("market user")
    amount = size * 10**18
    for who, much in ((whale, amount), (user, amount // 100), (lender, 4 * amount)):
        await stage.setup(stage.admin, token, "mint(address,uint256)", who, much)
    for who in (whale, user):
        await stage.setup(who, token, "approve(address,uint256)", market, 2**256 - 1)
    await stage.builder.seal()
    await stage.setup(whale, market, "deposit(uint256)", amount)
    await stage.setup(user, market, "deposit(uint256)", amount // 200)
    await stage.setup(user, market, "borrow(uint256)", amount // 1000)
    await stage.builder.seal()
    return market, token
