"""Blocks as a node tells them, in raw JSON: real mainnet ones, or synthetic ones of the same shape where there is none.

They are put behind each other into one chain of 12-second blocks, so that windows fill as they do in service: numbers,
hashes and times are written anew, the rest stays what mainnet held.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

FILE: Final = Path("blocks") / "mainnet_full.jsonl.xz"
SLOT_S: Final = 12
GENESIS: Final = 1_750_000_000
FIRST: Final = 20_000_000
TRANSFER: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

Json = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """One block with its receipts and, where the corpus has them, its call trees."""

    block: Json
    receipts: list[Json]
    calls: list[Json | None]


@dataclass(frozen=True)
class Corpus:
    """`real` is False where the blocks are synthetic."""

    blocks: tuple[Source, ...]
    real: bool
    origin: str

    @property
    def transactions(self) -> int:
        return sum(len(source.block["transactions"]) for source in self.blocks)


@dataclass(frozen=True)
class Told:
    """One block's answers as raw bytes, by what is asked for."""

    number: int
    timestamp: int
    block: bytes
    logs: bytes
    receipts: dict[str, bytes]
    calls: dict[str, bytes] = field(default_factory=dict)
    count: int = 0


def read(data: Path | None) -> Corpus:
    """The corpus under `data`, else synthetic blocks."""
    path = data / FILE if data is not None else None
    if path is None or not path.exists():
        return Corpus(tuple(_synthetic(Random(f"block {n}"), n) for n in range(30)), False, "30 synthetic blocks")
    with lzma.open(path, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    blocks = tuple(Source(r["block"], r["receipts"], r["calls"] or []) for r in rows)
    return Corpus(blocks, True, f"{len(blocks)} mainnet blocks of 2017 to 2025")


def chain(corpus: Corpus, *, rounds: int) -> Iterator[Told]:
    """The blocks `rounds` times over as one chain, each made when asked for."""
    for place in range(rounds * len(corpus.blocks)):
        again, which = divmod(place, len(corpus.blocks))
        yield told(corpus.blocks[which], place, mark=f"{again:04x}")


def as_mined(source: Source) -> Told:
    """The block exactly as mainnet has it."""
    return _told(source.block, source)


def told(source: Source, place: int, *, mark: str) -> Told:
    """The block at another place of another chain; `mark` keeps its transactions' hashes apart from other rounds'."""
    number, text = FIRST + place, f"0x{place + 1:064x}"
    transactions = [tx | {"hash": tx["hash"][:-4] + mark} for tx in source.block["transactions"]]
    block = source.block | {
        "number": hex(number),
        "hash": text,
        "parentHash": f"0x{place:064x}",
        "timestamp": hex(GENESIS + SLOT_S * place),
        "transactions": transactions,
    }
    receipts = [_moved(receipt, number, text, mark) for receipt in source.receipts]
    return _told(block, Source(block, receipts, source.calls))


def _moved(receipt: Json, number: int, block_hash: str, mark: str) -> Json:
    name = receipt["transactionHash"][:-4] + mark
    place = {"blockNumber": hex(number), "blockHash": block_hash, "transactionHash": name}
    return receipt | place | {"logs": [log | place for log in receipt["logs"]]}


def _told(block: Json, source: Source) -> Told:
    names = [tx["hash"] for tx in block["transactions"]]
    calls = zip(names, source.calls, strict=False)
    return Told(
        number=int(block["number"], 16),
        timestamp=int(block["timestamp"], 16),
        block=_bytes(block),
        logs=_bytes([log for receipt in source.receipts for log in receipt["logs"]]),
        receipts={receipt["transactionHash"]: _bytes(receipt) for receipt in source.receipts},
        calls={name: _bytes(tree) for name, tree in calls if tree is not None},
        count=len(names),
    )


def _bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _synthetic(random: Random, number: int) -> Source:
    """300 transactions, two of three to a token, logs and calldata as many as on mainnet; nothing in them is real."""
    people = [f"0x{random.randbytes(20).hex()}" for _ in range(400)]
    tokens = [f"0x{Random(f'token {n}').randbytes(20).hex()}" for n in range(40)]
    busy = [f"0x{Random(f'busy {n}').randbytes(20).hex()}" for n in range(20)]
    transactions, receipts = [], []
    for index in range(300):
        sender = random.choice(busy if index % 25 == 0 else people)
        name = f"0x{random.randbytes(32).hex()}"
        to, taker = random.choice(tokens if index % 3 else people), random.choice(people)
        transactions.append(_synthetic_transaction(random, name, sender, to, taker if index % 3 else ""))
        logs = [_synthetic_log(random, name, to, sender, taker, index)] if index % 3 else []
        receipts.append(
            {"transactionHash": name, "status": "0x1", "gasUsed": "0xc350", "effectiveGasPrice": hex(10**10)}
            | {"transactionIndex": hex(index), "logs": logs}
        )
    header = {"number": hex(number), "hash": f"0x{number:064x}", "parentHash": f"0x{number:064x}"}
    fields = {"timestamp": hex(GENESIS), "gasLimit": hex(36_000_000), "gasUsed": hex(15_000_000), "miner": people[0]}
    return Source(header | fields | {"baseFeePerGas": hex(10**9), "transactions": transactions}, receipts, [])


def _synthetic_transaction(random: Random, name: str, sender: str, to: str, taker: str) -> Json:
    data = "0xa9059cbb" + taker[2:].rjust(64, "0") + f"{random.randrange(10**20):064x}" if taker else "0x"
    if random.random() < 0.3:
        data += random.randbytes(32 * random.randrange(4, 40)).hex()
    return {
        "hash": name,
        "from": sender,
        "to": to,
        "nonce": hex(random.randrange(10_000)),
        "value": "0x0" if taker else hex(random.randrange(10**19)),
        "gas": "0x186a0",
        "input": data,
        "type": "0x2",
        "chainId": "0x1",
        "maxFeePerGas": hex(3 * 10**10),
        "maxPriorityFeePerGas": hex(10**9),
        "accessList": [],
        "v": "0x1",
        "yParity": "0x1",
        "r": f"0x{random.randbytes(32).hex()}",
        "s": f"0x{random.randbytes(32).hex()}",
    }


def _synthetic_log(random: Random, name: str, token: str, sender: str, taker: str, index: int) -> Json:
    topics = [TRANSFER, "0x" + sender[2:].rjust(64, "0"), "0x" + taker[2:].rjust(64, "0")]
    place = {"transactionHash": name, "logIndex": hex(index), "removed": False}
    return {"address": token, "topics": topics, "data": f"0x{random.randrange(10**20):064x}"} | place
