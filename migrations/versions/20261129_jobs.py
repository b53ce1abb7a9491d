"""Background jobs are kept in the database; each consensus row knows the rules it follows.

Jobs had a file of their own, which lost a job as soon as a worker had taken it. A row without a
version of the rules is derived again by the worker, so this also finds what was lost before.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129b"
down_revision = "20261129a"
branch_labels = None
depends_on = None

_STATES = "state IN ('queued', 'running', 'done', 'failed', 'cancelled')"


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("queue", sa.String(20), nullable=False),
        sa.Column("subject", sa.Integer(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("owner_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("worker", sa.String(120), nullable=True),
        sa.Column("beats", sa.Integer(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(_STATES, name="ck_job_state_known"),
        sa.CheckConstraint(
            "(state = 'running') = (worker IS NOT NULL)", name="ck_job_worker_if_running"
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["annotator.id"], name="fk_job_owner_id_annotator"),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
    )
    op.create_index("ix_job_state_queue", "job", ["state", "queue"])
    op.add_column("consensus", sa.Column("rules_version", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("consensus", "rules_version")
    op.drop_table("job")
