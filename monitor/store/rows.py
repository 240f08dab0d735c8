"""What a journal row is: the bytes of an event and of its step, and the hash that chains it to the row before.

    hash = SHA-256( hash of the row before ‖ seq ‖ seen_at ‖ length of event ‖ event ‖ step )

with the three numbers as 8 bytes big-endian, and 32 zero bytes before row 1. The length keeps a byte from moving
between event and step unseen. Pure; anyone can recompute it with a SHA-256 and the exported file.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from monitor.model import codec
from monitor.model.errors import JournalLost
from monitor.model.events import Stamped
from monitor.model.incidents import Step
from monitor.model.units import NO_HASH, Hash

HASH_RULE: Final = (
    "hash = sha256(previous hash + seq + seen_at + length of event + event + step); numbers as 8 bytes big-endian; "
    "event and step as the UTF-8 bytes of the strings; the hash before row 1 is 32 zero bytes"
)
NOT_QUIET: Final = 0
_NUMBERS: Final = struct.Struct(">qqq")
_QUIET_HEAD: Final = b'{"seq":'


class Row(NamedTuple):
    """A row as it is stored. `step` is None for a quiet step, whose bytes `form` gives back."""

    seq: int
    seen_at: int
    event: bytes
    step: bytes | None
    form: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row: where the chain ends."""

    seq: int = 0
    hash: Hash = NO_HASH
    seen_at: int = 0


def row_hash(before: bytes, seq: int, *, seen_at: int, event: bytes, step: bytes) -> Hash:
    """The hash of one row, by the rule above."""
    hasher = hashlib.sha256(before)
    hasher.update(_NUMBERS.pack(seq, seen_at, len(event)))
    hasher.update(event)
    hasher.update(step)
    return Hash(hasher.digest())


def quiet_tail() -> bytes:
    """What follows the number in the bytes of a quiet step, as this code version writes them."""
    return codec.encode(Step(0)).removeprefix(_QUIET_HEAD + b"0")


def quiet_step(seq: int, tail: bytes) -> bytes:
    return _QUIET_HEAD + b"%d" % seq + tail


def step_bytes(row: Row, forms: Mapping[int, bytes]) -> bytes | None:
    """The step's exact bytes; None where the row's form is not what it must be."""
    if row.step is not None:
        return row.step if row.form == NOT_QUIET else None
    tail = forms.get(row.form)
    return None if tail is None else quiet_step(row.seq, tail)


def verified_step(before: bytes, row: Row, forms: Mapping[int, bytes]) -> bytes | None:
    """The step's exact bytes if the row's hash follows from `before`, else None. Believes no type of the database."""
    step = step_bytes(row, forms)
    if step is None or not isinstance(row.seen_at, int) or row.event is None:
        return None
    return step if row_hash(before, row.seq, seen_at=row.seen_at, event=row.event, step=step) == row.hash else None


def link(head: Head, entries: Iterable[tuple[Stamped, Step]], *, form: int, tail: bytes) -> list[Row]:
    """Rows for `entries` behind `head`, which they must follow without a gap. Raises JournalLost."""
    rows: list[Row] = []
    seq, before = head.seq, head.hash
    for stamped, step in entries:
        if stamped.seq != seq + 1 or step.seq != stamped.seq:
            raise JournalLost(f"journal: event {stamped.seq} with step {step.seq} cannot follow row {seq}; no gaps")
        seq = stamped.seq
        event, concluded, before = _chained(before, stamped, step)
        quiet = concluded == quiet_step(seq, tail)
        rows.append(
            Row(seq, stamped.seen_at, event, None if quiet else concluded, form if quiet else NOT_QUIET, before)
        )
    return rows


def _chained(before: Hash, stamped: Stamped, step: Step) -> tuple[bytes, bytes, Hash]:
    try:
        event, concluded = codec.encode(stamped.event), codec.encode(step)
        return event, concluded, row_hash(before, stamped.seq, seen_at=stamped.seen_at, event=event, step=concluded)
    except (ValueError, TypeError, RecursionError, struct.error) as error:
        raise JournalLost(f"journal: event {stamped.seq} has no canonical bytes: {str(error)[:120]}") from error
