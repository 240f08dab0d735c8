"""Silence, staleness and failure of sources; never a word about theft."""

from __future__ import annotations

import pytest

from detectors.telemetry_silent import TelemetrySilent
from monitor.model.codec import decode, encode
from monitor.model.events import AnyEvent, Fault, HealthSeen, Tick
from monitor.model.units import SECOND
from tests.detectors.builders import complete, context
from tests.detectors.fakes import START, Run, said_alike


def run() -> Run:
    return Run(TelemetrySilent(), context())


def health(level: float, component: str = "head:devnet") -> HealthSeen:
    return HealthSeen(component=component, level=level, why="measured")


def watermark(age_s: int, now_s: int) -> AnyEvent:
    return complete(1, at=START + (now_s - age_s) * SECOND)


@pytest.mark.parametrize(
    ("events", "sources"),
    [
        pytest.param([health(0.0)], ["head:devnet"], id="a component at zero is down"),
        pytest.param([health(0.5)], [], id="a component at half is not"),
        pytest.param([health(1.0)], [], id="a component at one is not"),
        pytest.param([health(0.0), health(0.0)], ["head:devnet"], id="what is down is told once"),
        pytest.param([health(0.0), health(0.5)], ["head:devnet"], id="half well does not take it back"),
        pytest.param([watermark(301, 1)], ["watermark:main"], id="a watermark that is too old on arrival is stale"),
        pytest.param([watermark(299, 1)], [], id="a late watermark within its limit is not"),
        pytest.param(
            [Fault(where="mempool", what="cut", count=61)], ["faults:mempool"], id="a source fails all the time"
        ),
        pytest.param([Fault(where="mempool", what="cut", count=60)], [], id="a source fails now and then"),
        pytest.param([Tick()], [], id="a tick alone says nothing"),
    ],
)
def test_which_sources_are_down(events: list[AnyEvent], sources: list[str]) -> None:
    found = run().signals(*events)
    assert [s.subject.id for s in found] == sources
    assert all(s.threat == "blind" and s.subject.kind == "source" and s.weight > 0 for s in found)


def test_a_watermark_that_stops_is_seen_by_ticks_alone() -> None:
    watching = run()
    assert not watching.signals(watermark(0, 1))
    found = watching.signals(*[Tick()] * 310)
    assert [s.subject.id for s in found] == ["watermark:main"]


def test_a_component_that_nobody_reports_on_any_more_is_down() -> None:
    watching = run()
    watching.signals(health(1.0))
    assert [s.subject.id for s in watching.signals(*[Tick()] * 130)] == ["health:head:devnet"]


def test_a_source_that_answers_again_takes_its_claim_back() -> None:
    watching = run()
    (down,) = watching.signals(health(0.0))
    (back,) = watching.signals(health(1.0))
    assert (back.roots, back.evidence, back.weight) == (down.roots, down.evidence, 0.0)
    assert not watching.signals(health(1.0))


def test_faults_that_stop_are_taken_back_by_a_tick() -> None:
    watching = run()
    watching.signals(Fault(where="mempool", what="cut", count=100))
    found = watching.signals(*[Tick()] * 70)
    assert [(s.subject.id, s.weight) for s in found] == [("faults:mempool", 0.0)]


def test_what_stays_down_is_told_again_after_ten_minutes() -> None:
    watching = run()
    watching.signals(health(0.0))
    found = watching.signals(*[health(0.0)] * 25, after_s=30)
    assert len(found) == 1


def test_a_gap_in_our_own_ticks_is_ours_and_not_the_sources() -> None:
    watching = run()
    watching.signals(health(1.0), Tick(), watermark(0, 3))
    found = watching.signals(Tick(), after_s=3600)
    assert [s.subject.id for s in found] == ["loop"]
    assert [(s.subject.id, s.weight) for s in watching.signals(Tick())] == [("loop", 0.0)]


def test_a_watermark_of_the_future_is_told_and_does_not_count() -> None:
    watching = run()
    (found,) = watching.signals(complete(1, at=START + 61 * SECOND))
    assert found.because == "watermark:main is down: its clock is 60 s ahead, so its watermarks are not believed"
    (back,) = watching.signals(watermark(0, 2))
    assert back.weight == 0


def test_a_saved_memory_goes_on_like_an_undisturbed_one() -> None:
    story = [health(0.0), Tick(), watermark(0, 3), *[Tick()] * 310, health(1.0), Fault(where="x", what="y", count=99)]
    assert said_alike(TelemetrySilent, story, context())


def test_ten_thousand_names_do_not_grow_its_memory() -> None:
    watching = run()
    for n in range(10_000):
        watching.feed(health(0.0, f"c{n}"), Fault(where=f"w{n}", what="x", count=1000))
    size = len(encode(watching.detector.state))
    assert size < 200_000
    assert decode(encode(watching.detector.state), type(watching.detector.state)) == watching.detector.state
