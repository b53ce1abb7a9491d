"""The audit log: who did what to whom, and when."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from labeler.models.base import Base, utc_now


class AuditEvent(Base):
    """One event that concerns the safety of the site or its data.

    Triggers refuse every change and every deletion. One change is allowed: `address` is erased
    when it is no longer needed. `labeler.audit` writes the rows.

    `actor_id`: who did it; null for a command or for somebody who is not signed in.
    `subject_kind`, `subject_id`: what it was done to, such as an account.
    `details`: codes and numbers. It has no names, so that erasing a person leaves no trace here.
    """

    __tablename__ = "audit_event"
    __table_args__ = (
        Index("ix_audit_event_action", "action", "id"),
        Index("ix_audit_event_actor_id", "actor_id", "id"),
        Index("ix_audit_event_subject", "subject_kind", "subject_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utc_now, index=True)
    actor_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    address: Mapped[str | None] = mapped_column(String(60))
    action: Mapped[str] = mapped_column(String(40))
    subject_kind: Mapped[str | None] = mapped_column(String(20))
    subject_id: Mapped[int | None]
    details: Mapped[dict[str, Any]]
