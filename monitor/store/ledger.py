"""A feed of authorised withdrawals in SQL: what may leave, and up to where the feed is complete. Read only.

Each row and each watermark carries an HMAC-SHA256 under a key shared with the exchange, over this JSON without spaces:

    ["drawbridge withdrawal 1",ledger,sequence,id,chain_id,token,to,amount,authorised_at]    amount as a string
    ["drawbridge watermark 1",ledger,sequence,at]

Sequences count from 1 without a gap. Delivery stops at the first row that is missing or does not verify, and no
watermark beyond it is believed: whoever can only write to the database can silence the feed, loudly, but forge nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Table, cast, func, select

from monitor.model import codec
from monitor.model.errors import ConfigurationError, Unreachable
from monitor.model.events import LedgerComplete, WithdrawalAuthorised
from monitor.model.units import ChainId, Instant, Wei, address
from monitor.store.database import connect, place, reading
from monitor.store.tables import authorised_withdrawals as withdrawals
from monitor.store.tables import ledger_watermarks as watermarks

MAX_TEXT: Final = 200
MAX_ROWS: Final = 10_000
LEAST_KEY: Final = 16
_NEWEST: Final = 64  # watermarks looked at, newest first


class SqlLedger:
    """Implements model.ports.LedgerReader. Connects on first use; its owner closes it."""

    def __init__(self, url: str, name: str, key: bytes) -> None:
        self.name = name
        self.rejected = 0  # rows and watermarks whose HMAC or shape is wrong, each counted once
        self.stuck_at: int | None = None  # the sequence at which delivery waits
        self._key = checked_key(name, key)
        self._where = place(url)
        self._engine = connect(self._where, pool=1)
        self._delivered = 0
        self._judged = 0  # highest watermark id already counted as rejected

    async def close(self) -> None:
        await self._engine.dispose()

    async def after(self, sequence: int, limit: int = 1000) -> Sequence[WithdrawalAuthorised]:
        """Rows behind `sequence` in order, up to the first that is missing or bad. Raises Unreachable."""
        query = _rows(self.name, sequence, min(limit, MAX_ROWS))
        async with reading(self._engine, self._what, error=Unreachable) as open:
            found = (await open.execute(query)).all()
        good = self._verified(found, sequence)
        self._delivered = sequence + len(good)
        return good

    async def watermark(self) -> LedgerComplete | None:
        """The newest watermark that verifies and covers only rows that `after` has delivered. Raises Unreachable."""
        query = select(*_bounded(watermarks))
        query = query.where(watermarks.c.ledger == self.name, watermarks.c.sequence <= self._delivered)
        query = query.order_by(watermarks.c.sequence.desc(), watermarks.c.at.desc()).limit(_NEWEST)
        async with reading(self._engine, self._what, error=Unreachable) as open:
            found = (await open.execute(query)).all()
        judged = self._judged
        for row in found:
            if hmac.compare_digest(row.hmac, watermark_hmac(self._key, row)):
                return LedgerComplete(ledger=self.name, sequence=row.sequence, at=Instant(row.at))
            self.rejected += row.id > judged
            self._judged = max(self._judged, row.id)
        return None

    def _verified(self, found: Iterable[Any], after: int) -> list[WithdrawalAuthorised]:
        good: list[WithdrawalAuthorised] = []
        for row in found:
            expected = after + len(good) + 1
            parsed = self._parsed(row) if row.sequence == expected else None
            if parsed is None:
                self._stop_at(expected, bad=row.sequence == expected)
                return good
            good.append(parsed)
        self.stuck_at = None
        return good

    def _stop_at(self, sequence: int, *, bad: bool) -> None:
        self.rejected += bad and self.stuck_at != sequence
        self.stuck_at = sequence

    def _parsed(self, row: Any) -> WithdrawalAuthorised | None:
        if not hmac.compare_digest(row.hmac, withdrawal_hmac(self._key, row)):
            return None
        try:
            return WithdrawalAuthorised(
                ledger=self.name,
                id=row.id,
                chain_id=ChainId(row.chain_id),
                token=address(row.token),
                to=address(row.to),
                amount=amount_of(row.amount),
                authorised_at=Instant(row.authorised_at),
                sequence=row.sequence,
            )
        except ValueError:
            return None

    @property
    def _what(self) -> str:
        return f"ledger {self.name} at {self._where.shown}"


def checked_key(name: str, key: bytes) -> bytes:
    """Refuse a key that can be guessed. Raises ConfigurationError."""
    if len(key) < LEAST_KEY:
        raise ConfigurationError((f"ledgers.{name}: key: {len(key)} bytes are too few; at least {LEAST_KEY}",))
    return key


def withdrawal_hmac(key: bytes, row: Any) -> bytes:
    """What authenticates a row; `row` has the columns of authorised_withdrawals."""
    fields = (row.ledger, row.sequence, row.id, row.chain_id, row.token, row.to, row.amount, row.authorised_at)
    return _hmac(key, ("drawbridge withdrawal 1", *fields))


def watermark_hmac(key: bytes, row: Any) -> bytes:
    """What authenticates a watermark; `row` has the columns of ledger_watermarks."""
    return _hmac(key, ("drawbridge watermark 1", row.ledger, row.sequence, row.at))


def _hmac(key: bytes, fields: tuple[str | int, ...]) -> bytes:
    return hmac.new(key, codec.encode(fields), hashlib.sha256).digest()


def _rows(name: str, after: int, limit: int) -> Select[Any]:
    query = select(*_bounded(withdrawals)).where(withdrawals.c.ledger == name, withdrawals.c.sequence > after)
    return query.order_by(withdrawals.c.sequence).limit(limit)


def _bounded(table: Table) -> list[ColumnElement[Any]]:
    """Columns cut short and of their own type, whatever SQLite let somebody store: a longer one only fails its HMAC."""
    cut = {"Text": MAX_TEXT + 1, "LargeBinary": 64}
    kinds = [(column, type(column.type).__name__) for column in table.c]
    return [
        cast(func.substr(column, 1, cut[kind]), column.type).label(column.name) if kind in cut else column
        for column, kind in kinds
    ]


def amount_of(text: str) -> Wei:
    """Parse a decimal of at most 256 bits. Raises ValueError."""
    if not text.isascii() or not text.isdigit() or len(text) > 78 or int(text) >= 1 << 256:
        raise ValueError(f"amount must be a decimal of at most 256 bits, not {text[:80]!r}")
    return Wei(int(text))
