"""Exchange key thefts of 2023 to 2026: a small test transfer, then every asset in one block, privately."""

from __future__ import annotations

from monitor.rehearsal.scenario import Priced, Script
from monitor.rehearsal.scenarios.exchange import LEDGER_KEY, Exchange, open_exchange, units
from monitor.rehearsal.stage import GWEI, Stage


class HotKeyTheft:
    name = "hot_key_theft"
    title = "Stolen signer key of a hot wallet: test transfer, then a sweep over six assets"
    based_on = "CoinDCX 2025, Phemex 2025, BingX 2024, CoinEx 2023"
    benign = False
    variant = "WithdrawalGate"

    async def prepare(self, stage: Stage) -> Script:
        exchange = await open_exchange(stage, stage.folder)
        thief = await stage.person("thief")
        receivers = [await stage.person(f"receiver {i}", ether=0) for i in range(3)]
        return Script(
            assets=[exchange.asset()],
            tokens=exchange.tokens,
            attackers=[thief.address, *(r.address for r in receivers)],
            victims=[exchange.gate.address],
            ledgers=exchange.ledgers(),
            secrets={"LEDGER_KEY": LEDGER_KEY},
            cast={"exchange": exchange, "thief": thief, "receivers": receivers},
        )

    async def play(self, stage: Stage, script: Script) -> None:
        exchange: Exchange = script.cast["exchange"]
        for i in range(6):
            await ordinary_withdrawals(stage, exchange, 3, seed=i)
            await stage.end_slot()
        thief, receivers = script.cast["thief"], script.cast["receivers"]
        first = exchange.tokens[1]
        test = units(first, 5_000)
        await ordinary_withdrawals(stage, exchange, 2, seed=100)
        await exchange.withdraw(
            stage, first, receivers[0].address, test, authorised=False, by=thief, private=True, tip=3 * GWEI
        )
        stage.mark_attack()
        await stage.end_slot()
        for round_number in range(3):
            for i, token in enumerate(exchange.tokens):
                amount = int(await stage.read(exchange.gate, "available(address)", token.address))
                held = await holding(stage, exchange, token)
                amount = min(amount, held) // (2 if round_number == 0 else 1)
                if amount > 0:
                    to = receivers[i % len(receivers)].address
                    how = {"private": i % 2 == 0, "tip": 5 * GWEI}
                    await exchange.withdraw(stage, token, to, amount, authorised=False, by=thief, **how)
            await ordinary_withdrawals(stage, exchange, 2, seed=200 + round_number)
            await stage.end_slot()


async def ordinary_withdrawals(stage: Stage, exchange: Exchange, count: int, *, seed: int) -> None:
    """Customers take out up to twice what a thief's test takes, to addresses never seen before."""
    backend = await stage.person("backend")
    for i in range(count):
        token = exchange.tokens[stage.random.randrange(len(exchange.tokens))]
        amount = units(token, stage.random.randrange(500, 10_000))
        customer = await stage.person(f"customer {seed} {i}", ether=0)
        await exchange.withdraw(stage, token, customer.address, amount, authorised=True, by=backend)
    await exchange.complete()


async def holding(stage: Stage, exchange: Exchange, token: Priced) -> int:
    address = token.address
    if address == exchange.tokens[0].address:
        return await stage.balance(exchange.gate.address)
    return int(await stage.read(address, "balanceOf(address)", exchange.gate))
