"""What a campaign knows: consensus, annotator skills, gold questions and decisions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from labeler.models.base import Base, one_of, unique_where, utc_now
from rotation.data.labels import LABELS

CONSENSUS_STATUSES = ("open", "agreed", "contested")
GOLD_SOURCES = ("csv", "supervisor", "unanimous")


class Consensus(Base):
    """The consensus on one image of a campaign, and the image's place in the queue.

    There is a row for each selected image that decodes (`Image.status` is `ok`). The row is
    derived from votes, skills, proposals, gold and decisions. `consensus.store.rebuild` can
    derive all of them again, and a test compares the two.

    `p_left`, `p_center` and `p_right` are the posterior, and every row has one. The queue is
    ordered by `priority`, then by `random_key`. Between votes neither changes.
    `rules_version`: by which rules the row was derived (`consensus.derivation.rules_version`).
    `leased_until`: the latest expiry of a lease on the image. The triggers `lease_holds*` and
    `lease_lets_go` keep it up to date.
    """

    __tablename__ = "consensus"
    __table_args__ = (
        CheckConstraint(one_of("status", CONSENSUS_STATUSES), name="status_known"),
        CheckConstraint(f"label IS NULL OR {one_of('label', LABELS)}", name="label_known"),
        CheckConstraint("(status = 'agreed') = (label IS NOT NULL)", name="label_if_agreed"),
        CheckConstraint("(label IS NULL) = (probability IS NULL)", name="probability_if_label"),
        CheckConstraint("abs(p_left + p_center + p_right - 1) < 0.0001", name="sums_to_one"),
        Index("ix_consensus_queue", "campaign_id", "status", "priority", "random_key"),
        Index("ix_consensus_image_id", "image_id"),
        # It covers all that the dashboard counts, so that no row has to be read.
        Index(
            "ix_consensus_tally",
            "campaign_id",
            "status",
            "label",
            "method",
            "votes_left",
            "votes_center",
            "votes_right",
            "votes_unsure",
            "probability",
        ),
    )

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    status: Mapped[str] = mapped_column(String(12), default="open")
    label: Mapped[str | None] = mapped_column(String(12))
    probability: Mapped[float | None] = mapped_column(Float)
    p_left: Mapped[float] = mapped_column(default=1 / 3)
    p_center: Mapped[float] = mapped_column(default=1 / 3)
    p_right: Mapped[float] = mapped_column(default=1 / 3)
    votes_left: Mapped[int] = mapped_column(SmallInteger, default=0)
    votes_center: Mapped[int] = mapped_column(SmallInteger, default=0)
    votes_right: Mapped[int] = mapped_column(SmallInteger, default=0)
    votes_unsure: Mapped[int] = mapped_column(SmallInteger, default=0)
    method: Mapped[str] = mapped_column(String(40))
    priority: Mapped[int] = mapped_column(Integer, default=0)
    random_key: Mapped[int] = mapped_column(Integer)
    leased_until: Mapped[datetime | None]
    rules_version: Mapped[int | None]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)

    @hybrid_property
    def votes(self) -> int:
        """How many votes on the image count; works on a row and in a statement."""
        return self.votes_left + self.votes_center + self.votes_right + self.votes_unsure


class Skill(Base):
    """How one person answers in a campaign, derived from the votes by `quality.refresh`.

    `confusion`: 3 rows of 4 numbers, P(answer | label). `copy_rate`: the probability that the
    person just repeats a proposal that is shown. `figures`, `flags`: what the quality page shows.
    """

    __tablename__ = "skill"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    confusion: Mapped[list[Any]]
    copy_rate: Mapped[float] = mapped_column("following")
    figures: Mapped[dict[str, Any]]
    flags: Mapped[list[Any]]
    refreshed_at: Mapped[datetime] = mapped_column(default=utc_now)


class Estimate(Base):
    """What the votes say about a campaign as a whole, derived together with `Skill`.

    `class_prior`: the shares of the 3 labels. `confusion`, `copy_rate`: those of the average
    person. They also describe a person who has no `Skill` yet.
    """

    __tablename__ = "estimate"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    class_prior: Mapped[list[Any]]
    confusion: Mapped[list[Any]]
    copy_rate: Mapped[float] = mapped_column("following")
    figures: Mapped[dict[str, Any]]
    method: Mapped[str] = mapped_column(String(40))
    refreshed_at: Mapped[datetime] = mapped_column(default=utc_now)


class Gold(Base):
    """A gold question: an image whose answer is known. `revoked_at` ends it; no row is deleted."""

    __tablename__ = "gold"
    __table_args__ = (
        CheckConstraint(one_of("label", LABELS), name="label_known"),
        CheckConstraint(one_of("source", GOLD_SOURCES), name="source_known"),
        unique_where("uq_gold_current", "campaign_id", "image_id", where="revoked_at IS NULL"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    label: Mapped[str] = mapped_column(String(12))
    source: Mapped[str] = mapped_column(String(12))
    explanation: Mapped[str] = mapped_column(String(300), default="")
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    revoked_at: Mapped[datetime | None]


class Decision(Base):
    """A supervisor's decision on a contested image. The votes stay.

    `label`: null if the supervisor cannot tell.
    """

    __tablename__ = "decision"
    __table_args__ = (
        CheckConstraint(f"label IS NULL OR {one_of('label', LABELS)}", name="label_known"),
        unique_where(
            "uq_decision_current", "campaign_id", "image_id", where="superseded_at IS NULL"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    label: Mapped[str | None] = mapped_column(String(12))
    note: Mapped[str] = mapped_column(String(300), default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    superseded_at: Mapped[datetime | None]
