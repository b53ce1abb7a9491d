"""Admins add images in the browser, and can hide the checklist of the first steps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261201d"
down_revision = "20261201c"
branch_labels = None
depends_on = None

OPEN = sa.text("state = 'receiving' OR state = 'checking'")


def upgrade() -> None:
    op.create_table(
        "image_import",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("fingerprint", sa.String(16), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('receiving', 'checking', 'cancelled', 'done')",
            name="ck_image_import_state_known",
        ),
        sa.CheckConstraint("size >= 0", name="ck_image_import_size_not_negative"),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["annotator.id"], name="fk_image_import_owner_id_annotator"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_image_import"),
    )
    op.create_index(
        "uq_image_import_name",
        "image_import",
        ["name"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.add_column(
        "annotator",
        sa.Column("hides_checklist", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    op.drop_column("annotator", "hides_checklist")
    op.drop_table("image_import")
