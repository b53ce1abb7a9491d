"""Data sets and their images."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from labeler.models.base import Base, one_of, utc_now

IMAGE_STATUSES = ("unchecked", "ok", "broken")
MAX_FILENAME = 400
MAX_ATTRIBUTES = 63  # bits of a signed 64-bit integer that stay positive
DEMO = "demo"  # what the data set of the command `demo` is called


class Dataset(Base):
    """A registered folder or zip of images. The files are read where they are.

    `deleted_at`: its rows are being deleted; it has lost its name.
    """

    __tablename__ = "dataset"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    path: Mapped[str] = mapped_column(Text)
    attribute_names: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    deleted_at: Mapped[datetime | None]

    if TYPE_CHECKING:
        active: Mapped[bool]  # whether one of its campaigns is active; mapped beside `Campaign`


class Image(Base):
    """One face photograph of a data set.

    `attribute_bits`: bit i says whether the image has `attribute_names[i]` of its data set.
    `problem`: why a `broken` image cannot be shown. `yaw_deg` > 0: the face looks towards the
    viewer's right.
    """

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("dataset_id", "filename"),
        CheckConstraint(one_of("status", IMAGE_STATUSES), name="status_known"),
        CheckConstraint("(status = 'broken') = (problem IS NOT NULL)", name="problem_if_broken"),
        Index("ix_image_dataset_id_status", "dataset_id", "status"),
        # Images whose pose was not measured are few, or all of a data set.
        Index(
            "ix_image_no_yaw",
            "dataset_id",
            "status",
            sqlite_where=text("yaw_deg IS NULL"),
            postgresql_where=text("yaw_deg IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    filename: Mapped[str] = mapped_column(String(MAX_FILENAME))
    status: Mapped[str] = mapped_column(String(12), default="unchecked")
    problem: Mapped[str | None] = mapped_column(Text)
    width: Mapped[int | None]
    height: Mapped[int | None]
    byte_size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    identity: Mapped[int | None]
    partition: Mapped[int | None] = mapped_column(SmallInteger)
    attribute_bits: Mapped[int | None] = mapped_column(BigInteger)
    landmarks: Mapped[list[int] | None] = mapped_column(JSON)
    yaw_deg: Mapped[float | None]

    dataset: Mapped[Dataset] = relationship()
