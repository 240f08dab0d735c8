"""One file per test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.settings.settings_builders import File


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)
