"""Admins can replace the privacy notice. No row: the default one of the site."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130a"
down_revision = "20261129f"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "privacy_notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_privacy_notice_only_one"),
        sa.PrimaryKeyConstraint("id", name="pk_privacy_notice"),
    )


def downgrade() -> None:
    op.drop_table("privacy_notice")
