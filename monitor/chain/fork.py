"""The second engine: an anvil fork of a node, for chains whose nodes have neither eth_simulateV1 nor debug_traceCall.

The fork is kept warm: it stays on one block, and whatever it fetched of that block's state, until another is wanted.
Moving it costs some 15 ms on loopback. One run at a time moves it; runs on the same block share it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from monitor.chain.rpc import Nodes, Rpc, RpcError
from monitor.chain.simulate import NodeSimulator, SingleRuns
from monitor.chain.simulate_wire import Outcome, Run
from monitor.evm import hexes
from monitor.model.errors import ConfigurationError, DrawbridgeError, Unreachable
from monitor.model.ports import Clock
from monitor.model.units import ChainId, Hash, shown

START_S: Final = 30.0
STOP_S: Final = 10.0
POLL_S: Final = 0.02


class Place(msgspec.Struct, frozen=True):
    """A block's number and hash, as nodes write them."""

    number: str
    hash: str


class Fork:
    """An anvil process that forks `upstream`, for the length of an `async with` block."""

    def __init__(self, upstream: str, chain_id: ChainId, *, binary: Path, clock: Clock) -> None:
        self.upstream = upstream
        self.chain_id = chain_id
        self._binary = binary
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self.rpc = Rpc("ws://127.0.0.1:0", clock=clock, name="fork")

    async def __aenter__(self) -> Self:
        port = _free_port()
        self.rpc = Rpc(f"ws://127.0.0.1:{port}", clock=self._clock, name="fork")
        arguments = ("--host", "127.0.0.1", "--port", str(port), "--chain-id", str(self.chain_id))
        try:
            self._process = await asyncio.create_subprocess_exec(
                self._binary,
                *(*arguments, "--fork-url", self.upstream, "--no-mining", "--silent", "--no-rate-limit"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as error:
            raise ConfigurationError(
                (f"fork: cannot start {self._binary}: {error.strerror}: install anvil",)
            ) from error
        try:
            await self._wait_until_it_answers()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _wait_until_it_answers(self) -> None:
        ends_ns = self._clock.monotonic_ns() + int(START_S * 1e9)
        while self._clock.monotonic_ns() < ends_ns:
            if self._process is not None and self._process.returncode is not None:
                raise Unreachable(f"fork: anvil ended with status {self._process.returncode}: is its upstream there?")
            try:
                await self.rpc.call("eth_chainId", deadline_ms=1_000)
            except Unreachable:
                await self._clock.sleep(POLL_S)
            else:
                return
        raise Unreachable(f"fork: anvil gave no answer within {START_S} s")

    async def _stop(self) -> None:
        await self.rpc.close()
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            async with asyncio.timeout(STOP_S):
                await process.wait()


class ForkSimulator(SingleRuns):
    """Simulates on the fork. Implements model.ports.Simulator, and Engine."""

    engine = "anvil fork"

    def __init__(self, fork: Fork, upstream: Nodes, *, clock: Clock) -> None:
        self._fork = fork
        self._upstream = upstream
        self._clock = clock
        self._inner = NodeSimulator(Nodes(fork.chain_id, [fork.rpc], clock=clock), clock=clock, engine=self.engine)
        self._lock = asyncio.Lock()
        self._on: Hash | None = None

    async def run_many(self, runs: Sequence[Run], *, deadline_ms: int) -> tuple[Outcome | DrawbridgeError, ...]:
        """All runs, block by block. Raises Unreachable past the deadline."""
        ends_ns = self._clock.monotonic_ns() + deadline_ms * 1_000_000
        done: dict[int, Outcome | DrawbridgeError] = {}
        try:
            async with asyncio.timeout(deadline_ms / 1_000), self._lock:
                for at in dict.fromkeys(run.at for run in runs):
                    await self._move_to(at, deadline_ms=deadline_ms)
                    some = [index for index, run in enumerate(runs) if run.at == at]
                    there = [msgspec.structs.replace(runs[index], at=None) for index in some]
                    left_ms = (ends_ns - self._clock.monotonic_ns()) // 1_000_000
                    done.update(zip(some, await self._inner.run_many(there, deadline_ms=left_ms), strict=True))
        except TimeoutError as error:
            raise Unreachable(f"{self.engine}: {len(runs)} simulations not done within {deadline_ms} ms") from error
        return tuple(done[index] for index in range(len(runs)))

    async def _move_to(self, at: Hash | None, *, deadline_ms: int) -> None:
        if at is not None and at == self._on:
            return
        method, which = ("eth_getBlockByHash", shown(at)) if at is not None else ("eth_getBlockByNumber", "latest")
        place = await self._upstream.first(method, (which, False), deadline_ms=deadline_ms, into=Place | None)
        if place is None:
            raise Unreachable(f"{self.engine}: no node has block {which}")
        if hexes.hash32(place.hash) == self._on:
            return
        self._on = None
        forking = {"jsonRpcUrl": self._fork.upstream, "blockNumber": hexes.quantity(place.number, 64)}
        try:
            await self._fork.rpc.call("anvil_reset", ({"forking": forking},), deadline_ms=deadline_ms)
        except RpcError as error:
            raise Unreachable(f"{self.engine}: cannot move to block {place.number}: {error.message}") from error
        await self._check(place, deadline_ms=deadline_ms)
        self._on = hexes.hash32(place.hash)

    async def _check(self, place: Place, *, deadline_ms: int) -> None:
        """The fork follows one upstream by number; another branch at that height is not what was asked for."""
        on: Any = await self._fork.rpc.call(
            "eth_getBlockByNumber", ("latest", False), deadline_ms=deadline_ms, into=Place
        )
        if on != place:
            raise Unreachable(f"{self.engine}: is on {on.hash[:12]}, not on {place.hash[:12]} at {place.number}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
