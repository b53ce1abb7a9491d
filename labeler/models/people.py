"""What people and supervisors tell each other: messages, flags on images, answers sent back."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from labeler.models.base import Base, one_of, unique_where, utc_now

# Why people flag an image: the light cannot be judged, no face or several ones, a damaged picture,
# a picture that should not be shown, or something else.
FLAG_REASONS = ("light", "faces", "damaged", "unsuitable", "other")


class Message(Base):
    """A message of the thread between a person and the supervisors.

    `annotator_id`: the person of the thread. `author_id`: who wrote it, the person or a
    supervisor. `read_at`: when the other side read it; any supervisor reads for all of them.
    """

    __tablename__ = "message"
    __table_args__ = (
        Index("ix_message_annotator_id", "annotator_id", "id"),
        Index("ix_message_author_id", "author_id", "created_at"),
        Index(
            "ix_message_unread",
            "annotator_id",
            sqlite_where=text("read_at IS NULL"),
            postgresql_where=text("read_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    author_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    read_at: Mapped[datetime | None]


class ImageFlag(Base):
    """A person says that something is wrong with an image. `settled_at` ends the flag.

    `settled_by_id`: the supervisor who settled it, or the person who withdrew it.
    """

    __tablename__ = "image_flag"
    __table_args__ = (
        CheckConstraint(one_of("reason", FLAG_REASONS), name="reason_known"),
        unique_where(
            "uq_image_flag_open",
            "campaign_id",
            "image_id",
            "annotator_id",
            where="settled_at IS NULL",
        ),
        Index("ix_image_flag_annotator_id", "annotator_id", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id"))
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    reason: Mapped[str] = mapped_column(String(12))
    note: Mapped[str] = mapped_column(String(300), default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    settled_at: Mapped[datetime | None]
    settled_by_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))


class ReturnedAnswer(Base):
    """A vote that a supervisor has sent back, so that the person looks at the image again.

    The vote counts until the person answers again, which supersedes it. So a returned answer
    waits as long as its vote is current and nobody has taken it back (`withdrawn_at`).
    """

    __tablename__ = "returned_answer"
    __table_args__ = (
        unique_where("uq_returned_answer_open", "vote_id", where="withdrawn_at IS NULL"),
        Index("ix_returned_answer_annotator_id", "annotator_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    vote_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("vote.id"))
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    returned_by_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    returned_at: Mapped[datetime] = mapped_column(default=utc_now)
    withdrawn_at: Mapped[datetime | None]
