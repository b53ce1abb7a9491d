"""Campaigns: which images are labelled by what rules, and what is known of each image in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    select,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from labeler.domain.labels import LABELS
from labeler.domain.rules import Rules
from labeler.models.base import Base, one_of, utc_now
from labeler.models.data import Dataset

CONSENSUS_STATUSES = ("open", "agreed", "contested")
STANDINGS = ("training", "working", "paused")
GOLD_SOURCES = ("csv", "supervisor", "unanimous")


def _current(name: str, *columns: str, where: str) -> Index:
    """At most one row that counts of each combination of the columns."""
    return Index(
        name, *columns, unique=True, sqlite_where=text(where), postgresql_where=text(where)
    )


class Campaign(Base):
    """Images of one data set, labelled by one set of rules. At most one is handed out.

    `rules` is a `domain.rules.Rules`, `selection` a `domain.rules.Selection`, both as JSON. Read
    the rules through `parsed_rules` only: a stored campaign may lack rules that were added later.
    The selected images are the rows of `Consensus`.
    """

    __tablename__ = "campaign"
    __table_args__ = (_current("uq_campaign_active", "active", where="active"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    name: Mapped[str] = mapped_column(String(100), unique=True)
    active: Mapped[bool] = mapped_column(default=False)
    paused_at: Mapped[datetime | None]
    rules: Mapped[dict[str, Any]]
    selection: Mapped[dict[str, Any]]
    guideline: Mapped[str] = mapped_column(Text, default="")
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    dataset: Mapped[Dataset] = relationship()

    @property
    def parsed_rules(self) -> Rules:
        """The rules; one that is not stored has its default."""
        return Rules.from_dict(self.rules)


Dataset.active = column_property(
    select(Campaign.id)
    .where(Campaign.dataset_id == Dataset.id, Campaign.active)
    .correlate_except(Campaign)
    .exists()
)


class Consensus(Base):
    """What is known of one image in one campaign, and its place in the hand-out.

    A row exists for each selected image that may be labelled (decodes, see `Image.status`). It
    is derived: `services.consensus.rebuild` makes it anew from votes, skills, proposals, gold and
    decisions, and a test compares. `p_left`, `p_center`, `p_right` is the posterior, set for
    every row. The queue is in the order of `priority`, then `random_key`; both are fixed between
    votes. `leased_until`: until when somebody holds the image.
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
        # All that the dashboard counts, so that it need not read the rows.
        Index("ix_consensus_tally", "campaign_id", "status", "label", "method", "votes_left",
              "votes_center", "votes_right", "votes_unsure"),
    )  # fmt: skip

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
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)

    @hybrid_property
    def votes(self) -> int:
        """How many votes count, of a row or in a statement."""
        return self.votes_left + self.votes_center + self.votes_right + self.votes_unsure


class Participation(Base):
    """The status of a person in a campaign. `services.participating` alone writes it, and says what
    it means that there is no row.

    `standing`: `training`: answers gold images and is told what is right; `working`; `paused`:
    gets no images. `changed_by_id`: the supervisor who decided last; null: only rules have. The
    person reads `reason`.

    Each change begins a round of the qualification: `round_number` counts them, and the exercises
    of the present one are the person's votes with numbers above `round_after_vote`.
    `ended_by_vote`: the vote that ended the former round, if that brought the last change;
    `reason` is its result then.
    """

    __tablename__ = "participation"
    __table_args__ = (CheckConstraint(one_of("standing", STANDINGS), name="standing_known"),)

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    standing: Mapped[str] = mapped_column(String(12))
    reason: Mapped[str] = mapped_column(String(300), default="")
    changed_by_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)
    round_number: Mapped[int] = mapped_column(default=1, server_default="1")
    round_after_vote: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    ended_by_vote: Mapped[int | None] = mapped_column(BigInteger)


class Skill(Base):
    """What the votes say about one person in a campaign; derived, see `services.refreshing`.

    `confusion`: 3x4, P(answer | label). `following`: how probably the person repeats a proposal.
    `figures` and `flags`: for the quality table.
    """

    __tablename__ = "skill"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    confusion: Mapped[list[Any]]
    following: Mapped[float]
    figures: Mapped[dict[str, Any]]
    flags: Mapped[list[Any]]
    refreshed_at: Mapped[datetime] = mapped_column(default=utc_now)


class Estimate(Base):
    """What the votes say about a campaign as a whole; derived, with `Skill`.

    `class_prior`: 3 shares. `confusion` and `following`: of the average person, and so of one
    who has no `Skill` yet.
    """

    __tablename__ = "estimate"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    class_prior: Mapped[list[Any]]
    confusion: Mapped[list[Any]]
    following: Mapped[float]
    figures: Mapped[dict[str, Any]]
    method: Mapped[str] = mapped_column(String(40))
    refreshed_at: Mapped[datetime] = mapped_column(default=utc_now)


class Gold(Base):
    """An image whose answer is known. Never deleted: `revoked_at` ends it."""

    __tablename__ = "gold"
    __table_args__ = (
        CheckConstraint(one_of("label", LABELS), name="label_known"),
        CheckConstraint(one_of("source", GOLD_SOURCES), name="source_known"),
        _current("uq_gold_current", "campaign_id", "image_id", where="revoked_at IS NULL"),
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
    """A supervisor's word on a contested image; `label` null: it cannot be told. Votes stay."""

    __tablename__ = "decision"
    __table_args__ = (
        CheckConstraint(f"label IS NULL OR {one_of('label', LABELS)}", name="label_known"),
        _current("uq_decision_current", "campaign_id", "image_id", where="superseded_at IS NULL"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    label: Mapped[str | None] = mapped_column(String(12))
    note: Mapped[str] = mapped_column(String(300), default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    superseded_at: Mapped[datetime | None]
