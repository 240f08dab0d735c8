"""What senders can pay for at the head: next nonce, balance and code, many in one frame, once for each head."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from monitor.chain.rpc import Nodes, RpcError
from monitor.evm import hexes
from monitor.model.chain import Transaction
from monitor.model.errors import Undecodable
from monitor.model.units import Address, ChainId, Hash, shown

DELEGATION: Final = bytes.fromhex("ef0100")  # EIP-7702: an account with this code may still send
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

    async def delegations(
        self, transactions: Sequence[Transaction], at: Hash, chain_id: ChainId
    ) -> dict[Address, bytes]:
        """Code that the EIP-7702 tuples of these transactions give to accounts, those that will not hold left out.

        A tuple holds where its authority's nonce is the one it names (one more where the authority itself sends first)
        and its code is none. An attacker could otherwise show an old signature and have us see what never happens.
        Raises Unreachable, RpcError, Undecodable.
        """
        entries = [(tx, entry) for tx in transactions for entry in tx.authorizations if entry.authority is not None]
        if not entries:
            return {}
        accounts = await self.read([entry.authority for _, entry in entries if entry.authority is not None], at)
        return _holding(transactions, accounts, chain_id)


def _holding(
    transactions: Sequence[Transaction], accounts: Mapping[Address, Account], chain_id: ChainId
) -> dict[Address, bytes]:
    nonces = {authority: account.nonce for authority, account in accounts.items() if not account.has_code}
    found: dict[Address, bytes] = {}
    for tx in transactions:
        if tx.sender in nonces:
            nonces[tx.sender] = tx.nonce + 1
        for entry in tx.authorizations:
            authority = entry.authority
            if authority is not None and entry.chain_id in (0, chain_id) and nonces.get(authority) == entry.nonce:
                nonces[authority] += 1
                found[authority] = DELEGATION + entry.address if any(entry.address) else b""
    return found


def _account(answers: list[Any]) -> Account:
    for answer in answers:
        if isinstance(answer, RpcError):
            raise answer
        if not isinstance(answer, str):
            raise Undecodable("an account's nonce, balance or code is no text")
    nonce, balance, code = answers
    has_code = len(code) > 2 and not code.lower().startswith("0x" + DELEGATION.hex())
    return Account(hexes.quantity(nonce, 64), hexes.quantity(balance), has_code)
