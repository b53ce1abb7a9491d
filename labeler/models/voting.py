"""Leases, which say who holds which image, and votes."""

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
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from labeler.labels import ANSWERS
from labeler.models.base import Base, one_of, unique_where, utc_now
from rotation.data.labels import LABELS

RUN_STATUSES = ("training", "published", "failed")
# How an image was presented: alone (`single`), among others on the verify grid (`grid`), or as an
# exercise of the qualification, which tells the right answer afterwards (`training`).
VOTE_MODES = ("single", "grid", "training")
NOT_COUNTED = ("training",)  # the modes of votes that the consensus ignores
# SQLite assigns row ids only to a column of type INTEGER.
BigId = BigInteger().with_variant(Integer, "sqlite")


def _presentation_constraints() -> tuple[CheckConstraint, ...]:
    """The constraints of a lease and of a vote on the proposal that was shown or withheld."""
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
    """An image that a person holds until `expires_at`, and how it is presented to them.

    `shown_label`: the label beside the image. It comes from a model (`shown_run_id`), from the
    votes (on the verify grid), or it is inserted and wrong on purpose (`planted`, on gold only).
    `withheld_label`: the proposal that a blind person was not shown. `mirrored`: the image is
    shown mirrored; every label here is about the unmirrored image.

    Database triggers do two steps of a vote's story. `vote_ends_lease` deletes the lease when
    its vote is inserted. `lease_holds*` and `lease_lets_go` copy the latest expiry of the
    image's leases into `Consensus.leased_until`, and so keep the image's place in the queue.
    The triggers are in `migrations/versions/20261122_campaigns.py`.
    """

    __tablename__ = "lease"
    __table_args__ = (
        *_presentation_constraints(),
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
    """One person's answer about one image. Append-only.

    `superseded_at` is the only column that changes, and it is set once. `answer` is about the
    unmirrored image, even if the person saw it mirrored. The columns of the presentation are
    those of `Lease`. An insert fires the trigger `vote_ends_lease` (see `Lease`).
    """

    __tablename__ = "vote"
    __table_args__ = (
        CheckConstraint(one_of("answer", ANSWERS), name="answer_known"),
        CheckConstraint("elapsed_ms IS NULL OR elapsed_ms >= 0", name="elapsed_ms_positive"),
        *_presentation_constraints(),
        unique_where(
            "uq_vote_current",
            "image_id",
            "annotator_id",
            "campaign_id",
            where="superseded_at IS NULL",
        ),
        Index("ix_vote_annotator_id_campaign_id_id", "annotator_id", "campaign_id", "id"),
        Index("ix_vote_campaign_id_created_at", "campaign_id", "created_at"),
        # The votes that count are counted by person without reading any.
        Index("ix_vote_counted", "annotator_id", "campaign_id", "superseded_at", "mode"),
    )

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
        """Whether the vote is current and not an exercise of the qualification."""
        return self.superseded_at is None and self.mode not in NOT_COUNTED

    @counts.inplace.expression
    @classmethod
    def _counts(cls) -> ColumnElement[bool]:
        return and_(cls.superseded_at.is_(None), cls.mode.not_in(NOT_COUNTED))
