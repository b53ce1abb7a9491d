"""Whether rows that somebody has chosen still exist."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.errors import NotFound


def refuse_unknown(session: Session, table: Any, ids: Collection[int], message: str) -> None:
    """Refuse ids that were chosen on a page, if a row of one of them does not exist.

    Parameters:
        table: a mapped class with the column `id`.
        ids: distinct ones.
        message: what the error says.

    Raises:
        NotFound: a row does not exist.
    """
    known = select(func.count()).where(table.id.in_(ids))
    if ids and session.scalar(known) != len(ids):
        raise NotFound(message)
