"""People can choose light or dark pages. NULL: nothing chosen, so the browser's choice counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261201a"
down_revision = "20261130a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Both databases take the check of a new column in one statement.
    op.execute(
        sa.text(
            "ALTER TABLE annotator ADD COLUMN appearance VARCHAR(12) "
            "CONSTRAINT ck_annotator_appearance_known "
            "CHECK (appearance IN ('system', 'light', 'dark'))"
        )
    )


def downgrade() -> None:
    op.drop_column("annotator", "appearance")
