"""Nonce lanes: whole, none twice, repaired; examples, and a model of a chain that reorgs and is used by others."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from monitor.chain.lanes import KEPT_BLOCKS, MAX_IN_FLIGHT, MAX_VERSIONS, UNSENT_BLOCKS, Lane
from monitor.evm.fees import Fees, replacement
from monitor.model.errors import Refused
from monitor.model.units import NO_HASH
from tests.chain.responding import CHAIN, GWEI, SENDER, flight, version

WANTED = Fees(40 * GWEI, 2 * GWEI)


def lane(*nonces: int, next_nonce: int = 0, height: int = 100) -> Lane:
    empty = Lane(chain_id=CHAIN, signer="guardian-key", sender=SENDER, next_nonce=next_nonce, height=height)
    for nonce in nonces:
        empty = empty.taken(flight(nonce))
    return empty


def test_nonces_follow_the_chain_and_what_is_taken() -> None:
    assert lane(next_nonce=7).reserve(2) == (7, 8)
    assert lane(7, 8, next_nonce=7).reserve(2) == (9, 10)
    assert lane(3, 4, next_nonce=5).reserve(1) == (5,)


def test_a_gap_is_closed_before_a_nonce_on_top_is_taken() -> None:
    assert lane(5, 7, 8, next_nonce=5).reserve(2) == (6, 9)


def test_no_nonce_is_taken_twice() -> None:
    with pytest.raises(Refused, match="lane: guardian-key: nonce 5 is taken"):
        lane(5).taken(flight(5, "another"))


def test_at_most_eight_are_in_flight() -> None:
    full = lane(*range(7))
    assert full.reserve(1) == (7,)
    with pytest.raises(Refused, match="7 in flight and 2 more; at most 8"):
        full.reserve(2)


def test_what_is_mined_is_not_in_flight_any_more() -> None:
    mined = lane(0, 1).seen(next_nonce=1, height=101)
    assert [f.nonce for f in mined.open] == [1]


def test_only_the_lowest_is_replaced() -> None:
    both = lane(5, 6, next_nonce=5)
    assert both.repair(6, WANTED) is None
    repair = both.repair(5, WANTED)
    assert repair is not None
    assert (repair.nonce, repair.replaces, repair.fees) == (5, True, WANTED)


def test_nothing_is_replaced_twice_at_one_height() -> None:
    raised = lane(5, next_nonce=5).replaced(5, version(5, fees=WANTED))
    assert raised.repair(5, WANTED) is None
    assert raised.seen(next_nonce=5, height=101).repair(5, WANTED) is not None


def test_an_urgent_response_raises_all_that_tip_less_below_it() -> None:
    busy = lane(5, 6, next_nonce=5).taken(flight(7, "urgent", fees=Fees(90 * GWEI, 50 * GWEI)))
    repairs = busy.below(7, WANTED)
    assert [repair.nonce for repair in repairs] == [5, 6]
    assert all(repair.fees == Fees(90 * GWEI, 50 * GWEI) for repair in repairs)
    assert busy.below(6, Fees(0, 0)) == ()
    assert busy.below(99, WANTED) == ()


def test_a_gap_below_is_filled_with_the_same_call() -> None:
    gapped = lane(6, next_nonce=5)
    assert gapped.gap == 5
    repair = gapped.repair(6, WANTED)
    assert repair is not None
    assert (repair.nonce, repair.replaces) == (5, False)


def test_a_nonce_that_somebody_else_used_is_given_up_at_the_second_look() -> None:
    lost = lane(5, 6, next_nonce=6)
    assert lost.repair(5, WANTED) is None
    first = lost.missed(5)
    assert first.repair(5, WANTED) is None, "receipts may lag by one head"
    repair = first.seen(next_nonce=6, height=101).repair(5, WANTED)
    assert repair is not None
    assert (repair.nonce, repair.replaces) == (7, False)


def test_what_was_found_after_all_is_not_given_up() -> None:
    found = lane(5, next_nonce=6).missed(5).included(flight(5).newest.hash, 100)
    assert found.seen(next_nonce=6, height=101).repair(5, WANTED) is None


def test_a_reorg_puts_what_was_mined_in_flight_again_with_the_same_bytes() -> None:
    mined = lane(5, next_nonce=5).included(flight(5).newest.hash, 100).seen(next_nonce=6, height=100)
    assert mined.open == ()
    back = mined.seen(next_nonce=5, height=99)
    assert [f.newest for f in back.open] == [flight(5).newest]
    assert back.open[0].mined_at == 0
    assert back.reserve(1) == (6,), "its nonce is not given to another response"
    assert mined.dropped(flight(5).newest.hash).flights[0].mined_at == 0


def test_any_version_of_a_nonce_is_its_response() -> None:
    raised = lane(5).replaced(5, version(5, fees=WANTED))
    assert raised.holding(flight(5).newest.hash) == raised.holding(version(5, fees=WANTED).hash)
    assert raised.holding(NO_HASH) is None


def test_a_fee_is_not_raised_for_ever() -> None:
    many = lane(5, next_nonce=5)
    for step in range(MAX_VERSIONS - 1):
        many = many.replaced(5, version(5, fees=Fees(step, step)))
    many = many.seen(next_nonce=5, height=200)
    assert many.repair(5, WANTED) is None
    assert many.taken(flight(6, fees=Fees(90 * GWEI, 50 * GWEI))).below(6, WANTED) == ()


def test_what_was_signed_and_never_sent_gives_its_nonce_back() -> None:
    unsent = lane(next_nonce=5).taken(replace(flight(5, signed_at=100), sent=False))
    assert unsent.seen(next_nonce=5, height=100 + UNSENT_BLOCKS).reserve(1) == (6,)
    assert unsent.seen(next_nonce=5, height=101 + UNSENT_BLOCKS).reserve(1) == (5,)
    leaving = unsent.sending(unsent.flights[0].newest.hash)
    assert leaving.seen(next_nonce=5, height=500).reserve(1) == (6,)


def test_what_is_long_mined_is_forgotten() -> None:
    mined = lane(5).included(flight(5).newest.hash, 100)
    assert len(mined.seen(next_nonce=6, height=100 + KEPT_BLOCKS).flights) == 1
    assert mined.seen(next_nonce=6, height=101 + KEPT_BLOCKS).flights == ()


class LaneOnAChain(RuleBasedStateMachine):
    """The lane against a chain: blocks take what is next, reorgs give it back, another holder of the key interferes."""

    @initialize(first=st.integers(0, 5))
    def start(self, first: int) -> None:
        self.height, self.next_nonce, self.number = 100, first, 0
        self.lane = Lane(chain_id=CHAIN, signer="k", sender=SENDER, next_nonce=first, height=100)
        self.mined: list[tuple[int, int]] = []  # nonce, height
        self.ever: dict[int, str] = {}  # who had a nonce whose bytes left

    def read(self) -> None:
        self.lane = self.lane.seen(next_nonce=self.next_nonce, height=self.height)

    @rule(count=st.integers(1, 3), sent=st.booleans())
    def respond(self, count: int, sent: bool) -> None:
        self.read()
        in_flight = len(self.lane.open)
        try:
            nonces = self.lane.reserve(count)
        except Refused:
            assert in_flight + count > MAX_IN_FLIGHT
            return
        assert len(set(nonces)) == count
        assert min(nonces) >= self.next_nonce
        self.number += 1
        for nonce in nonces:
            assert nonce not in self.ever or nonce not in {f.nonce for f in self.lane.flights}
            self.lane = self.lane.taken(
                replace(flight(nonce, f"response {self.number}", signed_at=self.height), sent=sent)
            )
            if sent:
                self.ever[nonce] = f"response {self.number}"

    @rule(blocks=st.integers(1, 3))
    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.height += 1
            ours = next((f for f in self.lane.flights if f.nonce == self.next_nonce and f.sent), None)
            if ours is not None:
                self.lane = self.lane.included(ours.newest.hash, self.height)
                self.mined.append((self.next_nonce, self.height))
                self.next_nonce += 1

    @rule()
    def somebody_else_uses_the_key(self) -> None:
        self.height += 1
        self.mined.append((self.next_nonce, self.height))
        self.next_nonce += 1

    @precondition(lambda self: self.mined)
    @rule(depth=st.integers(1, 3))
    def reorg(self, depth: int) -> None:
        left = [(nonce, height) for nonce, height in self.mined if height <= self.height - depth]
        lost = [nonce for nonce, height in self.mined if height > self.height - depth]
        self.mined, self.next_nonce = left, min([*lost, self.next_nonce])
        self.read()

    @rule()
    def chase_all(self) -> None:
        self.read()
        for held in self.lane.flights:
            repair = self.lane.repair(held.nonce, WANTED)
            if held.nonce < self.next_nonce and not held.mined_at:
                self.lane = self.lane.missed(held.nonce)
            if repair is None:
                continue
            if repair.replaces:
                assert held.nonce == self.lane.open[0].nonce
                self.lane = self.lane.replaced(repair.nonce, version(repair.nonce, fees=replacement(held.fees)))
            else:
                fresh = version(repair.nonce, data=held.action_id.encode())
                self.lane = self.lane.taken(
                    replace(held, nonce=repair.nonce, versions=(fresh,), signed_at=self.height, missed_at=0, sent=True)
                )
                self.ever[repair.nonce] = held.action_id

    @invariant()
    def no_nonce_is_held_twice(self) -> None:
        nonces = [f.nonce for f in self.lane.flights]
        assert nonces == sorted(set(nonces))

    @invariant()
    def what_may_have_left_keeps_its_nonce(self) -> None:
        for held in self.lane.open:
            if held.sent and held.nonce in self.ever:
                assert held.action_id == self.ever[held.nonce]

    @invariant()
    def versions_only_rise(self) -> None:
        for held in self.lane.flights:
            fees = [v.request.max_fee for v in held.versions]
            assert fees == sorted(set(fees))

    @invariant()
    def the_next_nonce_is_the_lowest_that_is_free(self) -> None:
        fresh = self.lane.seen(next_nonce=self.next_nonce, height=self.height)
        if len(fresh.open) < MAX_IN_FLIGHT:
            nonce = fresh.reserve(1)[0]
            assert set(range(self.next_nonce, nonce)) <= {f.nonce for f in fresh.flights}


LaneOnAChain.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLaneOnAChain = LaneOnAChain.TestCase
