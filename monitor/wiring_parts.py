"""Small pieces that wiring puts between the layers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monitor.chain.rpc import Nodes
from monitor.chain.simulate import NodeSimulator
from monitor.core.step import Core
from monitor.model.events import AnyEvent, Fault
from monitor.model.policy import ChainRule
from monitor.model.units import Address, ChainId, Usd, Wei
from monitor.settings_schema import ChainShape
from monitor.sources.latest import Latest
from monitor.sources.watch import Watch
from monitor.store.anchor import Anchor
from monitor.store.journal import SqlJournal

MOST_SAID: Final = 300  # characters of a kill file


@dataclass(slots=True)
class WiredChain:
    """One chain's effects."""

    shape: ChainShape
    rule: ChainRule
    nodes: Nodes
    simulator: NodeSimulator
    latest: Latest
    watch: Watch


@dataclass(frozen=True, slots=True)
class CorePrices:
    """The core's prices of this moment: a restore gives the core another state."""

    core: Core

    def usd(self, chain_id: ChainId, token: Address, amount: Wei) -> Usd | None:
        return self.core.context.prices.usd(chain_id, token, amount)


class Anchoring:
    """The anchor as a source, so that a file that cannot be written becomes a Fault and stops nothing."""

    name = "anchor"

    def __init__(self, anchor: Anchor, journal: SqlJournal) -> None:
        self._anchor, self._journal = anchor, journal

    async def events(self) -> AsyncIterator[AnyEvent]:
        await self._anchor.keep(self._journal)
        yield Fault(where="anchor", what="ended")


def killed_by(kill_file: Path) -> str:
    """Why nothing may be signed, and what the file says of who made it; empty where it is not there."""
    if not kill_file.exists():
        return ""
    try:
        with kill_file.open(encoding="utf-8", errors="replace") as opened:
            said = opened.read(MOST_SAID).strip()
    except OSError:
        said = ""  # that it is there is what counts
    return f"kill file {kill_file} is there{': ' if said else ''}{said}"
