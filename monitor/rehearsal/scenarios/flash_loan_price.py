"""A flash-loan price manipulation in one public pending transaction, with a bribe for the block's builder."""

from __future__ import annotations

from monitor.rehearsal.scenario import Priced, Script, contract_asset, let_pause, make_guardian
from monitor.rehearsal.stage import ETHER, GWEI, Deployed, Person, Stage

CASH = 12_000_000 * 10**18


class FlashLoanPrice:
    name = "flash_loan_price"
    title = "Price manipulation seen in the mempool: the pause must outrank it in the same block"
    based_on = "Harvest 2020, Cream 2021, UwU Lend 2024"
    benign = False
    variant = "bribe of half an ether"
    burn_gas = 0
    bribe = ETHER // 2

    async def prepare(self, stage: Stage) -> Script:
        base = await stage.deploy("Token", "Collateral", "COL", 18)
        quote = await stage.deploy("Token", "Dollar", "USDX", 18)
        amm = await stage.deploy("Amm", base, quote)
        victim = await stage.deploy("PriceLender", amm, 10**18, stage.admin, stage.admin)
        flash = await stage.deploy("FlashLender")
        guardian = await make_guardian(stage, ())
        await let_pause(stage, guardian, (victim,))
        supplier, user = await stage.person("supplier"), await stage.person("price user")
        await _fill(stage, (base, quote, amm, victim, flash), supplier, user)
        thief = await stage.person("thief")
        attacker = await stage.deploy("FlashPriceAttacker", flash, by=thief)
        priced = Priced(quote.address, 18, 10**6)
        asset = contract_asset(
            "price-lender",
            victim,
            guardian,
            tokens=[priced],
            family="",
            invariants=["assets() >= liabilities() * 999 / 1000"],
            golden=[{"from": user.address, "call": "repay(address,uint256)", "args": [user.address, 1]}],
        )
        cast = {"victim": victim, "attacker": attacker, "thief": thief, "amm": amm, "base": base, "quote": quote}
        return Script([asset], [priced], [attacker.address, thief.address], [victim.address], cast=cast)

    async def play(self, stage: Stage, script: Script) -> None:
        for i in range(5):
            await ordinary_borrowing(stage, script, i)
            await stage.end_slot()
        await ordinary_borrowing(stage, script, 10)
        cast = script.cast
        await stage.attack(
            cast["thief"],
            cast["attacker"],
            "attack(address,uint256,uint256)",
            cast["victim"],
            self.bribe,
            self.burn_gas,
            value=self.bribe,
            private=False,
            gas=15_000_000,
            tip=20 * GWEI,
        )
        stage.mark_attack()
        await stage.end_slot()
        await ordinary_borrowing(stage, script, 11)
        await stage.end_slot()


class FlashLoanPriceBomb(FlashLoanPrice):
    variant = "with a gas bomb inside"
    burn_gas = 12_000_000


async def ordinary_borrowing(stage: Stage, script: Script, number: int) -> None:
    """Somebody swaps, adds collateral and borrows, in one block, through the functions that the attack uses."""
    cast = script.cast
    who = await stage.person(f"borrower {number}")
    amount = stage.random.randrange(1_000, 20_000) * 10**18
    await stage.send(stage.admin, cast["base"], "mint(address,uint256)", who, 2 * amount, tip=60 * GWEI)
    for spender in (cast["amm"], cast["victim"]):
        await stage.send(who, cast["base"], "approve(address,uint256)", spender, 2**256 - 1, tip=50 * GWEI)
    await stage.send(who, cast["amm"], "swap(address,uint256,uint256)", cast["base"], amount // 10, 0, tip=40 * GWEI)
    await stage.send(who, cast["victim"], "addCollateral(uint256)", amount, tip=30 * GWEI)
    await stage.send(who, cast["victim"], "borrow(uint256)", amount // 2, tip=30 * GWEI)


async def _fill(stage: Stage, contracts: tuple[Deployed, ...], supplier: Person, user: Person) -> None:
    base, quote, amm, victim, flash = contracts
    pair = 2_000_000 * 10**18
    for token, who, amount in (
        (base, supplier, pair),
        (quote, supplier, pair + CASH),
        (quote, flash, 40_000_000 * 10**18),
        (base, user, 10_000 * 10**18),
        (quote, user, 10_000 * 10**18),
    ):
        await stage.setup(stage.admin, token, "mint(address,uint256)", who, amount)
    for token in (base, quote):
        for who in (supplier, user):
            for spender in (amm, victim):
                await stage.setup(who, token, "approve(address,uint256)", spender, 2**256 - 1)
    await stage.builder.seal()
    await stage.setup(supplier, amm, "addLiquidity(uint256,uint256)", pair, pair)
    await stage.setup(supplier, victim, "supply(uint256)", CASH)
    await stage.builder.seal()
    await stage.setup(user, victim, "addCollateral(uint256)", 5_000 * 10**18)
    await stage.setup(user, victim, "borrow(uint256)", 1_000 * 10**18)
    await stage.builder.seal()
