"""Archived campaigns: put away with their votes, and restored.

An archived campaign is not active and in no list. Its name, rules, period and people cannot be
changed. Images that people hold at that moment can still be answered, so that no answer is lost.
Other campaigns may take its name.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.campaigns.service import check_name, get_campaign
from labeler.errors import Conflict, NotFound
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign


def archive_campaign(session: Session, campaign_id: int, by: Actor = NOBODY) -> Campaign:
    """Put a campaign away. It is no longer active.

    Raises:
        NotFound: no such campaign.
    """
    campaign = get_campaign(session, campaign_id, lock=True)
    if campaign.archived_at is None:
        campaign.active, campaign.archived_at = False, utc_now()
        record(session, "campaign_archived", by, ("campaign", campaign_id))
        session.flush()
    return campaign


def restore_campaign(
    session: Session, campaign_id: int, by: Actor = NOBODY, *, name: str | None = None
) -> Campaign:
    """Take a campaign out of the archive. It is inactive, as after its creation.

    Parameters:
        name: its new name; None: the one that it had.

    Raises:
        NotFound: no such campaign.
        InvalidInput: the new name is empty or too long.
        Conflict: another campaign has the name by now.
    """
    campaign = get_campaign(session, campaign_id, lock=True)
    if campaign.archived_at is None:
        return campaign
    campaign.name = _free_name(session, campaign.name if name is None else name)
    campaign.archived_at = None
    record(session, "campaign_restored", by, ("campaign", campaign_id))
    session.flush()
    return campaign


def list_archived(session: Session) -> Sequence[Campaign]:
    """The archived campaigns, that which was archived last first."""
    return session.scalars(
        select(Campaign)
        .where(Campaign.archived_at.is_not(None), Campaign.deleted_at.is_(None))
        .order_by(Campaign.archived_at.desc(), Campaign.id.desc())
    ).all()


def find_archived(session: Session, name: str) -> Campaign:
    """The campaign of that name that was archived last.

    Raises:
        NotFound: there is none; the message lists the archived campaigns.
    """
    archived = list_archived(session)
    for campaign in archived:
        if campaign.name == name.strip():
            return campaign
    names = ", ".join(campaign.name for campaign in archived) or "none"
    raise NotFound(f"No archived campaign has the name {name!r}. Archived are: {names}.")


def _free_name(session: Session, name: str) -> str:
    """The name, if no campaign outside of the archive has it; raises as `restore_campaign`."""
    try:
        return check_name(session, name)
    except Conflict:
        raise Conflict(
            _(
                "Another campaign has the name %(name)r by now. Restore this one under another "
                "name.",
                name=name.strip(),
            )
        ) from None
