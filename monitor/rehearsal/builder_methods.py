"""The JSON-RPC methods that the builder answers itself; all others go to the node as they came.

What would show or disturb the node's own pool is refused, because private transactions pass through
that pool for the moment in which a block is made; requests wait out that moment at the gate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from monitor.rehearsal.builder_desk import Desk
from monitor.rehearsal.builder_gate import Gate
from monitor.rehearsal.builder_pool import Pool
from monitor.rehearsal.builder_slot import LatencyProfile
from monitor.rehearsal.builder_transaction import Json, Rejected, Transaction
from monitor.rehearsal.builder_upstream import Upstream

Handler: TypeAlias = Callable[[list[Any]], Awaitable[object]]

_REFUSED: Final = {
    "eth_sendTransaction": "sign and use eth_sendRawTransaction",
    "eth_sendUnsignedTransaction": "sign and use eth_sendRawTransaction",
    "eth_newPendingTransactionFilter": "use eth_subscribe newPendingTransactions",
    "txpool_inspect": "use txpool_content",
    "anvil_dropAllTransactions": "the builder owns the pool",
    "anvil_dropTransaction": "the builder owns the pool",
    "anvil_mine": "use Builder.seal",
    "hardhat_mine": "use Builder.seal",
    "evm_mine": "use Builder.seal",
    "evm_revert": "use Builder.reorg",
    "anvil_reorg": "use Builder.reorg",
    "anvil_rollback": "use Builder.reorg",
}


class Backend:
    """Answer one request honestly: by a method of ours, or by the node."""

    def __init__(self, upstream: Upstream, gate: Gate, desk: Desk, pool: Pool, *, profile: LatencyProfile) -> None:
        self._upstream = upstream
        self._gate = gate
        self._desk = desk
        self._pool = pool
        self._delay_ms = profile.reaction_ms
        self._own: Mapping[str, Handler] = {
            "eth_sendRawTransaction": self._send_raw,
            "eth_sendPrivateTransaction": self._send_private,
            "eth_sendPrivateRawTransaction": self._send_private_raw,
            "eth_cancelPrivateTransaction": self._cancel_private,
            "eth_sendBundle": self._send_bundle,
            "eth_cancelBundle": self._cancel_bundle,
            "eth_getTransactionByHash": self._transaction_by_hash,
            "eth_getTransactionCount": self._transaction_count,
            "txpool_content": self._content,
            "txpool_status": self._status,
        }

    @property
    def head_number(self) -> int:
        """Return the number of the newest block."""
        return self._desk.head.number

    async def answer(self, method: str, params: bytes) -> bytes:
        """Return the raw JSON result; raises Rejected, or UpstreamError with the node's own error."""
        handler = self._own.get(method)
        if handler is not None:
            return msgspec.json.encode(await handler(msgspec.json.decode(params)))
        if method in _REFUSED:
            raise Rejected(f"{method} is not offered here: {_REFUSED[method]}", code=-32_601)
        return await self._forward(method, params)

    async def _forward(self, method: str, params: bytes) -> bytes:
        await self._gate.wait_open()
        with self._gate.passing():
            return await self._upstream.forward(method, params)

    async def _ask(self, method: str, params: list[Any]) -> Any:
        return msgspec.json.decode(await self._forward(method, msgspec.json.encode(params)))

    async def _send_raw(self, params: list[Any]) -> str:
        return _hex(await self._desk.public(_bytes(params[0]), delay_ms=self._delay_ms))

    async def _send_private(self, params: list[Any]) -> str:
        wanted: Json = params[0]
        last = wanted.get("maxBlockNumber")
        tx_hash = await self._desk.private(
            _bytes(wanted["tx"]),
            delay_ms=self._delay_ms,
            may_revert=bool(wanted.get("preferences", {}).get("allowRevert", False)),
            last_block=None if last is None else int(last, 16),
        )
        return _hex(tx_hash)

    async def _send_private_raw(self, params: list[Any]) -> str:
        return await self._send_private([{"tx": params[0]}])

    async def _cancel_private(self, params: list[Any]) -> bool:
        return self._pool.private.pop(_bytes(params[0]["txHash"]), None) is not None

    async def _send_bundle(self, params: list[Any]) -> Json:
        wanted: Json = params[0]
        bundle_hash = self._desk.bundle(
            [_bytes(raw) for raw in wanted["txs"]],
            target_block=int(wanted["blockNumber"], 16),
            may_revert=frozenset(_bytes(h) for h in wanted.get("revertingTxHashes") or ()),
            delay_ms=self._delay_ms,
            replacement_id=wanted.get("replacementUuid"),
        )
        return {"bundleHash": _hex(bundle_hash)}

    async def _cancel_bundle(self, params: list[Any]) -> bool:
        return self._pool.cancel_bundle(params[0]["replacementUuid"])

    async def _transaction_by_hash(self, params: list[Any]) -> object:
        pooled = self._pool.find_public(_bytes(params[0]))
        if pooled is not None:
            return pooled.body
        return await self._ask("eth_getTransactionByHash", params)

    async def _transaction_count(self, params: list[Any]) -> object:
        if params[1:] != ["pending"]:
            return await self._ask("eth_getTransactionCount", params)
        mined = int(await self._ask("eth_getTransactionCount", [params[0], "latest"]), 16)
        return hex(self._pool.pending_nonce(_bytes(params[0]), mined))

    async def _content(self, params: list[Any]) -> Json:
        """Show the public pool as geth does: executable apart from what waits for a nonce."""
        shown: dict[str, dict[str, Json]] = {"pending": {}, "queued": {}}
        for sender, waiting in self._by_sender().items():
            mined = int(await self._ask("eth_getTransactionCount", [sender, "latest"]), 16)
            following = self._pool.pending_nonce(_bytes(sender), mined)
            for tx in waiting:
                part = "pending" if tx.nonce < following else "queued"
                shown[part].setdefault(sender, {})[str(tx.nonce)] = tx.body
        return shown

    async def _status(self, params: list[Any]) -> Json:
        content = await self._content(params)
        return {part: hex(sum(map(len, senders.values()))) for part, senders in content.items()}

    def _by_sender(self) -> Mapping[str, list[Transaction]]:
        grouped: dict[str, list[Transaction]] = defaultdict(list)
        for entry in self._pool.public.values():
            grouped[_hex(entry.transaction.sender)].append(entry.transaction)
        return grouped


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
