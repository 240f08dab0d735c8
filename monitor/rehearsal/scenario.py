"""What a scenario is: it sets a stage, says what is protected, and plays an attack or a busy day on it.

`prepare` deploys and returns the Script: the owner's configuration and who the attackers are. `play` is the same with
and without a defence; the difference of the two losses is what was saved. Attackers react to what they see on chain, as
real ones do; they never look into the defence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from monitor.rehearsal.builder_slot import LatencyProfile
from monitor.rehearsal.stage import Deployed, Person, Stage


@dataclass(frozen=True, slots=True)
class Priced:
    """A token that counts, `usd` micro-dollars for one whole."""

    address: str  # 0xee… for ether
    decimals: int
    usd: int


@dataclass(slots=True)
class Script:
    """What `prepare` leaves for the run: the owner's side and, apart from it, the attackers'."""

    assets: list[dict[str, Any]]
    tokens: list[Priced]
    attackers: list[str] = field(default_factory=list)  # keys and contracts that hold loot
    victims: list[str] = field(default_factory=list)
    ledgers: dict[str, Any] = field(default_factory=dict)
    labels: list[dict[str, Any]] = field(default_factory=list)
    nodes: int = 2
    cast: dict[str, Any] = field(default_factory=dict)  # the scenario's own people and contracts
    secrets: dict[str, str] = field(default_factory=dict)
    responders: list[str] = field(default_factory=list)  # addresses whose transactions are our responses


class Scenario(Protocol):
    name: str
    title: str
    based_on: str
    benign: bool
    variant: str

    async def prepare(self, stage: Stage) -> Script: ...

    async def play(self, stage: Stage, script: Script) -> None: ...


@dataclass(frozen=True, slots=True)
class Play:
    """How one scenario is to be run."""

    scenario: Scenario
    seed: int
    mode: str
    profile: LatencyProfile
    fork_url: str | None = None  # play on a fork of this node instead of an empty chain


AUTOMATIC = {"class_0": "L3", "class_1": "L3", "class_2": "L3", "class_3": "L2"}


async def make_guardian(
    stage: Stage, targets: Sequence[Deployed], *, uses: int = 3, max_duration_s: int = 86_400
) -> Deployed:
    """A Guardian over the targets, armed for the responder; the targets must let it pause them already or later."""
    guardian = await stage.deploy("Guardian", stage.admin, 60, max_duration_s, 7 * 86_400, 30 * 86_400, uses)
    await stage.setup(stage.admin, guardian, "setPauser(address)", stage.responder)
    for target in targets:
        await register(stage, guardian, target)
    await stage.builder.seal()
    return guardian


async def register(stage: Stage, guardian: Deployed, target: Deployed) -> None:
    """Put one target under the Guardian (in the block that is sealed next)."""
    await stage.setup(stage.admin, guardian, "register(address)", target)


async def let_pause(stage: Stage, guardian: Deployed, targets: Sequence[Deployed]) -> None:
    """Give the Guardian the pauser role of each target, as their owner, and register them."""
    for target in targets:
        await stage.setup(stage.admin, target, "setPauser(address,bool)", guardian, True)
    await stage.builder.seal()
    for target in targets:
        await register(stage, guardian, target)
    await stage.builder.seal()


def contract_asset(
    name: str, target: Deployed, guardian: Deployed, *, tokens: Sequence[Priced], family: str, **more: Any
) -> dict[str, Any]:
    """A protected contract paused through the guardian, at full autonomy for classes 1 and 2."""
    return {
        "name": name,
        "kind": "contract",
        "chain": "devnet",
        "address": target.address,
        "owner": "dao",
        "family": family,
        "tokens": [{"address": t.address, "decimals": t.decimals} for t in tokens],
        "pause": {"via": "guardian", "guardian": guardian.address, "signer": "guardian-key", "duration_s": 3_600},
        "outage_usd_per_min": 100,
        "autonomy": AUTOMATIC,
    } | more


async def give(stage: Stage, token: Deployed, who: Person | Deployed, amount: int) -> None:
    """Mint to somebody (in the block that is sealed next)."""
    await stage.setup(stage.admin, token, "mint(address,uint256)", who, amount)
