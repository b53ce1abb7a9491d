"""Campaigns: which images are labelled by what rules, and who takes part."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    String,
    Text,
    select,
)
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from labeler.models.base import Base, one_of, unique_where, utc_now
from labeler.models.images import Dataset
from labeler.rules.campaign_rules import Rules

STANDINGS = ("training", "working", "paused")


class Campaign(Base):
    """Images of one data set, labelled by one set of rules. At most one campaign is active.

    `rules` is a `rules.campaign_rules.Rules`, `selection` a
    `rules.image_selection_spec.ImageSelection`, both as JSON. Read the rules through
    `parsed_rules` only: a stored campaign may lack rules that were added later.
    The selected images are the rows of `Consensus`.
    """

    __tablename__ = "campaign"
    __table_args__ = (unique_where("uq_campaign_active", "active", where="active"),)

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


class Participation(Base):
    """The status of a person in a campaign.

    Only `campaigns.participation` writes it. That module also says what a missing row means.

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
