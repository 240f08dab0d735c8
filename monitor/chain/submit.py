"""Sending responses in enforce mode. Shadow and propose are in monitor.chain.withheld; which one is wired is the mode.

What the shell calls, in this order:

    signed = await submit.sign(rehearsed, bid)       # again for the same action: the same bytes
    … journal a ResponseSigned for each …            # durable before anything leaves
    await submit.send(chain_id, action_id, raw, tx_hash)
    await submit.outbid(sent, bid)                   # raises of others below it on the same key: journal, send each
    await submit.find(chain_id, action_id, tx_hash)  # at each head until it is there, by any version of it
    await submit.bump(sent, bid)                     # not there: a version to journal (replaces = sent.hash) and send

After a restart nothing need be told: `journalled` gives what the journal knows as signed, and those nonces are taken.
The chain's nonce is read before each signature, under the lane's lock; a node that is sent equal bytes again says that
it has them. What bump gives may be on another nonce: a gap below, or a new one because somebody else used the old.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from msgspec.structs import replace

from monitor.chain.accounts import Account, read_account
from monitor.chain.desk import Desk, wanted
from monitor.chain.lanes import Flight, Lane, Repair
from monitor.chain.receipts import Inclusion, Search, search
from monitor.chain.rpc import Nodes
from monitor.evm.transactions import keccak
from monitor.model.actions import Bid, Plan, Rehearsed
from monitor.model.chain import SignedTransaction
from monitor.model.errors import DrawbridgeError, Refused, Undecodable, Unreachable
from monitor.model.events import ResponseBroadcast, ResponseIncluded, ResponseSigned
from monitor.model.ports import Signer
from monitor.model.units import ChainId, Hash, shown

__all__ = ["EnforceSubmit"]


class EnforceSubmit:
    """Signs, sends to every node of the chain, and finds what became of it."""

    withheld = ""

    def __init__(
        self,
        nodes: Mapping[ChainId, Nodes],
        signers: Mapping[str, Signer],
        *,
        quorum: Mapping[ChainId, int],
        journalled: Callable[[], Iterable[ResponseSigned]],
        deadline_ms: int = 2_000,
        read_deadline_ms: int = 500,
    ) -> None:
        """`journalled` gives all responses that the journal knows as signed, oldest first; mined ones do no harm."""
        self._nodes, self._signers, self._quorum = nodes, signers, quorum
        self._journalled = journalled
        self._deadline_ms, self._read_ms = deadline_ms, read_deadline_ms
        self._desks: dict[tuple[ChainId, str], Desk] = {}

    async def sign(self, rehearsed: Rehearsed, bid: Bid) -> tuple[SignedTransaction, ...]:
        """Reserve nonces, price, sign: one transaction for each call, in their order. Nothing has left the process yet.

        Idempotent by action: what is signed already comes back as it is. Raises Refused (bid, lane, signer),
        SignerRefused, Unreachable.
        """
        plan = rehearsed.plan
        desk = self._desk(plan.chain_id, plan.signer)
        async with self._turn(desk):
            account = await self._read(desk)
            known = desk.lane.of(plan.action.id)[: len(plan.calls)]
            fresh = await self._sign_calls(desk, rehearsed, bid, account=account, done=len(known))
            for flight in fresh:
                desk.lane = desk.lane.taken(flight)
        return tuple(flight.newest for flight in (*known, *fresh))

    async def bump(self, sent: ResponseSigned, bid: Bid) -> SignedTransaction | None:
        """What to send so that this response is mined: at a higher fee, or on a nonce that is free; None: only wait.

        None too where the bid is spent, where it was signed at this very height, and where others below hold it up.
        """
        desk = self._desk(sent.chain_id, sent.signer)
        async with self._turn(desk):
            account = await self._read(desk)
            desk.adopt(sent)
            flight = desk.lane.holding(sent.hash)
            if flight is None:
                return None
            if flight.nonce < account.next_nonce:
                await self._look(desk, flight)
            repair = desk.lane.repair(flight.nonce, wanted(account, bid))
            return await self._repair(desk, repair, bid, payer=sent.action_id, account=account) if repair else None

    async def outbid(self, sent: ResponseSigned, bid: Bid) -> tuple[ResponseSigned, ...]:
        """Raise what is below on the same key and tips less; the bid pays the difference.

        Never raises: the response itself is out already, and what cannot be raised now is met again by `bump`.
        """
        desk, raised = self._desk(sent.chain_id, sent.signer), list[ResponseSigned]()
        if desk.lane.holding(sent.hash) is not None and desk.lane.open[:1] == desk.lane.of(sent.action_id)[:1]:
            return ()  # nobody is below it: the usual case, without asking the chain anything
        try:
            async with self._turn(desk):
                await self._outbid(desk, sent, bid, raised)
        except DrawbridgeError:
            return tuple(raised)
        return tuple(raised)

    async def _outbid(self, desk: Desk, sent: ResponseSigned, bid: Bid, raised: list[ResponseSigned]) -> None:
        """Adds to `raised` one by one, so that what was signed before something failed is not lost."""
        account = await self._read(desk)
        desk.adopt(sent)
        for repair in desk.lane.below(sent.nonce, wanted(account, bid)):
            version = await self._repair(desk, repair, bid, payer=sent.action_id, account=account)
            if version is None:
                return
            raised.append(_signed_event(repair.flight, version, signer=sent.signer))

    async def send(self, chain_id: ChainId, action_id: str, raw: bytes, tx_hash: Hash) -> ResponseBroadcast:
        """To every node of the chain. Who refused it is named with the reason. Raises Undecodable on other bytes."""
        if keccak(raw) != tx_hash:
            raise Undecodable(f"{action_id}: the bytes to send do not have the hash {shown(tx_hash)}")
        desk, nodes = self._holding(chain_id, tx_hash), self._nodes_of(chain_id)
        if desk is not None:
            desk.lane = desk.lane.sending(tx_hash)
        sent = await nodes.broadcast(raw, deadline_ms=self._deadline_ms)
        accepted = [one.node for one in sent if one.accepted]
        if not accepted and await self._known(nodes, tx_hash):
            accepted = ["chain"]
        refused = tuple(f"{one.node}: {one.why[:200]}" for one in sent if not one.accepted)
        return ResponseBroadcast(
            chain_id=chain_id, action_id=action_id, hash=tx_hash, accepted_by=tuple(accepted), refused_by=refused
        )

    async def find(self, chain_id: ChainId, action_id: str, tx_hash: Hash) -> ResponseIncluded | None:
        """This response on the canonical chain, by any version of it (`hash` says which); None where it is not.

        Raises Unreachable where too few nodes say either: that nobody answers does not mean that it is gone.
        """
        desk = self._holding(chain_id, tx_hash)
        flight = desk.lane.holding(tx_hash) if desk is not None else None
        seen = await self._search(chain_id, _alike(flight, tx_hash) if flight else (tx_hash,))
        found = seen.found
        if found is None and not seen.absent:
            raise Unreachable(f"{action_id}: too few nodes say whether {shown(tx_hash)} is in a block")
        if desk is not None:
            desk.lane = (
                desk.lane.dropped(tx_hash) if found is None else desk.lane.included(found.hash, found.block_number)
            )
        return None if found is None else _included_event(chain_id, action_id, found)

    async def _sign_calls(
        self, desk: Desk, rehearsed: Rehearsed, bid: Bid, *, account: Account, done: int
    ) -> tuple[Flight, ...]:
        """Flights for the calls behind the first `done`."""
        plan, used = rehearsed.plan, rehearsed.rehearsal.gas_used
        calls = plan.calls[done:]
        flights = []
        for call, nonce in zip(calls, desk.lane.reserve(len(calls)), strict=True):
            gas = call.gas or plan.max_gas
            fees = desk.opening(gas=gas, gas_used=used, bid=bid, shares=len(plan.calls), account=account)
            signed = await desk.signer.sign(desk.request(plan, call, nonce=nonce, fees=fees))
            flights.append(_flight(plan, signed, gas_used=used, height=account.head.number))
        return tuple(flights)

    async def _repair(
        self, desk: Desk, repair: Repair, bid: Bid, *, payer: str, account: Account
    ) -> SignedTransaction | None:
        fees = desk.repriced(repair, payer=payer, bid=bid, account=account)
        if fees is None:
            return None
        old = repair.flight.newest.request
        request = replace(old, nonce=repair.nonce, max_fee=fees.max_fee, max_priority_fee=fees.max_priority_fee)
        version = await desk.signer.sign(request)
        desk.repaired(repair, version, payer=payer)
        return version

    async def _look(self, desk: Desk, flight: Flight) -> None:
        """The chain is past this nonce: by one of ours, or by somebody else's transaction?"""
        seen = await self._search(desk.lane.chain_id, [version.hash for version in flight.versions])
        if seen.found is not None:
            desk.lane = desk.lane.included(seen.found.hash, seen.found.block_number)
        elif seen.absent:
            desk.lane = desk.lane.missed(flight.nonce)

    async def _read(self, desk: Desk) -> Account:
        """The account at the head, and the lane brought up to it and to the journal."""
        need = self._quorum.get(desk.lane.chain_id, 1)
        account = await read_account(desk.nodes, desk.signer.address, need=need, deadline_ms=self._read_ms)
        desk.lane = desk.lane.seen(next_nonce=account.next_nonce, height=account.head.number)
        for sent in self._journalled():
            ours = sent.chain_id == desk.lane.chain_id and sent.sender == desk.signer.address
            if ours and sent.nonce >= account.next_nonce:
                desk.adopt(sent)
        desk.settle()
        return account

    def _desk(self, chain_id: ChainId, name: str) -> Desk:
        desk = self._desks.get((chain_id, name))
        if desk is None:
            signer = self._signers.get(name)
            if signer is None:
                raise Refused("signer", f"no signer named {name!r} is configured")
            lane = Lane(chain_id=chain_id, signer=name, sender=signer.address)
            desk = self._desks[chain_id, name] = Desk(self._nodes_of(chain_id), signer, lane)
        return desk

    def _nodes_of(self, chain_id: ChainId) -> Nodes:
        nodes = self._nodes.get(chain_id)
        if nodes is None:
            raise Refused("chain", f"no node of chain {chain_id} is configured")
        return nodes

    def _holding(self, chain_id: ChainId, tx_hash: Hash) -> Desk | None:
        here = (desk for (chain, _), desk in self._desks.items() if chain == chain_id)
        return next((desk for desk in here if desk.lane.holding(tx_hash) is not None), None)

    @asynccontextmanager
    async def _turn(self, desk: Desk) -> AsyncIterator[None]:
        """The lane's lock, and the deadline for all that is done under it."""
        try:
            async with asyncio.timeout(self._deadline_ms / 1_000), desk.lock:
                yield
        except TimeoutError as error:
            what = f"{desk.signer.name} on chain {desk.lane.chain_id}"
            raise Unreachable(f"{what}: not signed within {self._deadline_ms} ms") from error

    async def _search(self, chain_id: ChainId, hashes: Sequence[Hash]) -> Search:
        need = self._quorum.get(chain_id, 1)
        return await search(self._nodes_of(chain_id), hashes, need=need, deadline_ms=self._deadline_ms)

    async def _known(self, nodes: Nodes, tx_hash: Hash) -> bool:
        """Whether a node has it all the same: each client words 'I have that already' in its own way."""
        try:
            answer = await nodes.first("eth_getTransactionByHash", [shown(tx_hash)], deadline_ms=self._read_ms)
        except DrawbridgeError:
            return False
        return isinstance(answer, dict) and answer.get("hash") == shown(tx_hash)


