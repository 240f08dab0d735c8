"""The real-chain corpus, where it is there."""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.evm.evm_builders import Rows

settings.register_profile("evm", deadline=None)
settings.load_profile("evm")


@pytest.fixture(scope="session")
def corpus() -> Rows:
    """Rows of a corpus file by its path, e.g. 'blocks/mainnet_full.jsonl.xz'."""
    root = Path(os.environ.get("DRAWBRIDGE_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"no corpus at {root}; set DRAWBRIDGE_DATA")

    def rows(path: str) -> Iterator[dict[str, Any]]:
        with lzma.open(root / path) as lines:
            for line in lines:
                yield json.loads(line)

    return rows
