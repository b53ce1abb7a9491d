"""The choice of a subset in forms of other pages: its options, and what was chosen."""

from __future__ import annotations

from sqlalchemy.orm import Session

from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.models.campaigns import Campaign
from labeler.models.subsets import Subset
from labeler.subsets import service as subsets
from labeler.subsets.members import check_usable
from labeler.web import request_fields
from labeler.web.campaigns.forms import Choice


def subset_choices(session: Session, dataset_id: int, chosen: int | None = None) -> list[Choice]:
    """Return the subsets of a data set as options, the newest first."""
    return [
        Choice(
            str(one.id),
            f"{one.name} ({write_number(one.count)})"
            if one.count is not None
            else _("%(name)s (live)", name=one.name),
            "yes" if one.id == chosen else "",
        )
        for one in subsets.list_subsets(session, dataset_id=dataset_id)
    ]


def chosen_subset(session: Session, campaign: Campaign) -> Subset | None:
    """Return the subset that the request names in `subset`, None if it names none.

    Raises:
        NotFound: there is no such subset.
        InvalidInput, Conflict: it cannot be used with the campaign.
    """
    number = request_fields.optional_row("subset")
    if number is None:
        return None
    found = subsets.get_subset(session, number)
    check_usable(session, found, campaign)
    return found
