"""The audit of a journal: every hash recomputed, every anchor compared, and the first bad row named.

Reads only, beside a running writer too, and believes nothing that the database says about itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from monitor.model.units import NO_HASH
from monitor.store.anchor import Anchors, read_anchors
from monitor.store.anchor_key import public_path, read_public
from monitor.store.database import connect, place
from monitor.store.journal import read_forms, read_rows
from monitor.store.migrate import require_schema
from monitor.store.rows import Row, verified_step

_TELL_EVERY: Final = 10_000
_NO_ANCHORS: Final = Anchors((), "", NO_HASH.hex())


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What the audit found. `first_bad` is a row's seq, None where the journal is whole or only the anchors are not."""

    rows: int  # that were read and hold
    head: str  # hash of the last of them
    anchors: int  # that were compared and hold
    anchored_to: int  # highest row that an anchor vouches for
    first_bad: int | None = None
    why: str = ""

    @property
    def intact(self) -> bool:
        return not self.why


async def verify(
    store_url: str,
    anchor_path: Path | None,
    public_key: bytes | None = None,
    *,
    progress: Callable[[int], None] = lambda rows: None,
) -> AuditResult:
    """Check the whole journal against its own chain and its anchors. Raises JournalLost where it cannot be read.

    Without `public_key` the one beside the anchor file is believed (`<anchor>.key.pub`): an auditor brings their own.
    `progress` is told the number of rows that hold, every 10,000.
    """
    anchors = await asyncio.to_thread(_anchors, anchor_path, public_key)  # before the rows, which only grow
    where = place(store_url)
    engine = connect(where)
    try:
        await require_schema(engine, where)
        audit = _Audit(anchors, await read_forms(engine))
        async for row in read_rows(engine, 0, None):
            if not audit.takes(row):
                return audit.result
            if audit.result.rows % _TELL_EVERY == 0:
                progress(audit.result.rows)
        return audit.finished()
    finally:
        await engine.dispose()


def key_path(anchor_path: Path) -> Path:
    """Where the anchor's key lies unless the owner says otherwise."""
    return anchor_path.with_name(anchor_path.name + ".key")


def _anchors(path: Path | None, public_key: bytes | None) -> Anchors:
    if path is None:
        return _NO_ANCHORS
    return read_anchors(path, public_key or read_public(public_path(key_path(path))))


class _Audit:
    """One walk along the chain."""

    def __init__(self, anchors: Anchors, forms: Mapping[int, bytes]) -> None:
        self.result = AuditResult(rows=0, head=NO_HASH.hex(), anchors=0, anchored_to=0)
        self._anchors = anchors
        self._forms = forms
        self._marks: dict[int, list[str]] = {}
        for mark in anchors.marks:
            self._marks.setdefault(mark.seq, []).append(mark.hash)
        self._before = bytes(NO_HASH)

    def takes(self, row: Row) -> bool:
        """Whether the row follows; the result says why where it does not."""
        expected = self.result.rows + 1
        if row.seq != expected:
            return self._bad(expected, f"row {expected} is missing: row {row.seq} comes after row {expected - 1}")
        if verified_step(self._before, row, self._forms) is None:
            return self._bad(expected, f"row {expected} was changed or moved: its hash does not follow")
        self._before = row.hash
        self.result = replace(self.result, rows=expected, head=row.hash.hex())
        return expected not in self._marks or self._anchor_holds(expected)

    def finished(self) -> AuditResult:
        """After the last row: is it the last that was anchored, and are the anchors themselves whole?"""
        rows = self.result.rows
        newest = max(self._marks, default=0)
        if newest > rows:
            self._bad(rows + 1, f"rows {rows + 1} to {newest} are missing from the end: row {newest} was anchored")
        elif self._anchors.fault:
            self.result = replace(self.result, why=self._anchors.fault)
        return self.result

    def _anchor_holds(self, seq: int) -> bool:
        hashes, after = self._marks[seq], self.result.anchored_to
        if any(hash != self.result.head for hash in hashes):
            return self._bad(seq, f"row {seq} is not the one that was anchored: rewritten somewhere after row {after}")
        self.result = replace(self.result, anchors=self.result.anchors + len(hashes), anchored_to=seq)
        return True

    def _bad(self, seq: int, why: str) -> bool:
        self.result = replace(self.result, first_bad=seq, why=why)
        return False
