"""What the chain says about the key that is about to sign: its next nonce, its purse, and the head they were read at.

Nonce and purse are what several nodes agree on, because a lie about either would hold a response up; where they do not
agree in time (one is a block behind), the healthiest node's word is taken: a wrong nonce is repaired, waiting is not.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msgspec import Struct

from monitor.chain.rpc import Nodes, RpcError
from monitor.evm import hexes, wire
from monitor.model.chain import Header
from monitor.model.errors import Disagreement, DrawbridgeError, Unreachable
from monitor.model.units import Address, Wei, shown

QUORUM_SHARE: Final = 0.4  # of the deadline; the rest is for the healthiest node


class Account(Struct, frozen=True):
    next_nonce: int
    purse: Wei
    head: Header


async def read_account(nodes: Nodes, sender: Address, *, need: int, deadline_ms: int) -> Account:
    """Read at the head, all in parallel. Raises Unreachable, Undecodable, RpcError."""
    nonce = ("eth_getTransactionCount", [shown(sender), "latest"], str)
    purse = ("eth_getBalance", [shown(sender), "latest"], str)
    block = ("eth_getBlockByNumber", ["latest", False], wire.WireHeader)
    need = min(need, len(nodes.usable()))
    if need < 2:
        calls, kinds = [(m, p) for m, p, _ in (nonce, purse, block)], (str, str, wire.WireHeader)
        return _account(await nodes.first_batch(calls, deadline_ms=deadline_ms, into=kinds))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_agreed(nodes, c, need=need, deadline_ms=deadline_ms)) for c in (nonce, purse)]
        tasks.append(group.create_task(_first(nodes, block, deadline_ms=deadline_ms)))
    return _account([task.result() for task in tasks])


_Call = tuple[str, list[Any], type]


async def _agreed(nodes: Nodes, call: _Call, *, need: int, deadline_ms: int) -> Any:
    method, params, kind = call
    share_ms = int(deadline_ms * QUORUM_SHARE)
    try:
        return await nodes.quorum(method, params, need=need, deadline_ms=share_ms, into=kind)
    except (Disagreement, Unreachable, RpcError):
        return await _first(nodes, call, deadline_ms=deadline_ms - share_ms)


async def _first(nodes: Nodes, call: _Call, *, deadline_ms: int) -> Any:
    """The answer, or what went wrong as a value: a task group would wrap what is raised."""
    method, params, kind = call
    try:
        return await nodes.first(method, params, deadline_ms=deadline_ms, into=kind)
    except DrawbridgeError as error:
        return error


def _account(answers: list[Any]) -> Account:
    for answer in answers:
        if isinstance(answer, DrawbridgeError):
            raise answer
    nonce, purse, block = answers
    return Account(hexes.quantity(nonce, 64), Wei(hexes.quantity(purse)), wire.header(block))
