"""Which chain is canonical, from what several nodes claim: pure, no I/O.

Each node votes for its head and all ancestors of it. From the last block that all candidates share, the child with the
most votes wins if it has a quorum, block by block upwards; on a tie the block that is canonical already stays. So one
node cannot move the head, a majority outvotes the rest, and a reorg happens when a quorum has changed over, not before.
Out come changes: blocks orphaned from the tip down, then blocks added upwards, without a gap and without a duplicate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from monitor.model.chain import Header
from monitor.model.units import Hash

DEPTH: Final = 256  # canonical blocks remembered; a reorg deeper than this is refused, loudly

ANCHORS: Final = 64  # blocks below the first one told that are known, so that a reorg there is followed
FIRST_LINK: Final = 64  # before the first agreement, how far below its head a claim is linked


class Change(Struct, frozen=True):
    """The canonical chain moved: `orphaned` from the tip down, then `added` upwards."""

    orphaned: tuple[Header, ...] = ()
    added: tuple[Header, ...] = ()


class Missing(Struct, frozen=True):
    """A header that links a node's claim to what we know; ask that node for it."""

    node: str
    number: int
    hash: Hash


class Standing(Struct, frozen=True):
    """Where one node's claim stands against the canonical chain."""

    number: int  # of its head
    state: str  # agrees, ahead, behind, forked, unlinked, silent


