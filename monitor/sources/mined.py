"""What mined transactions did: receipts for all that touch, frames for those in which something may be hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from monitor.chain.rpc import Nodes, RpcError
from monitor.model.errors import Undecodable, Unreachable
from monitor.model.units import Address, shown
from monitor.sources.block_reader import Body
from monitor.sources.faults import FaultTally
from monitor.sources.touched import FullReceipt, Outcome, Quiet, Touched, outcome_of, touched
from monitor.sources.traces import Tracer

DEADLINE_MS: Final = 3_000


class MinedReader:
    """Reads outcomes from the nodes that have the block."""

    def __init__(self, nodes: Nodes, faults: FaultTally) -> None:
        self._nodes = nodes
        self._faults = faults
        self._tracer = Tracer(nodes, faults)

    async def read(self, found: Sequence[Touched], *, names: Sequence[str]) -> list[Outcome]:
        """Outcomes in block order. One without a receipt from any node is left out and counted."""
        if not found:
            return []
        outcomes = await self._receipts(found, names=names)
        deep = [outcome.touched.transaction.hash for outcome in outcomes if not outcome.touched.plain]
        traced = await self._tracer.transactions(deep, names=names) if deep else {}
        return [
            msgspec.structs.replace(outcome, frames=traced.get(outcome.touched.transaction.hash, ()))
            for outcome in outcomes
        ]

    async def hidden(
        self, body: Body, holders: frozenset[Address], *, told: frozenset[int], names: Sequence[str]
    ) -> list[Outcome]:
        """Outcomes of transactions not yet told in which ether of these holders moved."""
        try:
            traced = await self._tracer.block(body, holders, names=names)
        except Unreachable as error:
            self._faults.note("balance change not explained", detail=str(error))
            return []
        places = {each: place for place, each in enumerate(body.hashes)}
        fresh = sorted(places[each] for each in traced if places[each] not in told)
        if not traced:
            self._faults.note("balance change not explained", detail=f"block {body.header.number}")
        found = [self._touched(body, place) for place in fresh]
        outcomes = await self._receipts([each for each in found if each is not None], names=names)
        return [msgspec.structs.replace(each, frames=traced[each.touched.transaction.hash]) for each in outcomes]

    def _touched(self, body: Body, place: int) -> Touched | None:
        wire = body.block.transactions[place]
        try:
            entries = [entry for entry in body.logs if entry.transaction_hash == wire.hash]
            return touched(place, wire, entries, quiet=Quiet())
        except Undecodable as error:
            self._faults.note("undecodable transaction in a block", on=body.node, detail=str(error))
            return None

    async def _receipts(self, found: Sequence[Touched], *, names: Sequence[str]) -> list[Outcome]:
        calls = [("eth_getTransactionReceipt", (shown(each.transaction.hash),)) for each in found]
        outcomes: dict[int, Outcome] = {}
        for name in names:
            left = [each for each in found if each.index not in outcomes]
            if not left:
                break
            calls = [("eth_getTransactionReceipt", (shown(each.transaction.hash),)) for each in left]
            try:
                answers = await self._nodes.named(name).batch(calls, deadline_ms=DEADLINE_MS, into=FullReceipt | None)
            except (RpcError, Unreachable, Undecodable) as error:
                self._faults.note("receipts not readable", on=name, detail=str(error))
                continue
            outcomes |= self._outcomes(left, answers, name)
        if len(outcomes) < len(found):
            self._faults.note("transaction without receipt", count=len(found) - len(outcomes))
        return [outcomes[place] for place in sorted(outcomes)]

    def _outcomes(self, found: Sequence[Touched], answers: Sequence[object], name: str) -> dict[int, Outcome]:
        read: dict[int, Outcome] = {}
        for each, answer in zip(found, answers, strict=True):
            if isinstance(answer, FullReceipt):
                try:
                    read[each.index] = outcome_of(each, answer)
                except Undecodable as error:
                    self._faults.note("undecodable receipt", on=name, detail=str(error))
        return read
