"""Subsets: images of a data set under a name."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from labeler.models.base import Base, unique_where, utc_now
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset


class Subset(Base):
    """A filter of images under a name, or an exact list of them.

    A live subset is the images that `filter` finds whenever it is asked. `campaign_id` is the
    campaign whose votes and proposals the filter means. A frozen subset is the images of
    `SubsetImage`, with `sha256` of their names (`subsets.service.hash_names`) and their `count`.
    Its `filter` tells where the list came from; it is null for an imported list.

    `deleted_at` ends a subset. Its list stays, so that a campaign that was made from it is still
    explained, and so that the deletion can be undone.
    """

    __tablename__ = "subset"
    __table_args__ = (
        CheckConstraint("(sha256 IS NULL) = (count IS NULL)", name="count_if_frozen"),
        CheckConstraint("filter IS NOT NULL OR sha256 IS NOT NULL", name="filter_or_list"),
        CheckConstraint("filter IS NULL OR campaign_id IS NOT NULL", name="campaign_if_filter"),
        unique_where("uq_subset_name", "name", where="deleted_at IS NULL"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    campaign_id: Mapped[int | None] = mapped_column(ForeignKey("campaign.id"))
    filter: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    sha256: Mapped[str | None] = mapped_column(String(64))
    count: Mapped[int | None]
    created_by_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]

    dataset: Mapped[Dataset] = relationship()
    campaign: Mapped[Campaign | None] = relationship()

    @property
    def is_frozen(self) -> bool:
        """Whether it is an exact list."""
        return self.sha256 is not None


class SubsetImage(Base):
    """An image of a frozen subset. Rows are never changed."""

    __tablename__ = "subset_image"

    subset_id: Mapped[int] = mapped_column(ForeignKey("subset.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
