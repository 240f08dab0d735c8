"""What detectors may read, and that memory is bounded: heads, finality, prices, incidents."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from monitor.core import incidents
from monitor.model.assets import Level
from monitor.model.events import NotificationSent, PriceSeen, Tick
from monitor.model.units import DOLLAR, NATIVE, ChainId, Usd, Wei
from tests.core.builders import CHAIN, Driver, Says, answered, core, head, mined, proposed, signal, vault

ETHER = 10**18


def reading(what: Any) -> tuple[Driver, list[Any]]:
    """A driver whose detector writes down what it reads at each tick."""
    seen: list[Any] = []

    def say(_: Any, context: Any) -> list[Any]:
        seen.append(what(context))
        return []

    return core(Says(say, watches=("Tick",))), seen


def test_a_detector_reads_the_newest_head_of_a_chain() -> None:
    driver, seen = reading(lambda c: (c.head(CHAIN) or head(0 + 1).header).number)
    driver.feed(head(10), Tick(), head(11), Tick())
    assert seen == [10, 11]


def test_before_the_first_head_there_is_none_and_nothing_is_final() -> None:
    driver, seen = reading(lambda c: (c.head(CHAIN), c.safe_height(CHAIN)))
    driver.feed(Tick())
    assert seen == [(None, 0)]


def test_what_was_final_stays_final() -> None:
    driver, seen = reading(lambda c: c.safe_height(CHAIN))
    driver.feed(replace(head(10), finalised=8), Tick(), replace(head(11), finalised=7), Tick())
    assert seen == [8, 8]


def test_a_price_is_for_one_token_of_one_chain_and_none_is_not_zero() -> None:
    driver, seen = reading(lambda c: [c.prices.usd(ChainId(n), NATIVE, Wei(ETHER // 2)) for n in (CHAIN, CHAIN + 1)])
    driver.feed(PriceSeen(chain_id=CHAIN, token=NATIVE, usd=Usd(3_000 * DOLLAR), decimals=18, source="static"), Tick())
    assert seen == [[1_500 * DOLLAR, None]]


def test_the_time_that_a_detector_reads_never_goes_back() -> None:
    driver, seen = reading(lambda c: c.now)
    driver.feed(Tick(), Tick())
    driver.seconds -= 3_600
    driver.feed(Tick())
    assert seen == sorted(seen)
    assert seen[-1] == seen[-2]


def strangers(count: int) -> Driver:
    """One incident for each of many owners, all of one event."""
    assets = [vault(f"v{n}", n, owner=f"o{n}", family="") for n in range(1, count + 1)]
    return core(Says(lambda s, c: [signal(x.name, roots=(x.name,)) for x in assets]), assets=assets)


def test_the_oldest_incident_is_forgotten_with_its_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "MOST_INCIDENTS", 3)
    driver = strangers(5)
    driver.feed(mined())
    state = driver.core.state
    assert list(state.incidents) == ["1++", "1+++", "1++++"]
    assert {record.action.incident for record in state.actions.values()} == set(state.incidents)


def test_closed_incidents_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "MOST_INCIDENTS", 3)
    driver = strangers(4)
    said = driver.core.detectors[0]
    all_of_them = said.say  # type: ignore[attr-defined]
    said.say = lambda s, c: all_of_them(s, c)[:3]  # type: ignore[attr-defined]
    driver.feed(mined(1))
    driver.core.state.incidents["1+"].stage = "closed"
    said.say = lambda s, c: all_of_them(s, c)[3:]  # type: ignore[attr-defined]
    driver.feed(mined(2))
    assert list(driver.core.state.incidents) == ["1", "1++", "2"]


def test_that_people_were_told_of_an_action_changes_nothing() -> None:
    driver = core(Says(lambda s, c: [signal()]))
    action_id = proposed(driver.feed(head(10), mined()))
    assert driver.feed(NotificationSent(action_id=action_id, channel="console", ok=True)).quiet


def test_a_wait_for_a_person_ends_even_where_its_incident_is_forgotten() -> None:
    driver = core(Says(lambda s, c: [signal()]), assets=(vault(autonomy=(Level.WITH_APPROVAL,) * 4),))
    action_id = proposed(driver.feed(head(10), mined()))
    answered(driver, action_id)
    driver.core.state.incidents.clear()
    driver.feed(Tick(), every_s=301)
    assert driver.core.state.actions[action_id].gate == "approval"
