"""People can change the keys of the pages where they judge images. NULL: the keys of the site."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129e"
down_revision = "20261129d"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("annotator", sa.Column("keys", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("annotator", "keys")
