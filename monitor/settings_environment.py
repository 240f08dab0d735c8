"""What a command takes from the environment besides the configuration's own ${NAME}. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

CONFIG: Final = "DRAWBRIDGE_CONFIG"
TOKEN: Final = "DRAWBRIDGE_TOKEN"  # noqa: S105 - the variable's name, not a token
DATA: Final = "DRAWBRIDGE_DATA"
DEFAULT_CONFIG: Final = "./drawbridge.yaml"


def config_path(given: str | None, environment: Mapping[str, str] | None = None) -> str:
    """--config, else DRAWBRIDGE_CONFIG, else ./drawbridge.yaml."""
    known = os.environ if environment is None else environment
    return given or known.get(CONFIG) or DEFAULT_CONFIG


def operator_token(environment: Mapping[str, str] | None = None) -> str:
    """The credential of whoever gives a command; empty where there is none."""
    known = os.environ if environment is None else environment
    return known.get(TOKEN, "")


def data_path(environment: Mapping[str, str] | None = None) -> str:
    """Where the corpus of real blocks is that the bench reads; empty where nothing says."""
    known = os.environ if environment is None else environment
    return known.get(DATA, "")
