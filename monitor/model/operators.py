"""Who may do what: a person or a machine, with a role and a credential of their own."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from msgspec import Struct

from monitor.model.units import Address

Role = Literal["viewer", "operator", "approver", "admin"]  # each may do all that the one before may
Verb = Literal["read", "disarm", "arm", "approve", "reject"]

_LADDER: Final[tuple[Role, ...]] = ("viewer", "operator", "approver", "admin")
_LEAST: Final[Mapping[Verb, Role]] = {
    "read": "viewer",
    "disarm": "operator",
    "arm": "operator",
    "approve": "approver",
    "reject": "approver",
}


class Operator(Struct, frozen=True):
    """The token itself is never kept, only its SHA-256; empty where the person has none."""

    name: str
    role: Role
    token_sha256: str = ""  # 64 lower-case hex digits
    address: Address | None = None

    def may(self, verb: Verb) -> bool:
        return _LADDER.index(self.role) >= _LADDER.index(_LEAST[verb])


def least_role(verb: Verb) -> Role:
    """The lowest role that may do this."""
    return _LEAST[verb]


def recognised(operators: Iterable[Operator], token: str) -> Operator | None:
    """Whose token this is. Compares with all of them in constant time, so that time tells nothing."""
    given = hashlib.sha256(token.encode(errors="replace")).hexdigest()
    found: Operator | None = None
    for operator in operators:
        same = hmac.compare_digest(operator.token_sha256.encode(), given.encode())
        if same and operator.token_sha256 and token:
            found = operator
    return found
