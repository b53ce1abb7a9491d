"""The privacy notice, if an admin has written one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Text
from sqlalchemy.orm import Mapped, mapped_column

from labeler.models.base import Base, utc_now


class PrivacyNotice(Base):
    """The notice that replaces the default one, in Markdown. There is one row at most."""

    __tablename__ = "privacy_notice"
    __table_args__ = (CheckConstraint("id = 1", name="only_one"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime] = mapped_column(default=utc_now)
