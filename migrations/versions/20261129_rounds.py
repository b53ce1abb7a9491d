"""Qualification rounds are stored: which it is, after which vote it began, which vote ended one.

Until now a round began when the participation last changed, and the vote that ended one had the
time of the change that it brought.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129a"
down_revision = "20261122c"
branch_labels = None
depends_on = None

_EXERCISES = (
    "FROM vote WHERE vote.campaign_id = participation.campaign_id "
    "AND vote.annotator_id = participation.annotator_id AND vote.mode = 'training'"
)
FORMER_ROUNDS = (
    "UPDATE participation SET "
    f"round_after_vote = (SELECT coalesce(max(vote.id), 0) {_EXERCISES} "
    "AND vote.created_at <= participation.changed_at), "
    f"ended_by_vote = (SELECT max(vote.id) {_EXERCISES} "
    "AND vote.created_at = participation.changed_at)"
)


def upgrade() -> None:
    op.add_column("participation", _counter("round_number", sa.Integer(), "1"))
    op.add_column("participation", _counter("round_after_vote", sa.BigInteger(), "0"))
    op.add_column("participation", sa.Column("ended_by_vote", sa.BigInteger(), nullable=True))
    op.execute(sa.text(FORMER_ROUNDS))


def downgrade() -> None:
    for name in ("ended_by_vote", "round_after_vote", "round_number"):
        op.drop_column("participation", name)


def _counter(name: str, kind: sa.types.TypeEngine[int], former: str) -> sa.Column[int]:
    return sa.Column(name, kind, nullable=False, server_default=former)
