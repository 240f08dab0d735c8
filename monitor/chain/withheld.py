"""The Submit of shadow and propose mode: the whole loop runs, and nothing is ever signed or sent."""

from __future__ import annotations

from monitor.model.actions import Bid, Rehearsed
from monitor.model.chain import SignedTransaction
from monitor.model.events import ResponseBroadcast, ResponseIncluded, ResponseSigned
from monitor.model.units import ChainId, Hash


class ShadowSubmit:
    """Observe only. It is given neither nodes nor signers, so it could not send if it wanted to."""

    withheld = "shadow"

    async def sign(self, rehearsed: Rehearsed, bid: Bid) -> tuple[SignedTransaction, ...]:
        return ()

    async def bump(self, sent: ResponseSigned, bid: Bid) -> SignedTransaction | None:
        return None

    async def outbid(self, sent: ResponseSigned, bid: Bid) -> tuple[ResponseSigned, ...]:
        return ()

    async def send(self, chain_id: ChainId, action_id: str, raw: bytes, tx_hash: Hash) -> ResponseBroadcast:
        """What the journal is told instead."""
        refused = (self.withheld,)
        return ResponseBroadcast(
            chain_id=chain_id, action_id=action_id, hash=tx_hash, accepted_by=(), refused_by=refused
        )

    async def find(self, chain_id: ChainId, action_id: str, tx_hash: Hash) -> ResponseIncluded | None:
        return None


class ProposeSubmit(ShadowSubmit):
    """Recommend to people; the same hands, tied."""

    withheld = "propose"
