"""People can choose a language. NULL: nothing chosen, so the browser's wish counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261202b"
down_revision = "20261202a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("annotator", sa.Column("language", sa.String(12)))


def downgrade() -> None:
    op.drop_column("annotator", "language")
