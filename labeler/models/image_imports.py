"""Images that an admin adds in the browser: an upload, or a folder or zip file of the server."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from labeler.models.base import Base, one_of, unique_where, utc_now

IMPORT_STATES = ("receiving", "checking", "cancelled", "done")
OPEN_STATES = ("receiving", "checking")


class ImageImport(Base):
    """One import. `labeler.image_imports.service` alone writes it.

    `name`: of the data set that it makes. `files`: name and size in bytes of each uploaded file,
    which are in the folder `path` of the home folder's `pictures`. Without them, the images are at
    `path` on the server. `size`: bytes in all. `fingerprint`: tells
    the browser whether files that are chosen again are the same ones.

    `state`: `receiving` until all bytes are here; `checking` from when the job `job_id` is queued;
    `cancelled` until a job has removed what there is; `done` when the data set is complete.
    """

    __tablename__ = "image_import"
    __table_args__ = (
        CheckConstraint(one_of("state", IMPORT_STATES), name="state_known"),
        CheckConstraint("size >= 0", name="size_not_negative"),
        unique_where(
            "uq_image_import_name", "name", where="state = 'receiving' OR state = 'checking'"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    name: Mapped[str] = mapped_column(String(100))
    path: Mapped[str] = mapped_column(Text)
    files: Mapped[list[Any]]
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    fingerprint: Mapped[str] = mapped_column(String(16), default="")
    state: Mapped[str] = mapped_column(String(10), default="receiving")
    job_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
