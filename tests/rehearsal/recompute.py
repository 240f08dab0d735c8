"""Recompute the losses of a rehearsal from the chains that it wrote, and from nothing else.

python recompute.py DIRECTORY     prints {chain directory: {loss: {token: units}, loss_usd: micro-dollars}}

This file imports nothing of Drawbridge and reads no report: blocks.json, receipts.json, state.json and watched.json of
each chain/ directory are all that it opens. Tokens are counted by their Transfer logs; ether by the balances after the
last block, less those before, plus the gas that the attackers paid themselves.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"  # Transfer(address,address,uint256)


def number(text: str) -> int:
    return int(text, 16)


def read(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_text())


def moved(receipts: list, token: str, own: set, first: int) -> int:  # type: ignore[type-arg]
    """What the attackers gained of a token after block `first`, by its own logs."""
    gained = 0
    for receipt in receipts:
        if number(receipt["blockNumber"]) <= first:
            continue
        for log in receipt["logs"]:
            if log["address"].lower() != token.lower() or log["topics"][0] != TRANSFER or len(log["topics"]) != 3:
                continue
            sender, receiver = ("0x" + topic[-40:] for topic in log["topics"][1:])
            amount = number(log["data"])
            gained += amount * (receiver.lower() in own) - amount * (sender.lower() in own)
    return gained


def ether(directory: Path, receipts: list, own: set, first: int) -> int:  # type: ignore[type-arg]
    """What the attackers gained of ether after block `first`, the gas that they paid counted back."""
    balances = read(directory, "state.json")["balances"]
    last = max(int(block) for block in balances)
    total = {block: sum(number(amount) for amount in balances[str(block)].values()) for block in (first, last)}
    paid = sum(
        number(receipt["gasUsed"]) * number(receipt["effectiveGasPrice"])
        for receipt in receipts
        if receipt["from"].lower() in own and number(receipt["blockNumber"]) > first
    )
    return total[last] - total[first] + paid


def consistent(directory: Path, receipts: list) -> None:  # type: ignore[type-arg]
    """Every transaction of a whole chain of blocks has its receipt, and nothing else has one."""
    blocks = read(directory, "blocks.json")
    for parent, child in pairwise(blocks):
        assert child["parentHash"] == parent["hash"]
        assert number(child["number"]) == number(parent["number"]) + 1
    listed = [tx["hash"] for block in blocks for tx in block["transactions"]]
    assert listed == [receipt["transactionHash"] for receipt in receipts]


def loss(directory: Path) -> dict:  # type: ignore[type-arg]
    watched, receipts = read(directory, "watched.json"), read(directory, "receipts.json")
    consistent(directory, receipts)
    own, first = {who.lower() for who in watched["attackers"]}, watched["from_block"]
    lost, usd = {}, 0
    for token in watched["tokens"]:
        address = token["address"]
        if address == watched["ether"]:
            gained = ether(directory, receipts, own, first)
        else:
            gained = moved(receipts, address, own, first)
        lost[address] = max(gained, 0)
        usd += lost[address] * token["usd_micro"] // 10 ** token["decimals"]
    return {"loss": {address: str(units) for address, units in lost.items()}, "loss_usd": usd}


if __name__ == "__main__":
    root = Path(sys.argv[1])
    found = {str(path.parent.relative_to(root)): loss(path.parent) for path in sorted(root.rglob("watched.json"))}
    json.dump(found, sys.stdout, indent=1)
