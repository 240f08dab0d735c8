"""The block-building proxy against a real anvil: order, pools, slots, bundles, reorgs and faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import msgspec
import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from websockets.asyncio.client import ClientConnection, connect

from monitor.rehearsal.anvil import DEV_KEYS, Anvil, AnvilOptions
from monitor.rehearsal.builder import Builder
from monitor.rehearsal.builder_slot import LOOPBACK, LatencyProfile

GWEI = 10**9
ETHER = 10**18
DEADLINE_S = 20.0

BURN_AND_PAY = "5b62007530" + "5a115f57" + "5f5f5f5f34415af150" + "5f5fa000"
"""Loops until 30,000 gas are left, sends the call's value to the fee recipient, logs once."""

PAUSABLE = "36600d575f54601357" + "5f5fa000" + "5b60015f5500" + "5b5f5ffd"
"""With calldata: pauses. Without: a withdrawal, which logs once and reverts when paused."""

REVERTING = "5f5ffd"
PAUSE = b"\x01"


class ManualClock:
    """A clock that goes only when told."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def advance_ms(self, ms: float) -> None:
        self.now_ns += round(ms * 1_000_000)


class Wallet:
    """One dev account that counts its own nonces."""

    def __init__(self, index: int) -> None:
        self.account: LocalAccount = Account.from_key(DEV_KEYS[index])
        self.nonce = 0

    @property
    def address(self) -> str:
        return str(self.account.address)

    @property
    def sender(self) -> bytes:
        return bytes.fromhex(self.address[2:])

    def sign(self, to: str | None = None, **fields: Any) -> bytes:
        """Sign a call with the interesting fields as keywords; the nonce counts up unless given."""
        nonce = fields.pop("nonce", None)
        if nonce is None:
            nonce, self.nonce = self.nonce, self.nonce + 1
        transaction = {"chainId": 31_337, "nonce": nonce, "gas": 100_000, "value": 0, "data": b""}
        transaction |= {"maxFeePerGas": 100 * GWEI, "maxPriorityFeePerGas": GWEI} | fields
        if to is not None:
            transaction["to"] = to_checksum_address(to)
        return bytes(self.account.sign_transaction(transaction).raw_transaction)


class Client:
    """A node client over WebSocket: calls, batches, and the notifications between."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._notices: list[tuple[str, Any]] = []
        self._made = 0

    async def send(self, message: object) -> None:
        await self._connection.send(msgspec.json.encode(message), text=True)

    async def receive(self) -> Any:
        async with asyncio.timeout(DEADLINE_S):
            return msgspec.json.decode(await self._connection.recv())

    async def ask(self, method: str, *params: object) -> Any:
        """Return the whole reply, keeping notifications that come before it."""
        self._made += 1
        await self.send({"jsonrpc": "2.0", "id": self._made, "method": method, "params": params})
        while True:
            message = await self.receive()
            if "id" in message:
                return message
            self._keep(message)

    async def call(self, method: str, *params: object) -> Any:
        reply = await self.ask(method, *params)
        assert "error" not in reply, reply
        return reply["result"]

    async def refusal(self, method: str, *params: object) -> str:
        reply = await self.ask(method, *params)
        return str(reply["error"]["message"])

    async def notice(self, subscription: str) -> Any:
        """Return the next notification of a subscription."""
        while True:
            for at, (owner, result) in enumerate(self._notices):
                if owner == subscription:
                    del self._notices[at]
                    return result
            self._keep(await self.receive())

    async def nothing_more(self, subscription: str) -> bool:
        """Return whether nothing came for a subscription before a fresh call was answered."""
        await self.call("web3_clientVersion")
        return all(owner != subscription for owner, _ in self._notices)

    async def closed(self) -> None:
        """Return when the server has dropped this connection."""
        async with asyncio.timeout(DEADLINE_S):
            await self._connection.wait_closed()

    def _keep(self, message: Any) -> None:
        params = message["params"]
        self._notices.append((params["subscription"], params["result"]))


class Stage:
    """A running chain with its builder, a plain client, and ten wallets."""

    def __init__(self, anvil: Anvil, builder: Builder, client: Client) -> None:
        self.anvil = anvil
        self.builder = builder
        self.client = client
        self.wallets = [Wallet(index) for index in range(10)]

    @classmethod
    @asynccontextmanager
    async def open(cls, profile: LatencyProfile = LOOPBACK, clock: ManualClock | None = None) -> AsyncIterator[Self]:
        async with (
            asyncio.timeout(60),
            Anvil(AnvilOptions(timestamp=1_700_000_000)) as anvil,
            Builder(anvil.ws_url, profile=profile, clock=clock or ManualClock()) as builder,
            client_of(builder.ws_url) as client,
        ):
            yield cls(anvil, builder, client)

    async def deploy(self, runtime: str) -> str:
        """Put code on the chain in a block of its own."""
        size = len(runtime) // 2
        init = f"60{size:02x}8060095f395ff3{runtime}"
        raw = self.wallets[9].sign(None, data=bytes.fromhex(init), gas=1_000_000)
        tx_hash = await self.builder.send_public(raw)
        await self.builder.seal()
        receipt = await self.client.call("eth_getTransactionReceipt", shown(tx_hash))
        return str(receipt["contractAddress"])


@asynccontextmanager
async def client_of(url: str) -> AsyncIterator[Client]:
    async with connect(url, max_size=None, proxy=None, compression=None) as connection:
        yield Client(connection)


def shown(value: bytes) -> str:
    return "0x" + value.hex()


def burning(gas_used: int, *, pays: bool) -> int:
    """Return the gas limit with which BURN_AND_PAY uses about ``gas_used``."""
    return gas_used + 30_000 - (7_360 if pays else 560)


@pytest.mark.chain
@pytest.mark.parametrize(("total_ether", "pause_first"), [("0.35", True), ("0.29", False)])
async def test_a_small_pause_outranks_a_bid_of_ten_ether_only_above_its_value_per_gas(
    total_ether: str, pause_first: bool
) -> None:
    async with Stage.open() as stage:
        burner = await stage.deploy(BURN_AND_PAY)
        attacker, pauser = stage.wallets[:2]
        total = int(float(total_ether) * 10**6) * 10**12
        attack = await stage.builder.send_private(
            attacker.sign(
                burner,
                gas=burning(2_000_000, pays=True),
                value=10 * ETHER,
                maxFeePerGas=100 * GWEI,
                maxPriorityFeePerGas=50 * GWEI,
            )
        )
        tip = total // 60_000
        pause = await stage.builder.send_public(
            pauser.sign(burner, gas=burning(60_000, pays=False), maxFeePerGas=tip + 10 * GWEI, maxPriorityFeePerGas=tip)
        )
        block = await stage.builder.seal()
        assert block.hashes == ((pause, attack) if pause_first else (attack, pause))
        by_hash = {placed.transaction.hash: placed for placed in block.placed}
        assert by_hash[attack].gas_used == pytest.approx(2_000_000, rel=0.001)
        assert by_hash[attack].payment == pytest.approx(10.1 * ETHER, rel=0.001)
        assert by_hash[pause].gas_used == pytest.approx(60_000, rel=0.005)
        assert by_hash[pause].payment == pytest.approx(total, rel=0.005)
        assert all(placed.succeeded for placed in block.placed)
