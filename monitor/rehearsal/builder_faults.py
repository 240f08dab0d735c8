"""What a faulty node does to its answers: lies about heads, stands still, forges reads.

An honest node is the same node with ``Faults()``. Pure: this module turns honest values into what
the client is told; cutting and delaying are the endpoint's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from eth_utils.crypto import keccak

from monitor.rehearsal.builder_transaction import Json

Forgery: TypeAlias = Callable[[list[Any], Any], Any]
"""Takes the params and the honest result, and returns what the client is told."""

_TAG_AT: Final = {
    "eth_getBlockByNumber": 0,
    "eth_getBlockReceipts": 0,
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_createAccessList": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_simulateV1": 1,
    "eth_feeHistory": 1,
    "debug_traceCall": 1,
    "eth_getStorageAt": 2,
    "eth_getProof": 2,
}
_MOVING_TAGS: Final = frozenset({"latest", "pending", "safe", "finalized"})
_BLOCK_READS: Final = frozenset({"eth_getBlockByNumber", "eth_getBlockByHash"})
_PLACED_READS: Final = frozenset({"eth_getTransactionReceipt", "eth_getTransactionByHash"})
_LIE: Final = b"lie"


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with one endpoint; the default is nothing.

    ``lying``: from the newest head on, every header has another hash, parent and state root.
    ``stalled``: no more heads, logs or pending notices, and answers are those of the present head.
    ``cut``: open sockets are closed and new ones refused. ``slow_ms`` is real time, on every frame.
    """

    lying: bool = False
    stalled: bool = False
    cut: bool = False
    slow_ms: int = 0
    forged: Mapping[str, Forgery] = field(default_factory=dict)


class Mask:
    """Turn honest requests and answers into a faulty node's; ``since`` is the head when set."""

    def __init__(self, faults: Faults, *, since: int) -> None:
        self.faults = faults
        self._since = since
        self._true_hashes: dict[str, str] = {}

    @property
    def honest(self) -> bool:
        """Return whether answers may pass as they are."""
        return not (self.faults.lying or self.faults.stalled or self.faults.forged)

    def params(self, method: str, params: list[Any]) -> list[Any]:
        """Return what is really asked of the node."""
        if self.faults.stalled:
            params = self._pinned(method, params)
        if self.faults.lying:
            params = [self._true_hashes.get(p, p) if isinstance(p, str) else p for p in params]
        return params

    def result(self, method: str, params: list[Any], result: Any) -> Any:
        """Return what the client is told."""
        if self.faults.stalled:
            result = self._stale(method, result)
        if self.faults.lying and method in _BLOCK_READS and result is not None:
            result = self.header(result)
        forgery = self.faults.forged.get(method)
        return result if forgery is None else forgery(params, result)

    def header(self, header: Json) -> Json:
        """Return a header or block as this node shows it."""
        number = int(header["number"], 16)
        if not self.faults.lying or number < self._since:
            return header
        told = header | {"hash": self._lie(header["hash"])}
        told["stateRoot"] = self._lie(header["stateRoot"])
        if number > self._since:
            told["parentHash"] = self._lie(header["parentHash"])
        return told

    def log(self, log: Json) -> Json:
        """Return a log as this node shows it: in the block of its own chain."""
        if not self.faults.lying or int(log["blockNumber"], 16) < self._since:
            return log
        return log | {"blockHash": self._lie(log["blockHash"])}

    def _lie(self, true: str) -> str:
        told = "0x" + keccak(_LIE + bytes.fromhex(true[2:])).hex()
        self._true_hashes[told] = true
        return told

    def _pinned(self, method: str, params: list[Any]) -> list[Any]:
        if method == "eth_getLogs" and params and "blockHash" not in params[0]:
            to_block = params[0].get("toBlock", "latest")
            return [params[0] | {"toBlock": self._pin(to_block)}, *params[1:]]
        at = _TAG_AT.get(method)
        if at is None or at > len(params):
            return params
        return [
            *params[:at],
            self._pin(params[at] if at < len(params) else "latest"),
            *params[at + 1 :],
        ]

    def _pin(self, tag: Any) -> Any:
        return hex(self._since) if isinstance(tag, str) and tag in _MOVING_TAGS else tag

    def _stale(self, method: str, result: Any) -> Any:
        if method == "eth_blockNumber":
            return hex(self._since)
        if method in _BLOCK_READS and result is not None:
            return result if int(result["number"], 16) <= self._since else None
        if method in _PLACED_READS and result is not None and result.get("blockNumber"):
            return result if int(result["blockNumber"], 16) <= self._since else None
        return result
