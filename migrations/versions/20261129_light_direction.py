"""Proposals have the direction of the light, and the number of faces in the photograph."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129f"
down_revision = "20261129e"
branch_labels = None
depends_on = None

DIRECTION = ("azimuth_deg", "azimuth_spread_deg", "strength")


def upgrade() -> None:
    for name in DIRECTION:
        op.add_column("proposal", sa.Column(name, sa.Double(), nullable=True))
    op.add_column("proposal", sa.Column("n_faces", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    for name in ("n_faces", *reversed(DIRECTION)):
        op.drop_column("proposal", name)
