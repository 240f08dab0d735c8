"""Anchors: the journal's head, signed and written outside the database, so that a rewritten or cut-off one is found.

A file of JSON lines that only grows. Each line says seq and hash of the journal's newest row, names the line before it
by SHA-256, and carries an ECDSA signature (secp256k1, SHA-256, DER) over the line without its signature. Put the file
where the database's owner cannot write, and the public key where neither can. What follows the last anchor may be cut
unseen: that is at most `every_s` seconds of entries after a crash.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from coincurve import PublicKey
from msgspec import Struct

from monitor.model import codec
from monitor.model.errors import JournalLost, Undecodable, Unreachable
from monitor.model.ports import Clock
from monitor.model.units import NO_HASH, SECOND, Hash
from monitor.store.anchor_key import AnchorKey
from monitor.store.rows import Head

MAX_LINE: Final = 4_096
POLL_S: Final = 1.0
Why = Literal["start", "interval", "stop"]


class Anchored(Protocol):
    """What is anchored: a journal with its head in memory."""

    @property
    def head(self) -> Head: ...

    async def hash_at(self, seq: int) -> Hash | None: ...


class Mark(Struct, frozen=True):
    """One line before it is signed."""

    seq: int
    hash: str
    at: int
    why: Why
    before: str  # SHA-256 of the line before, 64 zeros at first


class SignedMark(Struct, frozen=True):
    seq: int
    hash: str
    at: int
    why: Why
    before: str
    signature: str

    @property
    def mark(self) -> Mark:
        return Mark(self.seq, self.hash, self.at, self.why, self.before)


@dataclass(frozen=True, slots=True)
class Anchors:
    """What an anchor file proves: its good lines in order, and the first fault, if any."""

    marks: tuple[SignedMark, ...]
    fault: str
    last: str  # SHA-256 of the last good line
    absent: bool = False


class Anchor:
    """Signs the head of one journal at start, at stop, and in between as often as told."""

    def __init__(
        self, path: Path, key: AnchorKey, *, clock: Clock, every_entries: int = 1_000, every_s: float = 60.0
    ) -> None:
        self._path = path
        self._key = key
        self._clock = clock
        self._every_entries = every_entries
        self._every_ns = int(every_s * SECOND)
        self._before: str | None = None  # None: read from the file first
        self._last = (0, 0)  # seq and instant of the last line
        self._turn = threading.Lock()

    async def start(self, journal: Anchored) -> None:
        """Refuse a journal that is not the one anchored before, then anchor it. Raises JournalLost, Unreachable."""
        found = await asyncio.to_thread(read_anchors, self._path, self._key.public)
        if found.fault and not found.absent:
            raise JournalLost(f"{found.fault}; run `drawbridge audit verify`, then move the file away")
        if found.marks:
            newest = found.marks[-1]
            if await journal.hash_at(newest.seq) != bytes.fromhex(newest.hash):
                raise JournalLost(f"journal: row {newest.seq} is not the one anchored; run `drawbridge audit verify`")
        await self.write(journal.head, "start")

    async def keep(self, journal: Anchored) -> None:
        """Anchor whenever due, until cancelled. Raises Unreachable where the file cannot be written."""
        while True:
            await self._clock.sleep(POLL_S)
            if self.due(journal.head):
                await self.write(journal.head, "interval")

    async def stop(self, journal: Anchored) -> None:
        """Anchor the last row. Raises Unreachable."""
        await self.write(journal.head, "stop")

    async def write(self, head: Head, why: Why) -> None:
        """One more line, flushed to disk on return. Raises Unreachable."""
        try:
            await asyncio.to_thread(self._write, head, why)
        except OSError as error:
            raise Unreachable(f"anchor {self._path}: {error.strerror}; make the file writable") from error

    def due(self, head: Head) -> bool:
        seq, at = self._last
        if head.seq == seq:
            return False
        return head.seq - seq >= self._every_entries or self._clock.now() - at >= self._every_ns

    def _write(self, head: Head, why: Why) -> None:
        """In a thread, to its end even where who waits for it is cancelled: the next line must know of this one."""
        with self._turn:
            if head.seq < self._last[0]:
                return  # its writer was cancelled and came late: a newer row is anchored already
            before, self._before = self._before, None
            if before is None:
                before = read_anchors(self._path, self._key.public).last
            at = self._clock.now()
            line = self._signed(Mark(head.seq, head.hash.hex(), at, why, before))
            _append(self._path, line)
            self._before, self._last = codec.digest(line).hex(), (head.seq, at)

    def _signed(self, mark: Mark) -> bytes:
        signature = self._key.sign(codec.encode(mark)).hex()
        return codec.encode(SignedMark(mark.seq, mark.hash, mark.at, mark.why, mark.before, signature))


def read_anchors(path: Path, public: bytes) -> Anchors:
    """Check every line of an anchor file against the public key. Blocking. Raises Unreachable.

    A line torn by a crash is passed over: were it a good one that somebody spoilt, the next line would not follow.
    """
    marks: list[SignedMark] = []
    before, key = NO_HASH.hex(), PublicKey(public)
    try:
        for line in _lines(path):
            mark = _parsed(line)
            if mark is None:
                continue
            fault = _fault(mark, before, key)
            if fault:
                return Anchors(tuple(marks), f"anchor {path}: {fault}", before)
            marks.append(mark)
            before = codec.digest(line).hex()
    except FileNotFoundError:
        return Anchors((), f"anchor {path}: no such file", before, absent=True)
    except OSError as error:
        raise Unreachable(f"anchor {path}: {error.strerror}; make the file readable") from error
    return Anchors(tuple(marks), "", before)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as handle:
        while line := handle.readline(MAX_LINE):
            yield line.rstrip(b"\n")


def _parsed(line: bytes) -> SignedMark | None:
    try:
        return codec.decode(line, SignedMark)
    except Undecodable:
        return None


def _fault(mark: SignedMark, before: str, key: PublicKey) -> str:
    if mark.before != before:
        return f"a line is missing before the one of row {mark.seq}"
    try:
        good = key.verify(bytes.fromhex(mark.signature), codec.encode(mark.mark))
    except ValueError:
        good = False
    return "" if good else f"the signature at row {mark.seq} is not made by this key"


def _append(path: Path, line: bytes) -> None:
    """Write whole lines only: what a crash tore off gets its own line end first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        text = (b"\n" if torn else b"") + line + b"\n"
        if os.write(handle, text) != len(text):
            raise OSError(28, "No space left on device")
        os.fsync(handle)
    finally:
        os.close(handle)
    if fresh:
        _flush_directory(path.parent)


def _flush_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
