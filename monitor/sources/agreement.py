"""Judges what the nodes of one chain report: who counts, what is canonical, which headers to fetch. Pure.

A node is left out where it is caught lying (a header that does not hash to itself, a head whose parent it cannot show,
another chain), holds another block than the quorum, or stays behind. It votes again when it shows a block that the
others agree on. Where a majority, of two at least, fails the hash check alike, the check is waived: a fork that
adds a field to the header must not blind us.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from monitor.model.chain import Header
from monitor.model.units import SECOND, Hash
from monitor.sources.backlog import Backlog
from monitor.sources.feed import BATCH, Claimed, Report
from monitor.sources.header_hash import Roots
from monitor.sources.heads import CanonicalTracker, Change
from monitor.sources.health import LAG_BLOCKS, Level, head_level, nodes_level

GRACE_NS: Final = SECOND  # a node may hold another block this long: a reorg reaches nodes one after the other
PENANCE_NS: Final = 60 * SECOND
RELINK_NS: Final = SECOND // 2  # before the same node is asked again for a link that it did not give
REMEMBERED: Final = 512  # headers whose roots are kept
BELOW: Final = 16  # numbers fetched below a missing header of another branch
ODD: Final = {"forked": "holds another block", "unlinked": "its chain is not shown to contain ours"}
NOT_ITS_HASH: Final = "gave a header whose hash is not that of its fields"


class LinkOrder(Struct, frozen=True):
    """Headers to fetch from one node: one by hash and those below it; a stretch of a gap where `wanted` is None."""

    node: str
    wanted: Hash | None
    numbers: tuple[int, ...]


class _Node(Struct):
    head: Header | None = None  # its newest claim
    held_back: bool = False  # that claim is too far ahead to vote on yet
    wrong: str = ""  # caught lying
    gone: str = "not heard yet"
    odd: str = ""  # gone, forked or behind, and since when
    odd_since_ns: int = 0
    caught_until_ns: int = 0
    linking: bool = False
    link_after_ns: int = 0


class Agreement:
    """One chain's nodes and what they agree on."""

    def __init__(
        self, nodes: Sequence[str], quorum: int, *, now_ns: int, known: Sequence[Header] = (), first: int | None = None
    ) -> None:
        """`known`: canonical headers of an earlier run, oldest first. `first`: the height to begin at without them."""
        self._quorum = quorum
        self._first = first
        self._nodes = {name: _Node() for name in nodes}
        self._tracker = CanonicalTracker(nodes, quorum, known=known)
        self._roots: OrderedDict[Hash, Roots] = OrderedDict()
        self._unproven: OrderedDict[Hash, dict[str, Claimed]] = OrderedDict()
        self._waived = False
        self._now_ns = now_ns
        self.moved_ns = now_ns  # when the tip last moved
        self.moves = 0
        self.backlog = Backlog()

    @property
    def tip(self) -> Header | None:
        return self._tracker.tip

    def roots(self, header_hash: Hash) -> Roots | None:
        """What a proven header commits its body to; None where the check was waived or is long past."""
        return self._roots.get(header_hash)

    def holds(self, header_hash: Hash) -> bool:
        return self._tracker.holds(header_hash)

    def take(self, report: Report, now_ns: int) -> None:
        """Take one report into account."""
        self._now_ns = now_ns
        node = self._nodes[report.node]
        if report.link:
            node.linking, node.link_after_ns = False, now_ns + (RELINK_NS if not report.claims else 0)
        if report.wrong:
            self._leave_out(report.node, report.wrong)
        elif report.gone and not report.link:
            node.gone = report.gone
            self._tracker.forget(report.node)
        for claim in report.claims:
            self._claim(report.node, claim)

    def accuse(self, name: str, why: str, now_ns: int) -> None:
        """Leave a node out that told a body or a state wrong: for a minute at least, whatever heads it shows."""
        self._leave_out(name, why)
        self._nodes[name].caught_until_ns = now_ns + PENANCE_NS

    def settle(self, now_ns: int) -> bool:
        """Move the canonical chain as far as the claims allow, into the backlog. Whether it moved."""
        self._now_ns = now_ns
        moved = False
        while (change := self._tracker.advance()) != Change():
            self.backlog.apply(change)
            moved = True
            self.moved_ns, self.moves = now_ns, self.moves + 1
            self._release()
        self._release()
        for name in self._nodes:
            self._judge(name, now_ns)
        return moved

    def orders(self, now_ns: int) -> Iterator[LinkOrder]:
        """Headers to fetch now; each order is given out once, until its report comes."""
        for name, node in self._nodes.items():
            if node.held_back and node.head is not None and not node.wrong and self._may_link(name, now_ns):
                yield LinkOrder(name, None, self._stretch(node.head))
        for missing in self._tracker.missing():
            if self._may_link(missing.node, now_ns):
                yield LinkOrder(missing.node, missing.hash, self._below(missing.number))

    def agreeing(self, header: Header) -> tuple[str, ...]:
        """Nodes that have this canonical block, best first."""
        standings = {name: self._tracker.standing(name) for name in self._nodes}
        having = [
            name
            for name, standing in standings.items()
            if standing.state in ("agrees", "ahead", "behind") and standing.number >= header.number
        ]
        return tuple(having) or tuple(name for name, node in self._nodes.items() if not node.wrong)

    def left_out(self, now_ns: int) -> dict[str, str]:
        """Nodes that do not count at present, and why."""
        return {name: why for name, node in self._nodes.items() if (why := self._why_out(node, now_ns))}

    def nodes_health(self, now_ns: int) -> Level:
        """Of those that are not left out; a node that lies or is away lowers nothing while a quorum stands."""
        out = self.left_out(now_ns)
        dissenting = sum(1 for why in out.values() if why == ODD["forked"])
        said = tuple(f"{name} ({why})" for name, why in sorted(out.items()))
        agreeing = len(self._nodes) - len(out)
        return nodes_level(agreeing=agreeing, dissenting=dissenting, quorum=self._quorum, left_out=said)

    def head_health(self, now_ns: int, *, block_time_ms: int) -> Level:
        return head_level(silent_ns=now_ns - self.moved_ns, behind=self.behind(), block_time_ms=block_time_ms)

    def behind(self) -> int:
        """How many blocks the canonical tip is behind the head that a quorum of nodes claims at least."""
        counted = (node.head for node in self._nodes.values() if not node.wrong and not node.gone)
        heads = sorted((head.number for head in counted if head is not None), reverse=True)
        if len(heads) < self._quorum or self.tip is None:
            return 0
        return max(0, heads[self._quorum - 1] - self.tip.number)

    def _claim(self, name: str, claim: Claimed) -> None:
        if claim.proven or self._waived:
            self._accept(name, claim)
            return
        votes = self._unproven.setdefault(claim.header.hash, {})
        votes[name] = claim
        while len(self._unproven) > REMEMBERED:
            self._unproven.popitem(last=False)
        if len(votes) >= max(2, len(self._nodes) // 2 + 1):
            self._waived = True
            for voter, said in votes.items():
                self._nodes[voter].wrong = ""
                self._accept(voter, said)
        else:
            self._leave_out(name, NOT_ITS_HASH)

    def _accept(self, name: str, claim: Claimed) -> None:
        node = self._nodes[name]
        node.gone = ""
        if claim.roots is not None and claim.proven:
            self._roots[claim.header.hash] = claim.roots
            while len(self._roots) > REMEMBERED:
                self._roots.popitem(last=False)
        if not claim.head:
            self._tracker.learn(claim.header)
        elif self._must_wait(node, claim.header):
            node.head = claim.header
        elif self._too_far(claim.header):
            node.head, node.held_back = claim.header, True
        else:
            self._vote(name, claim.header)

    def _must_wait(self, node: _Node, header: Header) -> bool:
        """Whether a head does not vote yet: its node was caught, or it is below where we begin."""
        caught = bool(node.wrong) and self._clean() >= self._quorum
        return caught or (self.tip is None and header.number < (self._first or 0))

    def _vote(self, name: str, header: Header) -> None:
        node = self._nodes[name]
        node.wrong = ""
        if not node.held_back:
            node.head = header
        self._tracker.observe(name, header)

    def _release(self) -> None:
        """Let claims vote that were held back, and nodes that agree again."""
        for name, node in self._nodes.items():
            if node.head is None:
                continue
            if node.wrong and self._now_ns >= node.caught_until_ns and self._tracker.holds(node.head.hash):
                self._vote(name, node.head)
            elif node.held_back and not node.wrong and not self._too_far(node.head):
                node.held_back = False
                self._vote(name, node.head)

    def _too_far(self, header: Header) -> bool:
        if self.tip is None:
            return self._first is not None and header.number > self._first
        return header.number > self.tip.number + BATCH

    def _leave_out(self, name: str, why: str) -> None:
        node = self._nodes[name]
        node.wrong, node.head, node.held_back = why, None, False
        self._tracker.forget(name)

    def _judge(self, name: str, now_ns: int) -> None:
        """Note since when a node is gone, forked or behind."""
        node, standing = self._nodes[name], self._tracker.standing(name)
        odd = node.gone or ODD.get(standing.state, "")
        if (
            not odd
            and standing.state == "behind"
            and self.tip is not None
            and self.tip.number - standing.number > LAG_BLOCKS
        ):
            odd = f"behind at {standing.number}"
        if bool(odd) != bool(node.odd):
            node.odd_since_ns = now_ns
        node.odd = odd

    def _why_out(self, node: _Node, now_ns: int) -> str:
        if node.wrong:
            return node.wrong
        return node.odd if node.odd and now_ns - node.odd_since_ns >= GRACE_NS else ""

    def _clean(self) -> int:
        """Nodes that were not caught. Without a quorum of them caught ones vote again: better than to see nothing."""
        return sum(1 for node in self._nodes.values() if not node.wrong and not node.gone)

    def _may_link(self, name: str, now_ns: int) -> bool:
        node = self._nodes[name]
        if node.linking or now_ns < node.link_after_ns:
            return False
        node.linking = True
        return True

    def _below(self, number: int) -> tuple[int, ...]:
        """Numbers to fetch with a missing header: down to our tip, or a few where it is on another branch."""
        tip = self.tip
        lowest = tip.number + 1 if tip is not None and number > tip.number else number - BELOW
        return tuple(range(max(lowest, number - BATCH, 0), number))

    def _stretch(self, head: Header) -> tuple[int, ...]:
        if self.tip is None:
            return (self._first if self._first is not None else head.number,)
        return tuple(range(self.tip.number + 1, min(head.number, self.tip.number + BATCH) + 1))
