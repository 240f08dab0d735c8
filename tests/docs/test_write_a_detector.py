"""docs/write-a-detector.md, followed to the letter: an outsider's detector with its cases, by dotted path."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.docs.walkthrough import blocks, terminal

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
async def test_an_outsiders_detector_passes_its_cases_and_is_loaded_by_its_path(tmp_path: Path) -> None:
    environment = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    replaced = {"PYTHONPATH=.": f"PYTHONPATH=.:{ROOT}", "127.0.0.1:8545": "127.0.0.1:9"}
    document = (ROOT / "docs" / "write-a-detector.md").read_text()
    async with terminal(tmp_path, environment, replaced) as shell:
        for block in blocks(document):
            await shell.follow(block)
