"""The tables and their invariants.

An invariant that the database can hold is held there: named CHECK constraints, unique and
partial unique indexes, and triggers (see `migrations`) that make votes append-only. The names
of constraints follow one convention, so that migrations can speak of them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from labeler.domain.labels import ANSWERS, LABELS

ROLES = ("annotator", "supervisor", "admin")
IMAGE_STATUSES = ("unchecked", "ok", "broken")
CONSENSUS_STATUSES = ("open", "agreed", "contested")
RUN_STATUSES = ("training", "published", "failed")
VOTE_MODES = ("single",)
MAX_ATTRIBUTES = 63  # bits of a signed 64-bit integer that stay positive


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time. Aware in Python (naive values are refused), UTC in the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive time was given; use labeler.models.utc_now()")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def utc_now() -> datetime:
    """The present moment, aware."""
    return datetime.now(UTC)


def _one_of(column: str, allowed: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(word) for word in allowed)})"


# SQLite gives out row ids by itself only for a column of type INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: UtcDateTime, dict[str, Any]: JSON, list[str]: JSON}


class Dataset(Base):
    """A registered folder or zip of images, read in place. At most one is being labelled."""

    __tablename__ = "dataset"
    __table_args__ = (
        Index("uq_dataset_active", "active", unique=True, sqlite_where=text("active"),
              postgresql_where=text("active")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    path: Mapped[str] = mapped_column(Text)
    attribute_names: Mapped[list[str]]
    active: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Image(Base):
    """One picture of a data set. `attribute_bits`: bit i is attribute_names[i] of the data set."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("dataset_id", "filename"),
        CheckConstraint(_one_of("status", IMAGE_STATUSES), name="status_known"),
        CheckConstraint("(status = 'broken') = (problem IS NOT NULL)", name="problem_if_broken"),
        Index("ix_image_dataset_id_status", "dataset_id", "status"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    filename: Mapped[str] = mapped_column(String(400))
    status: Mapped[str] = mapped_column(String(12), default="unchecked")
    problem: Mapped[str | None] = mapped_column(Text)
    width: Mapped[int | None]
    height: Mapped[int | None]
    byte_size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    identity: Mapped[int | None]
    partition: Mapped[int | None] = mapped_column(SmallInteger)
    attribute_bits: Mapped[int | None] = mapped_column(BigInteger)
    landmarks: Mapped[list[int] | None] = mapped_column(JSON)

    dataset: Mapped[Dataset] = relationship()


class Consensus(Base):
    """What the votes on one image say, and its place in the hand-out.

    A row exists for each image that may be labelled (decodes, see `Image.status`). It is derived:
    `services.consensus.rebuild` makes it anew from the votes, and a test compares.
    `priority` counts the current votes (breadth first); `random_key` shuffles within it.
    """

    __tablename__ = "consensus"
    __table_args__ = (
        CheckConstraint(_one_of("status", CONSENSUS_STATUSES), name="status_known"),
        CheckConstraint(f"label IS NULL OR {_one_of('label', LABELS)}", name="label_known"),
        CheckConstraint("(status = 'agreed') = (label IS NOT NULL)", name="label_if_agreed"),
        CheckConstraint("(label IS NULL) = (probability IS NULL)", name="probability_if_label"),
        CheckConstraint(
            "priority = votes_left + votes_center + votes_right + votes_unsure",
            name="priority_counts_votes",
        ),
        Index("ix_consensus_queue", "dataset_id", "status", "priority", "random_key"),
    )

    image_id: Mapped[int] = mapped_column(
        ForeignKey("image.id"), primary_key=True, autoincrement=False
    )
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    status: Mapped[str] = mapped_column(String(12), default="open")
    label: Mapped[str | None] = mapped_column(String(12))
    probability: Mapped[float | None] = mapped_column(Float)
    votes_left: Mapped[int] = mapped_column(SmallInteger, default=0)
    votes_center: Mapped[int] = mapped_column(SmallInteger, default=0)
    votes_right: Mapped[int] = mapped_column(SmallInteger, default=0)
    votes_unsure: Mapped[int] = mapped_column(SmallInteger, default=0)
    method: Mapped[str] = mapped_column(String(40), default="majority-1")
    priority: Mapped[int] = mapped_column(SmallInteger, default=0)
    random_key: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class Annotator(Base):
    """A person with an account. Never deleted: `deactivated_at` closes it, the votes stay."""

    __tablename__ = "annotator"
    __table_args__ = (
        CheckConstraint(_one_of("role", ROLES), name="role_known"),
        CheckConstraint("username = lower(username)", name="username_lower"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(60), unique=True)
    pseudonym: Mapped[str] = mapped_column(String(20), unique=True)
    role: Mapped[str] = mapped_column(String(12), default="annotator")
    password_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deactivated_at: Mapped[datetime | None]


class Invite(Base):
    """A link that opens an account. How often it was used is counted from `InviteUse`."""

    __tablename__ = "invite"
    __table_args__ = (
        CheckConstraint(_one_of("role", ROLES), name="role_known"),
        CheckConstraint("max_uses >= 1", name="max_uses_positive"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(12), default="annotator")
    note: Mapped[str] = mapped_column(String(200), default="")
    max_uses: Mapped[int] = mapped_column(default=1)
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class InviteUse(Base):
    """Which account an invite opened."""

    __tablename__ = "invite_use"

    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    invite_id: Mapped[int] = mapped_column(ForeignKey("invite.id"), index=True)
    used_at: Mapped[datetime] = mapped_column(default=utc_now)


class LoginSession(Base):
    """A signed-in browser. The cookie holds the token, this table its hash; can be revoked."""

    __tablename__ = "login_session"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), index=True)
    user_agent: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    last_seen_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class LoginFailure(Base):
    """A wrong password, for throttling by account and by address; old rows are pruned."""

    __tablename__ = "login_failure"
    __table_args__ = (Index("ix_login_failure_key_at", "key", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(120))
    at: Mapped[datetime] = mapped_column(default=utc_now)


class ModelRun(Base):
    """One training of a proposer. The run of a data set published last is the current one."""

    __tablename__ = "model_run"
    __table_args__ = (
        CheckConstraint(_one_of("status", RUN_STATUSES), name="status_known"),
        CheckConstraint(
            "(status = 'published') = (published_at IS NOT NULL)", name="published_at_if_published"
        ),
        Index("ix_model_run_dataset_id_published_at", "dataset_id", "published_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    method: Mapped[str] = mapped_column(String(60))
    status: Mapped[str] = mapped_column(String(12), default="training")
    problem: Mapped[str | None] = mapped_column(Text)
    settings: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    published_at: Mapped[datetime | None]


class Proposal(Base):
    """A model's probabilities for one image, made by one run. Never mixed into votes."""

    __tablename__ = "proposal"
    __table_args__ = (
        CheckConstraint(
            "p_left >= 0 AND p_center >= 0 AND p_right >= 0 "
            "AND abs(p_left + p_center + p_right - 1) < 0.0001",
            name="probabilities_sum_to_one",
        ),
        Index("ix_proposal_image_id", "image_id"),
    )

    model_run_id: Mapped[int] = mapped_column(ForeignKey("model_run.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    p_left: Mapped[float]
    p_center: Mapped[float]
    p_right: Mapped[float]


class Lease(Base):
    """An image in a person's hands until a time, and which proposal that person is shown."""

    __tablename__ = "lease"
    __table_args__ = (
        CheckConstraint(
            f"shown_label IS NULL OR {_one_of('shown_label', LABELS)}", name="shown_label_known"
        ),
        CheckConstraint(
            "(shown_run_id IS NULL) = (shown_label IS NULL)", name="shown_run_if_shown_label"
        ),
        Index("ix_lease_expires_at", "expires_at"),
        Index("ix_lease_annotator_id", "annotator_id"),
    )

    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    blind: Mapped[bool]
    shown_run_id: Mapped[int | None] = mapped_column(ForeignKey("model_run.id"))
    shown_label: Mapped[str | None] = mapped_column(String(12))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]


class Vote(Base):
    """One person's answer about one image. Append-only: only `superseded_at` is ever set, once.

    `blind`: no proposal was shown by choice. `shown_run_id`/`shown_label`: the proposal that was
    shown; both null where none existed or the vote was blind.
    """

    __tablename__ = "vote"
    __table_args__ = (
        CheckConstraint(_one_of("answer", ANSWERS), name="answer_known"),
        CheckConstraint(_one_of("mode", VOTE_MODES), name="mode_known"),
        CheckConstraint("elapsed_ms IS NULL OR elapsed_ms >= 0", name="elapsed_ms_positive"),
        CheckConstraint(
            f"shown_label IS NULL OR {_one_of('shown_label', LABELS)}", name="shown_label_known"
        ),
        CheckConstraint(
            "(shown_run_id IS NULL) = (shown_label IS NULL)", name="shown_run_if_shown_label"
        ),
        CheckConstraint("NOT blind OR shown_label IS NULL", name="blind_shows_nothing"),
        Index("uq_vote_current", "image_id", "annotator_id", unique=True,
              sqlite_where=text("superseded_at IS NULL"),
              postgresql_where=text("superseded_at IS NULL")),
        Index("ix_vote_annotator_id_id", "annotator_id", "id"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    answer: Mapped[str] = mapped_column(String(12))
    mode: Mapped[str] = mapped_column(String(12), default="single")
    request_id: Mapped[str] = mapped_column(String(36), unique=True)
    blind: Mapped[bool]
    shown_run_id: Mapped[int | None] = mapped_column(ForeignKey("model_run.id"))
    shown_label: Mapped[str | None] = mapped_column(String(12))
    elapsed_ms: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    superseded_at: Mapped[datetime | None]
