"""A node that answers from memory: the program's own client, readers and decoders run over it, and no network does.

It serves one block at a time, as `eth_getBlockByHash`, `eth_getLogs`, receipts and call trees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from monitor.bench.corpus import Told
from monitor.chain.rpc import Nodes, Rpc
from monitor.clock import SystemClock
from monitor.model.units import ChainId

T = TypeVar("T")

NAME: Final = "canned"
_ABSENT: Final = b'"error":{"code":-32601,"message":"not in the corpus"}'


class _Asked(msgspec.Struct, gc=False):
    id: int
    method: str
    params: list[Any]


_asked = msgspec.json.Decoder(list[_Asked])


class CannedTransport:
    """Implements monitor.chain.rpc_transport.Transport."""

    def __init__(self) -> None:
        self.told: Told | None = None

    async def exchange(self, frame: bytes, read: Callable[[bytes], T]) -> T:
        batched = frame[:1] == b"["
        asked = _asked.decode(frame if batched else b"[" + frame + b"]")
        answers = b",".join(b'{"jsonrpc":"2.0","id":%d,' % one.id + self._answer(one) + b"}" for one in asked)
        return read(b"[" + answers + b"]" if batched else answers)

    async def close(self) -> None:
        self.told = None

    def _answer(self, one: _Asked) -> bytes:
        found = self._result(one.method, one.params)
        return _ABSENT if found is None else b'"result":' + found

    def _result(self, method: str, params: list[Any]) -> bytes | None:
        told = self.told
        if told is None:
            return None
        match method:
            case "eth_getBlockByHash":
                return told.block
            case "eth_getLogs":
                return told.logs
            case "eth_getBlockByNumber":
                return b"null"
            case "eth_getTransactionReceipt":
                return told.receipts.get(params[0])
            case "debug_traceTransaction" if params[1] == {"tracer": "callTracer"}:
                return told.calls.get(params[0])
            case _:
                return None


class CannedRpc(Rpc):
    """The program's client for one node, with this transport in place of a socket."""

    def __init__(self, transport: CannedTransport, name: str) -> None:
        super().__init__("ws://127.0.0.1", clock=SystemClock(), name=name)
        self._transport = transport


def canned(chain_id: ChainId, *, nodes: int = 1) -> tuple[CannedTransport, Nodes]:
    """Nodes that all answer from one memory."""
    transport = CannedTransport()
    names = [NAME, *(f"{NAME}-{i}" for i in range(1, nodes))]
    return transport, Nodes(chain_id, [CannedRpc(transport, name) for name in names], clock=SystemClock())
