"""The studio: turns of heads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261202a"
down_revision = "20261201e"
branch_labels = None
depends_on = None

TABLE = "head_turn"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=True),
        sa.Column("campaign_id", sa.Integer(), nullable=True),
        sa.Column("image_id", sa.Integer(), nullable=True),
        sa.Column("subset_id", sa.Integer(), nullable=True),
        sa.Column("source_name", sa.String(400), nullable=False),
        sa.Column("keeps_upload", sa.Boolean(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("summary", sa.JSON(), nullable=True),
        sa.Column("share_hash", sa.String(64), nullable=True),
        sa.Column("shared_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(share_hash IS NULL) = (shared_at IS NULL)", name="ck_head_turn_time_if_shared"
        ),
        sa.CheckConstraint(
            "(summary IS NULL) = (finished_at IS NULL)", name="ck_head_turn_summary_if_finished"
        ),
        _reference("owner_id", "annotator"),
        _reference("dataset_id", "dataset", ondelete="SET NULL"),
        _reference("campaign_id", "campaign", ondelete="SET NULL"),
        _reference("image_id", "image", ondelete="SET NULL"),
        _reference("subset_id", "subset", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name="pk_head_turn"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_head_turn_owner_id", TABLE, ["owner_id"])
    op.create_index("ix_head_turn_image_id", TABLE, ["image_id"])
    op.create_index("uq_head_turn_share_hash", TABLE, ["share_hash"], unique=True)


def downgrade() -> None:
    op.drop_table(TABLE)


def _reference(column: str, target: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    name = f"fk_{TABLE}_{column}_{target}"
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=name, ondelete=ondelete)
