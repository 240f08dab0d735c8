"""Lost authority is told once, and not for a node that did not answer."""

from __future__ import annotations

from typing import Any

from monitor.model.actions import Notify
from monitor.model.events import AuthorityProbed
from tests.core.builders import CHAIN, core


def probed(**fields: Any) -> AuthorityProbed:
    known: dict[str, Any] = {"asset": "vault", "kind": "Pause", "signer": "k", "ok": False, "why": "not the pauser"}
    return AuthorityProbed(chain_id=CHAIN, block_number=9, **(known | fields))


def test_a_pause_that_would_fail_on_chain_is_paged_once() -> None:
    driver = core()
    (page,) = driver.feed(probed()).notify
    assert isinstance(page, Notify)
    assert (page.severity, page.title) == ("page", "Pause of vault by k would fail on chain")
    assert not driver.feed(probed()).notify


def test_authority_that_comes_back_and_goes_again_is_paged_again() -> None:
    driver = core()
    driver.feed(probed(), probed(ok=True, why=""))
    assert driver.feed(probed()).notify


def test_a_probe_that_no_node_answered_is_no_loss_of_authority() -> None:
    assert not core().feed(probed(why="not known: no node answered in time")).notify
