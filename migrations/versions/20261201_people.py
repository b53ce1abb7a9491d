"""Messages, flags on images, answers sent back, reset links for passwords, display names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261201c"
down_revision = "20261201b"
branch_labels = None
depends_on = None

REASONS = "'light', 'faces', 'damaged', 'unsuitable', 'other'"


def upgrade() -> None:
    op.add_column(
        "annotator",
        sa.Column("display_name", sa.String(length=60), server_default="", nullable=False),
    )
    _create_password_reset()
    _create_message()
    _create_image_flag()
    _create_returned_answer()


def downgrade() -> None:
    op.drop_table("returned_answer")
    op.drop_table("image_flag")
    op.drop_table("message")
    op.drop_table("password_reset")
    op.drop_column("annotator", "display_name")


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=f"fk_{table}_{column}_{target}")


def _time(name: str, nullable: bool = True) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _number(name: str, nullable: bool = False) -> sa.Column[sa.Integer]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _create_password_reset() -> None:
    table = "password_reset"
    op.create_table(
        table,
        _number("id"),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        _number("annotator_id"),
        _number("created_by_id", nullable=True),
        _time("created_at", nullable=False),
        _time("expires_at", nullable=False),
        _time("used_at"),
        _time("revoked_at"),
        _reference(table, "annotator_id", "annotator"),
        _reference(table, "created_by_id", "annotator"),
        sa.PrimaryKeyConstraint("id", name="pk_password_reset"),
        sa.UniqueConstraint("token_hash", name="uq_password_reset_token_hash"),
    )
    op.create_index("ix_password_reset_annotator_id", table, ["annotator_id"])


def _create_message() -> None:
    table = "message"
    op.create_table(
        table,
        _number("id"),
        _number("annotator_id"),
        _number("author_id"),
        sa.Column("text", sa.Text(), nullable=False),
        _time("created_at", nullable=False),
        _time("read_at"),
        _reference(table, "annotator_id", "annotator"),
        _reference(table, "author_id", "annotator"),
        sa.PrimaryKeyConstraint("id", name="pk_message"),
    )
    op.create_index("ix_message_annotator_id", table, ["annotator_id", "id"])
    op.create_index("ix_message_author_id", table, ["author_id", "created_at"])
    _create_partial("ix_message_unread", table, ["annotator_id"], "read_at IS NULL", unique=False)


def _create_image_flag() -> None:
    table = "image_flag"
    op.create_table(
        table,
        _number("id"),
        _number("campaign_id"),
        _number("image_id"),
        _number("annotator_id"),
        sa.Column("reason", sa.String(length=12), nullable=False),
        sa.Column("note", sa.String(length=300), nullable=False),
        _time("created_at", nullable=False),
        _time("settled_at"),
        _number("settled_by_id", nullable=True),
        sa.CheckConstraint(f"reason IN ({REASONS})", name="ck_image_flag_reason_known"),
        _reference(table, "campaign_id", "campaign"),
        _reference(table, "image_id", "image"),
        _reference(table, "annotator_id", "annotator"),
        _reference(table, "settled_by_id", "annotator"),
        sa.PrimaryKeyConstraint("id", name="pk_image_flag"),
    )
    who = ["campaign_id", "image_id", "annotator_id"]
    _create_partial("uq_image_flag_open", table, who, "settled_at IS NULL")
    op.create_index("ix_image_flag_annotator_id", table, ["annotator_id", "created_at"])


def _create_returned_answer() -> None:
    table = "returned_answer"
    op.create_table(
        table,
        _number("id"),
        sa.Column("vote_id", sa.BigInteger(), nullable=False),
        _number("annotator_id"),
        _number("returned_by_id"),
        _time("returned_at", nullable=False),
        _time("withdrawn_at"),
        _reference(table, "vote_id", "vote"),
        _reference(table, "annotator_id", "annotator"),
        _reference(table, "returned_by_id", "annotator"),
        sa.PrimaryKeyConstraint("id", name="pk_returned_answer"),
    )
    _create_partial("uq_returned_answer_open", table, ["vote_id"], "withdrawn_at IS NULL")
    op.create_index("ix_returned_answer_annotator_id", table, ["annotator_id", "id"])


def _create_partial(
    name: str, table: str, columns: list[str], where: str, *, unique: bool = True
) -> None:
    condition = sa.text(where)
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )
