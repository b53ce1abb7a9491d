"""An audit log, browsers that are known to an account, and accounts whose person was erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129c"
down_revision = "20261129b"
branch_labels = None
depends_on = None

KEPT = ("id", "at", "actor_id", "action", "subject_kind", "subject_id", "details")
REFUSED = "the audit log is append-only: only an address is erased"

SQLITE_TRIGGERS = (
    f"""
    CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event
    BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END
    """,
    f"""
    CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event
    WHEN NOT (
        NEW.address IS NULL AND {" AND ".join(f"NEW.{name} IS OLD.{name}" for name in KEPT)}
    )
    BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END
    """,
)

POSTGRES_TRIGGERS = (
    f"""
    CREATE FUNCTION audit_event_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND NEW.address IS NULL
           AND to_jsonb(NEW) - 'address' = to_jsonb(OLD) - 'address' THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION '{REFUSED}' USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER audit_event_no_update BEFORE UPDATE OR DELETE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_event_guard()
    """,
    """
    CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_event_guard()
    """,
)


def upgrade() -> None:
    op.add_column("annotator", sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True))
    _create_known_device()
    _create_audit_event()
    for statement in SQLITE_TRIGGERS if _is_sqlite() else POSTGRES_TRIGGERS:
        op.execute(sa.text(statement))


def downgrade() -> None:
    op.drop_table("audit_event")  # on SQLite its triggers go with it
    if not _is_sqlite():
        op.execute("DROP FUNCTION audit_event_guard()")
    op.drop_table("known_device")
    op.drop_column("annotator", "removed_at")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _create_known_device() -> None:
    op.create_table(
        "known_device",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_known_device_annotator_id_annotator"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_known_device"),
        sa.UniqueConstraint(
            "token_hash", "annotator_id", name="uq_known_device_token_hash_annotator_id"
        ),
    )
    op.create_index("ix_known_device_annotator_id", "known_device", ["annotator_id"])


def _create_audit_event() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Integer(), nullable=True),
        sa.Column("address", sa.String(length=60), nullable=True),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject_kind", sa.String(length=20), nullable=True),
        sa.Column("subject_id", sa.Integer(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["annotator.id"], name="fk_audit_event_actor_id_annotator"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
    )
    op.create_index("ix_audit_event_at", "audit_event", ["at"])
    op.create_index("ix_audit_event_action", "audit_event", ["action", "id"])
    op.create_index("ix_audit_event_actor_id", "audit_event", ["actor_id", "id"])
    op.create_index("ix_audit_event_subject", "audit_event", ["subject_kind", "subject_id", "id"])
