"""What code wrote a journal: a digest over our sources, so that a replay knows whether to expect equal bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

VERSION: Final = "0.1.0"


def _digest() -> str:
    root = Path(__file__).resolve().parents[1]
    hasher = hashlib.sha256()
    for folder in ("monitor/model", "monitor/evm", "monitor/core", "detectors"):
        for path in sorted((root / folder).rglob("*.py")):
            hasher.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()[:16]


CODE_VERSION: Final = f"{VERSION}+{_digest()}"
