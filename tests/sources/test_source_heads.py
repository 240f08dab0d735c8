"""The canonical chain from claims of nodes: agreement, gaps, reorgs, liars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.model.chain import Header
from monitor.model.units import Hash
from monitor.sources.heads import CanonicalTracker, Change
from tests.sources.header_builders import chain, header

NAMES = ("a", "b", "c", "d")


class Follower:
    """What a reader of the changes holds; refuses gaps, duplicates and orphans that are not the tip."""

    def __init__(self, known: Iterable[Header] = ()) -> None:
        self.chain = list(known)

    def apply(self, change: Change) -> None:
        for orphan in change.orphaned:
            assert self.chain.pop() == orphan
        for block in change.added:
            assert not self.chain or block.parent == self.chain[-1].hash
            assert not self.chain or block.number == self.chain[-1].number + 1
            self.chain.append(block)


def settle(tracker: CanonicalTracker, world: Mapping[Hash, Header]) -> list[Change]:
    """Answer what is missing from the whole tree and advance until nothing moves."""
    changes: list[Change] = []
    while True:
        asked = [missing for missing in tracker.missing() if missing.hash in world]
        for missing in asked:
            tracker.learn(world[missing.hash])
        change = tracker.advance()
        if change == Change() and not asked:
            return changes
        changes.append(change)


def feed(tracker: CanonicalTracker, claims: Iterable[tuple[str, Header]], world: Iterable[Header] = ()) -> Follower:
    headers = {block.hash: block for block in world}
    follower = Follower()
    for node, claim in claims:
        headers[claim.hash] = claim
        tracker.observe(node, claim)
        for change in settle(tracker, headers):
            follower.apply(change)
    return follower


def test_one_node_with_a_quorum_of_one_is_followed_block_by_block() -> None:
    blocks = chain(5)
    follower = feed(CanonicalTracker(("a",), 1), [("a", block) for block in blocks])
    assert follower.chain == blocks


def test_a_head_waits_until_a_quorum_reports_it() -> None:
    first, second = chain(2)
    tracker = CanonicalTracker(("a", "b"), 2)
    assert feed(tracker, [("a", first), ("b", first), ("a", second)]).chain == [first]
    tracker.observe("b", second)
    assert tracker.advance().added == (second,)


def test_missed_blocks_are_asked_for_and_added_in_order() -> None:
    blocks = chain(9)
    follower = feed(CanonicalTracker(("a",), 1), [("a", blocks[0]), ("a", blocks[8])], blocks)
    assert follower.chain == blocks


def test_duplicate_and_late_heads_change_nothing() -> None:
    blocks = chain(4)
    tracker = CanonicalTracker(("a",), 1)
    feed(tracker, [("a", block) for block in blocks])
    assert not tracker.observe("a", blocks[3])
    assert not tracker.observe("a", blocks[1])
    assert tracker.advance() == Change()


def test_a_reorg_of_depth_two_orphans_from_the_tip_down() -> None:
    blocks = chain(4)
    other = chain(2, on=blocks[1], branch="other")
    tracker = CanonicalTracker(("a",), 1, known=blocks)
    tracker.observe("a", blocks[3])
    tracker.observe("a", other[0])
    assert tracker.advance() == Change((blocks[3], blocks[2]), (other[0],))
    tracker.observe("a", other[1])
    assert tracker.advance() == Change(added=(other[1],))


def test_one_lying_node_of_four_moves_nothing_and_is_forked() -> None:
    blocks = chain(4)
    lie = chain(3, on=blocks[1], branch="lie")
    tracker = CanonicalTracker(NAMES, 2)
    claims = [(name, block) for block in blocks for name in ("a", "b", "c")]
    follower = feed(tracker, [*claims, *(("d", block) for block in lie)], blocks)
    assert follower.chain[-1] == blocks[-1]
    assert tracker.standing("d").state == "forked"
    assert tracker.standing("a").state == "agrees"


def test_a_majority_outvotes_the_rest_even_with_a_quorum_of_one() -> None:
    blocks = chain(3)
    lie = chain(2, on=blocks[0], branch="lie")
    tracker = CanonicalTracker(("a", "b", "c"), 1)
    claims = [("a", blocks[0]), ("a", lie[0]), ("a", lie[1]), ("b", blocks[1]), ("c", blocks[1]), ("b", blocks[2])]
    assert feed(tracker, claims, blocks).chain == blocks


def test_a_tie_leaves_the_canonical_branch_in_place() -> None:
    blocks = chain(3)
    other = chain(2, on=blocks[1], branch="other")
    tracker = CanonicalTracker(NAMES, 2)
    claims = [(name, block) for block in blocks for name in NAMES]
    claims += [("c", other[0]), ("d", other[0])]
    assert feed(tracker, claims).chain == blocks


def test_a_node_that_agrees_again_stands_again() -> None:
    blocks = chain(3)
    lie = header(3, blocks[1].hash, branch="lie")
    tracker = CanonicalTracker(("a", "b", "c"), 2, known=blocks[:2])
    for node, claim in (("a", blocks[2]), ("b", blocks[2]), ("c", lie)):
        tracker.observe(node, claim)
    tracker.advance()
    assert tracker.standing("c").state == "forked"
    tracker.observe("c", blocks[2])
    assert tracker.standing("c").state == "agrees"


def test_a_restart_with_the_journal_s_headers_orphans_what_is_gone() -> None:
    blocks = chain(5)
    other = chain(4, on=blocks[2], branch="other")
    tracker = CanonicalTracker(("a",), 1, known=blocks)
    tracker.observe("a", other[3])
    follower = Follower(blocks)
    for change in settle(tracker, {block.hash: block for block in other}):
        follower.apply(change)
    assert follower.chain == blocks[:3] + other


def test_a_reorg_below_the_first_block_that_was_told_is_followed() -> None:
    blocks = chain(6)
    other = chain(4, on=blocks[2], branch="other")
    world = {block.hash: block for block in (*blocks, *other)}
    tracker, follower = CanonicalTracker(("a",), 1), Follower()
    for claim in (blocks[4], blocks[5], other[3]):
        tracker.observe("a", claim)
        for change in settle(tracker, world):
            follower.apply(change)
    assert follower.chain == other


def test_a_header_that_is_its_own_parent_ends_no_walk_in_a_loop() -> None:
    blocks = chain(2)
    tracker = CanonicalTracker(("a",), 1, known=blocks)
    looped = Header(**{**{f: getattr(blocks[1], f) for f in Header.__struct_fields__}, "hash": b"\1" * 32})
    tracker.observe("a", Header(7, looped.hash, looped.hash, 0, 0, 0, 0, looped.coinbase))
    assert tracker.advance() == Change()
    assert tracker.standing("a").state == "unlinked"


def test_invented_headers_do_not_pile_up() -> None:
    blocks = chain(3)
    tracker = CanonicalTracker(("a", "b"), 1, known=blocks)
    for place in range(5_000):
        tracker.observe("b", header(1_000 + place, branch=f"{place}"))
    assert len(tracker._headers) <= 256 * 4 + 1


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[Header], list[tuple[str, Header]]]:
    """A tree of blocks, and claims of four nodes anywhere on it, in any order, ending in agreement."""
    trunk = chain(3)
    blocks = list(trunk)
    for place in range(draw(st.integers(1, 14))):
        parent = blocks[draw(st.integers(0, len(blocks) - 1))]
        blocks.append(header(parent.number + 1, parent.hash, branch=f"{place}"))
    picks = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, len(blocks) - 1)), max_size=40))
    return blocks, [(node, blocks[place]) for node, place in picks]


@settings(max_examples=300, deadline=None)
@given(trees(), st.integers(1, 3), st.data())
def test_any_interleaving_gives_a_stream_without_gap_or_duplicate(
    tree: tuple[list[Header], list[tuple[str, Header]]], quorum: int, data: st.DataObject
) -> None:
    blocks, claims = tree
    world = {block.hash: block for block in blocks}
    tracker, follower = CanonicalTracker(NAMES, quorum, known=blocks[:1]), Follower(blocks[:1])
    final = chain(2, on=data.draw(st.sampled_from(blocks)), branch="final")
    ending = data.draw(st.permutations([(name, final[-1]) for name in NAMES]))
    for node, claim in [*claims, *ending]:
        tracker.observe(node, claim)
        for change in settle(tracker, world | {block.hash: block for block in final}):
            follower.apply(change)
        assert tracker.tip == follower.chain[-1]
    assert follower.chain[-1] == final[-1]
    assert len({block.hash for block in follower.chain}) == len(follower.chain)


@settings(max_examples=100, deadline=None)
@given(trees(), st.integers(2, 3))
def test_what_is_added_always_has_a_quorum_behind_it(
    tree: tuple[list[Header], list[tuple[str, Header]]], quorum: int
) -> None:
    blocks, claims = tree
    world = {block.hash: block for block in blocks}
    tracker = CanonicalTracker(NAMES, quorum, known=blocks[:1])
    ever: dict[bytes, set[str]] = {}
    for node, claim in claims:
        tracker.observe(node, claim)
        at: Header | None = claim
        while at is not None:
            ever.setdefault(at.hash, set()).add(node)
            at = world.get(at.parent)
        for change in settle(tracker, world):
            assert all(len(ever[block.hash]) >= quorum for block in change.added)
