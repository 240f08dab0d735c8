"""The layers of docs/architecture: who may import whom. Seeded violations prove that the check can fail."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = ("monitor", "detectors", "responders")
EFFECTS = ("monitor.sources", "monitor.chain", "monitor.store", "monitor.notify", "monitor.http", "monitor.learn")

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "monitor/model": ("monitor.model",),
    "monitor/evm": ("monitor.model", "monitor.evm"),
    "monitor/core": ("monitor.model", "monitor.evm", "monitor.core"),
    "detectors": ("monitor.model", "monitor.evm", "monitor.core.window", "detectors"),
    "responders": ("monitor.model", "monitor.evm", "responders"),
    "monitor/sources": ("monitor.model", "monitor.evm", "monitor.sources", "monitor.chain.rpc"),
    "monitor/chain": ("monitor.model", "monitor.evm", "monitor.chain"),
    "monitor/store": ("monitor.model", "monitor.evm", "monitor.store"),
    "monitor/notify": ("monitor.model", "monitor.evm", "monitor.notify"),
    "monitor/http": ("monitor.model", "monitor.evm", "monitor.http"),
    "monitor/learn": ("monitor.model", "monitor.evm", "monitor.learn"),
    "monitor/shell": ("monitor.model", "monitor.core", "monitor.shell"),
}
PURE = ("monitor/model", "monitor/evm", "monitor/core", "detectors", "responders")
IMPURE_MODULES = {"asyncio", "time", "random", "os", "logging", "socket", "httpx", "aiohttp", "requests", "websockets"}
SEEN_ONLY_BY_THE_ROOT = ("monitor.rehearsal", "monitor.bench", "monitor.wiring", "monitor.cli", "monitor.settings")
ROOT_MODULES = (
    "monitor/wiring",
    "monitor/settings",
    "monitor/cli",
    "monitor/__main__",
    "monitor/rehearsal",
    "monitor/bench",
)
BROAD_EXCEPT = ("monitor/core/detecting.py", "monitor/shell/supervise.py")


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def under(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == a or name.startswith((a + ".", a + "_")) for a in allowed)


def forbidden(layer: str, source: str) -> set[str]:
    """Imports of ours that this layer may not make, and impure ones where it must be pure."""
    names = set(imported(source))
    ours = {n for n in names if n.split(".")[0] in OURS and not under(n, MAY_IMPORT[layer])}
    impure = {n for n in names if n.split(".")[0] in IMPURE_MODULES} if layer in PURE else set()
    return ours | impure


def files(layer: str) -> list[pathlib.Path]:
    return sorted((ROOT / layer).rglob("*.py"))


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_what_it_may(layer: str) -> None:
    found = {str(p.relative_to(ROOT)): forbidden(layer, p.read_text()) for p in files(layer)}
    assert not {path: names for path, names in found.items() if names}


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        ("monitor/core", "from monitor.chain.rpc import Nodes"),
        ("monitor/core", "import time"),
        ("monitor/model", "from monitor.core.step import Core"),
        ("monitor/evm", "import asyncio"),
        ("detectors", "from monitor.core.step import Core"),
        ("detectors", "from responders.pause import PauseResponder"),
        ("detectors", "import random"),
        ("responders", "from monitor.chain.submit import EnforceSubmit"),
        ("monitor/shell", "from monitor.store.journal import SqlJournal"),
        ("monitor/sources", "from monitor.store.ledger import SqlLedger"),
        ("monitor/store", "from monitor.chain.rpc import Nodes"),
    ],
)
def test_a_seeded_forbidden_import_is_found(layer: str, line: str) -> None:
    assert forbidden(layer, line)


def test_only_the_composition_root_sees_rehearsals_settings_and_wiring() -> None:
    wrong = {}
    for path in sorted((ROOT / "monitor").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if name.startswith(ROOT_MODULES):
            continue
        seen = {n for n in imported(path.read_text()) if under(n, SEEN_ONLY_BY_THE_ROOT)}
        if seen:
            wrong[name] = seen
    assert not wrong


def test_only_wiring_imports_the_plugins() -> None:
    allowed = ("monitor/wiring", "monitor/bench", "monitor/rehearsal", "monitor/cli")
    wrong = {}
    for path in sorted((ROOT / "monitor").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        seen = {n for n in imported(path.read_text()) if under(n, ("detectors", "responders"))}
        if seen and not name.startswith(allowed):
            wrong[name] = seen
    assert not wrong


def test_broad_excepts_stand_only_at_the_supervised_boundaries() -> None:
    wrong = []
    for path in [*(ROOT / "monitor").rglob("*.py"), *files("detectors"), *files("responders")]:
        name = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            passes_on = isinstance(node.body[-1], ast.Raise)
            if broad and not passes_on and name not in BROAD_EXCEPT:
                wrong.append(f"{name}:{node.lineno}")
    assert not wrong


def test_there_are_no_import_cycles_between_our_modules() -> None:
    graph = {}
    for path in [*(ROOT / "monitor").rglob("*.py"), *files("detectors"), *files("responders")]:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        graph[module] = {n for n in imported(path.read_text()) if n.split(".")[0] in OURS}
    state: dict[str, int] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if state.get(module) == 2:
            return
        assert state.get(module) != 1, " -> ".join((*trail, module))
        state[module] = 1
        for target in sorted(graph.get(module, ())):
            if target in graph:
                visit(target, (*trail, module))
        state[module] = 2

    for module in sorted(graph):
        visit(module, ())


def test_the_readme_has_at_most_500_words() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 500
