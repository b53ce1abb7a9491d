"""Campaigns: rules and images of their own; gold, decisions, skills; how a picture was seen.

Each data set becomes a campaign of its name with the rules that all data sets had: three votes,
majority, a quarter blind. Votes, leases and consensus move into it.
"""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "20261122b"
down_revision = "20261122a"
branch_labels = None
depends_on = None

FORMER_RULES = {
    "method": "majority",
    "required_votes": 3,
    "vote_cap": 7,
    "blind_share": 0.25,
    "use_model": False,
    "gold_rate": 0.0,
    "planted_share": 0.0,
}

ANSWERS = ("left", "center", "right", "unsure")
VOTE_COLUMNS = (
    "id", "campaign_id", "image_id", "annotator_id", "answer", "mode", "request_id", "blind",
    "shown_run_id", "shown_label", "withheld_label", "planted", "mirrored", "elapsed_ms",
    "created_at",
)  # fmt: skip
KEPT_OF_VOTE = (
    "id", "image_id", "annotator_id", "answer", "mode", "request_id", "blind", "shown_run_id",
    "shown_label", "elapsed_ms", "created_at", "superseded_at",
)  # fmt: skip
KEPT_OF_LEASE = (
    "image_id", "annotator_id", "blind", "shown_run_id", "shown_label", "created_at", "expires_at",
)  # fmt: skip
KEPT_OF_CONSENSUS = (
    "image_id", "status", "label", "probability", "votes_left", "votes_center", "votes_right",
    "votes_unsure", "method", "random_key", "updated_at",
)  # fmt: skip

NEW_TABLES = (
    "campaign", "consensus", "lease", "vote", "participation", "skill", "estimate", "gold",
    "decision",
)  # fmt: skip

_OF_LEASE = "consensus.campaign_id = {row}.campaign_id AND consensus.image_id = {row}.image_id"
_REST = (
    "SELECT max(expires_at) FROM lease WHERE lease.campaign_id = OLD.campaign_id "
    "AND lease.image_id = OLD.image_id"
)
_NO_VOTE_DELETE = """
    CREATE TRIGGER vote_no_delete BEFORE DELETE ON vote
    BEGIN SELECT RAISE(ABORT, 'votes are append-only: set superseded_at instead'); END
"""


def _no_vote_update(columns: tuple[str, ...]) -> str:
    same = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in columns)
    return f"""
        CREATE TRIGGER vote_no_update BEFORE UPDATE ON vote
        WHEN NOT (OLD.superseded_at IS NULL AND NEW.superseded_at IS NOT NULL AND {same})
        BEGIN SELECT RAISE(ABORT, 'votes are append-only: only superseded_at is set, once'); END
    """


def _sqlite_holding(event: str) -> str:
    # The later of two: a lease beside another does not shorten the time that the image is held.
    return f"""
        CREATE TRIGGER lease_holds_{event.lower()} AFTER {event} ON lease BEGIN
            UPDATE consensus SET leased_until = NEW.expires_at
            WHERE {_OF_LEASE.format(row="NEW")}
            AND (leased_until IS NULL OR leased_until < NEW.expires_at);
        END
    """


SQLITE_TRIGGERS = (
    _NO_VOTE_DELETE,
    _no_vote_update(VOTE_COLUMNS),
    """
    CREATE TRIGGER vote_ends_lease AFTER INSERT ON vote BEGIN
        DELETE FROM lease WHERE campaign_id = NEW.campaign_id AND image_id = NEW.image_id
        AND annotator_id = NEW.annotator_id;
    END
    """,
    _sqlite_holding("INSERT"),
    _sqlite_holding("UPDATE"),
    f"""
    CREATE TRIGGER lease_lets_go AFTER DELETE ON lease BEGIN
        UPDATE consensus SET leased_until = ({_REST}) WHERE {_OF_LEASE.format(row="OLD")};
    END
    """,
)

_POSTGRES_VOTE_GUARDS = (
    """
    CREATE TRIGGER vote_no_update BEFORE UPDATE OR DELETE ON vote
    FOR EACH ROW EXECUTE FUNCTION vote_guard()
    """,
    """
    CREATE TRIGGER vote_no_truncate BEFORE TRUNCATE ON vote
    FOR EACH STATEMENT EXECUTE FUNCTION vote_guard()
    """,
)
POSTGRES_TRIGGERS = (
    *_POSTGRES_VOTE_GUARDS,
    """
    CREATE FUNCTION vote_ends_lease() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM lease WHERE campaign_id = NEW.campaign_id AND image_id = NEW.image_id
        AND annotator_id = NEW.annotator_id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER vote_ends_lease AFTER INSERT ON vote
    FOR EACH ROW EXECUTE FUNCTION vote_ends_lease()
    """,
    f"""
    CREATE FUNCTION lease_holds() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            UPDATE consensus SET leased_until = ({_REST}) WHERE {_OF_LEASE.format(row="OLD")};
        ELSE
            -- The later of two, also where the other came while this waited for the row.
            UPDATE consensus SET leased_until = greatest(leased_until, NEW.expires_at)
            WHERE {_OF_LEASE.format(row="NEW")};
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER lease_holds AFTER INSERT OR UPDATE OR DELETE ON lease
    FOR EACH ROW EXECUTE FUNCTION lease_holds()
    """,
)


