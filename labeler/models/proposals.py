"""What models propose: their runs, when each was published, and the probabilities."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    Select,
    SmallInteger,
    String,
    Text,
    select,
)
from sqlalchemy.orm import Mapped, mapped_column

from labeler.models.base import Base, one_of, unique_where, utc_now
from labeler.models.voting import RUN_STATUSES


class ModelRun(Base):
    """One training of a model that proposes labels.

    The run of a data set that was published last is the current one (`published_runs`). At most
    one run of a data set is in training. `beat_at`: the last sign of life of its process;
    `progress`: how far it is (`proposals.runs.RunHeartbeat`). `model`: the fitted model as
    safetensors, so that an old run can propose again.
    """

    __tablename__ = "model_run"
    __table_args__ = (
        CheckConstraint(one_of("status", RUN_STATUSES), name="status_known"),
        CheckConstraint(
            "(status = 'published') = (published_at IS NOT NULL)", name="published_at_if_published"
        ),
        Index("ix_model_run_dataset_id_published_at", "dataset_id", "published_at"),
        unique_where("uq_model_run_training", "dataset_id", where="status = 'training'"),
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
    beat_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any] | None]
    model: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class Publication(Base):
    """The moment in which a run became the current one. Append-only.

    The run was new, or `annotator_id` returned to an older run.
    """

    __tablename__ = "publication"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_run_id: Mapped[int] = mapped_column(ForeignKey("model_run.id"), index=True)
    annotator_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    at: Mapped[datetime] = mapped_column(default=utc_now)


class Proposal(Base):
    """The probabilities that one run gives to one image. They are never mixed into votes.

    `ask`: the rank of the image among those whose answers would teach the model most, 0 first.
    `azimuth_deg`: where the light comes from, 0 the camera, negative the viewer's left;
    `azimuth_spread_deg`: its standard deviation; `strength`: how much darker the darker half of
    the face is, 0 (equal) to 1 (black).
    `n_faces`: how many faces were found; 0: the probabilities say nothing. All four are null in
    runs of the earlier method, and the first three without a face.
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
    azimuth_deg: Mapped[float | None]
    azimuth_spread_deg: Mapped[float | None]
    strength: Mapped[float | None]
    n_faces: Mapped[int | None] = mapped_column(SmallInteger)


def published_runs(dataset_id: Any) -> Select[ModelRun]:
    """The published runs of a data set, the current one first.

    Parameters:
        dataset_id: a number, or an SQL expression that gives one.
    """
    return (
        select(ModelRun)
        .where(ModelRun.dataset_id == dataset_id, ModelRun.status == "published")
        .order_by(ModelRun.published_at.desc(), ModelRun.id.desc())
    )
