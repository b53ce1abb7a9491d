"""When the password was last entered in a session, so that dangerous changes can ask again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129d"
down_revision = "20261129c"
branch_labels = None
depends_on = None


def upgrade() -> None:
    when = sa.DateTime(timezone=True)
    op.add_column("login_session", sa.Column("password_at", when, nullable=True))
    op.execute(sa.text("UPDATE login_session SET password_at = created_at"))


def downgrade() -> None:
    op.drop_column("login_session", "password_at")