def upgrade() -> None:
    op.add_column("image", sa.Column("yaw_deg", sa.Double(), nullable=True))
    _create_campaign()
    _make_campaigns()
    for table in ("vote", "lease", "consensus"):
        op.execute(sa.text(f"CREATE TABLE former_{table} AS SELECT * FROM {table}"))
        op.drop_table(table)
    _create_consensus()
    _create_lease()
    _create_vote()
    _create_participation()
    _create_skill()
    _create_estimate()
    _create_gold()
    _create_decision()
    _move("consensus", KEPT_OF_CONSENSUS, {"priority": _PRIORITY})
    _move("vote", KEPT_OF_VOTE, _SEEN_PLAINLY)
    for statement in SQLITE_TRIGGERS if _is_sqlite() else POSTGRES_TRIGGERS:
        op.execute(sa.text(statement))
    _move("lease", KEPT_OF_LEASE, {**_SEEN_PLAINLY, "mode": "'single'"})
    for table in ("vote", "lease", "consensus"):
        op.drop_table(f"former_{table}")
    op.drop_index("uq_dataset_active", "dataset")
    op.drop_column("dataset", "active")
    _go_on_counting()


def downgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT count(*) FROM vote")):
        raise RuntimeError(
            "There are votes, and they belong to campaigns, which the older version does not "
            "know. Restore the backup from before the upgrade instead."
        )
    for table in reversed(NEW_TABLES):
        op.drop_table(table)
    op.drop_column("image", "yaw_deg")
    active = sa.Column("active", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("dataset", active)
    whole = {
        "unique": True,
        "sqlite_where": sa.text("active"),
        "postgresql_where": sa.text("active"),
    }
    op.create_index("uq_dataset_active", "dataset", ["active"], **whole)
    former = op.get_context().script.get_revision(down_revision).module
    former._create_consensus()
    former._create_lease()
    former._create_vote()
    if not _is_sqlite():
        op.execute("DROP FUNCTION vote_ends_lease()")
        op.execute("DROP FUNCTION lease_holds()")
    triggers = former.SQLITE_TRIGGERS if _is_sqlite() else _POSTGRES_VOTE_GUARDS
    for statement in triggers:
        op.execute(sa.text(statement))


_PRIORITY = "1000 * former_consensus.priority"
_SEEN_PLAINLY = {"planted": "false", "mirrored": "false"}


def _move(table: str, kept: tuple[str, ...], more: dict[str, str]) -> None:
    columns = ["campaign_id", *kept, *more]
    values = ["campaign.id", *(f"former_{table}.{name}" for name in kept), *more.values()]
    if table == "consensus":
        columns += ["p_left", "p_center", "p_right"]
        values += ["1.0 / 3"] * 3
    op.execute(
        sa.text(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} "
            f"FROM former_{table} JOIN image ON image.id = former_{table}.image_id "
            "JOIN campaign ON campaign.dataset_id = image.dataset_id"
        )
    )


def _make_campaigns() -> None:
    insert = sa.text(
        "INSERT INTO campaign (dataset_id, name, active, rules, selection, guideline, created_at) "
        "SELECT id, name, active, :rules, '{}', '', created_at FROM dataset"
    )
    rules = sa.bindparam("rules", json.dumps(FORMER_RULES), sa.String())
    if not _is_sqlite():
        insert = sa.text(str(insert).replace(":rules, '{}'", "CAST(:rules AS json), '{}'::json"))
    op.get_bind().execute(insert.bindparams(rules))


def _go_on_counting() -> None:
    if not _is_sqlite():
        op.execute(
            sa.text(
                "SELECT setval(pg_get_serial_sequence('vote', 'id'), "
                "(SELECT coalesce(max(id), 0) + 1 FROM vote), false)"
            )
        )


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _create_campaign() -> None:
    op.create_table(
        "campaign",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("guideline", sa.Text(), nullable=False),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["annotator.id"], name="fk_campaign_created_by_id_annotator"
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name="fk_campaign_dataset_id_dataset"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_campaign"),
        sa.UniqueConstraint("name", name="uq_campaign_name"),
    )
    op.create_index(
        "uq_campaign_active",
        "campaign",
        ["active"],
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    )


