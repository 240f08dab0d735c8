"""The two weights that were measured, counted again on the corpus: real attacks against random normal transactions.

The attacks' labels are their authors'. A list that is younger than an attack may owe its entry to it.
"""

from __future__ import annotations

import json
import lzma
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import beta

from detectors.labelled_destination import LabelledDestination
from detectors.reentrancy_shape import ReentrancyShape, entries_from_within
from monitor.evm.loss import net
from monitor.evm.tokens import transfers_of
from monitor.model.chain import CallFrame, Log
from monitor.model.units import Address, Wei

pytestmark = [pytest.mark.data, pytest.mark.slow]
ROOT = Path(os.environ.get("DRAWBRIDGE_DATA") or Path(__file__).parents[3] / "shared" / "data")
Row = dict[str, Any]


def rows(path: str) -> Iterator[Row]:
    if not ROOT.is_dir():
        pytest.skip(f"no corpus at {ROOT}; set DRAWBRIDGE_DATA")
    with lzma.open(ROOT / path) as lines:
        yield from (json.loads(text) for text in lines)


def raw(text: str | None) -> Address:
    return Address(bytes.fromhex((text or "0x")[2:]))


def wei(text: str) -> Wei:
    """The corpus writes some values in hexadecimal wei and some in decimal ether."""
    return Wei(int(text, 16) if text.startswith("0x") else int(float(text) * 10**18))


def frames(row: Row) -> list[CallFrame]:
    found: list[CallFrame] = []

    def enter(call: Row, depth: int) -> None:
        value, error = wei(call.get("value") or "0x0"), call.get("error") or ""
        data = raw(call.get("input"))[:4]
        found.append(CallFrame(depth, call["type"], raw(call["from"]), raw(call["to"]) or None, value, data, error))
        for inner in call.get("calls") or ():
            enter(inner, depth + 1)

    for call in row["calls"] or ():
        enter(call, 0)
    return found


def moved(row: Row) -> Any:
    logs = [Log(raw(e["address"]), tuple(map(raw, e["topics"])), raw(e["data"])) for e in row["logs"]]
    return transfers_of(logs, None, frames(row))


def counted(shows: Callable[[Row], bool], counts: Callable[[Row], bool]) -> tuple[int, int, int, int]:
    """Hits and transactions among successful attacks, then among normal ones."""
    result: list[int] = []
    for path in ("attacks/attack_traces.jsonl.xz", "attacks/normal_traces.jsonl.xz"):
        population = [row for row in rows(path) if row["status"] and counts(row)]
        result += [sum(map(shows, population)), len(population)]
    return result[0], result[1], result[2], result[3]


def pessimistic(hits: int, attacks: int, false: int, normal: int) -> float:
    """λ of the 5 % quantile of TPR and the 95 % quantile of FPR, from a uniform prior."""
    tpr = beta.ppf(0.05, hits + 1, attacks - hits + 1)
    fpr = beta.ppf(0.95, false + 1, normal - false + 1)
    return math.log(tpr / fpr)


def test_a_listed_counterparty() -> None:
    listed = {raw(row["address"].lower()) for row in rows("labels/malicious_addresses.jsonl.xz")}

    def shows(row: Row) -> bool:
        return bool(({t.to for t in moved(row)} | {raw(row["from"])}) & listed)

    found = counted(shows, lambda row: bool(moved(row)))
    assert found == (22, 206, 1, 1887)
    assert LabelledDestination.about.weight == pytest.approx(pessimistic(*found), abs=0.05)


def test_a_contract_that_is_re_entered_and_poorer() -> None:
    def shows(row: Row) -> bool:
        calls, own = frames(row), {raw(row["from"]), raw(row["to"])}
        contracts = {frame.to for frame in calls if frame.to and frame.kind == "CALL"} - own
        entered = [contract for contract in contracts if entries_from_within(calls, contract)]
        return any(min(net(moved(row), contract).values(), default=0) < 0 for contract in entered)

    found = counted(shows, lambda row: True)
    assert found == (31, 224, 13, 2217)
    assert ReentrancyShape.about.weight == pytest.approx(pessimistic(*found), abs=0.05)
