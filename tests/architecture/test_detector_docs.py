"""docs/detectors.md says what the data sheets say."""

from __future__ import annotations

import pathlib

from detectors import CATALOGUE
from detectors.sheet import page

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "detectors.md"


def test_the_page_of_detectors_is_what_their_data_sheets_make() -> None:
    assert PAGE.read_text() == page(CATALOGUE.values()), "run: python -m detectors.sheet > docs/detectors.md"
