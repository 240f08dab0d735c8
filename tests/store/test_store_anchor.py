"""Anchors: written when due, linked and signed, and proof against a spoilt file."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from coincurve import PublicKey

from monitor.clock import ManualClock
from monitor.model.errors import ConfigurationError, JournalLost, Unreachable
from monitor.model.units import NO_HASH, Hash
from monitor.store.anchor import Anchor, read_anchors
from monitor.store.anchor_key import AnchorKey, public_path, read_public
from monitor.store.rows import Head


@dataclass
class FakeJournal:
    """A journal whose rows are told."""

    hashes: dict[int, Hash] = field(default_factory=lambda: {0: NO_HASH})

    @property
    def head(self) -> Head:
        seq = max(self.hashes)
        return Head(seq, self.hashes[seq])

    async def hash_at(self, seq: int) -> Hash | None:
        return self.hashes.get(seq)

    def grow(self, seq: int) -> None:
        self.hashes[seq] = Hash(seq.to_bytes(32, "big"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outside" / "anchor.jsonl"


@pytest.fixture
def key(tmp_path: Path) -> AnchorKey:
    return AnchorKey.load(tmp_path / "anchor.key")


async def anchored(path: Path, key: AnchorKey, *seqs: int) -> FakeJournal:
    journal, anchor = FakeJournal(), Anchor(path, key, clock=ManualClock())
    await anchor.start(journal)
    for seq in seqs:
        journal.grow(seq)
        await anchor.write(journal.head, "interval")
    return journal


def seqs(path: Path, key: AnchorKey) -> list[int]:
    return [mark.seq for mark in read_anchors(path, key.public).marks]


async def test_each_line_is_signed_and_names_the_one_before(path: Path, key: AnchorKey) -> None:
    await anchored(path, key, 5, 9)
    found = read_anchors(path, key.public)
    assert [(mark.seq, mark.why) for mark in found.marks] == [(0, "start"), (5, "interval"), (9, "interval")]
    assert found.fault == ""
    assert mode(path) & 0o077 == 0


async def test_an_outsider_can_verify_a_line_with_json_and_ecdsa_alone(path: Path, key: AnchorKey) -> None:
    await anchored(path, key, 5)
    for line in lines_of(path):
        mark = json.loads(line)
        signature = bytes.fromhex(mark.pop("signature"))
        unsigned = json.dumps(mark, separators=(",", ":")).encode()
        assert PublicKey(read_public(public_path(path.parent.parent / "anchor.key"))).verify(signature, unsigned)


async def test_a_restart_goes_on_in_the_same_file(path: Path, key: AnchorKey) -> None:
    journal = await anchored(path, key, 5)
    await Anchor(path, key, clock=ManualClock()).start(journal)
    assert seqs(path, key) == [0, 5, 5]


async def test_a_restart_over_another_journal_is_refused(path: Path, key: AnchorKey) -> None:
    await anchored(path, key, 5)
    with pytest.raises(JournalLost, match="row 5 is not the one anchored; run `drawbridge audit verify`"):
        await Anchor(path, key, clock=ManualClock()).start(FakeJournal())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def replaced(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(lines))


@contextmanager
def in_the_way(path: Path) -> Iterator[None]:
    """A directory stands where the file was."""
    path.rename(path.with_suffix(".aside"))
    path.mkdir()
    yield
    path.rmdir()
    path.with_suffix(".aside").rename(path)


class PatientClock(ManualClock):
    """Lets `naps` polls pass, then ends the keeper."""

    def __init__(self, naps: int) -> None:
        super().__init__()
        self.naps = naps

    async def sleep(self, seconds: float) -> None:
        if self.naps == 0:
            raise asyncio.CancelledError
        self.naps -= 1


async def kept(anchor: Anchor, journal: FakeJournal) -> None:
    with pytest.raises(asyncio.CancelledError):
        await anchor.keep(journal)


async def test_it_anchors_after_so_many_entries(path: Path, key: AnchorKey) -> None:
    journal, clock = FakeJournal(), PatientClock(naps=3)
    anchor = Anchor(path, key, clock=clock, every_entries=10, every_s=1e9)
    await anchor.start(journal)
    journal.grow(9)
    assert not anchor.due(journal.head)
    journal.grow(10)
    await kept(anchor, journal)
    assert seqs(path, key) == [0, 10]


async def test_it_anchors_after_so_long_but_not_the_same_row_twice(path: Path, key: AnchorKey) -> None:
    journal, clock = FakeJournal(), PatientClock(naps=3)
    anchor = Anchor(path, key, clock=clock, every_entries=10, every_s=60)
    await anchor.start(journal)
    clock.advance(61)
    assert not anchor.due(journal.head)
    journal.grow(1)
    await kept(anchor, journal)
    await anchor.stop(journal)
    assert seqs(path, key) == [0, 1, 1]


async def test_a_line_whose_writer_was_cancelled_is_known_to_the_next(path: Path, key: AnchorKey) -> None:
    journal, anchor = FakeJournal(), Anchor(path, key, clock=ManualClock())
    await anchor.start(journal)
    for seq in range(1, 20):
        journal.grow(seq)
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(anchor.write(journal.head, "interval"))
            await asyncio.sleep(0)
            writer.cancel()
    await anchor.stop(journal)
    assert read_anchors(path, key.public).fault == ""
    assert seqs(path, key)[-1] == 19


async def test_after_a_failed_write_the_file_says_what_came_before(path: Path, key: AnchorKey) -> None:
    journal, anchor = FakeJournal(), Anchor(path, key, clock=ManualClock())
    await anchor.start(journal)
    with in_the_way(path), pytest.raises(Unreachable, match="Is a directory"):
        await anchor.write(journal.head, "interval")
    await anchor.write(journal.head, "interval")
    assert seqs(path, key) == [0, 0]


async def test_a_line_torn_by_a_crash_is_passed_over(path: Path, key: AnchorKey) -> None:
    journal = await anchored(path, key, 5)
    with path.open("ab") as handle:
        handle.write(b'{"seq":9,"hash":"00')
    await Anchor(path, key, clock=ManualClock()).start(journal)
    assert seqs(path, key) == [0, 5, 5]
    assert read_anchors(path, key.public).fault == ""


@pytest.mark.parametrize("line", [0, 1, 2])
async def test_a_missing_or_spoilt_line_is_found(path: Path, key: AnchorKey, line: int) -> None:
    await anchored(path, key, 5, 9, 12)
    lines = lines_of(path)
    replaced(path, [*lines[:line], *lines[line + 1 :]])
    assert "a line is missing before" in read_anchors(path, key.public).fault
    replaced(path, [*lines[:line], lines[line].replace(b'"seq":', b'"seq":1'), *lines[line + 1 :]])
    assert "not made by this key" in read_anchors(path, key.public).fault
    with pytest.raises(JournalLost, match="audit verify"):
        await Anchor(path, key, clock=ManualClock()).start(FakeJournal())


async def test_lines_of_another_key_are_not_ours(path: Path, key: AnchorKey, tmp_path: Path) -> None:
    await anchored(path, AnchorKey.load(tmp_path / "thief.key"), 5)
    found = read_anchors(path, key.public)
    assert found.marks == ()
    assert found.fault.endswith("the signature at row 0 is not made by this key")


async def test_an_endless_line_costs_no_memory(path: Path, key: AnchorKey) -> None:
    await anchored(path, key, 5)
    with path.open("ab") as handle:
        handle.write(b"x" * 1_000_000)
    assert seqs(path, key) == [0, 5]


async def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path: Path, key: AnchorKey) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreachable, match="Not a directory; make the file") as refused:
        await Anchor(tmp_path / "file" / "anchor.jsonl", key, clock=ManualClock()).write(Head(), "start")
    assert "\n" not in str(refused.value)


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, again = AnchorKey.load(tmp_path / "keys" / "a.key"), AnchorKey.load(tmp_path / "keys" / "a.key")
    assert first.public == again.public == read_public(tmp_path / "keys" / "a.key.pub")
    assert stat.S_IMODE((tmp_path / "keys" / "a.key").stat().st_mode) == 0o600


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    AnchorKey.load(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="others can read it; run chmod 600"):
        AnchorKey.load(tmp_path / "a.key")


def test_a_key_never_shows_itself(tmp_path: Path) -> None:
    key = AnchorKey.load(tmp_path / "a.key")
    assert (tmp_path / "a.key").read_text().strip() not in repr(key) + str(vars(key))


@pytest.mark.parametrize("text", ["", "zz", "00" * 31, "00" * 32, "é"])
def test_a_file_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.key").write_text(text)
    (tmp_path / "a.key").chmod(0o600)
    with pytest.raises(ConfigurationError, match="it holds no key"):
        AnchorKey.load(tmp_path / "a.key")


def test_another_public_half_beside_the_key_is_refused(tmp_path: Path) -> None:
    AnchorKey.load(tmp_path / "a.key")
    AnchorKey.load(tmp_path / "b.key")
    (tmp_path / "a.key.pub").write_text((tmp_path / "b.key.pub").read_text())
    with pytest.raises(ConfigurationError, match="another key"):
        AnchorKey.load(tmp_path / "a.key")


@pytest.mark.parametrize("text", [None, "zz"])
def test_a_public_key_that_is_none_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "a.pub").write_text(text)
    with pytest.raises(ConfigurationError, match="anchor key"):
        read_public(tmp_path / "a.pub")
