"""What models propose: runs, publications, probabilities."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from labeler.models.base import Base, one_of, utc_now
from labeler.models.voting import RUN_STATUSES


class ModelRun(Base):
    """One training of a proposer. The run of a data set published last is the current one.

    At most one of a data set is in training: `beat_at` is when its process was last heard of,
    `progress` how far it is (`proposals.runs.RunHeartbeat`). `model`: the fitted model as
    safetensors, so that an old run can propose again.
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
