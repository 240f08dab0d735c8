"""The node's side of the reaction figure: a relay before a real node that notes when things pass, and changes nothing.

It runs in a process of its own and holds no bytes back: what comes is passed on first and looked at afterwards. It
prints its ports. Each line that it is given is a raw transaction, which it sends to the node. When it receives one from
a client it prints the pending notices that it wrote to subscribers since, and the transaction, each with its
nanosecond. Until then it is silent, so that whoever reads it has nothing to do while the clock runs.

    python -m monitor.bench.relay <port of the node> <how many ports to open>
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import Iterator
from time import perf_counter_ns
from typing import Final

_HASH: Final = re.compile(rb'"hash":"(0x[0-9a-f]{64})"')
_RAW: Final = re.compile(rb'"eth_sendRawTransaction","params":\["(0x[0-9a-f]+)"')
_SUBSCRIPTION: Final = b'"eth_subscription"'
_KEPT: Final = 4096  # of what a subscriber was sent, for a notice in two pieces
_MAX_FRAME: Final = 1 << 20
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)  # Linux only
_waiting: dict[str, int] = {}  # pending notices written since the last line that we were given, by hash


class Node(asyncio.Protocol):
    """Towards the node: what comes from it goes to the client, then pending notices in it are noted."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = transport.get_extra_info("socket")

    def data_received(self, data: bytes) -> None:
        now = perf_counter_ns()
        self._client.write(data)
        if _QUICKACK is not None:  # as the program does on its own sockets: see facts of delayed acknowledgement
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        seen = self._tail + data
        if _SUBSCRIPTION in seen:
            for found in _HASH.findall(seen):
                _waiting.setdefault(found.decode(), now)
        self._tail = data[-_KEPT:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.close()


class Client(asyncio.Protocol):
    """Towards the program: what comes from it goes to the node, then raw transactions in it are noted."""

    def __init__(self, port: int, group: asyncio.TaskGroup) -> None:
        self._port, self._group = port, group
        self._here: asyncio.Transport | None = None
        self._there: asyncio.Transport | None = None
        self._early = b""
        self._frames = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._here = transport
        self._group.create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        now = perf_counter_ns()
        if self._there is None:
            self._early += data
        else:
            self._there.write(data)
        for payload in self._frames.take(data):
            for found in _RAW.findall(payload):
                tell(now, found.decode())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._there is not None:
            self._there.close()

    def write(self, data: bytes) -> None:
        if self._here is not None:
            self._here.write(data)

    def close(self) -> None:
        if self._here is not None:
            self._here.close()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(5):
                self._there, _ = await asyncio.get_running_loop().create_connection(
                    lambda: Node(self), "127.0.0.1", self._port
                )
        except (OSError, TimeoutError):
            self.close()
            return
        self._there.write(self._early)


class Frames:
    """The payloads of a client's WebSocket frames (RFC 6455, 5.2), unmasked; what is before them is skipped."""

    def __init__(self) -> None:
        self._buffer = b""
        self._open = False

    def take(self, data: bytes) -> Iterator[bytes]:
        """Payloads that are whole now. A frame over a megabyte is not looked at, nor anything behind it."""
        self._buffer += data
        if not self._open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end or not head.startswith(b"GET"):
                return
            self._open, self._buffer = True, rest
        while (found := self._next()) is not None:
            yield found

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 6:
            return None
        size, at = buffer[1] & 0x7F, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(buffer[2:at], "big")
        if len(buffer) < at + 4 + size or size > _MAX_FRAME:
            return None
        self._buffer = buffer[at + 4 + size :]
        mask = int.from_bytes((buffer[at : at + 4] * (size // 4 + 1))[:size], "big")
        return (int.from_bytes(buffer[at + 4 : at + 4 + size], "big") ^ mask).to_bytes(size, "big")


def tell(at_ns: int, raw: str) -> None:
    """A raw transaction came: what was written before it, and it."""
    for tx_hash, written_ns in _waiting.items():
        note("notice", written_ns, tx_hash)
    _waiting.clear()
    note("raw", at_ns, raw)


def note(kind: str, at_ns: int, what: str) -> None:
    sys.stdout.write(json.dumps({"kind": kind, "ns": at_ns, "what": what}) + "\n")
    sys.stdout.flush()


async def _serve(port: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        servers = [await loop.create_server(lambda: Client(port, group), "127.0.0.1", 0) for _ in range(count)]
        sys.stdout.write(json.dumps({"ports": [s.sockets[0].getsockname()[1] for s in servers]}) + "\n")
        sys.stdout.flush()
        given = asyncio.StreamReader(limit=_MAX_FRAME)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(given), sys.stdin)
        while line := await given.readline():  # until whoever started it is gone
            _waiting.clear()
            await send(port, line.decode().strip())
        for server in servers:
            server.close()


async def send(port: int, raw: str) -> None:
    """To the node's own port, as anybody else would."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw]}).encode()
    head = f"POST / HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(5):
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            answer = await reader.read()
    finally:
        writer.close()
    if b'"error"' in answer:
        note("refused", perf_counter_ns(), answer.decode(errors="replace")[-300:])


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
