"""Journal, snapshots, blobs, ledger and commands; the journal refuses every UPDATE and DELETE."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_APPEND_ONLY = ("journal", "journal_forms")
_Seq = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _journal()
    _snapshots()
    _ledger()
    _commands()
    guard = _guard_sqlite if op.get_bind().dialect.name == "sqlite" else _guard_postgres
    guard()


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("seq", _Seq, primary_key=True, autoincrement=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("event", sa.LargeBinary, nullable=False),
        sa.Column("step", sa.LargeBinary),
        sa.Column("form", sa.Integer, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "journal_forms",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("tail", sa.LargeBinary, nullable=False, unique=True),
    )


def _snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("seq", _Seq, primary_key=True, autoincrement=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("finalised", sa.Boolean, nullable=False),
    )
    op.create_table(
        "blobs",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def _ledger() -> None:
    op.create_table(
        "authorised_withdrawals",
        sa.Column("ledger", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("chain_id", sa.BigInteger, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("to", sa.Text, nullable=False),
        sa.Column("amount", sa.Text, nullable=False),
        sa.Column("authorised_at", sa.BigInteger, nullable=False),
        sa.Column("hmac", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("ledger", "id", name="authorised_withdrawals_once"),
    )
    op.create_table(
        "ledger_watermarks",
        sa.Column("id", _Seq, primary_key=True, autoincrement=True),
        sa.Column("ledger", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("hmac", sa.LargeBinary, nullable=False),
    )
    op.create_index("ledger_watermarks_newest", "ledger_watermarks", ["ledger", "sequence", "at"])


def _commands() -> None:
    op.create_table(
        "commands",
        sa.Column("id", _Seq, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("submitted_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger),
        sa.Column("ok", sa.Boolean),
        sa.Column("answer", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("commands_waiting", "commands", ["done_at", "id"])


def _guard_sqlite() -> None:
    for table in _APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    # INSERT OR REPLACE deletes without firing the trigger above.
    op.execute(
        "CREATE TRIGGER journal_no_replace BEFORE INSERT ON journal "
        "WHEN NEW.seq <= (SELECT max(seq) FROM journal) "
        "BEGIN SELECT RAISE(ABORT, 'journal is append-only'); END"
    )


def _guard_postgres() -> None:
    op.execute(
        "CREATE FUNCTION drawbridge_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION drawbridge_append_only()"
        )
