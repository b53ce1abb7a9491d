"""Model runs: one at a time, how far, the model; who published which; what to ask next."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122c"
down_revision = "20261122b"
branch_labels = None
depends_on = None

# No process of the older version is at work while the tables change.
END_TRAINING = (
    "UPDATE model_run SET status = 'failed', problem = 'interrupted: the site was upgraded' "
    "WHERE status = 'training'"
)
FORMER_PUBLICATIONS = (
    "INSERT INTO publication (model_run_id, at) SELECT id, published_at FROM model_run "
    "WHERE published_at IS NOT NULL ORDER BY published_at, id"
)


def upgrade() -> None:
    op.add_column("model_run", sa.Column("beat_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("model_run", sa.Column("progress", sa.JSON(), nullable=True))
    op.add_column("model_run", sa.Column("model", sa.LargeBinary(), nullable=True))
    op.add_column("proposal", sa.Column("ask", sa.SmallInteger(), nullable=True))
    op.execute(sa.text(END_TRAINING))
    op.create_index(
        "uq_model_run_training",
        "model_run",
        ["dataset_id"],
        unique=True,
        sqlite_where=sa.text("status = 'training'"),
        postgresql_where=sa.text("status = 'training'"),
    )
    op.create_table(
        "publication",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_run_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_run_id"], ["model_run.id"], name="fk_publication_model_run_id_model_run"
        ),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_publication_annotator_id_annotator"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_publication"),
    )
    op.create_index("ix_publication_model_run_id", "publication", ["model_run_id"], unique=False)
    op.execute(sa.text(FORMER_PUBLICATIONS))


def downgrade() -> None:
    op.drop_table("publication")
    op.drop_index("uq_model_run_training", "model_run")
    op.drop_column("proposal", "ask")
    for name in ("model", "progress", "beat_at"):
        op.drop_column("model_run", name)
