"""Several campaigns can be active: period, people and groups, archive and deletion.

The active campaign stays active and is open to everybody. Names are unique only among campaigns
that are not archived. Votes can be deleted only with their whole campaign: `deleted_at` marks it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261201e"
down_revision = "20261201d"
branch_labels = None
depends_on = None

KEPT = (
    "id", "dataset_id", "name", "active", "paused_at", "rules", "selection", "guideline",
    "created_by_id", "created_at",
)  # fmt: skip
NEW_COLUMNS = ("starts_at", "ends_at", "restricted", "archived_at", "deleted_at")
NEW_TABLES = (
    "annotator_group", "group_member", "campaign_annotator", "campaign_group", "campaign_choice",
)  # fmt: skip
CHECKS = {
    "ck_campaign_active_is_not_archived": "NOT active OR archived_at IS NULL",
    "ck_campaign_deleted_is_archived": "deleted_at IS NULL OR archived_at IS NOT NULL",
    "ck_campaign_starts_before_end": "starts_at < ends_at",
}
IN_DELETION = (
    "EXISTS (SELECT 1 FROM campaign WHERE campaign.id = OLD.campaign_id "
    "AND campaign.deleted_at IS NOT NULL)"
)
SQLITE_NO_DELETE = """
    CREATE TRIGGER vote_no_delete BEFORE DELETE ON vote {condition}
    BEGIN SELECT RAISE(ABORT, 'votes are append-only: set superseded_at instead'); END
"""
POSTGRES_GUARD = """
    CREATE OR REPLACE FUNCTION vote_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND OLD.superseded_at IS NULL AND NEW.superseded_at IS NOT NULL
           AND to_jsonb(NEW) - 'superseded_at' = to_jsonb(OLD) - 'superseded_at' THEN
            RETURN NEW;
        END IF;
        {deletion}
        RAISE EXCEPTION 'votes are append-only: only superseded_at is set, once'
            USING ERRCODE = 'restrict_violation';
    END $$
"""
# Not one condition with TG_OP: in PostgreSQL a TRUNCATE has no OLD, and AND keeps no order.
POSTGRES_DELETION = f"""
        IF TG_OP = 'DELETE' THEN
            IF {IN_DELETION} THEN
                RETURN OLD;
            END IF;
        END IF;
