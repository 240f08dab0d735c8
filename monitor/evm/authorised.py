"""Authorised withdrawals against what really leaves: each entry balances one payout, of one transaction, once.

A pending transaction only claims its entries: another with the same nonce takes its place and its claims, a mined one
keeps them for good, and a claim that nothing follows lapses. Bounded: a book that had to drop a live entry says until
when it cannot tell.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from monitor.model.chain import Transfer
from monitor.model.units import SECOND, ChainId, Instant


class Entry(Struct):
    """One authorised withdrawal that nothing has balanced for good."""

    until: Instant
    place: str = ""  # whose claim it is; empty while free
    claimed_at: Instant = Instant(0)


class Book(Struct):
    """The open entries of all ledgers, by what they authorise; see `line`."""

    window_s: int = 86_400  # how long after it was authorised a withdrawal may be paid
    claim_s: int = 600  # how long a pending transaction keeps its claims
    limit: int = 8_192
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    claims: dict[str, list[str]] = field(default_factory=dict)  # place -> lines
    size: int = 0
    blind_until: Instant = Instant(0)

    def enter(self, line: str, at: Instant) -> None:
        """Add an entry that was authorised at `at`."""
        if self.size >= self.limit:
            self._make_room()
        self.entries.setdefault(line, []).append(Entry(Instant(at + self.window_s * SECOND)))
        self.size += 1

    def claim(self, place: str, lines: Iterable[str], *, at: Instant) -> list[str]:
        """Give `place` an entry for each line, instead of what it had; the lines for which there is none."""
        self.release(place)
        missing, got = [], []
        for line in lines:
            free = next((e for e in self.entries.get(line, ()) if self._free(e, at)), None)
            if free is None:
                missing.append(line)
                continue
            free.place, free.claimed_at = place, at
            got.append(line)
        if got:
            self.claims[place] = got
        return missing

    def settle(self, place: str) -> None:
        """What `place` claims is balanced for good."""
        for line in set(self.claims.pop(place, ())):
            found = self.entries.get(line, [])
            kept = [e for e in found if e.place != place]
            self.size -= len(found) - len(kept)
            self._keep(line, kept)

    def release(self, place: str) -> None:
        """Let go of what `place` claims."""
        for line in self.claims.pop(place, ()):
            for entry in self.entries.get(line, ()):
                if entry.place == place:
                    entry.place = ""

    def _free(self, entry: Entry, at: Instant) -> bool:
        if entry.until < at:
            return False
        if entry.place and at - entry.claimed_at > self.claim_s * SECOND:
            self.release(entry.place)
        return not entry.place

    def _make_room(self) -> None:
        """Drop the eighth that ends first; until the last of them would have, the book cannot tell."""
        ends = sorted(e.until for found in self.entries.values() for e in found)
        last = ends[len(ends) // 8]
        self.blind_until = Instant(max(self.blind_until, last))
        for line in list(self.entries):
            self._keep(line, [e for e in self.entries[line] if e.until > last])
        self.size = sum(len(found) for found in self.entries.values())
        self.claims = {p: kept for p, ls in self.claims.items() if (kept := [li for li in ls if li in self.entries])}

    def _keep(self, line: str, kept: list[Entry]) -> None:
        if kept:
            self.entries[line] = kept
        else:
            self.entries.pop(line, None)


def line(ledger: str, chain_id: ChainId, transfer: Transfer) -> str:
    """What an entry authorises, as a key: this ledger, chain, token, destination and amount."""
    return f"{ledger}:{chain_id}:{transfer.token.hex()}:{transfer.to.hex()}:{transfer.amount:x}"
