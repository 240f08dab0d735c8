"""The exchange's side of the SQL ledger: authorises withdrawals and says up to where the feed is complete.

Used by rehearsals and tests, and the reference for an exchange that writes the tables itself. Never part of a running
monitor: one that could authorise withdrawals would be worth stealing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.model.errors import Unreachable
from monitor.model.events import LedgerComplete, WithdrawalAuthorised
from monitor.model.ports import Clock
from monitor.model.units import Address, ChainId, Instant, Wei, shown
from monitor.store.database import connect, place, writing
from monitor.store.ledger import checked_key, watermark_hmac, withdrawal_hmac
from monitor.store.tables import authorised_withdrawals as withdrawals
from monitor.store.tables import ledger_watermarks as watermarks

_LOCK_KEY: Final = 0x6C65_6467_6572  # "ledger"


@dataclass(frozen=True, slots=True)
class _Withdrawal:
    ledger: str
    sequence: int
    id: str
    chain_id: int
    token: str
    to: str
    amount: str
    authorised_at: int
    hmac: bytes = b""


@dataclass(frozen=True, slots=True)
class _Watermark:
    ledger: str
    sequence: int
    at: int
    hmac: bytes = b""


class LedgerWriter:
    """Writes one ledger of a migrated store. Connects on first use; its owner closes it."""

    def __init__(self, url: str, name: str, key: bytes, *, clock: Clock) -> None:
        self._name = name
        self._key = checked_key(name, key)
        self._clock = clock
        self._where = place(url)
        self._engine = connect(self._where, pool=1)

    async def close(self) -> None:
        await self._engine.dispose()

    async def authorise(
        self, chain_id: ChainId, token: Address, *, to: Address, amount: Wei, id: str = ""
    ) -> WithdrawalAuthorised:
        """Allow `amount` to leave to `to`. Raises Unreachable, also where the id is taken."""
        async with writing(self._engine, self._what, error=Unreachable) as open:
            sequence = await self._last(open) + 1
            now, id = self._clock.now(), id or f"{self._name}-{sequence}"
            row = _Withdrawal(self._name, sequence, id, chain_id, shown(token), shown(to), str(amount), now)
            await open.execute(insert(withdrawals), _values(replace(row, hmac=withdrawal_hmac(self._key, row))))
        return WithdrawalAuthorised(
            ledger=self._name,
            id=id,
            chain_id=chain_id,
            token=token,
            to=to,
            amount=amount,
            authorised_at=now,
            sequence=sequence,
        )

    async def complete(self) -> LedgerComplete:
        """Sign that every row that exists now has been delivered. Raises Unreachable."""
        async with writing(self._engine, self._what, error=Unreachable) as open:
            row = _Watermark(self._name, await self._last(open), self._clock.now())
            await open.execute(insert(watermarks), _values(replace(row, hmac=watermark_hmac(self._key, row))))
        return LedgerComplete(ledger=self._name, sequence=row.sequence, at=Instant(row.at))

    async def _last(self, open: AsyncConnection) -> int:
        """The newest sequence, all other writers shut out until commit: none shows before an earlier one."""
        if self._where.kind == "postgresql":
            await open.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        query = select(func.max(withdrawals.c.sequence)).where(withdrawals.c.ledger == self._name)
        return await open.scalar(query) or 0

    @property
    def _what(self) -> str:
        return f"ledger {self._name} at {self._where.shown}"


def _values(row: _Withdrawal | _Watermark) -> dict[str, Any]:
    return {field: getattr(row, field) for field in row.__slots__}
