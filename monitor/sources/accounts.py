"""What senders can pay for at the head: next nonce, balance and code, many in one frame, once for each head."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

from monitor.chain.rpc import Nodes, RpcError
from monitor.evm import hexes
from monitor.model.errors import Undecodable
from monitor.model.units import Address, Hash, shown

DELEGATION: Final = "0xef0100"  # EIP-7702: an account with this code may still send
MOST: Final = 4096


class Account(Struct, frozen=True):
    nonce: int
    balance: int
    has_code: bool


class Accounts:
    """Accounts at one head, forgotten when it moves."""

    def __init__(self, nodes: Nodes, *, deadline_ms: int = 1_000) -> None:
        self._nodes = nodes
        self._deadline_ms = deadline_ms
        self._at = Hash(b"")
        self._known: dict[Address, Account] = {}

    async def read(self, senders: Iterable[Address], at: Hash) -> dict[Address, Account]:
        """By sender. Raises Unreachable, RpcError, Undecodable."""
        if at != self._at or len(self._known) > MOST:
            self._at, self._known = at, {}
        wanted = dict.fromkeys(senders)
        fresh = [sender for sender in wanted if sender not in self._known]
        known = {sender: self._known[sender] for sender in wanted if sender in self._known}
        if not fresh:
            return known
        block = {"blockHash": shown(at)}
        calls = [
            (method, (shown(sender), block))
            for sender in fresh
            for method in ("eth_getTransactionCount", "eth_getBalance", "eth_getCode")
        ]
        answers = await self._nodes.first_batch(calls, deadline_ms=self._deadline_ms)
        read = {sender: _account(answers[3 * place : 3 * place + 3]) for place, sender in enumerate(fresh)}
        if at == self._at:
            self._known |= read
        return known | read


def _account(answers: list[Any]) -> Account:
    for answer in answers:
        if isinstance(answer, RpcError):
            raise answer
        if not isinstance(answer, str):
            raise Undecodable("an account's nonce, balance or code is no text")
    nonce, balance, code = answers
    has_code = len(code) > 2 and not code.lower().startswith(DELEGATION)
    return Account(hexes.quantity(nonce, 64), hexes.quantity(balance), has_code)
