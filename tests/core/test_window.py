"""Windows against the plain definition: keep everything, sum what is inside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, field

from monitor.core.window import Bucket, Recent, Window
from monitor.model.codec import decode, encode


class Memory(Struct):
    """A detector's state, as the core snapshots it."""

    window: Window = field(default_factory=lambda: Window(60, fineness=6, limit=4))
    names: Recent[str] = field(default_factory=lambda: Recent[str](4))


def restored(memory: Memory) -> Memory:
    return decode(encode(memory), Memory)


def test_what_lies_in_the_span_is_summed_and_counted() -> None:
    window = Window(60, fineness=6)
    assert window.add("a", 100, 5) == 5
    assert window.add("a", 130, 7) == 12
    assert (window.total("a", 130), window.count("a", 130)) == (12, 2)


def test_what_is_older_than_the_span_is_gone() -> None:
    window = Window(60, fineness=6)
    window.add("a", 100, 5)
    assert window.add("a", 171, 7) == 7
    assert window.total("a", 171) == 7
    assert window.total("a", 300) == window.count("a", 300) == 0


def test_an_unknown_key_sums_to_nothing() -> None:
    assert Window(60).total("a", 5) == Window(60).count("a", 5) == 0


def test_keys_do_not_mix_and_one_can_be_forgotten() -> None:
    window = Window(60)
    window.add("a", 1, 5)
    window.add("b", 1, 7)
    window.forget("a")
    assert (window.total("a", 1), window.total("b", 1)) == (0, 7)


def test_times_may_come_out_of_order() -> None:
    window = Window(60, fineness=6)
    for at, amount in ((150, 1), (120, 2), (151, 4), (125, 8)):
        window.add("a", at, amount)
    assert window.total("a", 151) == 15
    assert window.add("a", 10, 99) == 15, "older than the span of the newest"


def test_a_question_about_the_past_leaves_out_what_came_later() -> None:
    window = Window(60, fineness=6)
    window.add("a", 100, 1)
    window.add("a", 150, 2)
    assert window.total("a", 109) == 1


def test_a_span_shorter_than_its_fineness_still_counts() -> None:
    window = Window(3, fineness=60)
    window.add("a", 7, 2**256 - 1)
    assert window.total("a", 8) == 2**256 - 1


def test_memory_is_bounded_by_keys_and_by_buckets() -> None:
    window = Window(60, fineness=6, limit=4)
    for at in range(1000):
        window.add("busy", at, 1)
        window.add(f"key{at}", at, 1)
    buckets = window.series.get("busy")
    assert buckets is not None
    assert len(buckets) <= 7
    assert len(window.series) <= 8


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 500), st.integers(0, 10**30)), max_size=40))
def test_a_window_never_counts_less_than_its_span_nor_more_than_one_bucket_beyond(
    events: list[tuple[str, int, int]],
) -> None:
    events.sort(key=lambda event: event[1])
    window = Window(60, fineness=6)
    for key, at, amount in events:
        window.add(key, at, amount)
    for key in "ab":
        now = max((at for k, at, _ in events if k == key), default=0)
        inside = sum(x for k, at, x in events if k == key and now - 60 < at)
        about = sum(x for k, at, x in events if k == key and now - 70 < at)
        assert inside <= window.total(key, now) <= about


@given(st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.integers(0, 300), st.integers(0, 2**256)), max_size=60))
def test_a_restored_window_goes_on_like_the_one_that_was_saved(events: list[tuple[str, int, int]]) -> None:
    half = len(events) // 2
    kept = Memory()
    for key, at, amount in events[:half]:
        kept.window.add(key, at, amount)
        kept.names.put(key, str(at))
    other = restored(kept)
    for memory in (kept, other):
        for key, at, amount in events[half:]:
            memory.window.add(key, at, amount)
            memory.names.put(key, str(at))
    assert encode(kept) == encode(other)


def test_the_newest_keys_are_remembered_and_the_oldest_forgotten() -> None:
    recent = Recent[int](3)
    for n in range(10):
        recent.put(str(n), n)
        assert [recent.get(str(k)) for k in range(max(0, n - 2), n + 1)] == list(range(max(0, n - 2), n + 1))
        assert len(recent) <= 6
    assert recent.get("0") is None
    assert "0" not in recent
    assert "9" in recent


def test_writing_an_old_key_makes_it_young_again() -> None:
    recent = Recent[int](2)
    recent.put("keep", 0)
    for n in range(8):
        recent.put(str(n), n)
        recent.put("keep", n)
    assert recent.get("keep") == 7
    assert [key for key, _ in recent.items()].count("keep") == 1


@pytest.mark.parametrize("key", ["young", "old"])
def test_a_key_of_either_generation_is_forgotten_with_its_value(key: str) -> None:
    recent = Recent[int](1)
    recent.put("old", 1)
    recent.put("young", 2)
    assert recent.pop(key) == {"old": 1, "young": 2}[key]
    assert key not in recent
    assert recent.pop(key) is None


def test_pairs_come_in_order_of_their_keys() -> None:
    recent = Recent[int](2)
    for key in "cab":
        recent.put(key, 1)
    assert recent.items() == [("a", 1), ("b", 1), ("c", 1)]


def test_buckets_are_written_as_short_arrays() -> None:
    assert encode(Bucket(1, 2, 3)) == b"[1,2,3]"
