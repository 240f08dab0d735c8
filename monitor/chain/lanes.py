"""Nonce lanes: which nonces of one key on one chain are ours, and what to do about each. Pure values, no I/O.

A lane is a key: urgent and ordinary responses have their own. Its nonces are contiguous from the chain's next one, at
most eight in flight. Only the lowest is replaced, because those behind it cannot be mined before it anyway; an urgent
response therefore raises all that are below it. A nonce whose bytes may have left is never given to another response,
not even when a reorg takes its block away: then the same bytes go out again. What went wrong is repaired: a gap below
is filled, a nonce that somebody else used is left for a new one. Whether that is worth its price is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from monitor.evm.fees import Fees
from monitor.model.chain import SignedTransaction
from monitor.model.errors import Refused
from monitor.model.units import Address, ChainId, Hash

MAX_IN_FLIGHT: Final = 8
MAX_VERSIONS: Final = 32
KEPT_BLOCKS: Final = 64  # what was mined is remembered for so long, as the core remembers heads
UNSENT_BLOCKS: Final = 4  # what was signed and not sent by then was given up before it was journalled


class Flight(Struct, frozen=True, kw_only=True):
    """One nonce that is ours, with every version signed for it, oldest first: any of them may be the one mined."""

    nonce: int
    action_id: str
    incident: str = ""
    versions: tuple[SignedTransaction, ...]
    gas_used: int = 0  # as the fork measured; 0 where that is not known any more
    sent: bool = False  # whether bytes may have left the process
    signed_at: int = 0  # height at which the newest version was signed
    mined_at: int = 0  # height of the block that holds one of them; 0 for none that we know
    missed_at: int = 0  # height at which the nonce was used and none of ours was found

    @property
    def newest(self) -> SignedTransaction:
        return self.versions[-1]

    @property
    def fees(self) -> Fees:
        return Fees(self.newest.request.max_fee, self.newest.request.max_priority_fee)

    def has(self, tx_hash: Hash) -> bool:
        return any(version.hash == tx_hash for version in self.versions)


class Repair(Struct, frozen=True):
    """One transaction to sign anew: `flight`'s call on `nonce`, at least at `fees` if they can be had."""

    flight: Flight
    nonce: int  # the flight's own, or that of a gap, or a new one where somebody else used its own
    fees: Fees

    @property
    def replaces(self) -> bool:
        """Whether nodes will demand the replacement bump."""
        return self.nonce == self.flight.nonce


