"""The performance figures of `drawbridge bench`: measured on this machine, by the functions that run in service.

Each measurement is a module with `measure`; what it needs and does not find makes its row say so, never a guess.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from monitor.bench.figure import Figure, Peer, Progress, Results, missing
from monitor.bench.machine import machine
from monitor.bench.peers import NAME as FORTA
from monitor.bench.peers import measure as measure_peers
from monitor.bench.pipeline import measure as measure_pipeline
from monitor.bench.reaction import KINDS
from monitor.bench.reaction import measure as measure_reaction
from monitor.bench.replaying import measure as measure_replay
from monitor.bench.watching import measure as measure_watching
from monitor.model.errors import ConfigurationError
from monitor.settings_environment import data_path

CORPUS: Final = Path(__file__).resolve().parents[3] / "shared" / "data"


class Measurement(Protocol):
    def __call__(self, data: Path | None, *, quick: bool, progress: Progress) -> Results: ...


def screening(data: Path | None, *, quick: bool, progress: Progress) -> Results:
    """The row without a value: the exchange's interface has an issue of its own."""
    return Results({"screening_ms": missing("ms", "POST /api/v1/withdrawals/screen is not part of this version")})


MEASUREMENTS: Final[Mapping[str, tuple[Measurement, tuple[str, ...]]]] = {  # with the figures that each gives
    "reaction": (measure_reaction, (*(kind.name for kind in KINDS), "rehearsal_ms")),
    "pipeline": (measure_pipeline, ("pipeline_tx_per_s", "pipeline_journalled_tx_per_s", "pipeline_proven_tx_per_s")),
    "replay": (measure_replay, ("replay_events_per_s",)),
    "screening": (screening, ("screening_ms",)),
    "peers": (measure_peers, (FORTA,)),
    "watch": (measure_watching, ("watch_cost_ratio", "watch_increment_mb")),
}


def run(
    names: Sequence[str] = (),
    *,
    progress: Progress = lambda _: None,
    quick: bool = False,
    data: Path | None = None,
) -> dict[str, Any]:
    """Measure what is named, by measurement or by figure; all where nothing is. Raises ConfigurationError.

    `quick` does the same work fewer times: enough to see that it runs, too few to quote. `data` is the corpus.
    """
    chosen = _chosen(names)
    figures: dict[str, Figure] = {}
    peers: list[Peer] = []
    for name in chosen:
        measure, _ = MEASUREMENTS[name]
        progress(f"{name} …")
        found = measure(_corpus(data), quick=quick, progress=progress)
        figures |= found.figures
        peers.extend(found.peers)
    return {
        "machine": machine(Path(tempfile.gettempdir())),
        "figures": {name: found.shown() for name, found in figures.items()},
        "peers": [peer.shown() for peer in peers],
    }


def _chosen(names: Sequence[str]) -> list[str]:
    by_figure = {figure: name for name, (_, figures) in MEASUREMENTS.items() for figure in figures}
    wrong = [name for name in names if name not in MEASUREMENTS and name not in by_figure]
    if wrong:
        there = ", ".join((*MEASUREMENTS, *by_figure))
        raise ConfigurationError((f"bench: no measurement {', '.join(wrong)}; there are: {there}",))
    wanted = {by_figure.get(name, name) for name in names} or set(MEASUREMENTS)
    return [name for name in MEASUREMENTS if name in wanted]


def _corpus(given: Path | None) -> Path | None:
    """The folder of real blocks: given, by DRAWBRIDGE_DATA, or beside the checkout; None where there is none."""
    named = data_path()
    for folder in (given, Path(named) if named else None, CORPUS):
        if folder is not None and folder.is_dir():
            return folder
    return None