def _alike(flight: Flight, tx_hash: Hash) -> tuple[Hash, ...]:
    """The versions that make the same call as this one."""
    this = next(version.request for version in flight.versions if version.hash == tx_hash)
    same = (v for v in flight.versions if (v.request.to, v.request.data) == (this.to, this.data))
    return tuple(version.hash for version in same)


def _flight(plan: Plan, signed: SignedTransaction, *, gas_used: int, height: int) -> Flight:
    return Flight(
        nonce=signed.request.nonce,
        action_id=plan.action.id,
        incident=plan.action.incident,
        versions=(signed,),
        gas_used=gas_used,
        signed_at=height,
    )


def _signed_event(flight: Flight, version: SignedTransaction, *, signer: str) -> ResponseSigned:
    return ResponseSigned(
        chain_id=version.request.chain_id,
        action_id=flight.action_id,
        incident=flight.incident,
        signer=signer,
        sender=version.request.sender,
        nonce=version.request.nonce,
        hash=version.hash,
        raw=version.raw,
        replaces=flight.newest.hash,
    )


def _included_event(chain_id: ChainId, action_id: str, found: Inclusion) -> ResponseIncluded:
    return ResponseIncluded(
        chain_id=chain_id,
        action_id=action_id,
        hash=found.hash,
        block_number=found.block_number,
        block_hash=found.block_hash,
        ok=found.ok,
        gas_used=found.gas_used,
        cost=found.cost,
        timestamp=found.timestamp,
    )
