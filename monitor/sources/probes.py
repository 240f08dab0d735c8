"""Reads many view calls at one block in one frame, agreed by a quorum of nodes.

A contract under attack may revert, burn all gas or return a megabyte: that probe reads as None, and the others still
read. A node whose state differs from what the quorum read is named, so that the caller can leave it out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from monitor.chain.rpc import Nodes, RpcError
from monitor.evm import hexes
from monitor.model.chain import Probe
from monitor.model.errors import Undecodable, Unreachable
from monitor.model.units import Hash, shown

PROBE_GAS: Final = 600_000  # half a million and the call itself, as simulations give a probe
MAX_RETURN: Final = 4096  # bytes
CHUNK: Final = 256  # calls in one frame

Words = tuple[bytes | None, ...]
State = dict[Probe, bytes | None]


class Agreed(Struct, frozen=True):
    """What a quorum read, in the order of the probes, and the nodes that read something else."""

    words: Words
    differing: tuple[str, ...] = ()

    def by_probe(self, probes: Sequence[Probe]) -> State:
        return dict(zip(probes, self.words, strict=True))


class ProbeReader:
    """Reads probes at block hashes."""

    def __init__(self, nodes: Nodes, *, quorum: int, deadline_ms: int = 2_000) -> None:
        self._nodes = nodes
        self._quorum = quorum
        self._deadline_ms = deadline_ms

    async def read(self, probes: Sequence[Probe], at: Hash, *, names: Sequence[str]) -> Agreed:
        """Ask these nodes, return as soon as a quorum reads the same. Raises Unreachable."""
        if not probes:
            return Agreed(())
        answers: asyncio.Queue[tuple[str, Words | None]] = asyncio.Queue()
        heard: dict[str, Words] = {}
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._ask(name, probes, at, answers)) for name in names]
            agreed = None
            for _ in names:
                name, words = await answers.get()
                if words is not None:
                    heard[name] = words
                agreed = self._agreed(heard)
                if agreed is not None:
                    break
            for task in asked:
                task.cancel()
        if agreed is None:
            raise Unreachable(f"probes at block {shown(at)[:18]}: {self._quorum} of {len(names)} nodes do not agree")
        return agreed

    def _agreed(self, heard: Mapping[str, Words]) -> Agreed | None:
        words, count = Counter(heard.values()).most_common(1)[0] if heard else ((), 0)
        if count < self._quorum:
            return None
        return Agreed(words, tuple(name for name, said in heard.items() if said != words))

    async def _ask(
        self, name: str, probes: Sequence[Probe], at: Hash, answers: asyncio.Queue[tuple[str, Words | None]]
    ) -> None:
        words: list[bytes | None] = []
        try:
            async with asyncio.timeout(self._deadline_ms / 1000):
                for start in range(0, len(probes), CHUNK):
                    words += await self._chunk(name, probes[start : start + CHUNK], at)
        except (RpcError, Unreachable, Undecodable, TimeoutError):
            answers.put_nowait((name, None))
        else:
            answers.put_nowait((name, tuple(words)))

    async def _chunk(self, name: str, probes: Sequence[Probe], at: Hash) -> list[bytes | None]:
        """The words of some probes; where one makes the reply too big, halves until that one is alone."""
        block = {"blockHash": shown(at)}
        canary = ("eth_getBalance", (shown(bytes(20)), block))  # fails where the node lacks this block's state
        calls = [canary, *(_call(probe, block) for probe in probes)]
        try:
            first, *results = await self._nodes.named(name).batch(calls, deadline_ms=self._deadline_ms)
        except Undecodable:
            if len(probes) == 1:
                return [None]
            middle = len(probes) // 2
            return [*await self._chunk(name, probes[:middle], at), *await self._chunk(name, probes[middle:], at)]
        if isinstance(first, RpcError):
            raise first
        return [_word(probe, result) for probe, result in zip(probes, results, strict=True)]


def _call(probe: Probe, block: dict[str, str]) -> tuple[str, tuple[Any, ...]]:
    if not probe.data:
        return "eth_getBalance", (shown(probe.to), block)
    return "eth_call", ({"to": shown(probe.to), "data": shown(probe.data), "gas": hex(PROBE_GAS)}, block)


def _word(probe: Probe, result: Any) -> bytes | None:
    if not isinstance(result, str) or len(result) > 2 + 2 * MAX_RETURN:
        return None
    if not probe.data:
        return hexes.quantity(result).to_bytes(32, "big")
    return hexes.octets(result)
