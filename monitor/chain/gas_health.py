"""Can each key pay for its responses? Ten actions' worth of gas is healthy; less than two is none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from monitor.chain.rpc import Nodes
from monitor.model.errors import DrawbridgeError
from monitor.model.events import HealthSeen
from monitor.model.ports import Signer
from monitor.model.units import shown

ACTION_GAS: Final = 500_000
GAS_PRICE: Final = 50 * 10**9  # wei; a busy block
HEALTHY, LEAST = 10, 2  # actions


async def gas_health(nodes: Nodes, signers: Iterable[Signer]) -> list[HealthSeen]:
    """One HealthSeen for each key on this chain; unknown where no node answers (and then head health says so)."""
    found = []
    for signer in signers:
        try:
            word = await nodes.first("eth_getBalance", [shown(signer.address), "latest"], into=str)
        except DrawbridgeError:
            continue
        actions = int(word, 16) // (ACTION_GAS * GAS_PRICE)
        level = 1.0 if actions >= HEALTHY else 0.5 if actions >= LEAST else 0.0
        why = f"gas for {min(actions, 1_000)} actions; fund {shown(signer.address)} where that is under {HEALTHY}"
        found.append(HealthSeen(component=f"gas:{signer.name}", level=level, why=why))
    return found
