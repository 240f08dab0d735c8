"""What only time brings about is said too: an incident that closes, an approval that nobody gave."""

from __future__ import annotations

from typing import Any

from monitor.model.assets import Level
from monitor.model.events import CandidatesRehearsed, Tick
from tests.core.builders import Says, core, head, mined, rehearsal, signal, vault


def thief() -> Says:
    return Says(lambda s, c: [signal(attack=s.event.transaction)], watches=("TransactionMined",))


def asked(**fields: Any) -> Any:
    driver = core(thief(), assets=(vault(**fields),))
    action_id = driver.feed(head(10), mined()).rehearse[0].actions[0].id
    driver.feed(CandidatesRehearsed(incident=action_id.split("/")[0], rehearsals=(rehearsal(action_id),)))
    return driver


def test_an_incident_that_closes_says_so() -> None:
    driver = asked(autonomy=(Level.OBSERVE,) * 4)
    driver.feed(Tick(), every_s=400)
    (closed,) = driver.feed(Tick(), every_s=1_801).incidents
    assert closed.state == "closed"


def test_an_approval_that_expires_says_so() -> None:
    driver = asked(autonomy=(Level.WITH_APPROVAL,) * 4)
    step = driver.feed(Tick(), every_s=301)
    assert [i.id for i in step.incidents] == ["2"]
