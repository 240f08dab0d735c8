"""Nomad 2022: one forged message, then copies of it by everybody who can change an address in it."""

from __future__ import annotations

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from monitor.rehearsal.scenario import Priced, Script, contract_asset, let_pause, make_guardian
from monitor.rehearsal.stage import GWEI, Deployed, Person, Stage

USDC = 10**6
TOTAL = 10_000_000 * USDC


class BridgeForgery:
    name = "bridge_forgery"
    title = "Forged bridge messages: the first takes 1.2 %, then many copies"
    based_on = "Nomad 2022"
    benign = False
    variant = "forged root"

    async def prepare(self, stage: Stage) -> Script:
        token = await stage.deploy("Token", "Bridged dollar", "BUSD", 6)
        updater = await stage.person("updater")
        guardian = await make_guardian(stage, ())
        bridge = await stage.deploy("Bridge", updater, stage.admin, stage.admin, True)
        await let_pause(stage, guardian, (bridge,))
        await stage.setup(stage.admin, token, "mint(address,uint256)", bridge, TOTAL)
        user = await stage.person("bridge user")
        await stage.setup(stage.admin, token, "mint(address,uint256)", user, TOTAL // 10)
        await stage.setup(user, token, "approve(address,uint256)", bridge, 2**256 - 1)
        await stage.builder.seal()
        priced = Priced(token.address, 6, 10**6)
        thieves = [await stage.person(f"copycat {i}") for i in range(12)]
        asset = contract_asset(
            "bridge",
            bridge,
            guardian,
            tokens=[priced],
            family="",
            invariants=[f"released({token.address}) <= attested({token.address})"],
            golden=[
                {
                    "from": user.address,
                    "call": "send(address,uint256,address)",
                    "args": [token.address, 1, user.address],
                }
            ],
        )
        cast = {"bridge": bridge, "token": token, "updater": updater, "user": user, "thieves": thieves}
        return Script([asset], [priced], [t.address for t in thieves], [bridge.address], cast=cast)

    async def play(self, stage: Stage, script: Script) -> None:
        for i in range(5):
            await honest_message(stage, script, i)
            await stage.end_slot()
        thieves: list[Person] = script.cast["thieves"]
        await honest_message(stage, script, 50)
        await forge(stage, script, thieves[0], 1_000, TOTAL * 12 // 1000, private=True)
        stage.mark_attack()
        await stage.end_slot()
        for round_number in range(3):
            for i, thief in enumerate(thieves):
                number = 2_000 + 100 * round_number + i
                await forge(stage, script, thief, number, TOTAL * 25 // 1000, private=i % 2 == 0)
            await honest_message(stage, script, 60 + round_number)
            await stage.end_slot()


async def forge(stage: Stage, script: Script, thief: Person, number: int, amount: int, *, private: bool) -> None:
    bridge, token = script.cast["bridge"], script.cast["token"]
    message = encoded(number, token, thief.address, amount)
    await stage.attack(thief, bridge, "process(bytes)", message, private=private, gas=300_000, tip=4 * GWEI)


async def honest_message(stage: Stage, script: Script, number: int) -> None:
    """A transfer that the other side locked: attested by the updater, processed by its owner a block later."""
    bridge, token = script.cast["bridge"], script.cast["token"]
    attested: list[tuple[Person, bytes]] = script.cast.setdefault("attested", [])
    while attested:
        owner, message = attested.pop()
        await stage.send(owner, bridge, "process(bytes)", message, gas=300_000)
    user = await stage.person(f"receiver {number}")
    amount = stage.random.randrange(1, TOTAL * 24 // 1000)
    message = encoded(number, token, user.address, amount)
    call = "attest(bytes32,address,uint256)"
    await stage.send(script.cast["updater"], bridge, call, keccak(message), token, amount, tip=9 * GWEI)
    attested.append((user, message))


def encoded(number: int, token: Deployed, to: str, amount: int) -> bytes:
    return encode(["uint256", "address", "address", "uint256"], [number, token.address, to, amount])
