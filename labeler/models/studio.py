"""Turns of heads, which people order in the studio."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from labeler.models.accounts import Annotator
from labeler.models.base import Base, utc_now
from labeler.models.images import MAX_FILENAME

MAX_TURN_NAME = 120


class HeadTurn(Base):
    """A head that was turned, or is to be turned.

    Its files are in the folder `studio/ID` of the home folder (`labeler.studio.files`). Ids are
    never used again, so no turn gets the files of another one.

    `image_id`: the source, if it is an image of the data set; None for an upload, and after the
    data set was deleted. `source_name`: the file name of the source as people see it.
    `keeps_upload`: whether an uploaded source stays after the job.

    `dataset_id`, `campaign_id`, `subset_id`: where the clusters and their labels come from. They
    become None if that is deleted.

    `settings`: what was chosen (`labeler.studio.choices.TurnChoices.as_dict`). `job_id`: the job
    that turns it, which may have been pruned. `finished_at`: when the result was complete; a turn
    without it has no result. `summary`: what the pages show of the result
    (`labeler.studio.summary`). `share_hash`: of the token of its link; None: it is not shared.
    """

    __tablename__ = "head_turn"
    __table_args__ = (
        CheckConstraint("(share_hash IS NULL) = (shared_at IS NULL)", name="time_if_shared"),
        CheckConstraint("(summary IS NULL) = (finished_at IS NULL)", name="summary_if_finished"),
        Index("uq_head_turn_share_hash", "share_hash", unique=True),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), index=True)
    name: Mapped[str] = mapped_column(String(MAX_TURN_NAME))
    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("dataset.id", ondelete="SET NULL"))
    campaign_id: Mapped[int | None] = mapped_column(ForeignKey("campaign.id", ondelete="SET NULL"))
    image_id: Mapped[int | None] = mapped_column(
        ForeignKey("image.id", ondelete="SET NULL"), index=True
    )
    subset_id: Mapped[int | None] = mapped_column(ForeignKey("subset.id", ondelete="SET NULL"))
    source_name: Mapped[str] = mapped_column(String(MAX_FILENAME))
    keeps_upload: Mapped[bool] = mapped_column(default=False)
    settings: Mapped[dict[str, Any]]
    job_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]
    summary: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    share_hash: Mapped[str | None] = mapped_column(String(64))
    shared_at: Mapped[datetime | None]

    owner: Mapped[Annotator] = relationship()
