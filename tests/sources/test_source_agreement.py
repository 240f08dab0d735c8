"""Who counts among the nodes, and what is fetched from whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monitor.model.chain import Header
from monitor.model.units import NO_HASH, SECOND
from monitor.sources.agreement import ODD, Agreement, LinkOrder
from monitor.sources.backlog import Block
from monitor.sources.feed import Claimed, Report
from monitor.sources.header_hash import Roots
from tests.sources.header_builders import chain

BLOCKS = chain(200)
THREE = ("a", "b", "c")


def told(node: str, header: Header, *, proven: bool = True, head: bool = True) -> Report:
    return Report(node, (Claimed(header, Roots(NO_HASH, b""), proven, head),))


def links(node: str, headers: Iterable[Header], *, head: bool = False) -> Report:
    claims = [Claimed(each, None, proven=True, head=False) for each in headers]
    if head:
        claims[-1] = Claimed(claims[-1].header, None, proven=True, head=True)
    return Report(node, tuple(claims), link=True)


def heard(nodes: Sequence[str], quorum: int, reports: Iterable[Report], *, known: Sequence[Header] = ()) -> Agreement:
    agreement = Agreement(nodes, quorum, now_ns=0, known=known)
    for report in reports:
        agreement.take(report, 0)
        agreement.settle(0)
    return agreement


def test_a_header_that_does_not_hash_to_itself_costs_the_voice_until_the_node_agrees_again() -> None:
    agreement = heard(THREE, 2, [told("a", BLOCKS[0]), told("b", BLOCKS[0]), told("c", BLOCKS[0], proven=False)])
    assert agreement.left_out(0) == {"c": "gave a header whose hash is not that of its fields"}
    for report in (told("a", BLOCKS[1]), told("b", BLOCKS[1]), told("c", BLOCKS[1])):
        agreement.take(report, 0)
        agreement.settle(0)
    assert agreement.left_out(0) == {}
    assert agreement.tip == BLOCKS[1]


def test_what_a_majority_cannot_prove_alike_is_a_new_kind_of_header_and_no_lie() -> None:
    reports = [told(name, block, proven=False) for block in BLOCKS[:3] for name in THREE]
    agreement = heard(THREE, 2, reports)
    assert agreement.tip == BLOCKS[2]
    assert agreement.left_out(0) == {}
    assert agreement.roots(BLOCKS[2].hash) is None


def test_a_single_node_is_never_waived() -> None:
    agreement = heard(("a",), 1, [told("a", BLOCKS[0], proven=False)])
    assert agreement.tip is None
    agreement.take(told("a", BLOCKS[1]), 0)
    agreement.settle(0)
    assert agreement.tip == BLOCKS[1]


def test_without_a_quorum_of_others_a_caught_node_votes_again() -> None:
    agreement = heard(("a", "b"), 2, [told("a", BLOCKS[0]), told("b", BLOCKS[0])])
    agreement.take(Report("b", wrong="told another state"), 0)
    for report in (told("a", BLOCKS[1]), told("b", BLOCKS[1])):
        agreement.take(report, 0)
        agreement.settle(0)
    assert agreement.tip == BLOCKS[1]


def test_a_node_that_told_a_body_wrong_is_out_for_a_minute_whatever_heads_it_shows() -> None:
    agreement = heard(THREE, 2, [told(name, BLOCKS[0]) for name in THREE])
    agreement.accuse("c", "hid a transaction", 0)
    for place, seconds in ((1, 30), (2, 61)):
        for name in THREE:
            agreement.take(told(name, BLOCKS[place]), seconds * SECOND)
        agreement.settle(seconds * SECOND)
        assert ("c" in agreement.left_out(seconds * SECOND)) == (seconds < 60)


def test_a_node_of_another_chain_does_not_vote() -> None:
    agreement = heard(("a", "b", "c"), 2, [told("a", BLOCKS[0]), told("b", BLOCKS[0])])
    agreement.take(Report("c", wrong="serves chain 1, not 31337", gone="serves chain 1, not 31337"), 0)
    assert agreement.left_out(0)["c"] == "serves chain 1, not 31337"


def test_a_missing_parent_is_asked_for_once_from_the_node_that_claims_it() -> None:
    agreement = heard(("a",), 1, [told("a", BLOCKS[4])], known=BLOCKS[:2])
    (order,) = agreement.orders(0)
    assert order == LinkOrder("a", BLOCKS[3].hash, (BLOCKS[2].number,))
    assert list(agreement.orders(0)) == []
    agreement.take(links("a", BLOCKS[2:4]), 0)
    agreement.settle(0)
    assert agreement.tip == BLOCKS[4]


def test_a_link_that_did_not_come_is_asked_for_again_after_a_while() -> None:
    agreement = heard(("a",), 1, [told("a", BLOCKS[4])], known=BLOCKS[:2])
    assert len(list(agreement.orders(0))) == 1
    agreement.take(Report("a", link=True), 0)
    assert list(agreement.orders(SECOND // 4)) == []
    assert len(list(agreement.orders(SECOND))) == 1


def test_a_long_gap_is_crossed_in_stretches() -> None:
    agreement = heard(("a",), 1, [told("a", BLOCKS[199])], known=BLOCKS[:2])
    stretches = 0
    while agreement.tip != BLOCKS[199]:
        for order in list(agreement.orders(0)):
            if order.wanted is None:
                stretches += 1
                agreement.take(links("a", [BLOCKS[number - 1] for number in order.numbers], head=True), 0)
            elif order.numbers:
                agreement.take(links("a", BLOCKS[order.numbers[0] - 1 : 199]), 0)
        agreement.settle(0)
    assert stretches == 3
    assert [agreement.backlog.next()] == [Block(BLOCKS[2])]
    assert len(agreement.backlog) == 198


def test_a_node_may_hold_another_block_for_a_second_before_it_is_left_out() -> None:
    other = chain(1, on=BLOCKS[0], branch="other")[0]
    reports = [told(name, BLOCKS[0]) for name in THREE]
    agreement = heard(THREE, 2, [*reports, told("a", BLOCKS[1]), told("b", BLOCKS[1]), told("c", other)])
    assert agreement.left_out(SECOND // 2) == {}
    agreement.settle(SECOND)
    assert agreement.left_out(SECOND) == {"c": ODD["forked"]}
    assert agreement.nodes_health(SECOND).level == 1.0


def test_a_node_that_stays_behind_is_left_out_and_lowers_nothing() -> None:
    agreement = heard(THREE, 2, [told(name, block) for block in BLOCKS[:4] for name in ("a", "b")])
    agreement.take(told("c", BLOCKS[0]), 0)
    agreement.settle(0)
    assert agreement.left_out(SECOND) == {"c": "behind at 1"}
    assert agreement.nodes_health(SECOND).level == 1.0
    assert agreement.head_health(SECOND, block_time_ms=1_000).level == 1.0


def test_nodes_that_are_gone_leave_no_quorum_and_no_health() -> None:
    agreement = heard(("a", "b"), 2, [told("a", BLOCKS[0]), told("b", BLOCKS[0])])
    agreement.take(Report("b", gone="closed"), 0)
    agreement.settle(0)
    assert agreement.nodes_health(SECOND // 2).level == 1.0
    assert agreement.nodes_health(SECOND).level == 0.0


def test_health_falls_when_the_nodes_run_ahead_of_what_we_could_follow() -> None:
    agreement = heard(("a", "b"), 2, [told("a", BLOCKS[0]), told("b", BLOCKS[0])])
    for name in ("a", "b"):
        agreement.take(told(name, BLOCKS[9]), 0)
    assert agreement.behind() == 9
    assert agreement.head_health(0, block_time_ms=12_000).level == 0.0


def test_bodies_come_from_nodes_that_have_the_block() -> None:
    agreement = heard(THREE, 2, [told(name, block) for block in BLOCKS[:3] for name in ("a", "b")])
    agreement.take(told("c", BLOCKS[0]), 0)
    assert set(agreement.agreeing(BLOCKS[2])) == {"a", "b"}
    assert set(agreement.agreeing(BLOCKS[0])) == {"a", "b", "c"}
