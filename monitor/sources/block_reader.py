"""The body of one agreed block, from one node, bound to what the quorum agreed on.

The block's transactions must give the root in its proven header, and its logs the bloom: a node that hides, adds or
changes one is caught, named, and the next node is asked. Where the root does not come out (types without a signature
on rollups, impersonated senders on test chains) a second node must tell the same transactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from monitor.chain.rpc import Nodes, RpcError
from monitor.evm import hexes
from monitor.evm.authentic import raw_of
from monitor.evm.wire import Short, WireBlock, WireHeader, WireLog, header, log
from monitor.model.chain import Header
from monitor.model.errors import Disagreement, Undecodable, Unreachable
from monitor.model.units import Hash, shown
from monitor.sources.header_hash import Roots, bloom_of
from monitor.sources.ordered_root import ordered_root

DEADLINE_MS: Final = 5_000


class WireWithdrawal(Struct, frozen=True, gc=False):
    """What a beacon chain pays out (EIP-4895), in gwei."""

    address: Short
    amount: Short


class WireBody(WireBlock, frozen=True, kw_only=True, gc=False, rename="camel"):
    withdrawals: list[WireWithdrawal] | None = None


class Body(Struct, frozen=True):
    """One block as a node told it, checked. `hashes` are those of its transactions, in order."""

    header: Header
    node: str
    block: WireBody
    logs: tuple[WireLog, ...]
    hashes: tuple[Hash, ...]
    finalised: int
    liars: dict[str, str]  # nodes that told this block wrong, and how


class BlockReader:
    """Reads bodies. `strict` binds them to roots; without a second node there is nothing to bind them to."""

    def __init__(self, nodes: Nodes, *, strict: bool, deadline_ms: int = DEADLINE_MS) -> None:
        self._nodes = nodes
        self._strict = strict
        self._deadline_ms = deadline_ms

    async def read(self, wanted: Header, roots: Roots | None, *, names: Sequence[str]) -> Body:
        """The block from the first of these nodes that tells it right. Raises Unreachable."""
        liars: dict[str, str] = {}
        silent = "no node has it"
        for name in names:
            try:
                return await self._from(name, wanted, roots, others=[n for n in names if n != name], liars=liars)
            except Disagreement as error:
                liars[name] = str(error)
            except (RpcError, Unreachable, Undecodable) as error:
                silent = str(error)
        raise Unreachable(f"block {wanted.number}: {'; '.join(liars.values()) or silent}")

    async def _from(
        self, name: str, wanted: Header, roots: Roots | None, *, others: Sequence[str], liars: dict[str, str]
    ) -> Body:
        text = shown(wanted.hash)
        calls = [
            ("eth_getBlockByHash", (text, True)),
            ("eth_getLogs", ({"blockHash": text},)),
            ("eth_getBlockByNumber", ("finalized", False)),
        ]
        kinds = (WireBody, list[WireLog], WireHeader | None)
        block, logs, final = await self._nodes.named(name).batch(calls, deadline_ms=self._deadline_ms, into=kinds)
        for answer in (block, logs):
            if isinstance(answer, RpcError):
                raise answer
        hashes = _checked(block, logs, wanted)
        if self._strict:
            await self._bind(block, logs, roots=roots, others=others)
        return Body(wanted, name, block, tuple(logs), hashes, _final(final), liars)

    async def _bind(
        self,
        block: WireBody,
        logs: Sequence[WireLog],
        *,
        roots: Roots | None,
        others: Sequence[str],
    ) -> None:
        """Raises Disagreement where this is not what the header commits to, Unreachable where nobody can tell."""
        if roots is not None and bloom_of(map(log, logs)) != roots.bloom:
            raise Disagreement("told logs that are not those of the block's bloom")
        if roots is None or not _rooted(block, roots):
            await self._compare(block, others=others)

    async def _compare(self, block: WireBody, *, others: Sequence[str]) -> None:
        for name in others:
            try:
                other = await self._nodes.named(name).call("eth_getBlockByHash", (block.hash, True), into=WireBody)
            except (RpcError, Unreachable, Undecodable):
                continue
            if other.transactions != block.transactions:
                raise Disagreement(f"told other transactions than {name}")
            return
        raise Unreachable("its transactions do not give its root, and no second node confirms them")


def _rooted(block: WireBody, roots: Roots) -> bool:
    try:
        return ordered_root([raw_of(tx) for tx in block.transactions]) == roots.transactions
    except Undecodable:  # a type without a signature that we know
        return False


def _checked(block: WireBody, logs: Sequence[WireLog], wanted: Header) -> tuple[Hash, ...]:
    """The transactions' hashes. Raises Disagreement where this is not the block, or a log is not of it."""
    if header(block) != wanted:
        raise Disagreement(f"told another block for {shown(wanted.hash)[:18]}")
    hashes = tuple(hexes.hash32(tx.hash) for tx in block.transactions)
    if len(set(hashes)) != len(hashes):
        raise Disagreement("told a transaction twice in one block")
    known = {tx.hash for tx in block.transactions}
    if any(entry.removed or entry.transaction_hash not in known for entry in logs):
        raise Disagreement("told logs of transactions that are not in the block")
    return hashes


def _final(answer: object) -> int:
    """Number of the finalised block; 0 where the node knows none."""
    if not isinstance(answer, WireHeader):
        return 0
    try:
        return header(answer).number
    except Undecodable:
        return 0
