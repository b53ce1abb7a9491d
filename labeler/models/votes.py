"""What models propose, who holds which image, and the answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from labeler.domain.labels import ANSWERS, LABELS
from labeler.models.base import Base, one_of, utc_now

RUN_STATUSES = ("training", "published", "failed")
VOTE_MODES = ("single",)
# SQLite gives out row ids by itself only for a column of type INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


class ModelRun(Base):
    """One training of a proposer. The run of a data set published last is the current one."""

    __tablename__ = "model_run"
    __table_args__ = (
        CheckConstraint(one_of("status", RUN_STATUSES), name="status_known"),
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
            f"shown_label IS NULL OR {one_of('shown_label', LABELS)}", name="shown_label_known"
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
        CheckConstraint(one_of("answer", ANSWERS), name="answer_known"),
        CheckConstraint(one_of("mode", VOTE_MODES), name="mode_known"),
        CheckConstraint("elapsed_ms IS NULL OR elapsed_ms >= 0", name="elapsed_ms_positive"),
        CheckConstraint(
            f"shown_label IS NULL OR {one_of('shown_label', LABELS)}", name="shown_label_known"
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
