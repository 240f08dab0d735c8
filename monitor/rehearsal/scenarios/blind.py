"""Four nodes: one lies about the head, one stands still, two are honest; and the sockets drop in mid-attack."""

from __future__ import annotations

from monitor.rehearsal.builder_faults import Faults
from monitor.rehearsal.scenario import Script
from monitor.rehearsal.scenarios.bridge_forgery import TOTAL, BridgeForgery, forge, honest_message
from monitor.rehearsal.stage import Person, Stage


class Blind(BridgeForgery):
    name = "blind"
    title = "One node lies, one stalls, and the sockets drop for a minute in mid-attack"
    based_on = "Kelp 2026 (poisoned nodes), monitorism PR 143 and 144"
    variant = "four nodes"

    async def prepare(self, stage: Stage) -> Script:
        script = await super().prepare(stage)
        script.nodes = 4
        return script

    async def play(self, stage: Stage, script: Script) -> None:
        nodes = [e for name, e in sorted(stage.nodes.items())]
        for i in range(4):
            await honest_message(stage, script, i)
            await stage.end_slot()
        for node, faults in zip(nodes, (Faults(lying=True), Faults(stalled=True)), strict=False):
            await node.set_faults(faults)
        for i in range(2):
            await honest_message(stage, script, 10 + i)
            await stage.end_slot()
        thieves: list[Person] = script.cast["thieves"]
        for node in nodes[2:]:
            await node.set_faults(Faults(cut=True))
        await forge(stage, script, thieves[0], 1_000, TOTAL * 12 // 1000, private=True)
        stage.mark_attack()
        await stage.end_slot(patient=False)
        for i in range(4):  # a minute of chain time without a socket; copycats come slowly
            await forge(stage, script, thieves[1 + i], 1_001 + i, TOTAL * 5 // 1000, private=True)
            await stage.end_slot(patient=False)
        for node in nodes[2:]:
            await node.set_faults(Faults())
        await stage.reconnected()
        for round_number in range(3):
            for i, thief in enumerate(thieves):
                number = 2_000 + 100 * round_number + i
                await forge(stage, script, thief, number, TOTAL * 25 // 1000, private=i % 2 == 0)
            await honest_message(stage, script, 60 + round_number)
            await stage.end_slot()
