"""What a fresh clone installs from must hold on every platform and with every npm of Node 20 and later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def _locked() -> dict[str, Any]:
    packages: dict[str, Any] = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    return packages


def test_the_npm_lock_names_the_chain_tools_of_every_platform() -> None:
    """npm 11.19 refuses a lock that leaves an optional dependency out: `npm ci` then installs nothing at all."""
    locked = _locked()
    wanted = [name for package in locked.values() for name in package.get("optionalDependencies", {})]
    assert len(wanted) == 15
    assert [name for name in wanted if f"node_modules/{name}" not in locked] == []


def test_no_platform_package_of_the_npm_lock_claims_a_command() -> None:
    """npm 10 removes the commands of a skipped platform's package, and with them the real ones of that name."""
    locked = _locked()
    wanted = [name for package in locked.values() for name in package.get("optionalDependencies", {})]
    assert [name for name in wanted if "bin" in locked[f"node_modules/{name}"]] == []
