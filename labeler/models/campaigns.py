"""Campaigns: which images are labelled by which rules, and who takes part."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    select,
    text,
)
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from labeler.models.base import Base, one_of, unique_where, utc_now
from labeler.models.images import Dataset
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection

PARTICIPATION_STATUSES = ("training", "working", "paused")


class Campaign(Base):
    """Images of one data set, labelled by one set of rules. Several campaigns can be active.

    `starts_at`, `ends_at`: the period in which images are assigned; None: no limit on that side.
    `restricted`: only the people of `campaigns.audience` get images; otherwise everybody does.
    `archived_at`: the campaign is put away; other campaigns may then take its name.
    `deleted_at`: its rows are being deleted. Only then does the database let votes be deleted.

    `rules` and `selection` are JSON. Read them through `parsed_rules` and `parsed_selection`
    only: a stored campaign may lack settings that were added later. The selected images are
    the rows of `Consensus`.
    """

    __tablename__ = "campaign"
    __table_args__ = (
        unique_where("uq_campaign_name", "name", where="archived_at IS NULL"),
        Index(
            "ix_campaign_active",
            "active",
            sqlite_where=text("active"),
            postgresql_where=text("active"),
        ),
        CheckConstraint("NOT active OR archived_at IS NULL", name="active_is_not_archived"),
        CheckConstraint(
            "deleted_at IS NULL OR archived_at IS NOT NULL", name="deleted_is_archived"
        ),
        CheckConstraint("starts_at < ends_at", name="starts_before_end"),
        # The number of a deleted campaign never comes again: the audit log names it.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    name: Mapped[str] = mapped_column(String(100))
    active: Mapped[bool] = mapped_column(default=False)
    paused_at: Mapped[datetime | None]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    restricted: Mapped[bool] = mapped_column(default=False)
    archived_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    rules: Mapped[dict[str, Any]]
    selection: Mapped[dict[str, Any]]
    guideline: Mapped[str] = mapped_column(Text, default="")
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)

    dataset: Mapped[Dataset] = relationship()

    @property
    def parsed_rules(self) -> Rules:
        """The rules. A rule that is not stored has its default."""
        return Rules.from_dict(self.rules)

    @property
    def parsed_selection(self) -> ImageSelection:
        """The conditions that select the images of the campaign."""
        return ImageSelection.from_dict(self.selection)


Dataset.active = column_property(
    select(Campaign.id)
    .where(Campaign.dataset_id == Dataset.id, Campaign.active)
    .correlate_except(Campaign)
    .exists()
)


class CampaignAnnotator(Base):
    """A person who may label in a restricted campaign."""

    __tablename__ = "campaign_annotator"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(
        ForeignKey("annotator.id"), primary_key=True, index=True
    )


class CampaignGroup(Base):
    """A group whose members may label in a restricted campaign."""

    __tablename__ = "campaign_group"

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    group_id: Mapped[int] = mapped_column(
        ForeignKey("annotator_group.id"), primary_key=True, index=True
    )


class CampaignChoice(Base):
    """The campaign that a person has chosen, of those in which they may label."""

    __tablename__ = "campaign_choice"

    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), index=True)


class Participation(Base):
    """The status of a person in a campaign.

    Only `campaigns.participation` writes it. That module also says what a missing row means.

    `status`: `training` is the qualification: the person answers gold images and is then told
    the right answer. A `working` person gets images to label. A `paused` person gets none.
    `changed_by_id`: the supervisor who decided last; null if only rules have decided.
    `reason`: a sentence that the person can read.

    Each change of the status begins a round of the qualification. `round_number` counts the
    rounds. The exercises of the current round are the person's votes with ids above
    `round_after_vote`. `ended_by_vote`: the vote that ended the previous round and so changed
    the status; `reason` is then the result of that round.
    """

    __tablename__ = "participation"
    __table_args__ = (
        CheckConstraint(one_of("standing", PARTICIPATION_STATUSES), name="standing_known"),
    )

    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    status: Mapped[str] = mapped_column("standing", String(12))
    reason: Mapped[str] = mapped_column(String(300), default="")
    changed_by_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)
    round_number: Mapped[int] = mapped_column(default=1, server_default="1")
    round_after_vote: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    ended_by_vote: Mapped[int | None] = mapped_column(BigInteger)
