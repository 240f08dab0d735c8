"""Orders: what a person tells the running monitor through the store, and the proof that it was them.

An order carries an HMAC-SHA256 under the SHA-256 of the person's token, over all that it says: the token itself never
lies in the database, and whoever can only write there can order nothing. An order is good for two minutes, once.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct

from monitor.model.codec import decode, encode
from monitor.model.errors import Refused, Undecodable
from monitor.model.operators import Operator, least_role
from monitor.model.units import SECOND, Instant

OrderKind = Literal["disarm", "arm", "approve", "reject"]
GOOD_FOR_S: Final = 120
MAX_REASON: Final = 500
_DOMAIN: Final = b"drawbridge order 1"


class Order(Struct, frozen=True):
    kind: OrderKind
    by: str
    at: Instant
    nonce: str  # so that no two orders are the same bytes
    action_id: str = ""
    reason: str = ""


class _Signed(Struct, frozen=True):
    order: Order
    mac: str


def signed(order: Order, token_sha256: str) -> bytes:
    """The order as it is filed."""
    return encode(_Signed(order, _mac(order, token_sha256)))


def opened(kind: str, body: bytes, *, operators: Iterable[Operator], now: Instant) -> Order:
    """The order in these bytes, if its giver may give it. Raises Refused."""
    try:
        found = decode(body, _Signed)
    except Undecodable:
        raise Refused("order", f"{kind[:20]}: its body is no order") from None
    order = found.order
    giver = next((o for o in operators if o.name == order.by and o.token_sha256), None)
    expected = _mac(order, giver.token_sha256 if giver else "00" * 32)
    if giver is None or not hmac.compare_digest(expected.encode(), found.mac.encode()):
        raise Refused("credential", f"{order.kind} by {order.by[:64]!r}: not signed with a token of the configuration")
    if order.kind != kind:
        raise Refused("order", f"filed as {kind[:20]}, but signed as {order.kind}")
    if abs(now - order.at) > GOOD_FOR_S * SECOND:
        raise Refused("order", f"{order.kind} by {order.by}: older than {GOOD_FOR_S} s; give it again")
    permit(giver, order.kind)
    return order


def permit(operator: Operator, kind: OrderKind) -> None:
    """Raises Refused where the role is too low."""
    if not operator.may(kind):
        raise Refused("role", f"{operator.name} is {operator.role}; {kind} needs {least_role(kind)} or above")


def _mac(order: Order, token_sha256: str) -> str:
    return hmac.new(bytes.fromhex(token_sha256), _DOMAIN + encode(order), hashlib.sha256).hexdigest()