class Lane(Struct, frozen=True, kw_only=True):
    """All that we know of one key on one chain."""

    chain_id: ChainId
    signer: str
    sender: Address
    next_nonce: int = 0  # the chain's, as last read
    height: int = 0
    flights: tuple[Flight, ...] = ()  # by nonce

    @property
    def open(self) -> tuple[Flight, ...]:
        """Not mined yet, by nonce."""
        return tuple(flight for flight in self.flights if flight.nonce >= self.next_nonce)

    @property
    def gap(self) -> int | None:
        """A nonce that is not ours and keeps ours above it from being mined."""
        waiting, free = self.open, self._free(1)[0]
        return free if waiting and free < waiting[-1].nonce else None

    def of(self, action_id: str) -> tuple[Flight, ...]:
        return tuple(flight for flight in self.flights if flight.action_id == action_id)

    def holding(self, tx_hash: Hash) -> Flight | None:
        """The flight that has a version with this hash."""
        return next((flight for flight in self.flights if flight.has(tx_hash)), None)

    def seen(self, *, next_nonce: int, height: int) -> Lane:
        """What the chain says now. A reorg takes nonces back; what is long mined, or was never sent, is forgotten."""
        kept = (f for f in self.flights if not _over(f, height))
        flights = tuple(_unmined(f) if f.mined_at and f.nonce >= next_nonce else f for f in kept)
        return replace(self, next_nonce=next_nonce, height=height, flights=flights)

    def reserve(self, count: int) -> tuple[int, ...]:
        """The lowest nonces that are free, so that gaps close first. Raises Refused where too many are in flight."""
        if len(self.open) + count > MAX_IN_FLIGHT:
            reason = f"{self.signer}: {len(self.open)} in flight and {count} more; at most {MAX_IN_FLIGHT}"
            raise Refused("lane", reason)
        return self._free(count)

    def taken(self, flight: Flight) -> Lane:
        """With one more nonce. Raises Refused where that nonce is ours already."""
        if any(other.nonce == flight.nonce for other in self.flights):
            raise Refused("lane", f"{self.signer}: nonce {flight.nonce} is taken")
        return replace(self, flights=tuple(sorted((*self.flights, flight), key=lambda f: f.nonce)))

    def replaced(self, nonce: int, version: SignedTransaction) -> Lane:
        """With a newer version on one nonce."""
        return self._changed(nonce, lambda f: replace(f, versions=(*f.versions, version), signed_at=self.height))

    def included(self, tx_hash: Hash, height: int) -> Lane:
        return self._changed_by(tx_hash, lambda f: replace(f, mined_at=height, missed_at=0))

    def dropped(self, tx_hash: Hash) -> Lane:
        """Not on the canonical chain any more: in flight again, with the same bytes."""
        return self._changed_by(tx_hash, _unmined)

    def missed(self, nonce: int) -> Lane:
        """The chain's nonce is past it, and no block has a version of ours."""
        return self._changed(nonce, lambda f: replace(f, missed_at=f.missed_at or self.height))

    def sending(self, tx_hash: Hash) -> Lane:
        """These bytes leave the process: their nonce is taken for good."""
        return self._changed_by(tx_hash, lambda f: replace(f, sent=True))

    def repair(self, nonce: int, wanted: Fees) -> Repair | None:
        """What must be signed anew so that this response is mined; None where waiting, or `below`, is better.

        A nonce that somebody else used is believed lost only at the second look, one height later: receipts may lag.
        """
        flight = self._at(nonce)
        if flight is None or flight.mined_at or len(flight.versions) >= MAX_VERSIONS:
            return None
        if nonce < self.next_nonce:
            lost = 0 < flight.missed_at < self.height
            return Repair(flight, self._free(1)[0], wanted) if lost else None
        gap = self.gap
        if gap is not None and gap < nonce:
            return Repair(flight, gap, wanted)
        lowest = self.open[0].nonce == nonce
        return Repair(flight, nonce, wanted) if lowest and flight.signed_at != self.height else None

    def below(self, nonce: int, wanted: Fees) -> tuple[Repair, ...]:
        """Raises of those below this response that tip less than it, so that it is not held up by them."""
        mine = self._at(nonce)
        if mine is None or nonce < self.next_nonce:
            return ()
        need = max(mine.fees.max_priority_fee, wanted.max_priority_fee)
        fees = Fees(max(mine.fees.max_fee, wanted.max_fee), need)
        poorer = (f for f in self.open if f.nonce < nonce and f.fees.max_priority_fee < need)
        return tuple(Repair(f, f.nonce, fees) for f in poorer if len(f.versions) < MAX_VERSIONS)

    def _at(self, nonce: int) -> Flight | None:
        return next((flight for flight in self.flights if flight.nonce == nonce), None)

    def _changed(self, nonce: int, change: Callable[[Flight], Flight]) -> Lane:
        return replace(self, flights=tuple(change(f) if f.nonce == nonce else f for f in self.flights))

    def _changed_by(self, tx_hash: Hash, change: Callable[[Flight], Flight]) -> Lane:
        return replace(self, flights=tuple(change(f) if f.has(tx_hash) else f for f in self.flights))

    def _free(self, count: int) -> tuple[int, ...]:
        held = {flight.nonce for flight in self.flights}
        candidates = (nonce for nonce in range(self.next_nonce, self.next_nonce + len(held) + count))
        return tuple([nonce for nonce in candidates if nonce not in held][:count])


def _over(flight: Flight, height: int) -> bool:
    if not flight.sent:
        return flight.signed_at + UNSENT_BLOCKS < height
    return 0 < (flight.mined_at or flight.missed_at) < height - KEPT_BLOCKS


def _unmined(flight: Flight) -> Flight:
    return replace(flight, mined_at=0, missed_at=0)
