"""A local anvil node as an async context manager.

Finds the binary, starts it on a free port of the loopback interface, waits until it answers with
the expected chain id, and kills its whole process group on exit, whatever happened in between. It
never reads the environment itself, never uses a shell and never downloads anything.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import httpx

from monitor.model.errors import Unreachable

CHECKOUT: Final = Path(__file__).resolve().parents[2]

DEV_MNEMONIC: Final = "test test test test test test test test test test test junk"
"""The mnemonic that anvil, hardhat and every tutorial publish. Worth nothing anywhere else."""

# The first ten keys of DEV_MNEMONIC at m/44'/60'/0'/0/i, as anvil prints them in its own banner.
DEV_KEYS: Final = (
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
)

_TAIL_BYTES: Final = 4_000
_ATTEMPTS: Final = 3


class AnvilFailed(Unreachable):
    """anvil is not installed, did not start, or did not answer in time; carries the end of its stderr."""


@dataclass(frozen=True, slots=True)
class AnvilOptions:
    """What the node is started with; ``extra`` goes to the command line as it is."""

    chain_id: int = 31_337
    accounts: int = 10
    balance_eth: int = 10_000
    timestamp: int | None = None
    hardfork: str = "osaka"
    init: Path | None = None
    fork_url: str | None = None
    fork_block: int | None = None
    extra: tuple[str, ...] = ()

    def arguments(self, port: int) -> Iterator[str]:
        """Yield the command line after the program's name.

        Pool balance checks are off because a bundle may fund its own later transactions; whether a
        sender can pay is checked by the builder at admission and by the EVM when the block is made.
        """
        yield from ("--host", "127.0.0.1", "--port", str(port), "--quiet")
        yield from ("--no-mining", "--order", "fifo", "--disable-pool-balance-checks")
        yield from ("--chain-id", str(self.chain_id), "--hardfork", self.hardfork)
        yield from ("--accounts", str(self.accounts), "--balance", str(self.balance_eth))
        for flag, value in (
            ("--timestamp", self.timestamp),
            ("--init", self.init),
            ("--fork-url", self.fork_url),
            ("--fork-block-number", self.fork_block),
        ):
            if value is not None:
                yield from (flag, str(value))
        yield from self.extra


class Anvil:
    """Run anvil for the length of an ``async with`` block."""

    def __init__(
        self,
        options: AnvilOptions | None = None,
        *,
        binary: Path | None = None,
        start_deadline_s: float = 30.0,
    ) -> None:
        self.options = options or AnvilOptions()
        self._binary = binary
        self._start_deadline_s = start_deadline_s
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: IO[bytes] | None = None
        self._port = 0

    @property
    def http_url(self) -> str:
        """Return the JSON-RPC address over HTTP; valid inside the ``async with`` block."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        """Return the JSON-RPC address over WebSocket; valid inside the ``async with`` block."""
        return f"ws://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """Return the process id, which is also its process group, or None when not running."""
        return None if self._process is None else self._process.pid

    async def __aenter__(self) -> Self:
        binary = self._binary or find_anvil()
        for remaining in reversed(range(_ATTEMPTS)):
            try:
                await self._start(binary)
            except AnvilFailed as failure:
                await self._stop()
                # Another process may take the port between our choosing it and anvil binding it.
                if remaining == 0 or "in use" not in str(failure):
                    raise
            except BaseException:
                await self._stop()
                raise
            else:
                break
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    async def _start(self, binary: Path) -> None:
        self._port = free_port()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _stop
        self._process = await asyncio.create_subprocess_exec(
            str(binary),
            *self.options.arguments(self._port),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=self._stderr,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._start_deadline_s):
                await self._wait_until_it_answers()
        except TimeoutError:
            raise self._failure(f"gave no answer within {self._start_deadline_s} s") from None

    async def _wait_until_it_answers(self) -> None:
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
        async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
            while True:
                self._raise_if_ended()
                try:
                    reply = (await client.post(self.http_url, json=request)).json()
                except httpx.TransportError:
                    await asyncio.sleep(0.01)
                    continue
                if int(reply["result"], 16) != self.options.chain_id:
                    raise self._failure(f"answers for chain {reply['result']}: port in use")
                return

    def _raise_if_ended(self) -> None:
        code = None if self._process is None else self._process.returncode
        if code is not None:
            raise self._failure(f"ended with status {code}")

    def _failure(self, what: str) -> AnvilFailed:
        return AnvilFailed(f"anvil on port {self._port} {what}; its stderr ends:\n{self._tail()}")

    def _tail(self) -> str:
        if self._stderr is None:
            return ""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _TAIL_BYTES))
        return self._stderr.read().decode(errors="replace")

    async def _stop(self) -> None:
        if self._process is not None:
            _kill_group(self._process.pid)
            async with asyncio.timeout(10):
                await self._process.wait()
            self._process = None
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None


def find_anvil(checkout: Path = CHECKOUT) -> Path:
    """Return the path of anvil: this checkout's npm package first, then PATH.

    The native binary is preferred to the npm wrapper script, which costs a node process.
    """
    modules = checkout / "node_modules"
    native = sorted((modules / "@foundry-rs").glob("anvil-*/bin/anvil"))
    for candidate in (*native, modules / ".bin" / "anvil"):
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which("anvil")
    if on_path is None:
        raise AnvilFailed(f"anvil is neither in {modules} nor on PATH: run `npm ci` in {checkout}")
    return Path(on_path)


def free_port() -> int:
    """Return a loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
