"""Indexes with which votes and labels are counted without reading their rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261203a"
down_revision = "20261202b"
branch_labels = None
depends_on = None

TALLY = (
    "campaign_id",
    "status",
    "label",
    "method",
    "votes_left",
    "votes_center",
    "votes_right",
    "votes_unsure",
)
SUPERSEDED = sa.text("superseded_at IS NOT NULL")
NO_YAW = sa.text("yaw_deg IS NULL")


def upgrade() -> None:
    op.drop_index("ix_vote_superseded", "vote")
    op.create_index(
        "ix_vote_counted", "vote", ["annotator_id", "campaign_id", "superseded_at", "mode"]
    )
    op.drop_index("ix_consensus_tally", "consensus")
    op.create_index("ix_consensus_tally", "consensus", [*TALLY, "probability"])
    op.create_index(
        "ix_image_no_yaw",
        "image",
        ["dataset_id", "status"],
        sqlite_where=NO_YAW,
        postgresql_where=NO_YAW,
    )


def downgrade() -> None:
    op.drop_index("ix_image_no_yaw", "image")
    op.drop_index("ix_consensus_tally", "consensus")
    op.create_index("ix_consensus_tally", "consensus", [*TALLY])
    op.drop_index("ix_vote_counted", "vote")
    op.create_index(
        "ix_vote_superseded",
        "vote",
        ["annotator_id"],
        sqlite_where=SUPERSEDED,
        postgresql_where=SUPERSEDED,
    )