"""


def upgrade() -> None:
    op.add_column("dataset", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    _change_campaign()
    _create_groups()
    _create_audience()
    # Not by a batch: accounts refer to invites, so SQLite could not drop the table.
    op.execute(
        "ALTER TABLE invite ADD COLUMN group_id INTEGER CONSTRAINT "
        "fk_invite_group_id_annotator_group REFERENCES annotator_group (id)"
    )
    _guard_votes(f"WHEN NOT {IN_DELETION}", POSTGRES_DELETION)


def downgrade() -> None:
    bind = op.get_bind()
    if bind.scalar(sa.text("SELECT count(*) FROM campaign WHERE active")) > 1:
        raise RuntimeError(
            "Several campaigns are active, and the older version knows one. Deactivate the others "
            "first: python manage.py campaigns deactivate NAME"
        )
    if bind.scalar(sa.text("SELECT count(*) FROM campaign WHERE archived_at IS NOT NULL")):
        raise RuntimeError(
            "There are archived campaigns, which the older version does not know. Restore or "
            "delete them first: python manage.py campaigns list --archived"
        )
    _guard_votes("", "")
    op.drop_column("invite", "group_id")
    for table in reversed(NEW_TABLES):
        op.drop_table(table)
    op.drop_column("dataset", "deleted_at")
    if _is_sqlite():
        former = op.get_context().script.get_revision("20261122b").module
        _make_campaign_again(former._create_campaign)
        return
    for name in CHECKS:
        op.drop_constraint(name, "campaign", type_="check")
    op.drop_index("ix_campaign_active", "campaign")
    op.drop_index("uq_campaign_name", "campaign")
    for name in reversed(NEW_COLUMNS):
        op.drop_column("campaign", name)
    op.create_unique_constraint("uq_campaign_name", "campaign", ["name"])
    _create_index("uq_campaign_active", "active", "active", unique=True)


def _change_campaign() -> None:
    if _is_sqlite():
        _make_campaign_again(_create_campaign)
        return
    for column in _new_columns():
        op.add_column("campaign", column)
    op.alter_column("campaign", "restricted", server_default=None)
    op.drop_index("uq_campaign_active", "campaign")
    op.drop_constraint("uq_campaign_name", "campaign", type_="unique")
    for name, condition in CHECKS.items():
        op.create_check_constraint(name, "campaign", condition)
    _create_indexes()


def _make_campaign_again(create: object) -> None:
    """Make the table anew: SQLite drops no constraint. Its numbers stay, so all rows find it."""
    assert callable(create)
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute("CREATE TABLE former_campaign AS SELECT * FROM campaign")
    op.drop_table("campaign")
    create()
    columns = ", ".join(KEPT)
    op.execute(f"INSERT INTO campaign ({columns}) SELECT {columns} FROM former_campaign")
    op.drop_table("former_campaign")


def _new_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("restricted", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
    ]


def _create_campaign() -> None:
    op.create_table(
        "campaign",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        *_new_columns(),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("guideline", sa.Text(), nullable=False),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.CheckConstraint(condition, name=name) for name, condition in CHECKS.items()),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["annotator.id"], name="fk_campaign_created_by_id_annotator"
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name="fk_campaign_dataset_id_dataset"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_campaign"),
        sqlite_autoincrement=True,
    )
    _create_indexes()


def _create_indexes() -> None:
    _create_index("uq_campaign_name", "name", "archived_at IS NULL", unique=True)
    _create_index("ix_campaign_active", "active", "active", unique=False)


def _create_index(name: str, column: str, where: str, *, unique: bool) -> None:
    condition = sa.text(where)
    op.create_index(
        name, "campaign", [column], unique=unique,
        sqlite_where=condition, postgresql_where=condition,
    )  # fmt: skip


def _create_groups() -> None:
    op.create_table(
        "annotator_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_annotator_group"),
        sa.UniqueConstraint("name", name="uq_annotator_group_name"),
    )
    _create_pairs("group_member", ("group_id", "annotator_group"), ("annotator_id", "annotator"))


def _create_audience() -> None:
    campaign = ("campaign_id", "campaign")
    _create_pairs("campaign_annotator", campaign, ("annotator_id", "annotator"))
    _create_pairs("campaign_group", campaign, ("group_id", "annotator_group"))
    op.create_table(
        "campaign_choice",
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_campaign_choice_annotator_id_annotator"
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name="fk_campaign_choice_campaign_id_campaign"
        ),
        sa.PrimaryKeyConstraint("annotator_id", name="pk_campaign_choice"),
    )
    op.create_index("ix_campaign_choice_campaign_id", "campaign_choice", ["campaign_id"])


def _create_pairs(table: str, first: tuple[str, str], second: tuple[str, str]) -> None:
    """Create a table of pairs: columns, and the tables whose rows they name."""
    pairs = (first, second)
    op.create_table(
        table,
        *(sa.Column(column, sa.Integer(), nullable=False) for column, _ in pairs),
        *(
            sa.ForeignKeyConstraint(
                [column], [f"{parent}.id"], name=f"fk_{table}_{column}_{parent}"
            )
            for column, parent in pairs
        ),
        sa.PrimaryKeyConstraint(*(column for column, _ in pairs), name=f"pk_{table}"),
    )
    op.create_index(f"ix_{table}_{second[0]}", table, [second[0]])


def _guard_votes(condition: str, deletion: str) -> None:
    if _is_sqlite():
        op.execute("DROP TRIGGER vote_no_delete")
        op.execute(sa.text(SQLITE_NO_DELETE.format(condition=condition)))
    else:
        op.execute(sa.text(POSTGRES_GUARD.format(deletion=deletion)))


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
