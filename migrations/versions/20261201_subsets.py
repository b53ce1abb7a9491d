"""Subsets: a filter of images under a name, or an exact list of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261201b"
down_revision = "20261201a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "subset",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=True),
        sa.Column("filter", sa.JSON(), nullable=True),
        sa.Column("sha256", sa.String(64), nullable=True),
        sa.Column("count", sa.Integer(), nullable=True),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(sha256 IS NULL) = (count IS NULL)", name="ck_subset_count_if_frozen"),
        sa.CheckConstraint(
            "filter IS NOT NULL OR sha256 IS NOT NULL", name="ck_subset_filter_or_list"
        ),
        sa.CheckConstraint(
            "filter IS NULL OR campaign_id IS NOT NULL", name="ck_subset_campaign_if_filter"
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name="fk_subset_dataset_id_dataset"
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name="fk_subset_campaign_id_campaign"
        ),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["annotator.id"], name="fk_subset_created_by_id_annotator"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_subset"),
    )
    op.create_index(
        "uq_subset_name",
        "subset",
        ["name"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "subset_image",
        sa.Column("subset_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subset_id"], ["subset.id"], name="fk_subset_image_subset_id_subset"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_subset_image_image_id_image"),
        sa.PrimaryKeyConstraint("subset_id", "image_id", name="pk_subset_image"),
    )


def downgrade() -> None:
    op.drop_table("subset_image")
    op.drop_index("uq_subset_name", "subset")
    op.drop_table("subset")
