"""Who holds which image, and the answers."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    String,
    and_,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from labeler.labels import ANSWERS
from labeler.models.base import Base, one_of, utc_now
from rotation.data.labels import LABELS

RUN_STATUSES = ("training", "published", "failed")
# How an image was put before a person: alone, among others on the verify grid, or alone with
# the right answer told afterwards.
VOTE_MODES = ("single", "grid", "training")
NOT_COUNTED = ("training",)  # modes of votes that teach the person and not the consensus
# SQLite gives out row ids by itself only for a column of type INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


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