class CanonicalTracker:
    """Follows the chain that a quorum of nodes agrees on."""

    def __init__(self, nodes: Sequence[str], quorum: int, *, known: Sequence[Header] = ()) -> None:
        """`known` is the canonical chain so far, oldest first, each the parent of the next: it is not said again."""
        self._nodes = tuple(nodes)
        self._quorum = quorum
        self._canonical: list[Header] = list(known)[-DEPTH:]
        self._told_from = self._canonical[0].number if self._canonical else 0
        self._headers: dict[Hash, Header] = {header.hash: header for header in self._canonical}
        self._claims: dict[str, Header] = {}

    @property
    def tip(self) -> Header | None:
        """The newest canonical block."""
        return self._canonical[-1] if self._canonical else None

    def recent(self, count: int) -> tuple[Header, ...]:
        """The last canonical headers, oldest first."""
        return tuple(self._canonical[-count:])

    def holds(self, header_hash: Hash) -> bool:
        """Whether a block is canonical and remembered."""
        header = self._headers.get(header_hash)
        return header is not None and self._at(header.number) == header

    def observe(self, node: str, header: Header) -> bool:
        """Take a node's claim of its head. False for a duplicate or late one, which changes nothing."""
        claim = self._claims.get(node)
        if claim is not None and self._descends(claim, header):
            return False
        self._claims[node] = self.learn(header)
        self._forget_unclaimed()
        return True

    def learn(self, header: Header) -> Header:
        """Take a header that was fetched to link a claim; the one already known by its hash stays."""
        kept = self._headers.setdefault(header.hash, header)
        while self._canonical and len(self._canonical) < ANCHORS and (below := self._parent(self._canonical[0])):
            self._canonical.insert(0, below)
        return kept

    def forget(self, node: str) -> None:
        """Take a node's claim back: it lied, or is gone."""
        self._claims.pop(node, None)

    def missing(self) -> tuple[Missing, ...]:
        """Headers that would link claims: at most one per node, its lowest unknown ancestor; else an anchor."""
        found = [(node, claim, self._lowest(claim)) for node, claim in self._claims.items()]
        links = tuple(
            Missing(node, lowest.number - 1, lowest.parent)
            for node, claim, lowest in found
            if lowest.number > self._floor(claim) and lowest.parent not in self._headers and not self.holds(lowest.hash)
        )
        return links or self._anchor()

    def advance(self) -> Change:
        """Move to the best chain that a quorum agrees on."""
        if not self._canonical:
            return self._begin()
        branches = [branch for branch in map(self._branch, self._claims) if branch is not None]
        fork = min((number for number, path in branches if path), default=None)
        if fork is None:
            return Change()
        path = self._walk(fork, branches)
        return self._switch(fork, path)

    def standing(self, node: str) -> Standing:
        """Where a node stands now."""
        claim, tip = self._claims.get(node), self.tip
        if claim is None:
            return Standing(-1, "silent")
        branch = self._branch(node)
        if tip is None or branch is None:
            return Standing(claim.number, "unlinked")
        fork, path = branch
        if fork < tip.number and path:
            return Standing(claim.number, "forked")
        if path:
            return Standing(claim.number, "ahead")
        return Standing(claim.number, "agrees" if fork == tip.number else "behind")

    def _begin(self) -> Change:
        votes = Counter(header for claim in self._claims.values() for header in self._chain(claim))
        agreed = [(count, header.number, header) for header, count in votes.items() if count >= self._quorum]
        best = max((entry[:2] for entry in agreed), default=None)
        first = [header for *rank, header in agreed if tuple(rank) == best]
        if len(first) != 1:
            return Change()
        self._canonical, self._told_from = first, first[0].number
        return Change(added=tuple(first))

    def _walk(self, fork: int, branches: Iterable[tuple[int, tuple[Header, ...]]]) -> tuple[Header, ...]:
        """The voted path above canonical height `fork`; stops where no child has a quorum."""
        voters = [self._above(fork, branch) for branch in branches if branch[0] >= fork]
        chosen: list[Header] = []
        while child := self._elect(voters, len(chosen)):
            chosen.append(child)
            voters = [path for path in voters if len(path) >= len(chosen) and path[len(chosen) - 1] == child]
        return tuple(chosen)

    def _elect(self, voters: Sequence[tuple[Header, ...]], height: int) -> Header | None:
        votes = Counter(path[height] for path in voters if len(path) > height)
        most = max(votes.values(), default=0)
        if most < self._quorum:
            return None
        first = [header for header, count in votes.items() if count == most]
        if len(first) == 1:
            return first[0]
        return next((header for header in first if self.holds(header.hash)), None)

    def _above(self, fork: int, branch: tuple[int, tuple[Header, ...]]) -> tuple[Header, ...]:
        """One voter's blocks above canonical height `fork`."""
        number, path = branch
        bottom = self._canonical[0].number
        return (*self._canonical[fork + 1 - bottom : number + 1 - bottom], *path)

    def _switch(self, fork: int, path: tuple[Header, ...]) -> Change:
        bottom = self._canonical[0].number
        shared = 0
        kept = self._canonical[fork + 1 - bottom :]
        while shared < min(len(path), len(kept)) and path[shared] == kept[shared]:
            shared += 1
        added, gone = path[shared:], reversed(kept[shared:])
        if not added:
            return Change()
        orphaned = tuple(header for header in gone if header.number >= self._told_from)
        self._told_from = min(self._told_from, added[0].number)
        self._canonical[fork + 1 - bottom + shared :] = added
        del self._canonical[:-DEPTH]
        return Change(orphaned, added)

    def _branch(self, node: str) -> tuple[int, tuple[Header, ...]] | None:
        """Canonical height where a node's chain leaves ours, and its blocks above; None while not linked."""
        path: list[Header] = []
        header: Header | None = self._claims[node]
        while header is not None and not self.holds(header.hash):
            path.append(header)
            header = self._parent(header)
        return None if header is None else (header.number, tuple(reversed(path)))

    def _chain(self, header: Header) -> list[Header]:
        """A header and its known ancestors, downwards."""
        found = [header]
        while (parent := self._parent(found[-1])) is not None:
            found.append(parent)
        return found

    def _lowest(self, header: Header) -> Header:
        while not self.holds(header.hash) and (parent := self._parent(header)) is not None:
            header = parent
        return header

    def _descends(self, claim: Header, header: Header) -> bool:
        """Whether `header` is `claim` or one of its known ancestors, the canonical chain included."""
        if self.holds(claim.hash) and self.holds(header.hash):
            return header.number <= claim.number
        at: Header | None = claim
        while at is not None and at.number > header.number:
            at = self._parent(at)
        return at == header

    def _at(self, number: int) -> Header | None:
        if not self._canonical or number < self._canonical[0].number:
            return None
        place = number - self._canonical[0].number
        return self._canonical[place] if place < len(self._canonical) else None

    def _parent(self, header: Header) -> Header | None:
        """The known parent. One whose number does not fit is none: walks always end."""
        parent = self._headers.get(header.parent)
        return parent if parent is not None and parent.number == header.number - 1 else None

    def _anchor(self) -> tuple[Missing, ...]:
        """The block below the lowest that we hold: known but never told, so that a reorg below our beginning links."""
        lowest = self._canonical[0] if self._canonical else None
        if lowest is None or not lowest.number or len(self._canonical) >= ANCHORS or lowest.parent in self._headers:
            return ()
        return tuple(Missing(node, lowest.number - 1, lowest.parent) for node in self._claims)

    def _floor(self, claim: Header) -> int:
        """No ancestor at or below this height is asked for."""
        if self._canonical:
            return self._canonical[0].number + 1
        return max(min(other.number for other in self._claims.values()), claim.number - FIRST_LINK)

    def _forget_unclaimed(self) -> None:
        """Drop headers that no claim and no canonical block needs; bounds memory against invented ones."""
        if len(self._headers) <= DEPTH * (2 + len(self._nodes)):
            return
        kept = list(self._canonical)
        for claim in self._claims.values():
            kept += self._chain(claim)
        self._headers = {header.hash: header for header in kept}
