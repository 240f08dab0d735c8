"""A configuration and a journal that the real core wrote under it: one theft, paused and verified."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from monitor.clock import ManualClock
from monitor.core.step import Core
from monitor.model.chain import Reading
from monitor.model.events import (
    AnyEvent,
    CandidatesRehearsed,
    ConfigurationLoaded,
    ResponseBroadcast,
    Stamped,
    TransactionMined,
)
from monitor.model.incidents import Step
from monitor.model.units import SECOND, Instant
from monitor.settings import Settings, load
from monitor.store.journal import SqlJournal
from monitor.store.migrate import migrate
from monitor.version import CODE_VERSION
from monitor.wiring_core import core_of
from tests.core.builders import START, a, broadcast, head, included, mined, rehearsal, signed, verified

TOKEN = "a token for the tests of the cli"


def configured(folder: Path, **sections: Any) -> str:
    """Write drawbridge.yaml into the folder; its path."""
    whole = {
        "version": 1,
        "store": "sqlite:///journal.db",
        "chains": [{"name": "devnet", "chain_id": 31_337, "rpc": ["ws://127.0.0.1:9", "ws://127.0.0.1:10"]}],
        "operators": [
            {"name": "alice", "role": "admin", "token_env": "ALICE_TOKEN"},
            {"name": "wall", "role": "viewer", "token_env": "WALL_TOKEN"},
        ],
        "assets": [
            {
                "name": "vault",
                "kind": "contract",
                "chain": "devnet",
                "address": "0x" + a(1).hex(),
                "outage_usd_per_min": 1,
                "value_usd": 10_000_000,
                "autonomy": {"class_2": "L3"},
                "pause": {"via": "guardian", "guardian": "0x" + a(0x60).hex()},
                "invariants": ["held() >= owed()"],
            }
        ],
        "signers": {"guardian-key": {"rpc": "http://127.0.0.1:9", "address": "0x" + a(5).hex()}},
        "responders": {"pause": {"signer": "guardian-key"}},
        "prices": {"static": {"devnet:native": {"usd": 4_000}}},
    } | sections
    path = folder / "drawbridge.yaml"
    path.write_text(json.dumps(whole, indent=1))
    return str(path)


class Scribe:
    """Feeds a core and writes what it concludes."""

    def __init__(self, settings: Settings, journal: SqlJournal, *, seq: int = 0) -> None:
        self.settings, self.journal, self.seq = settings, journal, seq
        self.core: Core = core_of(settings, clock=ManualClock(START * SECOND))
        self.steps: list[Step] = []

    async def write(self, *events: AnyEvent) -> Step:
        for event in events:
            self.seq += 1
            stamped = Stamped(self.seq, Instant((START + self.seq) * SECOND), event)
            step = self.core.step(stamped)
            await self.journal.append([(stamped, step)])
            self.steps.append(step)
        return self.steps[-1]

    async def start(self, code_version: str = CODE_VERSION) -> None:
        """As a process does first."""
        settings = self.settings
        await self.journal.put_blob(settings.content)
        digest = settings.digest
        await self.write(
            ConfigurationLoaded(settings=digest, policy=digest, code_version=code_version, mode=settings.mode)
        )


def theft(scribe: Scribe) -> TransactionMined:
    """A mined transaction that breaks the vault's invariant."""
    held, owed = scribe.settings.assets[0].invariants[0].probes
    readings = (
        Reading(held, (1_000).to_bytes(32, "big"), (900).to_bytes(32, "big")),
        Reading(owed, (1_000).to_bytes(32, "big"), (1_000).to_bytes(32, "big")),
    )
    event = mined(to=a(1))
    return replace(event, effects=replace(event.effects, readings=readings))


async def write_theft(
    path: str,
    *,
    code_version: str = CODE_VERSION,
    more: Sequence[AnyEvent] = (),
    sent: ResponseBroadcast | None = None,
) -> str:
    """A whole incident, from the theft to the verified pause, or to what became of sending it; the id of the pause."""
    settings = load(path, secrets=False)
    await migrate(settings.store)
    async with await SqlJournal.open(settings.store) as journal:
        scribe = Scribe(settings, journal)
        await scribe.start(code_version)
        await scribe.write(head(9), head(10))
        step = await scribe.write(theft(scribe))
        action = step.rehearse[0].actions[0]
        await scribe.write(CandidatesRehearsed(incident=action.incident, rehearsals=(rehearsal(action.id),)))
        if sent is not None:
            await scribe.write(replace(sent, action_id=action.id))
            return action.id
        await scribe.write(signed(action.id), broadcast(action.id), head(11), included(action.id), head(12))
        await scribe.write(verified(action.id), *more)
    return action.id
