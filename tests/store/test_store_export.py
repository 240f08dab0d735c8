"""The export: an outsider recomputes the whole chain from it with nothing but JSON and SHA-256."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from monitor.model import codec
from monitor.model.errors import Unreachable
from monitor.store.export import export
from monitor.store.journal import SqlJournal
from tests.store.store_builders import entries
from tests.store.store_under_test import Store


async def exported(store: Store, count: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    async with await SqlJournal.open(store.url) as journal:
        if journal.head.seq == 0:
            await journal.append(entries(1, count))
    file = store.directory / "journal.jsonl"
    assert await export(store.url, file) == count
    header, *rows = map(json.loads, _lines(file))
    return header, rows


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines()


def chain(rows: list[dict[str, Any]]) -> str:
    """The header's rule, written by somebody who has never seen our code."""
    before = b"\x00" * 32
    for row in rows:
        event, step = row["event"].encode(), row["step"].encode()
        numbers = b"".join(number.to_bytes(8, "big") for number in (row["seq"], row["seen_at"], len(event)))
        before = hashlib.sha256(before + numbers + event + step).digest()
        assert before.hex() == row["hash"]
    return before.hex()


@pytest.mark.parametrize("count", [0, 3, 1_200])
async def test_an_outsider_recomputes_every_hash(store: Store, count: int) -> None:
    header, rows = await exported(store, count)
    assert header["rows"] == len(rows) == count
    assert header["format"] == "drawbridge journal 1"
    assert chain(rows) == header["head"]


async def test_steps_are_exported_whole_also_quiet_ones(store: Store) -> None:
    _, rows = await exported(store, 4)
    assert [row["step"].encode() for row in rows] == [codec.encode(step) for _, step in entries(1, 4)]


async def test_a_damaged_journal_is_exported_as_it_is(store: Store) -> None:
    await exported(store, 4)
    await store.execute("UPDATE journal SET event = $1 WHERE seq = 2", b"\xff\xfe")
    await store.execute("UPDATE journal SET form = 9 WHERE seq = 4")
    _, rows = await exported(store, 4)
    assert rows[1]["event_hex"] == "fffe"
    assert rows[3]["step"] is None


async def test_a_place_that_cannot_be_written_is_told_in_one_line(store: Store) -> None:
    with pytest.raises(Unreachable, match=r"^export ") as refused:
        await export(store.url, store.directory / "none" / "journal.jsonl")
    assert "\n" not in str(refused.value)
