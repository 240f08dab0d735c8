"""One node, and all nodes of one chain, over JSON-RPC: typed, timed, bounded.

`Rpc` speaks to one node. `Nodes` chooses between several: the healthiest first, a quorum where a lie would cost
money, all of them where a transaction must get out. Nothing here hangs past its deadline, trusts a reply's size or
shape, or shows a node's address. Subscriptions are not made here (facts/node.md: they want a socket of their own).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar, overload
from urllib.parse import urlsplit

from eth_utils.crypto import keccak

from monitor.chain.rpc_quorum import Answer, Count, Health, Sent
from monitor.chain.rpc_transport import HttpTransport, Transport, WebSocketTransport
from monitor.chain.rpc_wire import (
    BatchCall,
    Params,
    RpcError,
    batch_request,
    canonical,
    decode_as,
    error_of,
    read_batch,
    read_reply,
    request,
    value,
)
from monitor.model.errors import ConfigurationError, Undecodable, Unreachable
from monitor.model.ports import Clock
from monitor.model.units import ChainId, shown

__all__ = ["Answer", "Health", "Nodes", "Rpc", "RpcError", "Sent"]

T = TypeVar("T")

MAX_BYTES: Final = 16 * 1024 * 1024
POOL: Final = 8
WARM: Final = 4
NOT_AN_ANSWER: Final = frozenset({-32601, -32005, 429})  # unknown method, limit reached: another node may do it
KNOWN_ALREADY: Final = ("already known", "already imported", "known transaction", "alreadyknown", "already exists")


class Rpc:
    """One node, over WebSocket or HTTP. Connects when first used, and again when needed."""

    def __init__(self, url: str, *, clock: Clock, name: str = "", pool: int = POOL, max_bytes: int = MAX_BYTES) -> None:
        self.name = name or shown_host(url)
        self._number = 0
        kind = WebSocketTransport if url.startswith(("ws://", "wss://")) else HttpTransport
        self._transport: Transport = kind(url, name=self.name, clock=clock, pool=pool, max_bytes=max_bytes)

    @overload
    async def call(self, method: str, params: Params = (), *, deadline_ms: int = 2_000, into: type[T]) -> T: ...
    @overload
    async def call(self, method: str, params: Params = (), *, deadline_ms: int = 2_000, into: None = None) -> Any: ...

    async def call(self, method: str, params: Params = (), *, deadline_ms: int = 2_000, into: Any = None) -> Any:
        """The result of one call, decoded as `into`. Raises RpcError, Undecodable, Unreachable."""
        number = self._next(1)
        frame = request(method, params, number)
        async with self._deadline(method, deadline_ms):
            reply = await self._transport.exchange(frame, lambda body: read_reply(body, number))
        return value(reply, into)

    async def batch(
        self, calls: Sequence[BatchCall], *, deadline_ms: int = 2_000, into: Any | tuple[Any, ...] = None
    ) -> list[Any]:
        """All calls in one frame: results or RpcError values, in the order asked.

        `into` is one type for all results, or a tuple with one for each. Raises Undecodable, Unreachable, and RpcError
        where the node refuses the batch as a whole.
        """
        if not calls:
            return []
        first = self._next(len(calls))
        frame = batch_request(calls, first)
        async with self._deadline(f"{len(calls)} calls", deadline_ms):
            replies = await self._transport.exchange(frame, lambda body: read_batch(body, first, len(calls)))
        kinds = into if isinstance(into, tuple) else (into,) * len(calls)
        return [error_of(reply) or value(reply, kind) for reply, kind in zip(replies, kinds, strict=True)]

    async def warm(self, connections: int, *, deadline_ms: int = 2_000) -> None:
        """Open so many connections now: the first burst of frames must not wait for handshakes. Raises nothing."""
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(self._touch(deadline_ms))

    async def _touch(self, deadline_ms: int) -> None:
        with suppress(RpcError, Undecodable, Unreachable):
            await self.call("eth_chainId", deadline_ms=deadline_ms)

    async def close(self) -> None:
        await self._transport.close()

    def _next(self, count: int) -> int:
        first = self._number + 1
        self._number += count
        return first

    @asynccontextmanager
    async def _deadline(self, what: str, deadline_ms: int) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(deadline_ms / 1_000):
                yield
        except TimeoutError as error:
            raise Unreachable(f"node {self.name}: no answer to {what} within {deadline_ms} ms") from error


class Nodes:
    """All nodes of one chain."""

    def __init__(self, chain_id: ChainId, nodes: Sequence[Rpc], *, clock: Clock) -> None:
        names = [node.name for node in nodes]
        if not nodes or len(set(names)) != len(names):
            raise ConfigurationError((f"chain {chain_id}: needs at least one node, and no name twice, not {names}",))
        self.chain_id = chain_id
        self.health = {name: Health() for name in names}
        self._nodes = {node.name: node for node in nodes}
        self._clock = clock

    def named(self, name: str) -> Rpc:
        return self._nodes[name]

    def usable(self) -> tuple[Rpc, ...]:
        """Nodes that are not left out, those without recent failures first, then in configured order."""
        kept = [node for node in self._nodes.values() if not self.health[node.name].dropped]
        return tuple(sorted(kept, key=lambda node: min(self.health[node.name].failing, 3)))

    def drop(self, name: str, why: str) -> None:
        """Leave a node out until `restore`: it lied, lags, or serves another chain."""
        self.health[name].dropped = why

    def restore(self, name: str) -> None:
        """Use a node again. One that serves another chain stays out until `check` sees the right id."""
        health = self.health[name]
        if not health.wrong_chain:
            health.dropped, health.failing = "", 0

    async def check(self, *, deadline_ms: int = 2_000) -> tuple[str, ...]:
        """Ask every node for its chain id and leave out those of another chain; a line for each that is not right.

        Nodes that are right are warmed up: what is wanted of them next may be wanted fast.
        """
        answers = await self._ask(tuple(self._nodes.values()), "eth_chainId", (), deadline_ms=deadline_ms)
        faults = [self._checked(answer) for answer in answers]
        async with asyncio.TaskGroup() as group:
            for answer, fault in zip(answers, faults, strict=True):
                if not fault:
                    group.create_task(self._nodes[answer.node].warm(WARM, deadline_ms=deadline_ms))
        return tuple(fault for fault in faults if fault)

    def _checked(self, answer: Answer) -> str:
        if answer.why or answer.error is not None:
            return answer.why or f"node {answer.node}: {answer.error}"
        health, right = self.health[answer.node], _number(answer.result) == self.chain_id
        if right:
            if health.wrong_chain:
                health.wrong_chain, health.dropped = False, ""
            return ""
        health.wrong_chain = True
        health.dropped = f"serves chain {str(_number(answer.result))[:40]}, not {self.chain_id}"
        return f"node {answer.node}: {health.dropped}: correct its rpc entry or the chain_id"

    async def first(self, method: str, params: Params = (), *, deadline_ms: int = 2_000, into: Any = None) -> Any:
        """One node's answer, the healthiest first; the next one where it is silent. Raises RpcError, Unreachable."""
        return await self._failover(
            lambda node, share_ms: node.call(method, params, deadline_ms=share_ms, into=into), deadline_ms
        )

    async def first_batch(
        self,
        calls: Sequence[BatchCall],
        *,
        deadline_ms: int = 2_000,
        into: Any = None,
        unfit: Callable[[list[Any]], str] = lambda _answers: "",
    ) -> list[Any]:
        """One node's answers to all calls in one frame, as `Rpc.batch`, the next node where it is silent.

        `unfit` says why answers are of no use (this node lags), so that the next one is asked; '' where they are.
        """

        async def ask(node: Rpc, share_ms: int) -> list[Any]:
            answers = await node.batch(calls, deadline_ms=share_ms, into=into)
            if why := unfit(answers):
                raise Unreachable(f"node {node.name}: {why}")
            return answers

        answers: list[Any] = await self._failover(ask, deadline_ms)
        return answers

    async def quorum(
        self, method: str, params: Params = (), *, need: int, deadline_ms: int = 2_000, into: Any = None
    ) -> Any:
        """What `need` nodes agree on, returned as soon as they do. Raises Disagreement naming who said what."""
        nodes, ballots, count = (
            self.usable(),
            asyncio.Queue[Answer](),
            Count(f"{method} on chain {self.chain_id}", need),
        )
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._vote(node, method, params, deadline_ms, ballots)) for node in nodes]
            while count.heard < len(nodes) and count.winner is None:
                count.add(await ballots.get())
            for task in asked:
                task.cancel()
        result = count.settled()
        for name in count.outvoted():
            self.health[name].differed += 1
        return result if into is None else decode_as(canonical(result), into)

    async def broadcast(self, raw: bytes, *, deadline_ms: int = 2_000) -> tuple[Sent, ...]:
        """Send a raw transaction to every node of this chain, also those left out as liars; who has it, and why not."""
        nodes = tuple(node for node in self._nodes.values() if not self.health[node.name].wrong_chain)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._send(node, raw, deadline_ms)) for node in nodes]
        return tuple(task.result() for task in tasks)

    async def close(self) -> None:
        for node in self._nodes.values():
            await node.close()

    async def _send(self, node: Rpc, raw: bytes, deadline_ms: int) -> Sent:
        started = self._clock.monotonic_ns()
        answer = await self._one(node, "eth_sendRawTransaction", (shown(raw),), deadline_ms=deadline_ms)
        if answer.error is None or any(text in answer.error.message.lower() for text in KNOWN_ALREADY):
            return Sent(node.name, not answer.why, answer.why)
        spent_ms = (self._clock.monotonic_ns() - started) // 1_000_000
        if "nonce too low" in answer.error.message.lower() and await self._has(node, raw, deadline_ms - spent_ms):
            return Sent(node.name, True, "mined already")
        return Sent(node.name, False, str(answer.error))

    async def _has(self, node: Rpc, raw: bytes, deadline_ms: int) -> bool:
        known = await self._one(
            node, "eth_getTransactionByHash", (shown(keccak(raw)),), deadline_ms=max(deadline_ms, 1)
        )
        return isinstance(known.result, dict)

    async def _failover(self, ask: Callable[[Rpc, int], Awaitable[Any]], deadline_ms: int) -> Any:
        ends_ns = self._clock.monotonic_ns() + deadline_ms * 1_000_000
        nodes, silent = self.usable(), ["no node is in use"]
        for at, node in enumerate(nodes):
            left_ms = (ends_ns - self._clock.monotonic_ns()) // 1_000_000
            share_ms = max(left_ms if at == len(nodes) - 1 else left_ms // 2, 1)
            try:
                answer = await self._counted(node, ask(node, share_ms))
            except RpcError as error:
                if error.code not in NOT_AN_ANSWER or at == len(nodes) - 1:
                    raise
                silent.append(f"node {node.name}: {error}")
            except (Unreachable, Undecodable) as error:
                silent.append(str(error))
            else:
                return answer
        raise Unreachable(f"chain {self.chain_id}: " + "; ".join(silent[1:] or silent))

    async def _counted(self, node: Rpc, awaited: Awaitable[Any]) -> Any:
        health, started = self.health[node.name], self._clock.monotonic_ns()
        try:
            result = await awaited
        except (Unreachable, Undecodable):
            health.failed += 1
            health.failing += 1
            raise
        except RpcError:
            health.answered, health.failing = health.answered + 1, 0
            raise
        health.answered, health.failing = health.answered + 1, 0
        health.last_ms = (self._clock.monotonic_ns() - started) / 1e6
        return result

    async def _ask(self, nodes: Sequence[Rpc], method: str, params: Params, *, deadline_ms: int) -> list[Answer]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(node, method, params, deadline_ms=deadline_ms)) for node in nodes]
        return [task.result() for task in tasks]

    async def _one(self, node: Rpc, method: str, params: Params, *, deadline_ms: int) -> Answer:
        try:
            return Answer(node.name, await self._counted(node, node.call(method, params, deadline_ms=deadline_ms)))
        except RpcError as error:
            return Answer(node.name, error=error)
        except (Unreachable, Undecodable) as error:
            return Answer(node.name, why=str(error))

    async def _vote(
        self, node: Rpc, method: str, params: Params, deadline_ms: int, ballots: asyncio.Queue[Answer]
    ) -> None:
        ballots.put_nowait(await self._one(node, method, params, deadline_ms=deadline_ms))


def shown_host(url: str) -> str:
    """Host and port of a node's address: the rest of it may hold a key."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or "unnamed"


def _number(result: Any) -> int | str:
    try:
        return int(result, 16)
    except (TypeError, ValueError):
        return f"unreadable {str(result)[:40]!r}"
