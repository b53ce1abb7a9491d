"""What models propose, who holds which image, and the answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    and_,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from labeler.domain.labels import ANSWERS, LABELS
from labeler.models.base import Base, one_of, utc_now

RUN_STATUSES = ("training", "published", "failed")
# How an image was put before a person: alone, among others on the verify grid, or alone with
# the right answer told afterwards.
VOTE_MODES = ("single", "grid", "training")
NOT_COUNTED = ("training",)  # modes of votes that teach the person and not the consensus
# SQLite gives out row ids by itself only for a column of type INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


class ModelRun(Base):
    """One training of a proposer. The run of a data set published last is the current one.

    At most one of a data set is in training: `beat_at` is when its process was last heard of,
    `progress` how far it is (`services.watching.Watch`). `model`: the fitted model as safetensors,
    so that an old run can propose again.
    """

    __tablename__ = "model_run"
    __table_args__ = (
        CheckConstraint(one_of("status", RUN_STATUSES), name="status_known"),
        CheckConstraint(
            "(status = 'published') = (published_at IS NOT NULL)", name="published_at_if_published"
        ),
        Index("ix_model_run_dataset_id_published_at", "dataset_id", "published_at"),
        Index("uq_model_run_training", "dataset_id", unique=True,
              sqlite_where=text("status = 'training'"),
              postgresql_where=text("status = 'training'")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    method: Mapped[str] = mapped_column(String(60))
    status: Mapped[str] = mapped_column(String(12), default="training")
    problem: Mapped[str | None] = mapped_column(Text)
    settings: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    published_at: Mapped[datetime | None]
    beat_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any] | None]
    model: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class Publication(Base):
    """A run became the current one: it was new, or somebody went back to it. Append-only."""

    __tablename__ = "publication"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_run_id: Mapped[int] = mapped_column(ForeignKey("model_run.id"), index=True)
    annotator_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    at: Mapped[datetime] = mapped_column(default=utc_now)


class Proposal(Base):
    """A model's probabilities for one image, made by one run. Never mixed into votes.

    `ask`: the place of the image among those whose answer would teach the model most.
    """

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
    ask: Mapped[int | None] = mapped_column(SmallInteger)


def _shown_is_coherent() -> tuple[CheckConstraint, ...]:
    """What a lease and a vote may say of the proposal that was, or was not, shown."""
    return (
        CheckConstraint(one_of("mode", VOTE_MODES), name="mode_known"),
        CheckConstraint(
            f"shown_label IS NULL OR {one_of('shown_label', LABELS)}", name="shown_label_known"
        ),
        CheckConstraint(
            f"withheld_label IS NULL OR {one_of('withheld_label', LABELS)}",
            name="withheld_label_known",
        ),
        CheckConstraint("shown_run_id IS NULL OR NOT planted", name="planted_has_no_run"),
        CheckConstraint("NOT planted OR shown_label IS NOT NULL", name="planted_is_shown"),
        CheckConstraint(
            "shown_run_id IS NULL OR shown_label IS NOT NULL", name="shown_run_has_label"
        ),
        CheckConstraint("NOT blind OR shown_label IS NULL", name="blind_shows_nothing"),
        CheckConstraint("withheld_label IS NULL OR blind", name="withheld_if_blind"),
    )


class Lease(Base):
    """An image in a person's hands until a time, and how that person sees it.

    `shown_label`: the label beside the picture, the model's (`shown_run_id`), the votes' (on the
    grid), or a wrong one (`planted`). `withheld_label`: what a blind person would have been
    shown. `mirrored`: the picture is shown mirrored; every label here is of the picture as it
    is. A vote ends the lease, and a lease holds the image's place in the queue
    (`Consensus.leased_until`): triggers see to both.
    """

    __tablename__ = "lease"
    __table_args__ = (
        *_shown_is_coherent(),
        Index("ix_lease_expires_at", "expires_at"),
        Index("ix_lease_annotator_id", "annotator_id"),
    )

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    mode: Mapped[str] = mapped_column(String(12), default="single")
    blind: Mapped[bool]
    shown_run_id: Mapped[int | None] = mapped_column(ForeignKey("model_run.id"))
    shown_label: Mapped[str | None] = mapped_column(String(12))
    withheld_label: Mapped[str | None] = mapped_column(String(12))
    shown_probability: Mapped[float | None]
    planted: Mapped[bool] = mapped_column(default=False)
    mirrored: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    expires_at: Mapped[datetime]


class Vote(Base):
    """One person's answer about one image. Append-only: only `superseded_at` is ever set, once.

    The answer is of the picture as it is, also where it was seen mirrored. What was shown beside
    it is as in `Lease`.
    """

    __tablename__ = "vote"
    __table_args__ = (
        CheckConstraint(one_of("answer", ANSWERS), name="answer_known"),
        CheckConstraint("elapsed_ms IS NULL OR elapsed_ms >= 0", name="elapsed_ms_positive"),
        *_shown_is_coherent(),
        Index("uq_vote_current", "image_id", "annotator_id", "campaign_id", unique=True,
              sqlite_where=text("superseded_at IS NULL"),
              postgresql_where=text("superseded_at IS NULL")),
        Index("ix_vote_annotator_id_campaign_id_id", "annotator_id", "campaign_id", "id"),
        Index("ix_vote_campaign_id_created_at", "campaign_id", "created_at"),
        # Few rows: with it the current votes of a person are counted without reading any.
        Index("ix_vote_superseded", "annotator_id", sqlite_where=text("superseded_at IS NOT NULL"),
              postgresql_where=text("superseded_at IS NOT NULL")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    answer: Mapped[str] = mapped_column(String(12))
    mode: Mapped[str] = mapped_column(String(12), default="single")
    request_id: Mapped[str] = mapped_column(String(36), unique=True)
    blind: Mapped[bool]
    shown_run_id: Mapped[int | None] = mapped_column(ForeignKey("model_run.id"))
    shown_label: Mapped[str | None] = mapped_column(String(12))
    withheld_label: Mapped[str | None] = mapped_column(String(12))
    planted: Mapped[bool] = mapped_column(default=False)
    mirrored: Mapped[bool] = mapped_column(default=False)
    elapsed_ms: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    superseded_at: Mapped[datetime | None]

    @hybrid_property
    def counts(self) -> bool:
        """Whether the vote counts: it is current and no exercise of the qualification."""
        return self.superseded_at is None and self.mode not in NOT_COUNTED

    @counts.inplace.expression
    @classmethod
    def _counts(cls) -> ColumnElement[bool]:
        return and_(cls.superseded_at.is_(None), cls.mode.not_in(NOT_COUNTED))
