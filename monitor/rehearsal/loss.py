"""What the attackers gained, in units and in dollars, read from the chain alone.

Loss of a token = growth of the attackers' balances of it. Loss of ether = the same plus the gas that they burned, since
that came out of what they hold. Flash loans net out within their transaction. `write_chain` leaves all that is needed
to find the same figures without anything of ours.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.rehearsal.scenario import Script
from monitor.rehearsal.stage import ETHER_ASSET, Stage, dump_json

RULE = "token: growth of the attackers' balances after from_block; ether: plus the gas they paid; never below 0"


@dataclass(frozen=True, slots=True)
class Holdings:
    """Balances of all attackers together, by token address, at one block."""

    block: int
    amounts: dict[str, int]


async def holdings(stage: Stage, script: Script, *, at: int | None = None) -> Holdings:
    """Read at the head, or at an earlier block."""
    number = int((await stage.builder.head())["number"], 16) if at is None else at
    amounts: dict[str, int] = {}
    for token in script.tokens:
        total = 0
        for who in script.attackers:
            if token.address == ETHER_ASSET:
                total += await stage.balance(who, at=number)
            else:
                total += int(await stage.read(token.address, "balanceOf(address)", who, at=number))
        amounts[token.address] = total
    return Holdings(number, amounts)


async def loss_between(stage: Stage, script: Script, before: Holdings, after: Holdings) -> dict[str, int]:
    """Units lost by token between two readings, the attackers' costs added back; never below zero."""
    lost = {t: max(after.amounts[t] - before.amounts[t], 0) for t in after.amounts}
    if ETHER_ASSET in lost:
        spent = await _spent(stage, script, before.block, after.block)
        gained = after.amounts[ETHER_ASSET] - before.amounts[ETHER_ASSET] + spent
        lost[ETHER_ASSET] = max(gained, 0)
    return lost


def in_usd(script: Script, lost: dict[str, int]) -> int:
    """Micro-dollars at the script's fixed prices."""
    return sum(lost.get(t.address, 0) * t.usd // 10**t.decimals for t in script.tokens)


async def write_chain(stage: Stage, script: Script, directory: Path, before: Holdings) -> None:
    """Blocks, receipts, state, and who is watched: what a script recomputes the loss from."""
    await stage.builder.dump(directory, balances_of=script.attackers)
    watched = {
        "attackers": script.attackers,
        "victims": script.victims,
        "tokens": [{"address": t.address, "decimals": t.decimals, "usd_micro": t.usd} for t in script.tokens],
        "ether": ETHER_ASSET,
        "from_block": before.block,
        "rule": RULE,
    }
    await asyncio.to_thread(dump_json, directory / "watched.json", watched)


async def _spent(stage: Stage, script: Script, first: int, last: int) -> int:
    """Gas that the attackers paid."""
    own = {who.lower() for who in script.attackers}
    total = 0
    for block in stage.builder.blocks:
        if first < block.number <= last:
            for body, receipt in zip(block.mined.block["transactions"], block.mined.receipts, strict=True):
                total += _cost(body, receipt, own)
    return total


def _cost(body: dict[str, Any], receipt: dict[str, Any], own: set[str]) -> int:
    if str(receipt["from"]).lower() not in own:
        return 0
    return int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