def _create_consensus() -> None:
    op.create_table(
        "consensus",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("label", sa.String(length=12), nullable=True),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("p_left", sa.Double(), nullable=False),
        sa.Column("p_center", sa.Double(), nullable=False),
        sa.Column("p_right", sa.Double(), nullable=False),
        sa.Column("votes_left", sa.SmallInteger(), nullable=False),
        sa.Column("votes_center", sa.SmallInteger(), nullable=False),
        sa.Column("votes_right", sa.SmallInteger(), nullable=False),
        sa.Column("votes_unsure", sa.SmallInteger(), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("random_key", sa.Integer(), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
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
            "abs(p_left + p_center + p_right - 1) < 0.0001", name="ck_consensus_sums_to_one"
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name="fk_consensus_campaign_id_campaign"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_consensus_image_id_image"),
        sa.PrimaryKeyConstraint("campaign_id", "image_id", name="pk_consensus"),
    )
    op.create_index("ix_consensus_image_id", "consensus", ["image_id"], unique=False)
    op.create_index(
        "ix_consensus_queue",
        "consensus",
        ["campaign_id", "status", "priority", "random_key"],
        unique=False,
    )
    counted = ["status", "label", "method", *(f"votes_{answer}" for answer in ANSWERS)]
    op.create_index("ix_consensus_tally", "consensus", ["campaign_id", *counted], unique=False)


def _create_lease() -> None:
    op.create_table(
        "lease",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("mode", sa.String(length=12), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("shown_run_id", sa.Integer(), nullable=True),
        sa.Column("shown_label", sa.String(length=12), nullable=True),
        sa.Column("withheld_label", sa.String(length=12), nullable=True),
        sa.Column("shown_probability", sa.Double(), nullable=True),
        sa.Column("planted", sa.Boolean(), nullable=False),
        sa.Column("mirrored", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("mode IN ('single', 'grid', 'training')", name="ck_lease_mode_known"),
        sa.CheckConstraint(
            "shown_label IS NULL OR shown_label IN ('left', 'center', 'right')",
            name="ck_lease_shown_label_known",
        ),
        sa.CheckConstraint(
            "withheld_label IS NULL OR withheld_label IN ('left', 'center', 'right')",
            name="ck_lease_withheld_label_known",
        ),
        sa.CheckConstraint("NOT blind OR shown_label IS NULL", name="ck_lease_blind_shows_nothing"),
        sa.CheckConstraint(
            "NOT planted OR shown_label IS NOT NULL", name="ck_lease_planted_is_shown"
        ),
        sa.CheckConstraint(
            "shown_run_id IS NULL OR NOT planted", name="ck_lease_planted_has_no_run"
        ),
        sa.CheckConstraint(
            "shown_run_id IS NULL OR shown_label IS NOT NULL", name="ck_lease_shown_run_has_label"
        ),
        sa.CheckConstraint("withheld_label IS NULL OR blind", name="ck_lease_withheld_if_blind"),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_lease_annotator_id_annotator"
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name="fk_lease_campaign_id_campaign"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_lease_image_id_image"),
        sa.ForeignKeyConstraint(
            ["shown_run_id"], ["model_run.id"], name="fk_lease_shown_run_id_model_run"
        ),
        sa.PrimaryKeyConstraint("campaign_id", "image_id", "annotator_id", name="pk_lease"),
    )
    op.create_index("ix_lease_annotator_id", "lease", ["annotator_id"], unique=False)
    op.create_index("ix_lease_expires_at", "lease", ["expires_at"], unique=False)


def _create_vote() -> None:
    op.create_table(
        "vote",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("answer", sa.String(length=12), nullable=False),
        sa.Column("mode", sa.String(length=12), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("shown_run_id", sa.Integer(), nullable=True),
        sa.Column("shown_label", sa.String(length=12), nullable=True),
        sa.Column("withheld_label", sa.String(length=12), nullable=True),
        sa.Column("planted", sa.Boolean(), nullable=False),
        sa.Column("mirrored", sa.Boolean(), nullable=False),
        sa.Column("elapsed_ms", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "answer IN ('left', 'center', 'right', 'unsure')", name="ck_vote_answer_known"
        ),
        sa.CheckConstraint("mode IN ('single', 'grid', 'training')", name="ck_vote_mode_known"),
        sa.CheckConstraint(
            "shown_label IS NULL OR shown_label IN ('left', 'center', 'right')",
            name="ck_vote_shown_label_known",
        ),
        sa.CheckConstraint(
            "withheld_label IS NULL OR withheld_label IN ('left', 'center', 'right')",
            name="ck_vote_withheld_label_known",
        ),
        sa.CheckConstraint("NOT blind OR shown_label IS NULL", name="ck_vote_blind_shows_nothing"),
        sa.CheckConstraint(
            "NOT planted OR shown_label IS NOT NULL", name="ck_vote_planted_is_shown"
        ),
        sa.CheckConstraint(
            "elapsed_ms IS NULL OR elapsed_ms >= 0", name="ck_vote_elapsed_ms_positive"
        ),
        sa.CheckConstraint(
            "shown_run_id IS NULL OR NOT planted", name="ck_vote_planted_has_no_run"
        ),
        sa.CheckConstraint(
            "shown_run_id IS NULL OR shown_label IS NOT NULL", name="ck_vote_shown_run_has_label"
        ),
        sa.CheckConstraint("withheld_label IS NULL OR blind", name="ck_vote_withheld_if_blind"),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_vote_annotator_id_annotator"
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name="fk_vote_campaign_id_campaign"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_vote_image_id_image"),
        sa.ForeignKeyConstraint(
            ["shown_run_id"], ["model_run.id"], name="fk_vote_shown_run_id_model_run"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_vote"),
        sa.UniqueConstraint("request_id", name="uq_vote_request_id"),
    )
    op.create_index(
        "ix_vote_annotator_id_campaign_id_id",
        "vote",
        ["annotator_id", "campaign_id", "id"],
        unique=False,
    )
    op.create_index(
        "ix_vote_campaign_id_created_at", "vote", ["campaign_id", "created_at"], unique=False
    )
    op.create_index(
        "ix_vote_superseded",
        "vote",
        ["annotator_id"],
        unique=False,
        sqlite_where=sa.text("superseded_at IS NOT NULL"),
        postgresql_where=sa.text("superseded_at IS NOT NULL"),
    )
    op.create_index(
        "uq_vote_current",
        "vote",
        ["image_id", "annotator_id", "campaign_id"],
        unique=True,
        sqlite_where=sa.text("superseded_at IS NULL"),
        postgresql_where=sa.text("superseded_at IS NULL"),
    )


def _create_participation() -> None:
    op.create_table(
        "participation",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("standing", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("changed_by_id", sa.Integer(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "standing IN ('training', 'working', 'paused')", name="ck_participation_standing_known"
        ),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_participation_annotator_id_annotator"
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name="fk_participation_campaign_id_campaign"
        ),
        sa.ForeignKeyConstraint(
            ["changed_by_id"], ["annotator.id"], name="fk_participation_changed_by_id_annotator"
        ),
        sa.PrimaryKeyConstraint("campaign_id", "annotator_id", name="pk_participation"),
    )


def _create_skill() -> None:
    op.create_table(
        "skill",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("confusion", sa.JSON(), nullable=False),
        sa.Column("following", sa.Double(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_skill_annotator_id_annotator"
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name="fk_skill_campaign_id_campaign"
        ),
        sa.PrimaryKeyConstraint("campaign_id", "annotator_id", name="pk_skill"),
    )


def _create_estimate() -> None:
    op.create_table(
        "estimate",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("class_prior", sa.JSON(), nullable=False),
        sa.Column("confusion", sa.JSON(), nullable=False),
        sa.Column("following", sa.Double(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("method", sa.String(length=40), nullable=False),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name="fk_estimate_campaign_id_campaign"
        ),
        sa.PrimaryKeyConstraint("campaign_id", name="pk_estimate"),
    )


def _create_gold() -> None:
    op.create_table(
        "gold",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(length=12), nullable=False),
        sa.Column("source", sa.String(length=12), nullable=False),
        sa.Column("explanation", sa.String(length=300), nullable=False),
        sa.Column("created_by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("label IN ('left', 'center', 'right')", name="ck_gold_label_known"),
        sa.CheckConstraint(
            "source IN ('csv', 'supervisor', 'unanimous')", name="ck_gold_source_known"
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name="fk_gold_campaign_id_campaign"
        ),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["annotator.id"], name="fk_gold_created_by_id_annotator"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_gold_image_id_image"),
        sa.PrimaryKeyConstraint("id", name="pk_gold"),
    )
    op.create_index(
        "uq_gold_current",
        "gold",
        ["campaign_id", "image_id"],
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )


def _create_decision() -> None:
    op.create_table(
        "decision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(length=12), nullable=True),
        sa.Column("note", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "label IS NULL OR label IN ('left', 'center', 'right')", name="ck_decision_label_known"
        ),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotator.id"], name="fk_decision_annotator_id_annotator"
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name="fk_decision_campaign_id_campaign"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_decision_image_id_image"),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
    )
    op.create_index(
        "uq_decision_current",
        "decision",
        ["campaign_id", "image_id"],
        unique=True,
        sqlite_where=sa.text("superseded_at IS NULL"),
        postgresql_where=sa.text("superseded_at IS NULL"),
    )
