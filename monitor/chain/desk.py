"""One key on one chain at work: its lane, its lock, and what each signature may cost. No I/O of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from monitor.chain.accounts import Account
from monitor.chain.lanes import Flight, Lane, Repair
from monitor.chain.rpc import Nodes
from monitor.evm.fees import Fees, allowed, billed, highest, ladder, quote, requote, within
from monitor.evm.transactions import decode_raw
from monitor.model.actions import Bid, Plan
from monitor.model.chain import Call, SignedTransaction, TransactionRequest, next_base_fee
from monitor.model.errors import Refused, Undecodable
from monitor.model.events import ResponseSigned
from monitor.model.ports import Signer
from monitor.model.units import ChainId, Wei

LADDER_BLOCKS: Final = 6  # full blocks that a response outlasts without being raised: twice the base fee


@dataclass(slots=True)
class Desk:
    """Nonces are read, taken and signed for under `lock`; what is sent or mined is noted without it."""

    nodes: Nodes
    signer: Signer
    lane: Lane
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    lent: dict[str, int] = field(default_factory=dict)  # wei by action, put into raises of others below it

    def adopt(self, sent: ResponseSigned) -> None:
        """Take the nonce of what the journal knows as signed: its bytes may have left. Raises Undecodable."""
        if self.lane.holding(sent.hash) is not None:
            self.lane = self.lane.sending(sent.hash)
            return
        signed = _signed(sent)
        held = next((f for f in self.lane.flights if f.nonce == sent.nonce), None)
        if held is not None:
            self.lane = self.lane.replaced(sent.nonce, signed).sending(sent.hash)
            return
        self.lane = self.lane.taken(
            Flight(nonce=sent.nonce, action_id=sent.action_id, incident=sent.incident, versions=(signed,), sent=True)
        )

    def request(self, plan: Plan, call: Call, *, nonce: int, fees: Fees) -> TransactionRequest:
        """Every field set. Raises Refused where the call wants another sender than this key."""
        if call.sender not in (None, self.signer.address):
            raise Refused("signer", f"{plan.action.id}: {self.signer.name} is not the sender that the plan names")
        return TransactionRequest(
            chain_id=plan.chain_id,
            sender=self.signer.address,
            to=call.to,
            nonce=nonce,
            gas=call.gas or plan.max_gas,
            max_fee=fees.max_fee,
            max_priority_fee=fees.max_priority_fee,
            data=call.data,
            value=call.value,
        )

    def opening(self, *, gas: int, gas_used: int, bid: Bid, shares: int, account: Account) -> Fees:
        """Caps for one of `shares` new transactions that share the bid. Raises Refused (gate `bid`)."""
        purse = (account.purse - self.committed()) // shares
        share = replace(bid, max_cost=Wei(bid.max_cost // shares))
        limit = allowed(share, gas_limit=gas, gas_used=gas_used, purse=purse)
        return quote(base_fee=next_base_fee(account.head), tip=bid.tip, blocks=LADDER_BLOCKS, limit=limit)

    def repriced(self, repair: Repair, *, payer: str, bid: Bid, account: Account) -> Fees | None:
        """Caps for a repair that `payer` pays for, with what its bid has left; None where that is not enough."""
        flight = repair.flight
        gas, old = flight.newest.request.gas, flight.fees if repair.replaces else Fees(0, 0)
        bill = billed(gas_limit=gas, gas_used=flight.gas_used)
        left = bid.max_cost - self.spent(payer) + bill * old.max_fee
        purse = account.purse - self.committed() + gas * old.max_fee
        budget = replace(bid, max_cost=Wei(max(min(left, bid.max_cost), 0)))  # no transaction costs more than one bid
        limit = allowed(budget, gas_limit=gas, gas_used=flight.gas_used, purse=purse)
        if repair.replaces:
            return requote(old, repair.fees, limit=limit)
        fees = within(highest(repair.fees, flight.fees), limit)
        return fees if fees.max_fee >= next_base_fee(account.head) else None

    def repaired(self, repair: Repair, version: SignedTransaction, *, payer: str) -> None:
        """Note what was signed for a repair, and who paid."""
        flight = repair.flight
        if not repair.replaces:
            fresh = replace(flight, nonce=repair.nonce, versions=(version,), signed_at=self.lane.height, missed_at=0)
            self.lane = self.lane.taken(replace(fresh, sent=False))
            return
        self.lane = self.lane.replaced(repair.nonce, version)
        if payer != flight.action_id:
            more = version.request.max_fee - flight.fees.max_fee
            bill = billed(gas_limit=version.request.gas, gas_used=flight.gas_used)
            self.lent[payer] = self.lent.get(payer, 0) + bill * more

    def settle(self) -> None:
        """Forget what actions lent that have nothing in flight any more."""
        flying = {flight.action_id for flight in self.lane.open}
        self.lent = {action_id: wei for action_id, wei in self.lent.items() if action_id in flying}

    def spent(self, action_id: str) -> int:
        """Wei that an action's transactions in flight may cost, with what it put into others."""
        mine = (f for f in self.lane.open if f.action_id == action_id)
        own = (billed(gas_limit=f.newest.request.gas, gas_used=f.gas_used) * f.fees.max_fee for f in mine)
        return sum(own) + self.lent.get(action_id, 0)

    def committed(self) -> int:
        """Wei that nodes hold against the purse for what is in flight."""
        return sum(f.newest.request.gas * f.fees.max_fee for f in self.lane.open)


def wanted(account: Account, bid: Bid) -> Fees:
    """What a response should pay at this head."""
    return ladder(base_fee=next_base_fee(account.head), tip=bid.tip, blocks=LADDER_BLOCKS)


def _signed(sent: ResponseSigned) -> SignedTransaction:
    seen = decode_raw(sent.raw, chain_id=sent.chain_id)
    if seen.hash != sent.hash or seen.sender != sent.sender or seen.nonce != sent.nonce or seen.to is None:
        raise Undecodable(f"{sent.action_id}: the journalled bytes are not the transaction that they are said to be")
    request = TransactionRequest(
        chain_id=ChainId(sent.chain_id),
        sender=seen.sender,
        to=seen.to,
        nonce=seen.nonce,
        gas=seen.gas,
        max_fee=seen.max_fee,
        max_priority_fee=seen.max_priority_fee,
        data=seen.data,
        value=seen.value,
    )
    return SignedTransaction(request, sent.hash, sent.raw)
