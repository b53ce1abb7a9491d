"""The first tables: data sets, people, votes, consensus, model runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122a"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "annotator",
    "dataset",
    "login_failure",
    "image",
    "invite",
    "login_session",
    "model_run",
    "consensus",
    "invite_use",
    "lease",
    "proposal",
    "vote",
)

VOTE_COLUMNS = (
    "id", "image_id", "annotator_id", "answer", "mode", "request_id", "blind", "shown_run_id",
    "shown_label", "elapsed_ms", "created_at",
)  # fmt: skip

SQLITE_TRIGGERS = (
    """
    CREATE TRIGGER vote_no_delete BEFORE DELETE ON vote
    BEGIN SELECT RAISE(ABORT, 'votes are append-only: set superseded_at instead'); END
    """,
    f"""
    CREATE TRIGGER vote_no_update BEFORE UPDATE ON vote
    WHEN NOT (
        OLD.superseded_at IS NULL AND NEW.superseded_at IS NOT NULL
        AND {" AND ".join(f"NEW.{name} IS OLD.{name}" for name in VOTE_COLUMNS)}
    )
    BEGIN SELECT RAISE(ABORT, 'votes are append-only: only superseded_at is set, once'); END
    """,
)

POSTGRES_TRIGGERS = (
    """
    CREATE FUNCTION vote_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND OLD.superseded_at IS NULL AND NEW.superseded_at IS NOT NULL
           AND to_jsonb(NEW) - 'superseded_at' = to_jsonb(OLD) - 'superseded_at' THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'votes are append-only: only superseded_at is set, once'
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER vote_no_update BEFORE UPDATE OR DELETE ON vote
    FOR EACH ROW EXECUTE FUNCTION vote_guard()
    """,
    """
    CREATE TRIGGER vote_no_truncate BEFORE TRUNCATE ON vote
    FOR EACH STATEMENT EXECUTE FUNCTION vote_guard()
    """,
)


def upgrade() -> None:
    _create_annotator()
    _create_dataset()
    _create_login_failure()
    _create_image()
    _create_invite()
    _create_login_session()
    _create_model_run()
    _create_consensus()
    _create_invite_use()
    _create_lease()
    _create_proposal()
    _create_vote()
    for statement in SQLITE_TRIGGERS if _is_sqlite() else POSTGRES_TRIGGERS:
        op.execute(sa.text(statement))


def downgrade() -> None:
    if _is_sqlite():
        op.execute("DROP TRIGGER vote_no_delete")
        op.execute("DROP TRIGGER vote_no_update")
    for table in reversed(TABLES):
        op.drop_table(table)
    if not _is_sqlite():
        op.execute("DROP FUNCTION vote_guard()")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _create_annotator() -> None:
    op.create_table(
        "annotator",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("username", sa.String(length=60), nullable=False),
        sa.Column("pseudonym", sa.String(length=20), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deactivated_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('annotator', 'supervisor', 'admin')", name="ck_annotator_role_known"
        ),
        sa.CheckConstraint("username = lower(username)", name="ck_annotator_username_lower"),
        sa.PrimaryKeyConstraint("id", name="pk_annotator"),
        sa.UniqueConstraint("pseudonym", name="uq_annotator_pseudonym"),
        sa.UniqueConstraint("username", name="uq_annotator_username"),
    )


def _create_dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("attribute_names", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dataset"),
        sa.UniqueConstraint("name", name="uq_dataset_name"),
    )
    op.create_index(
        "uq_dataset_active",
        "dataset",
        ["active"],
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    )


def _create_login_failure() -> None:
    op.create_table(
        "login_failure",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_login_failure"),
    )
    op.create_index("ix_login_failure_key_at", "login_failure", ["key", "at"], unique=False)


def _create_image() -> None:
    op.create_table(
        "image",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("filename", sa.String(length=400), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("byte_size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("identity", sa.Integer(), nullable=True),
        sa.Column("partition", sa.SmallInteger(), nullable=True),
        sa.Column("attribute_bits", sa.BigInteger(), nullable=True),
        sa.Column("landmarks", sa.JSON(), nullable=True),
        sa.CheckConstraint(
            "(status = 'broken') = (problem IS NOT NULL)", name="ck_image_problem_if_broken"
        ),
        sa.CheckConstraint("status IN ('unchecked', 'ok', 'broken')", name="ck_image_status_known"),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_image_dataset_id_dataset"),
        sa.PrimaryKeyConstraint("id", name="pk_image"),
        sa.UniqueConstraint("dataset_id", "filename", name="uq_image_dataset_id_filename"),
    )
    op.create_index("ix_image_dataset_id_status", "image", ["dataset_id", "status"], unique=False)


def _create_invite() -> None:
    op.create_table(
        "invite",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("max_uses", sa.Integer(), nullable=False),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('annotator', 'supervisor', 'admin')", name="ck_invite_role_known"
        ),
        sa.CheckConstraint("max_uses >= 1", name="ck_invite_max_uses_positive"),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["annotator.id"], name="fk_invite_created_by_id_annotator"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_invite"),
        sa.UniqueConstraint("token_hash", name="uq_invite_token_hash"),
    )


def _create_login_session() -> None:
    op.create_table(
        "login_session",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("user_agent", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_login_session_annotator_id_annotator"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_login_session"),
        sa.UniqueConstraint("token_hash", name="uq_login_session_token_hash"),
    )
    op.create_index(
        "ix_login_session_annotator_id", "login_session", ["annotator_id"], unique=False
    )


def _create_model_run() -> None:
    op.create_table(
        "model_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(length=60), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'published') = (published_at IS NOT NULL)",
            name="ck_model_run_published_at_if_published",
        ),
        sa.CheckConstraint(
            "status IN ('training', 'published', 'failed')", name="ck_model_run_status_known"
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name="fk_model_run_dataset_id_dataset"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_model_run"),
    )
    op.create_index(
        "ix_model_run_dataset_id_published_at",
        "model_run",
        ["dataset_id", "published_at"],
        unique=False,
    )


def _create_consensus() -> None:
    op.create_table(
        "consensus",
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("label", sa.String(length=12), nullable=True),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("votes_left", sa.SmallInteger(), nullable=False),
        sa.Column("votes_center", sa.SmallInteger(), nullable=False),
        sa.Column("votes_right", sa.SmallInteger(), nullable=False),
        sa.Column("votes_unsure", sa.SmallInteger(), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("random_key", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(status = 'agreed') = (label IS NOT NULL)", name="ck_consensus_label_if_agreed"
        ),
        sa.CheckConstraint(
            "label IS NULL OR label IN ('left', 'center', 'right')", name="ck_consensus_label_known"
        ),
        sa.CheckConstraint(
            "status IN ('open', 'agreed', 'contested')", name="ck_consensus_status_known"
        ),
        sa.CheckConstraint(
            "(label IS NULL) = (probability IS NULL)", name="ck_consensus_probability_if_label"
        ),
        sa.CheckConstraint(
            "priority = votes_left + votes_center + votes_right + votes_unsure",
            name="ck_consensus_priority_counts_votes",
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name="fk_consensus_dataset_id_dataset"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_consensus_image_id_image"),
        sa.PrimaryKeyConstraint("image_id", name="pk_consensus"),
    )
    op.create_index(
        "ix_consensus_queue",
        "consensus",
        ["dataset_id", "status", "priority", "random_key"],
        unique=False,
    )


def _create_invite_use() -> None:
    op.create_table(
        "invite_use",
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("invite_id", sa.Integer(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_invite_use_annotator_id_annotator"
        ),
        sa.ForeignKeyConstraint(
            ["invite_id"], ["invite.id"], name="fk_invite_use_invite_id_invite"
        ),
        sa.PrimaryKeyConstraint("annotator_id", name="pk_invite_use"),
    )
    op.create_index("ix_invite_use_invite_id", "invite_use", ["invite_id"], unique=False)


def _create_lease() -> None:
    op.create_table(
        "lease",
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("shown_run_id", sa.Integer(), nullable=True),
        sa.Column("shown_label", sa.String(length=12), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "shown_label IS NULL OR shown_label IN ('left', 'center', 'right')",
            name="ck_lease_shown_label_known",
        ),
        sa.CheckConstraint(
            "(shown_run_id IS NULL) = (shown_label IS NULL)",
            name="ck_lease_shown_run_if_shown_label",
        ),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_lease_annotator_id_annotator"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_lease_image_id_image"),
        sa.ForeignKeyConstraint(
            ["shown_run_id"], ["model_run.id"], name="fk_lease_shown_run_id_model_run"
        ),
        sa.PrimaryKeyConstraint("image_id", "annotator_id", name="pk_lease"),
    )
    op.create_index("ix_lease_annotator_id", "lease", ["annotator_id"], unique=False)
    op.create_index("ix_lease_expires_at", "lease", ["expires_at"], unique=False)


def _create_proposal() -> None:
    op.create_table(
        "proposal",
        sa.Column("model_run_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("p_left", sa.Double(), nullable=False),
        sa.Column("p_center", sa.Double(), nullable=False),
        sa.Column("p_right", sa.Double(), nullable=False),
        sa.CheckConstraint(
            "p_left >= 0 AND p_center >= 0 AND p_right >= 0 "
            "AND abs(p_left + p_center + p_right - 1) < 0.0001",
            name="ck_proposal_probabilities_sum_to_one",
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_proposal_image_id_image"),
        sa.ForeignKeyConstraint(
            ["model_run_id"], ["model_run.id"], name="fk_proposal_model_run_id_model_run"
        ),
        sa.PrimaryKeyConstraint("model_run_id", "image_id", name="pk_proposal"),
    )
    op.create_index("ix_proposal_image_id", "proposal", ["image_id"], unique=False)


def _create_vote() -> None:
    op.create_table(
        "vote",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(length=12), nullable=False),
        sa.Column("mode", sa.String(length=12), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("shown_run_id", sa.Integer(), nullable=True),
        sa.Column("shown_label", sa.String(length=12), nullable=True),
        sa.Column("elapsed_ms", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "answer IN ('left', 'center', 'right', 'unsure')", name="ck_vote_answer_known"
        ),
        sa.CheckConstraint("mode IN ('single')", name="ck_vote_mode_known"),
        sa.CheckConstraint(
            "shown_label IS NULL OR shown_label IN ('left', 'center', 'right')",
            name="ck_vote_shown_label_known",
        ),
        sa.CheckConstraint(
            "(shown_run_id IS NULL) = (shown_label IS NULL)",
            name="ck_vote_shown_run_if_shown_label",
        ),
        sa.CheckConstraint("NOT blind OR shown_label IS NULL", name="ck_vote_blind_shows_nothing"),
        sa.CheckConstraint(
            "elapsed_ms IS NULL OR elapsed_ms >= 0", name="ck_vote_elapsed_ms_positive"
        ),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_vote_annotator_id_annotator"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_vote_image_id_image"),
        sa.ForeignKeyConstraint(
            ["shown_run_id"], ["model_run.id"], name="fk_vote_shown_run_id_model_run"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_vote"),
        sa.UniqueConstraint("request_id", name="uq_vote_request_id"),
    )
    op.create_index("ix_vote_annotator_id_id", "vote", ["annotator_id", "id"], unique=False)
    op.create_index(
        "uq_vote_current",
        "vote",
        ["image_id", "annotator_id"],
        unique=True,
        sqlite_where=sa.text("superseded_at IS NULL"),
        postgresql_where=sa.text("superseded_at IS NULL"),
    )
