"""The exchange's side of a rehearsal: a WithdrawalGate, its signer, and the ledger that authorises what it signs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data

from monitor.clock import SystemClock
from monitor.model.units import Address, ChainId, Wei
from monitor.rehearsal.scenario import AUTOMATIC, Priced, make_guardian
from monitor.rehearsal.stage import ETHER, ETHER_ASSET, Deployed, Person, Stage
from monitor.store.ledger_writer import LedgerWriter
from monitor.store.migrate import migrate

LEDGER_KEY = "a rehearsal's ledger key, worth nothing"  # pragma: allowlist secret
WITHDRAWAL = "(address,address,uint256,uint256,uint256)"
_TYPES = {
    "Withdrawal": [
        {"name": "asset", "type": "address"},
        {"name": "to", "type": "address"},
        {"name": "amount", "type": "uint256"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
    ]
}


@dataclass(slots=True)
class Exchange:
    """One hot wallet: its contract, the key that signs for it, and its ledger."""

    gate: Deployed
    guardian: Deployed
    signer: Person
    writer: LedgerWriter
    url: str
    tokens: list[Priced]
    nonce: int = 0
    feeding: bool = True  # the ledger says how complete it is

    async def withdraw(
        self, stage: Stage, token: Priced, to: str, amount: int, *, authorised: bool, by: Person, **how: Any
    ) -> bytes:
        """Sign a withdrawal and submit it. An authorised one is in the ledger before it is signed."""
        self.nonce += 1
        if authorised:
            await self.enter(stage, token, to, amount)
        deadline = 2**40
        message = {"asset": token.address, "to": to, "amount": amount, "nonce": self.nonce, "deadline": deadline}
        signature = self._sign(stage, message)
        values = (token.address, to, amount, self.nonce, deadline)
        kind = how.pop("kind", "benign" if authorised else "attack")
        call = f"withdraw({WITHDRAWAL},bytes)"
        return await stage.send(by, self.gate, call, values, signature, kind=kind, gas=400_000, **how)

    async def enter(self, stage: Stage, token: Priced, to: str, amount: int) -> None:
        """Write one authorised withdrawal into the ledger."""
        raw, receiver = Address(bytes.fromhex(token.address[2:])), Address(bytes.fromhex(to[2:]))
        await self.writer.authorise(ChainId(stage.anvil.options.chain_id), raw, to=receiver, amount=Wei(amount))

    async def complete(self) -> None:
        """Sign a watermark, unless the feed stands still."""
        if self.feeding:
            await self.writer.complete()

    def asset(self, name: str = "hot-1", **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "kind": "hot_wallet",
            "chain": "devnet",
            "address": self.gate.address,
            "owner": "treasury",
            "ledger": "main",
            "tokens": [{"address": t.address, "decimals": t.decimals} for t in self.tokens],
            "pause": {"via": "guardian", "guardian": self.guardian.address, "signer": "guardian-key"},
            "tighten": {"signer": "tighten-key", "lowered_bps": 1_000},
            "outage_usd_per_min": 800,
            "autonomy": AUTOMATIC,
        } | more

    def ledgers(self) -> dict[str, Any]:
        return {"main": {"url": self.url, "key_env": "LEDGER_KEY", "poll_ms": 20}}

    def _sign(self, stage: Stage, message: dict[str, Any]) -> bytes:
        domain = {
            "name": "WithdrawalGate",
            "version": "1",
            "chainId": stage.anvil.options.chain_id,
            "verifyingContract": self.gate.address,
        }
        signable = encode_typed_data(domain, _TYPES, message)
        return bytes(Account.sign_message(signable, self.signer.account.key).signature)


async def open_exchange(stage: Stage, folder: Path, *, tokens: int = 5, usd_each: int = 4_000_000) -> Exchange:
    """Deploy a gate that holds ether and `tokens` tokens, each worth `usd_each` dollars; the limit is all of it."""
    signer = await stage.person("hot signer")
    listed = [Priced(ETHER_ASSET, 18, 4_000 * 10**6)]
    found = [await stage.deploy("Token", f"Token {i}", f"TK{i}", 6 if i % 2 else 18) for i in range(tokens)]
    listed += [Priced(t.address, 6 if i % 2 else 18, 10**6) for i, t in enumerate(found)]
    guardian = await make_guardian(stage, ())
    gate = await stage.deploy("WithdrawalGate", stage.admin, signer, guardian, stage.tightener, 3_600, 3_600)
    for token in listed:
        amount = units(token, usd_each)
        await stage.setup(stage.admin, gate, "setLimit(address,uint192)", token.address, amount)
        if token.address != ETHER_ASSET:
            await stage.setup(stage.admin, token.address, "mint(address,uint256)", gate, amount)
    await stage.setup(stage.admin, guardian, "register(address)", gate)
    await stage.setup(stage.admin, gate, "", value=units(listed[0], usd_each))
    await stage.builder.seal()
    url = f"sqlite:///{folder / 'ledger.db'}"
    await migrate(url)
    writer = LedgerWriter(url, "main", LEDGER_KEY.encode(), clock=SystemClock())
    return Exchange(gate, guardian, signer, writer, url, listed)


def units(token: Priced, usd: int) -> int:
    """Smallest units worth so many dollars."""
    whole: int = 10**token.decimals
    return usd * 10**6 * whole // token.usd


__all__ = ["ETHER", "Exchange", "open_exchange", "units"]
