"""The list of accounts: a search, and pages that follow each other by the name shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from labeler.accounts.service import Person
from labeler.errors import InvalidInput
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator, LoginSession

MAX_SEARCH = 60
PAGE = 50


def find_people(
    session: Session,
    *,
    search: str = "",
    by_name: bool = True,
    after: str = "",
    limit: int = PAGE,
) -> Sequence[Person]:
    """Accounts whose name contains a text, in the order of the names.

    Parameters:
        search: a part of the user name, the display name or the pseudonym, in capital or small
            letters; "" finds all.
        by_name: the reader may see names. Else only pseudonyms are searched, and they give the
            order, so that neither tells anything about a name.
        after: only accounts behind this user name, or this pseudonym without names.

    Raises:
        InvalidInput: the search is too long, or a text has characters that no name has.
    """
    if not (search + after).isprintable():
        raise InvalidInput(_("The search has characters that no name has. Type it again."))
    if len(search) > MAX_SEARCH:
        raise InvalidInput(
            _(
                "The search has %(count)s characters; %(max_search)s are allowed.",
                count=len(search),
                max_search=MAX_SEARCH,
            )
        )
    order: Any = Annotator.username if by_name else Annotator.pseudonym
    query = select(Annotator).order_by(order).limit(limit)
    if search:
        columns: list[Any] = [Annotator.pseudonym]
        if by_name:
            columns += [Annotator.username, Annotator.display_name]
        query = query.where(or_(*(one.icontains(search, autoescape=True) for one in columns)))
    if after:
        query = query.where(order > after)
    found = session.scalars(query).all()
    seen = last_seen(session, [one.id for one in found])
    return [Person(one, seen.get(one.id)) for one in found]


def last_seen(session: Session, annotator_ids: Sequence[int]) -> dict[int, datetime]:
    """When some people last opened a page, by id; who never has is missing."""
    rows = session.execute(
        select(LoginSession.annotator_id, func.max(LoginSession.last_seen_at))
        .where(LoginSession.annotator_id.in_(annotator_ids))
        .group_by(LoginSession.annotator_id)
    )
    return dict(rows.all())
