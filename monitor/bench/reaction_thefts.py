"""The thefts of the reaction figures, each in one public pending transaction: a plain one, and a flash loan."""

from __future__ import annotations

from typing import Protocol

from monitor.rehearsal.scenario import Priced, Script, contract_asset, let_pause, make_guardian
from monitor.rehearsal.scenarios.flash_loan_price import FlashLoanPrice, ordinary_borrowing
from monitor.rehearsal.stage import ETHER, Deployed, Stage, encode_call

HELD = 5_000_000 * ETHER  # in the vault, a dollar each
MULTIPLE = 9  # of what the vault holds, claimed as delivered


class Theft(Protocol):
    """What is protected, how it is used on an ordinary day, and what the thief sends."""

    name: str

    async def prepare(self, stage: Stage) -> Script: ...

    async def use(self, stage: Stage, script: Script, number: int) -> None: ...

    def call(self, script: Script) -> tuple[Deployed, bytes, int]:
        """Target, calldata and ether."""


class VaultTheft:
    """Claims a deposit that was never made and redeems the shares: nine tenths of a vault, out of nothing."""

    name = "vault"

    async def prepare(self, stage: Stage) -> Script:
        guardian = await make_guardian(stage, ())
        token = await stage.deploy("Token", "Vault dollar", "VUSD", 18)
        vault = await stage.deploy("Vault", token, "Vault", "VLT", stage.admin, stage.admin)
        await let_pause(stage, guardian, (vault,))
        saver, thief = await stage.person("saver"), await stage.person("thief")
        await stage.setup(stage.admin, token, "mint(address,uint256)", saver, 2 * HELD)
        await stage.setup(saver, token, "approve(address,uint256)", vault, 2**256 - 1)
        await stage.builder.seal()
        await stage.setup(saver, vault, "deposit(uint256,address)", HELD, saver)
        await stage.builder.seal()
        attacker = await stage.deploy("VaultAttacker", by=thief)
        priced = Priced(token.address, 18, 10**6)
        asset = contract_asset(
            "vault",
            vault,
            guardian,
            tokens=[priced],
            family="",
            invariants=["totalAssets() >= totalSupply() * 999 / 1000"],
            golden=[{"from": saver.address, "call": "transfer(address,uint256)", "args": [thief.address, 0]}],
        )
        cast = {"vault": vault, "attacker": attacker, "thief": thief, "saver": saver}
        return Script([asset], [priced], [attacker.address], [vault.address], cast=cast)

    async def use(self, stage: Stage, script: Script, number: int) -> None:
        saver, amount = script.cast["saver"], (number + 1) * ETHER
        await stage.send(saver, script.cast["vault"], "deposit(uint256,address)", amount, saver, gas=400_000)

    def call(self, script: Script) -> tuple[Deployed, bytes, int]:
        data = encode_call("attack(address,uint256)", (script.cast["vault"], MULTIPLE))
        return script.cast["attacker"], data, 0


class FlashLoanTheft:
    """The attack of the rehearsal flash_loan_price, with a bribe for the builder inside or without."""

    def __init__(self, *, bribe: int) -> None:
        self.name = "bribed flash loan" if bribe else "flash loan"
        self._bribe = bribe

    async def prepare(self, stage: Stage) -> Script:
        return await FlashLoanPrice().prepare(stage)

    async def use(self, stage: Stage, script: Script, number: int) -> None:
        await ordinary_borrowing(stage, script, number)

    def call(self, script: Script) -> tuple[Deployed, bytes, int]:
        data = encode_call("attack(address,uint256,uint256)", (script.cast["victim"], self._bribe, 0))
        return script.cast["attacker"], data, self._bribe
