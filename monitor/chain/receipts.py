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


class Search(Struct, frozen=True):
    """What a quorum knows: where it is; or, if `absent`, that it is nowhere; or neither."""

    found: Inclusion | None
    absent: bool


async def search(nodes: Nodes, hashes: Sequence[Hash], *, need: int, deadline_ms: int) -> Search:
    """Look for these on the canonical chain. `need` nodes must agree, fewer where fewer are in use.

    Does not wait for the slowest once it is settled. Raises Unreachable where no node answered.
    """
    usable, answers = nodes.usable(), asyncio.Queue[tuple[Inclusion, ...] | str]()
    need, silent, votes = min(need, len(usable)), list[str](), Counter[Inclusion | None]()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_ask(node, hashes, deadline_ms, answers)) for node in usable]
        for waiting in reversed(range(len(usable))):
            answer = await answers.get()
            if isinstance(answer, str):
                silent.append(answer)
            else:
                votes.update(answer or (None,))
            open_yet = any(count < need <= count + waiting for count in (_most(votes), votes[None]))
            if _most(votes) >= need or not open_yet:
                break
        for task in tasks:
            task.cancel()
    if len(silent) == len(usable):
        raise Unreachable(f"chain {nodes.chain_id}: no receipt from any node: " + "; ".join(silent)[:500])
    found = next((said for said, count in votes.items() if said is not None and count >= need), None)
    return Search(found, absent=found is None and votes[None] >= need)


def _most(votes: Counter[Inclusion | None]) -> int:
    return max((count for said, count in votes.items() if said is not None), default=0)


async def _ask(
    node: Rpc, hashes: Sequence[Hash], deadline_ms: int, answers: asyncio.Queue[tuple[Inclusion, ...] | str]
) -> None:
    """What one node holds, or why it does not say."""
    try:
        async with asyncio.timeout(deadline_ms / 1_000):
            answers.put_nowait(await _held(node, hashes, deadline_ms))
    except (Unreachable, Undecodable, RpcError, TimeoutError) as error:
        answers.put_nowait(f"{node.name}: {error or 'too slow'}")


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
