"""One subscription's messages, from raw bytes to topic and payload. Pure; everything wrong is counted, never raised.

A node may answer late, twice, for subscriptions that nobody made, or with garbage. Payloads stay raw: whoever asked for
the topic decodes them with its own type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from monitor.evm.wire import WireMessage, WireParams, decode
from monitor.model.errors import Undecodable
from monitor.model.units import ChainId
from monitor.sources.faults import FaultTally

Topic = tuple[str | bool, ...]  # the parameters of eth_subscribe

CHAIN_ID: Final = 0  # the request id of eth_chainId; topic n is asked as n + 1
MAX_EARLY: Final = 64


class Notice(Struct, frozen=True):
    """Something that a subscription delivered; `topic` is its place among those asked for."""

    topic: int
    result: Raw


class Conversation:
    """What was asked on one connection, and which subscription id means which topic."""

    def __init__(self, topics: Sequence[Topic], chain_id: ChainId, *, node: str, faults: FaultTally) -> None:
        self._topics = tuple(topics)
        self._chain_id = chain_id
        self._node = node
        self._faults = faults
        self._places: dict[str, int] = {}
        self._early: list[WireParams] = []
        self._chain_seen = False
        self.refused: tuple[int, str] | None = None  # a topic that the node does not offer
        self.wrong_chain = ""

    @property
    def ready(self) -> bool:
        """Whether the chain id was right and every topic is subscribed."""
        return self._chain_seen and not self.wrong_chain and len(self._places) == len(self._topics)

    def questions(self) -> tuple[bytes, ...]:
        """The requests to send when the connection opens."""
        asked = [_request(CHAIN_ID, "eth_chainId", ())]
        asked += [_request(place + 1, "eth_subscribe", topic) for place, topic in enumerate(self._topics)]
        return tuple(asked)

    def read(self, message: bytes) -> tuple[Notice, ...]:
        """The notices in one message; none for answers, and for what is broken, which is counted."""
        try:
            wire = decode(message, WireMessage)
        except Undecodable as error:
            self._faults.note("undecodable message", on=self._node, detail=str(error))
            return ()
        if wire.params is not None and wire.method == "eth_subscription":
            return self._notice(wire.params)
        return self._answer(wire)

    def _notice(self, params: WireParams) -> tuple[Notice, ...]:
        place = self._places.get(params.subscription)
        if place is not None:
            return (Notice(place, params.result),)
        if not self.ready and len(self._early) < MAX_EARLY:
            self._early.append(params)
        else:
            self._faults.note("notice of an unknown subscription", on=self._node)
        return ()

    def _answer(self, wire: WireMessage) -> tuple[Notice, ...]:
        if wire.id == CHAIN_ID and not self._chain_seen:
            self._check_chain(wire)
            return ()
        asked = {place + 1 for place in range(len(self._topics))} - {place + 1 for place in self._places.values()}
        if not isinstance(wire.id, int) or wire.id not in asked:
            self._faults.note("answer to nothing that was asked", on=self._node)
            return ()
        if wire.error is not None:
            self.refused = (wire.id - 1, wire.error.message[:200])
            return ()
        return self._subscribed(wire.id - 1, wire.result)

    def _subscribed(self, place: int, result: Raw) -> tuple[Notice, ...]:
        try:
            self._places[decode(result, str)] = place
        except Undecodable as error:
            self.refused = (place, str(error))
            return ()
        early, self._early = self._early, []
        return tuple(notice for params in early for notice in self._notice(params))

    def _check_chain(self, wire: WireMessage) -> None:
        self._chain_seen = True
        try:
            said = int(decode(wire.result, str)[:20], 16)
        except (Undecodable, ValueError):
            self.wrong_chain = "gives no chain id"
            return
        if said != self._chain_id:
            self.wrong_chain = f"serves chain {said}, not {self._chain_id}"


def _request(number: int, method: str, params: Topic) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)})
