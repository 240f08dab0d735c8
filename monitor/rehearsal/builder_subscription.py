"""What a client subscribed to, and the frames it is sent for it. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from monitor.rehearsal.builder_transaction import Json, Rejected


class Topic(StrEnum):
    """What can be subscribed to."""

    PENDING = "newPendingTransactions"
    HEADS = "newHeads"
    LOGS = "logs"


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Addresses, and for each topic position the values allowed; an empty set allows all."""

    addresses: frozenset[str] = frozenset()
    topics: tuple[frozenset[str], ...] = ()

    def matches(self, log: Json) -> bool:
        """Return whether the log passes."""
        if self.addresses and log["address"].lower() not in self.addresses:
            return False
        shown = log["topics"]
        if len(shown) < len(self.topics):
            return False
        return all(not allowed or topic.lower() in allowed for allowed, topic in zip(self.topics, shown, strict=False))


@dataclass(frozen=True, slots=True)
class Subscription:
    """One ``eth_subscribe``: its id, its topic, and how much it wants."""

    id: str
    topic: Topic
    full: bool = False
    filter: LogFilter = LogFilter()

    def frame(self, result: object) -> bytes:
        """Return the notification that carries ``result``."""
        params = {"subscription": self.id, "result": result}
        return msgspec.json.encode({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})


def parse(subscription_id: str, params: list[Any]) -> Subscription:
    """Read the params of ``eth_subscribe``; raises Rejected on a topic that is not offered."""
    wanted = params[0] if params else None
    detail = params[1] if len(params) > 1 else None
    match wanted:
        case Topic.PENDING:
            return Subscription(subscription_id, Topic.PENDING, full=detail is True)
        case Topic.HEADS:
            return Subscription(subscription_id, Topic.HEADS)
        case Topic.LOGS:
            return Subscription(subscription_id, Topic.LOGS, filter=_log_filter(detail or {}))
        case _:
            raise Rejected(f"no {wanted!r} subscription in eth namespace", code=-32_601)


def _log_filter(wanted: Json) -> LogFilter:
    return LogFilter(
        addresses=_lowered(wanted.get("address")),
        topics=tuple(_lowered(topic) for topic in wanted.get("topics") or ()),
    )


def _lowered(values: str | Iterable[str] | None) -> frozenset[str]:
    if values is None:
        return frozenset()
    return frozenset(value.lower() for value in ([values] if isinstance(values, str) else values))
