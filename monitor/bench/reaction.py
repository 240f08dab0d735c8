"""From the node's notice of a pending attack to the raw pause at the node: event_to_broadcast_ms.

Everything is real: anvil, the program wired as `drawbridge run` wires it from a configuration file, its journal on disk
with SQLite FULL, an encrypted key. Only a relay stands between, in a process of its own, and its clock is the one that
counts. Each run is a fresh program with a fresh journal on the same chain state, and an attack of another hash; the
pause is dropped from the node's pool afterwards, so that no run knows of another.
"""

from __future__ import annotations

import asyncio
import gc
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from monitor.bench.figure import Figure, Progress, Results, figure, missing
from monitor.bench.reaction_stage import Scene, open_scene
from monitor.bench.reaction_thefts import FlashLoanTheft, Theft, VaultTheft
from monitor.cli_run import spare_from_collection
from monitor.model.actions import AnyAction, Plan, Rehearsal
from monitor.model.errors import Refused, Unreachable
from monitor.rehearsal.stage import ETHER
from monitor.settings import load
from monitor.shell.prearm import Prearm
from monitor.wiring import Drawbridge, open_drawbridge

WARM: Final = 3  # runs that are not counted
QUICK: Final = 3
READY_S: Final = 20.0
ANSWER_S: Final = 5.0
_POLL_S: Final = 0.005


@dataclass(frozen=True)
class Kind:
    """One row: what is stolen, and how the program stands."""

    name: str
    theft: Theft
    runs: int
    note: str
    armed: bool = False
    target: str = ""


