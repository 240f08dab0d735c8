"""What the documents say exists, exists: links, commands, metrics, notices, and the README's detector."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from monitor.cli import app
from monitor.core.step import Core
from monitor.evm.watch import PackedLabels, Protected
from monitor.model.assets import Asset
from monitor.model.events import Stamped
from monitor.model.policy import ChainRule, Policy
from monitor.model.units import Instant
from tests.detectors.builders import CHAIN, THIEF, WALLET, mined, transfer
from tests.docs.walkthrough import blocks

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "contracts/README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def _anchors(page: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", _text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for link in _LINK.findall(_text(page)):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(str(target.relative_to(ROOT))), link


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_shown_is_one(page: str) -> None:
    known = typer.main.get_command(app)
    verbs = set(getattr(known, "commands", {}))
    shown = {verb for code in _CODE.findall(_text(page)) for verb in re.findall(r"\bdrawbridge ([a-z]+)\b", code)}
    assert shown - verbs - {"turns"} == set()  # "drawbridge … turns" is an answer


def test_every_metric_that_is_named_is_exposed() -> None:
    source = (ROOT / "monitor/shell/overview.py").read_text()
    exposed = {f"drawbridge_{name}" for name in re.findall(r'_(?:one|by)\("(\w+)"', source)}
    named = set(re.findall(r"\bdrawbridge_[a-z_]+\b", _text("docs/operate.md")))
    assert named - exposed == set()
    assert len(named) >= 5


def test_every_endpoint_that_is_named_is_served() -> None:
    source = (ROOT / "monitor/http/app.py").read_text()
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/incidents", "/events", "/disarm", "/arm"):
        assert f'"{path}"' in source
        assert path in _text("docs/operate.md")


def test_the_readme_is_short() -> None:
    assert len(_text("README.md").split()) <= 500


def test_the_readmes_detector_is_whole() -> None:
    """It runs as it is printed, in the real core."""
    (block,) = blocks(_text("README.md"))
    made: dict[str, Any] = {}
    exec(block.text, made)
    labels = PackedLabels()
    labels.put(THIEF, "exploiter", origin="a list", expires_at=Instant(2**62))
    core = Core(
        detectors=(made["PaysListed"](),),
        assets=Protected((Asset("hot", "hot_wallet", CHAIN, WALLET),)),
        labels=labels,
        policy=Policy(),
        chains=(ChainRule(CHAIN, "devnet"),),
    )
    step = core.step(Stamped(1, Instant(1), mined(transfer(to=THIEF))))
    assert [signal.because for signal in step.signals] == ["paid an address on a list"]
