"""Who may label in a campaign, and in which campaign a person labels now.

A campaign is open to everybody, or restricted to chosen people and groups. A person who may label
in several active campaigns chooses one. Without a choice it is the one of their last answer, so
that a campaign that is activated beside it takes nobody away from their work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, delete, exists, func, insert, or_, select
from sqlalchemy.orm import Session, aliased

from labeler.audit.log import NOBODY, Actor, record
from labeler.campaigns.service import refuse_archived
from labeler.database.engine import insert_or
from labeler.database.existence import refuse_unknown
from labeler.errors import Conflict, InvalidInput
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator, Group, GroupMember
from labeler.models.base import utc_now
from labeler.models.campaigns import (
    Campaign,
    CampaignAnnotator,
    CampaignChoice,
    CampaignGroup,
)
from labeler.models.voting import Lease, Vote


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may label in a campaign. `people`, `groups`: ids, which count only if `restricted`."""

    restricted: bool = False
    people: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()


EVERYBODY = Audience()


def may_label(campaign: Any, annotator_id: Any) -> ColumnElement[bool]:
    """The condition that a person belongs to the audience of a campaign.

    Parameters:
        campaign: `Campaign`, or an alias of it.
    """
    chosen = exists().where(
        CampaignAnnotator.campaign_id == campaign.id,
        CampaignAnnotator.annotator_id == annotator_id,
    )
    member = exists().where(
        CampaignGroup.campaign_id == campaign.id,
        GroupMember.group_id == CampaignGroup.group_id,
        GroupMember.annotator_id == annotator_id,
    )
    return or_(~campaign.restricted, chosen, member)


def current_campaign_of(annotator_id: Any, now: Any) -> Any:
    """The id of the campaign in which a person labels, as a scalar expression; null for none.

    It is an active campaign whose audience has the person. One whose period is now comes before
    one that has not begun, and that before one that has ended. Among equals the order is: the one
    that the person has chosen, the one of their last answer, one of which they hold images, the
    newest.
    """
    campaign = aliased(Campaign)
    return (
        select(campaign.id)
        .where(campaign.active, may_label(campaign, annotator_id))
        .order_by(*_order_for(campaign, annotator_id, now))
        .limit(1)
        .scalar_subquery()
    )


def _order_for(campaign: Any, annotator_id: Any, now: Any) -> tuple[Any, ...]:
    choice = (
        select(CampaignChoice.campaign_id)
        .where(CampaignChoice.annotator_id == annotator_id)
        .scalar_subquery()
    )
    last_answer = (
        select(func.max(Vote.id))
        .where(Vote.annotator_id == annotator_id, Vote.campaign_id == campaign.id)
        .correlate(campaign)
        .scalar_subquery()
    )
    period = case((campaign.ends_at <= now, 2), (campaign.starts_at > now, 1), else_=0)
    chosen = case((campaign.id == choice, 0), else_=1)
    holds = exists().where(
        Lease.annotator_id == annotator_id,
        Lease.campaign_id == campaign.id,
        Lease.expires_at > now,
    )
    answered = func.coalesce(last_answer, 0).desc()
    return period, chosen, answered, case((holds, 0), else_=1), campaign.id.desc()


def list_available(
    session: Session, annotator_id: int, *, now: datetime | None = None
) -> Sequence[Campaign]:
    """The active campaigns in which a person may label, the current one first; one statement."""
    order = _order_for(Campaign, annotator_id, now or utc_now())
    return session.scalars(
        select(Campaign).where(Campaign.active, may_label(Campaign, annotator_id)).order_by(*order)
    ).all()


def current_campaign(
    session: Session, annotator_id: int, *, now: datetime | None = None
) -> Campaign | None:
    """The campaign in which a person labels now, None if there is none for them."""
    wanted = current_campaign_of(annotator_id, now or utc_now())
    return session.scalar(select(Campaign).where(Campaign.id == wanted))


def choose_campaign(session: Session, annotator_id: int, campaign_id: int) -> Campaign:
    """Let a person label in another campaign from now on. Images that they hold stay theirs.

    Raises:
        Conflict: the campaign is not active, or the person may not label in it.
    """
    found = session.scalar(
        select(Campaign).where(
            Campaign.id == campaign_id, Campaign.active, may_label(Campaign, annotator_id)
        )
    )
    if found is None:
        raise Conflict(_("You cannot label in this campaign any more. Choose another one."))
    who = {"annotator_id": annotator_id}
    session.execute(
        insert_or(session, CampaignChoice)
        .values(**who, campaign_id=campaign_id)
        .on_conflict_do_update(index_elements=list(who), set_={"campaign_id": campaign_id})
    )
    return found


def load_audience(session: Session, campaign: Campaign) -> Audience:
    """The audience of a campaign; two statements."""
    people = select(CampaignAnnotator.annotator_id).where(
        CampaignAnnotator.campaign_id == campaign.id
    )
    groups = select(CampaignGroup.group_id).where(CampaignGroup.campaign_id == campaign.id)
    return Audience(
        campaign.restricted,
        frozenset(session.scalars(people)),
        frozenset(session.scalars(groups)),
    )


def set_audience(
    session: Session, campaign: Campaign, audience: Audience, by: Actor = NOBODY
) -> bool:
    """Change who may label in a campaign; returns whether it changed.

    Images that people hold can still be answered, also by people who are no longer in it.

    Raises:
        InvalidInput: it is restricted, and names nobody.
        NotFound: a person or a group does not exist.
        Conflict: the campaign is archived.
    """
    refuse_archived(campaign)
    if audience.restricted and not (audience.people or audience.groups):
        raise InvalidInput(
            _("Choose at least one person or group, or let everybody label in the campaign.")
        )
    wanted = audience if audience.restricted else EVERYBODY
    if wanted == load_audience(session, campaign):
        return False
    no_person = _("An account that was chosen does not exist any more. Choose again.")
    no_group = _("A group that was chosen does not exist any more. Choose again.")
    refuse_unknown(session, Annotator, wanted.people, no_person)
    refuse_unknown(session, Group, wanted.groups, no_group)
    campaign.restricted = wanted.restricted
    for table, column, ids in (
        (CampaignAnnotator, "annotator_id", wanted.people),
        (CampaignGroup, "group_id", wanted.groups),
    ):
        session.execute(
            delete(table)
            .where(table.campaign_id == campaign.id)
            .execution_options(synchronize_session=False)
        )
        if ids:
            rows = [{"campaign_id": campaign.id, column: one} for one in sorted(ids)]
            session.execute(insert(table), rows)
    details = {"people": len(wanted.people), "groups": len(wanted.groups)}
    told = details if wanted.restricted else {"everybody": "yes"}
    record(session, "campaign_assigned", by, ("campaign", campaign.id), **told)
    return True


def count_audience(session: Session, campaign_id: int) -> int:
    """The number of people with an open account who may label in a campaign."""
    counted = (
        select(func.count())
        .select_from(Annotator)
        .join(Campaign, Campaign.id == campaign_id)
        .where(Annotator.deactivated_at.is_(None), may_label(Campaign, Annotator.id))
    )
    return session.scalar(counted) or 0
