"""The tables. What a row means is said where it is written; migrations/ makes them, and a test keeps the two equal."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata: Final = MetaData()
_Seq = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER PRIMARY KEY is SQLite's own row number

journal: Final = Table(
    "journal",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("event", LargeBinary, nullable=False),
    Column("step", LargeBinary),  # null: a quiet step, written by `form`
    Column("form", Integer, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

journal_forms: Final = Table(
    "journal_forms",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("tail", LargeBinary, nullable=False, unique=True),
)

snapshots: Final = Table(
    "snapshots",
    metadata,
    Column("seq", _Seq, primary_key=True, autoincrement=False),
    Column("state", LargeBinary, nullable=False),  # zlib
    Column("hash", LargeBinary, nullable=False),
    Column("finalised", Boolean, nullable=False),
)

blobs: Final = Table(
    "blobs",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

authorised_withdrawals: Final = Table(
    "authorised_withdrawals",
    metadata,
    Column("ledger", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("token", Text, nullable=False),  # 0x and 40 hex digits
    Column("to", Text, nullable=False),
    Column("amount", Text, nullable=False),  # decimal, smallest unit: 256 bits do not fit a number
    Column("authorised_at", BigInteger, nullable=False),  # nanoseconds UTC
    Column("hmac", LargeBinary, nullable=False),
    UniqueConstraint("ledger", "id", name="authorised_withdrawals_once"),
)

ledger_watermarks: Final = Table(
    "ledger_watermarks",
    metadata,
    Column("id", _Seq, primary_key=True, autoincrement=True),
    Column("ledger", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),  # nanoseconds UTC
    Column("hmac", LargeBinary, nullable=False),
    Index("ledger_watermarks_newest", "ledger", "sequence", "at"),
)

commands: Final = Table(
    "commands",
    metadata,
    Column("id", _Seq, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("submitted_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("done_at", BigInteger),
    Column("ok", Boolean),
    Column("answer", Text),
    Index("commands_waiting", "done_at", "id"),
    sqlite_autoincrement=True,
)
