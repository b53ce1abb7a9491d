"""Data sets, their images, and what the votes say of each image."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from labeler.domain.labels import LABELS
from labeler.models.base import Base, one_of, utc_now

IMAGE_STATUSES = ("unchecked", "ok", "broken")
CONSENSUS_STATUSES = ("open", "agreed", "contested")
MAX_FILENAME = 400
MAX_ATTRIBUTES = 63  # bits of a signed 64-bit integer that stay positive


class Dataset(Base):
    """A registered folder or zip of images, read in place. At most one is being labelled."""

    __tablename__ = "dataset"
    __table_args__ = (
        Index("uq_dataset_active", "active", unique=True, sqlite_where=text("active"),
              postgresql_where=text("active")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    path: Mapped[str] = mapped_column(Text)
    attribute_names: Mapped[list[str]]
    active: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Image(Base):
    """One picture of a data set. `attribute_bits`: bit i is attribute_names[i] of the data set."""

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("dataset_id", "filename"),
        CheckConstraint(one_of("status", IMAGE_STATUSES), name="status_known"),
        CheckConstraint("(status = 'broken') = (problem IS NOT NULL)", name="problem_if_broken"),
        Index("ix_image_dataset_id_status", "dataset_id", "status"),
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

    dataset: Mapped[Dataset] = relationship()


class Consensus(Base):
    """What the votes on one image say, and its place in the hand-out.

    A row exists for each image that may be labelled (decodes, see `Image.status`). It is derived:
    `services.consensus.rebuild` makes it anew from the votes, and a test compares.
    `priority` counts the current votes (breadth first); `random_key` shuffles within it.
    """

    __tablename__ = "consensus"
    __table_args__ = (
        CheckConstraint(one_of("status", CONSENSUS_STATUSES), name="status_known"),
        CheckConstraint(f"label IS NULL OR {one_of('label', LABELS)}", name="label_known"),
        CheckConstraint("(status = 'agreed') = (label IS NOT NULL)", name="label_if_agreed"),
        CheckConstraint("(label IS NULL) = (probability IS NULL)", name="probability_if_label"),
        CheckConstraint(
            "priority = votes_left + votes_center + votes_right + votes_unsure",
            name="priority_counts_votes",
        ),
        Index("ix_consensus_queue", "dataset_id", "status", "priority", "random_key"),
    )

    image_id: Mapped[int] = mapped_column(
        ForeignKey("image.id"), primary_key=True, autoincrement=False
    )
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"))
    status: Mapped[str] = mapped_column(String(12), default="open")
    label: Mapped[str | None] = mapped_column(String(12))
    probability: Mapped[float | None] = mapped_column(Float)
    votes_left: Mapped[int] = mapped_column(SmallInteger, default=0)
    votes_center: Mapped[int] = mapped_column(SmallInteger, default=0)
    votes_right: Mapped[int] = mapped_column(SmallInteger, default=0)
    votes_unsure: Mapped[int] = mapped_column(SmallInteger, default=0)
    method: Mapped[str] = mapped_column(String(40), default="majority-1")
    priority: Mapped[int] = mapped_column(SmallInteger, default=0)
    random_key: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)
