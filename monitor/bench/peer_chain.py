"""A real chain of full blocks, the same for us and for others: token transfers, a few out of a watched wallet."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import Any, Final

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address

from monitor.chain.rpc import Rpc, RpcError
from monitor.clock import SystemClock
from monitor.evm.abi import encode_call
from monitor.model.errors import Unreachable
from monitor.model.units import Address, address, shown
from monitor.rehearsal.anvil import Anvil, AnvilOptions
from monitor.rehearsal.stage import ARTEFACTS, ETHER, GWEI

BLOCKS: Final = 50
TRANSACTIONS: Final = 200  # a block
OUT: Final = 2  # of them out of the watched wallet
PEOPLE: Final = 20
_DEADLINE_MS: Final = 30_000


@dataclass(frozen=True)
class PeerChain:
    """Where it is served and what is on it."""

    http_url: str
    ws_url: str
    first: int
    last: int
    wallet: Address
    token: Address
    out: int  # transfers out of the wallet, in all blocks

    @property
    def shown(self) -> str:
        blocks = self.last - self.first + 1
        return f"{blocks} blocks of {TRANSACTIONS} token transfers on anvil, {self.out} of them out of the wallet"


@asynccontextmanager
async def peer_chain(*, blocks: int) -> AsyncIterator[PeerChain]:
    """Mine the blocks, then stand still."""
    async with Anvil(AnvilOptions(accounts=PEOPLE)) as anvil:
        rpc = Rpc(anvil.ws_url, clock=SystemClock(), name="anvil")
        try:
            maker = _Maker(rpc)
            token = await maker.deploy()
            first = await maker.height() + 1
            for _ in range(blocks):
                await maker.block()
            people = maker.people
            yield PeerChain(anvil.http_url, anvil.ws_url, first, first + blocks - 1, people[0], token, out=blocks * OUT)
        finally:
            await rpc.close()


async def node_seconds(where: PeerChain) -> float:
    """What the node itself needs to give every block with its bodies and logs, read and thrown away undecoded."""
    from msgspec import Raw

    rpc = Rpc(where.ws_url, clock=SystemClock(), name="anvil")
    try:
        await rpc.call("eth_chainId")
        began = perf_counter()
        for number in range(where.first, where.last + 1):
            text = hex(number)
            calls = [("eth_getBlockByNumber", (text, True)), ("eth_getLogs", ({"fromBlock": text, "toBlock": text},))]
            await rpc.batch(calls, deadline_ms=_DEADLINE_MS, into=Raw)
        return perf_counter() - began
    finally:
        await rpc.close()


class _Maker:
    """Sends as anvil's own accounts, which it signs for."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._random = Random(1)
        self._nonces: dict[Address, int] = {}
        self.people: list[Address] = []
        self._token = Address(bytes(20))

    async def deploy(self) -> Address:
        """The token, with plenty for everybody."""
        self.people = [address(text) for text in await self._call("eth_accounts")]
        self._nonces = dict.fromkeys(self.people, 0)
        artefact = json.loads((ARTEFACTS / "Token.json").read_text())
        code = bytes.fromhex(artefact["bytecode"].removeprefix("0x"))
        code += encode(["string", "string", "uint8"], ["Dollar", "USDX", 18])
        sent = await self._call("eth_sendTransaction", self._transaction(self.people[0], None, code, gas=8_000_000))
        await self._call("evm_mine")
        self._token = address((await self._call("eth_getTransactionReceipt", sent))["contractAddress"])
        mints = [encode_call("mint(address,uint256)", each, 10**9 * ETHER) for each in self.people]
        await self._send([self._transaction(self.people[0], self._token, data) for data in mints])
        return self._token

    async def block(self) -> None:
        """One full block; the wallet's own transfers lie anywhere in it."""
        own = set(self._random.sample(range(TRANSACTIONS), OUT))
        await self._send([self._transfer(self.people[0] if i in own else None) for i in range(TRANSACTIONS)])

    async def height(self) -> int:
        return int(await self._call("eth_blockNumber"), 16)

    def _transfer(self, sender: Address | None) -> dict[str, str]:
        who = sender or self._random.choice(self.people[1:])
        taker, amount = Address(self._random.randbytes(20)), self._random.randrange(1, 10**20)
        return self._transaction(who, self._token, encode_call("transfer(address,uint256)", taker, amount))

    def _transaction(self, sender: Address, to: Address | None, data: bytes, *, gas: int = 100_000) -> dict[str, str]:
        nonce = self._nonces[sender]
        self._nonces[sender] += 1
        body = {"from": to_checksum_address(sender), "input": shown(data), "gas": hex(gas), "nonce": hex(nonce)}
        fees = {"maxFeePerGas": hex(200 * GWEI), "maxPriorityFeePerGas": hex(GWEI)}
        return body | fees | ({"to": shown(to)} if to is not None else {})

    async def _send(self, transactions: list[dict[str, str]]) -> None:
        calls = [("eth_sendTransaction", (each,)) for each in transactions]
        for answer in await self._rpc.batch(calls, deadline_ms=_DEADLINE_MS):
            if isinstance(answer, RpcError):
                raise Unreachable(f"anvil takes no transaction of the bench: {answer}")
        await self._call("evm_mine")

    async def _call(self, method: str, *params: Any) -> Any:
        return await self._rpc.call(method, params, deadline_ms=_DEADLINE_MS)