VAULT: Final = VaultTheft()
KINDS: Final = (
    Kind(
        "event_to_broadcast_ms",
        VAULT,
        500,
        "node's side on loopback, pending notice written to raw pause received; theft from a vault, its pause proven "
        "from nothing; a quorum of two connections to one anvil, SQLite FULL on disk, encrypted key",
        target="p50 <= 10, p99 <= 50",
    ),
    Kind(
        "event_to_broadcast_prearmed_ms", VAULT, 500, "the same, the pause found valid at the head before", armed=True
    ),
    Kind("event_to_broadcast_flash_loan_ms", FlashLoanTheft(bribe=0), 100, "un-armed, the attack of flash_loan_price"),
    Kind("event_to_broadcast_bribed_ms", FlashLoanTheft(bribe=ETHER // 2), 100, "the same, paying the builder inside"),
)


@dataclass
class Taken:
    """What the runs showed."""

    ms: list[float] = field(default_factory=list)
    rehearsals: list[Rehearsal] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def measure(data: Path | None, *, quick: bool, progress: Progress) -> Results:
    """A row for each kind, and what the rehearsals of the first took."""
    try:
        taken = asyncio.run(_all(quick, progress))
    except Unreachable as error:
        return Results({kind.name: missing("ms", str(error), target=kind.target) for kind in KINDS})
    figures = {kind.name: _figure(taken[kind.name], kind) for kind in KINDS}
    plain = taken[KINDS[0].name]
    took = [each.took_ms for each in plain.rehearsals]
    if took:
        figures["rehearsal_ms"] = figure(took, "ms", note=f"in the runs of {KINDS[0].name}; {_proven(plain)}")
    return Results(figures)


def _figure(taken: Taken, kind: Kind) -> Figure:
    if not taken.ms:
        why = f"no run of {len(taken.lost)} was answered: {taken.lost[0] if taken.lost else ''}"
        return missing("ms", why, target=kind.target)
    return figure(taken.ms, "ms", note=f"{kind.note}; {_proven(taken)}", target=kind.target)


def _proven(taken: Taken) -> str:
    """How many of the rehearsals behind these runs proved what."""
    count, valid = len(taken.rehearsals), sum(r.valid == "holds" for r in taken.rehearsals)
    loss = sum(r.loss_verdict == "holds" for r in taken.rehearsals)
    golden = sum(r.golden_passed > 0 and not r.golden_broken for r in taken.rehearsals)
    lost = f"; {len(taken.lost)} runs without an answer ({taken.lost[0]})" if taken.lost else ""
    return f"of {count} rehearsals {valid} valid, {loss} with loss with and without, {golden} with golden passed{lost}"


async def _all(quick: bool, progress: Progress) -> dict[str, Taken]:
    taken = {kind.name: Taken() for kind in KINDS}
    with tempfile.TemporaryDirectory(prefix="drawbridge-bench-") as folder:
        for theft in dict.fromkeys(kind.theft for kind in KINDS):
            async with open_scene(theft, Path(folder) / theft.name.replace(" ", "-")) as scene:
                for kind in (kind for kind in KINDS if kind.theft is theft):
                    await _runs(scene, kind, QUICK if quick else kind.runs, taken[kind.name], progress)
    gc.unfreeze()
    return taken


async def _runs(scene: Scene, kind: Kind, runs: int, taken: Taken, progress: Progress) -> None:
    for number in range(runs + WARM):
        await _one(scene, number, taken if number >= WARM else Taken(), kind)
        if number % 100 == 99:
            progress(f"{kind.name}: {number + 1} of {runs + WARM} runs")


async def _one(scene: Scene, number: int, taken: Taken, kind: Kind) -> None:
    folder = scene.folder / f"{kind.name}-{number}"
    folder.mkdir()
    async with _running(scene, folder, armed=kind.armed) as drawbridge:
        await _ready(drawbridge)
        spare_from_collection()  # as `drawbridge run` does
        tx_hash = scene.attack()
        try:
            async with asyncio.timeout(ANSWER_S):
                taken.ms.append(await scene.answered(tx_hash))
        except TimeoutError:
            taken.lost.append(_why(drawbridge))
        await _quiet(drawbridge, lambda: True)  # what follows the answer is part of the story, not of the figure
        actions = drawbridge.core.state.actions.values()
        taken.rehearsals.extend(record.rehearsal for record in actions if record.rehearsal is not None)
    await scene.clear()


@asynccontextmanager
async def _running(scene: Scene, folder: Path, *, armed: bool) -> AsyncIterator[Drawbridge]:
    path = folder / "drawbridge.yaml"
    path.write_text(json.dumps(scene.configuration(folder)))
    settings = load(str(path), environment=scene.secrets)
    async with open_drawbridge(settings) as drawbridge, asyncio.TaskGroup() as group:
        if not armed:
            drawbridge.loop.respond.prearmed = Prearm(assets=(), plan=_no_plan, lab=drawbridge.lab)
        turning = group.create_task(drawbridge.loop.run())
        async with asyncio.timeout(READY_S):
            await drawbridge.loop.turning.wait()
        try:
            yield drawbridge
        finally:
            turning.cancel()


def _no_plan(action: AnyAction) -> Plan:
    raise Refused("bench", f"{action.id}: nothing is pre-armed in this run")


async def _ready(drawbridge: Drawbridge) -> None:
    """Until it sees the head with both nodes, has its prices and its pause ready, and nothing is under way."""
    prearmed = drawbridge.loop.respond.prearmed

    def known() -> bool:
        state = drawbridge.core.state
        healthy = [h for h in state.health.values() if h.level == 1 and h.component.startswith(("head", "nodes"))]
        return bool(state.heads and state.prices) and len(healthy) == 2 and all(prearmed.ready.values())

    await _quiet(drawbridge, known)


async def _quiet(drawbridge: Drawbridge, known: Callable[[], bool]) -> None:
    """Until this is so and the loop has had nothing to do for a while."""
    polls = 0
    async with asyncio.timeout(READY_S):
        while polls < 5:
            polls = polls + 1 if known() and drawbridge.loop.idle else 0
            await asyncio.sleep(_POLL_S)


def _why(drawbridge: Drawbridge) -> str:
    """What the program says of the run that gave no answer."""
    state = drawbridge.core.state
    refused = [f"{r.gate}: {r.reason}" for r in state.actions.values() if r.gate]
    return "; ".join(refused) or f"{len(state.incidents)} incidents, {len(state.actions)} actions"
