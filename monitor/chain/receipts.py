"""Whether one of several transactions is on the canonical chain, as several nodes agree.

A receipt counts only if its node also has that block at that height, because nodes keep receipts of blocks that a reorg
left behind. What the nodes must agree on is the meaning (hash, block, status, gas, price), not the JSON.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from monitor.chain.rpc import Nodes, Rpc, RpcError
from monitor.evm import wire
from monitor.model.errors import Undecodable, Unreachable
from monitor.model.units import NO_HASH, Hash, Wei, shown


class Inclusion(Struct, frozen=True):
    """One transaction in one canonical block."""

    hash: Hash
    block_number: int
    block_hash: Hash
    timestamp: int  # of the block, seconds
    ok: bool
    gas_used: int
    cost: Wei


async def find_included(nodes: Nodes, hashes: Sequence[Hash], *, need: int, deadline_ms: int) -> Inclusion | None:
    """Which of these the canonical chain holds. `need` nodes must agree, fewer where fewer are in use.

    Raises Unreachable where no node answered.
    """
    usable = nodes.usable()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_ask(node, hashes, deadline_ms)) for node in usable]
    said = [task.result() for task in tasks]
    heard = [answer for answer in said if not isinstance(answer, str)]
    if not heard:
        raise Unreachable(f"chain {nodes.chain_id}: no receipt from any node: " + "; ".join(map(str, said))[:500])
    votes = Counter(inclusion for found in heard for inclusion in found)
    winner = votes.most_common(1)
    return winner[0][0] if winner and winner[0][1] >= min(need, len(usable)) else None


async def _ask(node: Rpc, hashes: Sequence[Hash], deadline_ms: int) -> tuple[Inclusion, ...] | str:
    """What one node holds, or why it does not say."""
    try:
        async with asyncio.timeout(deadline_ms / 1_000):
            return await _held(node, hashes, deadline_ms)
    except (Unreachable, Undecodable, RpcError, TimeoutError) as error:
        return f"{node.name}: {error or 'too slow'}"


async def _held(node: Rpc, hashes: Sequence[Hash], deadline_ms: int) -> tuple[Inclusion, ...]:
    asked = [("eth_getTransactionReceipt", [shown(tx_hash)]) for tx_hash in hashes]
    answers = _all(await node.batch(asked, deadline_ms=deadline_ms, into=wire.WireReceipt | None))
    receipts = [wire.receipt(answer) for answer in answers if answer is not None]
    mined = [receipt for receipt in receipts if receipt.transaction in hashes and receipt.block_hash != NO_HASH]
    blocks = [("eth_getBlockByNumber", [hex(receipt.block_number), False]) for receipt in mined]
    canonical = _all(await node.batch(blocks, deadline_ms=deadline_ms, into=wire.WireHeader | None))
    return tuple(
        _inclusion(receipt, header.timestamp)
        for receipt, block in zip(mined, canonical, strict=True)
        if block is not None and (header := wire.header(block)).hash == receipt.block_hash
    )


def _all(answers: list[Any]) -> list[Any]:
    """Answers without an error among them: a node that could not look has not said that there is nothing."""
    for answer in answers:
        if isinstance(answer, RpcError):
            raise answer
    return answers


def _inclusion(receipt: wire.Receipt, timestamp: int) -> Inclusion:
    return Inclusion(
        hash=receipt.transaction,
        block_number=receipt.block_number,
        block_hash=receipt.block_hash,
        timestamp=timestamp,
        ok=receipt.ok,
        gas_used=receipt.gas_used,
        cost=Wei(receipt.gas_used * receipt.effective_gas_price),
    )
