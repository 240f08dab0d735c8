"""A day on which everything looks like theft and nothing is: the defence must not pause anything."""

from __future__ import annotations

from typing import Any

from monitor.rehearsal.scenario import Script
from monitor.rehearsal.scenarios.exchange import LEDGER_KEY, Exchange, open_exchange, units
from monitor.rehearsal.scenarios.hot_key_theft import ordinary_withdrawals
from monitor.rehearsal.scenarios.repeated_market import RepeatedMarket, ordinary_lending
from monitor.rehearsal.scenarios.waits_out import WaitsOut, ordinary_saving
from monitor.rehearsal.stage import GWEI, Person, Stage


class BusyDay:
    name = "busy_day"
    title = "Whales, redemptions, liquidations, migrations, a late ledger: nothing to pause"
    based_on = "what monitors were wrong about: facts/peers-lessons.md"
    benign = True
    variant = "one exchange, four vaults, four markets"

    async def prepare(self, stage: Stage) -> Script:
        exchange = await open_exchange(stage, stage.folder)
        vaults, markets = await WaitsOut().prepare(stage), await RepeatedMarket().prepare(stage)
        mixer_funded = await stage.person("mixer-funded user")
        labels = stage.folder / "labels.txt"
        labels.write_text(mixer_funded.address + "\n")
        cold = await stage.person("cold wallet", ether=0)
        tokens = {t.address: t for t in (*exchange.tokens, *vaults.tokens, *markets.tokens)}
        return Script(
            assets=[exchange.asset(known_destinations=[cold.address]), *vaults.assets, *markets.assets],
            tokens=list(tokens.values()),
            attackers=[],
            ledgers=exchange.ledgers(),
            labels=[{"path": str(labels), "format": "lines", "kind": "mixer", "days": 30}],
            secrets={"LEDGER_KEY": LEDGER_KEY},
            cast={"exchange": exchange, "vaults": vaults, "markets": markets, "cold": cold, "mixer": mixer_funded},
        )

    async def play(self, stage: Stage, script: Script) -> None:
        exchange: Exchange = script.cast["exchange"]
        backend = await stage.person("backend")
        for i in range(6):
            await ordinary_withdrawals(stage, exchange, 3, seed=i)
            await ordinary_saving(stage, script.cast["vaults"], i)
            await ordinary_lending(stage, script.cast["markets"], i)
            await stage.end_slot()
        await self._whale(stage, exchange, backend)
        await self._migration(stage, script, exchange, backend)
        await self._redemptions(stage, script)
        await self._late_ledger(stage, exchange)
        await self._liquidation(stage, script)
        for i in range(4):
            await ordinary_withdrawals(stage, exchange, 4, seed=500 + i)
            await ordinary_saving(stage, script.cast["vaults"], 500 + i)
            await stage.end_slot()

    async def _whale(self, stage: Stage, exchange: Exchange, backend: Person) -> None:
        """A customer tests a small withdrawal, then takes a large one, then the rest, to one new address."""
        whale = await stage.person("whale", ether=0)
        for usd in (1_000, 900_000, 600_000):
            token = exchange.tokens[1]
            await exchange.withdraw(stage, token, whale.address, units(token, usd), authorised=True, by=backend)
            await exchange.complete()
            await stage.end_slot()

    async def _migration(self, stage: Stage, script: Script, exchange: Exchange, backend: Person) -> None:
        """The treasury moves a third of every asset to its cold wallet in one block, as a sweep would."""
        for token in exchange.tokens:
            cold = script.cast["cold"].address
            amount = units(token, 1_200_000)
            await exchange.withdraw(stage, token, cold, amount, authorised=True, by=backend)
        await exchange.complete()
        await stage.end_slot()

    async def _redemptions(self, stage: Stage, script: Script) -> None:
        """Three tenths of every vault leave in one block, each share burned for what it is worth."""
        cast = script.cast["vaults"].cast
        for vault in cast["vaults"]:
            held = int(await stage.read(vault, "balanceOf(address)", cast["saver"]))
            call = "redeem(uint256,address,address)"
            await stage.send(cast["saver"], vault, call, held * 3 // 10, cast["saver"], cast["saver"], gas=300_000)
        await stage.end_slot()

    async def _late_ledger(self, stage: Stage, exchange: Exchange) -> None:
        """The feed stands still while customers withdraw: no watermark, so a missing entry proves nothing."""
        backend, token = await stage.person("backend"), exchange.tokens[2]
        late = []
        exchange.feeding = False
        for i in range(3):
            customer = await stage.person(f"late {i}", ether=0)
            late.append((customer.address, units(token, 2_000 + i)))
            how: dict[str, Any] = {"authorised": False, "by": backend, "kind": "benign"}
            await exchange.withdraw(stage, token, customer.address, late[-1][1], **how)
            await stage.end_slot()
        for to, amount in late:
            await exchange.enter(stage, token, to, amount)
        exchange.feeding = True
        await exchange.complete()
        await stage.end_slot()

    async def _liquidation(self, stage: Stage, script: Script) -> None:
        """A user funded by a mixer repays and withdraws; a lender gives to the reserve. Nobody loses what is theirs."""
        cast = script.cast["markets"].cast
        who = script.cast["mixer"]
        token, market = cast["tokens"][1], cast["markets"][1]
        await stage.send(stage.admin, token.address, "mint(address,uint256)", who, 50_000 * 10**18, tip=9 * GWEI)
        await stage.send(who, token.address, "approve(address,uint256)", market, 2**256 - 1, tip=8 * GWEI)
        await stage.send(who, market, "deposit(uint256)", 40_000 * 10**18, tip=7 * GWEI)
        await stage.send(who, market, "leverage(uint256)", 100_000 * 10**18, tip=6 * GWEI)
        await stage.send(who, market, "donate(uint256)", 100 * 10**18, tip=5 * GWEI)
        await stage.end_slot()
