"""Groups: people under one name, such as a class. Campaigns can be restricted to groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.database.engine import insert_or
from labeler.database.existence import refuse_unknown
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator, Group, GroupMember, Invite
from labeler.models.campaigns import Campaign, CampaignGroup

MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class GroupSize:
    """A group and the number of its members."""

    group: Group
    members: int


def list_groups(session: Session) -> Sequence[GroupSize]:
    """All groups by name."""
    rows = session.execute(
        select(Group, func.count(GroupMember.annotator_id))
        .outerjoin(GroupMember, GroupMember.group_id == Group.id)
        .group_by(Group.id)
        .order_by(Group.name)
    )
    return [GroupSize(*row) for row in rows]


def get_group(session: Session, group_id: int) -> Group:
    """The group with this id.

    Raises:
        NotFound: there is none.
    """
    group = session.get(Group, group_id)
    if group is None:
        raise NotFound(
            _("The group with the number %(group_id)s does not exist.", group_id=group_id)
        )
    return group


def find_group(session: Session, name: str) -> Group:
    """The group with this name.

    Raises:
        NotFound: there is none; the message lists all groups.
    """
    group = session.scalar(select(Group).where(Group.name == name.strip()))
    if group is None:
        known = ", ".join(session.scalars(select(Group.name).order_by(Group.name))) or _("none")
        raise NotFound(
            _("There is no group %(name)r. The groups are: %(known)s.", name=name, known=known)
        )
    return group


def create_group(session: Session, name: str, by: Actor = NOBODY) -> Group:
    """Create a group without members.

    Raises:
        InvalidInput: the name is empty or too long.
        Conflict: the name is taken.
    """
    group = Group(name=_check_name(session, name))
    session.add(group)
    session.flush()
    record(session, "group_created", by, ("group", group.id))
    return group


def rename_group(session: Session, group_id: int, name: str, by: Actor = NOBODY) -> Group:
    """Give a group another name.

    Raises:
        NotFound: no such group.
        InvalidInput, Conflict: as `create_group`.
    """
    group = get_group(session, group_id)
    if name.strip() != group.name:
        group.name = _check_name(session, name)
        record(session, "group_changed", by, ("group", group_id), changed="name")
    return group


def members_of(session: Session, group_id: int) -> frozenset[int]:
    """The ids of the accounts in a group."""
    found = select(GroupMember.annotator_id).where(GroupMember.group_id == group_id)
    return frozenset(session.scalars(found))


def set_members(
    session: Session, group_id: int, people: Collection[int], by: Actor = NOBODY
) -> bool:
    """Let a group have these members and no others; returns whether that changed it.

    Raises:
        NotFound: no such group or person.
    """
    get_group(session, group_id)
    wanted, before = frozenset(people), members_of(session, group_id)
    if wanted == before:
        return False
    gone = _("An account that was chosen does not exist any more. Choose again.")
    refuse_unknown(session, Annotator, wanted, gone)
    session.execute(
        delete(GroupMember)
        .where(GroupMember.group_id == group_id, GroupMember.annotator_id.in_(before - wanted))
        .execution_options(synchronize_session=False)
    )
    if new := sorted(wanted - before):
        session.execute(insert(GroupMember), [_member(group_id, one) for one in new])
    added, removed = len(wanted - before), len(before - wanted)
    record(session, "group_changed", by, ("group", group_id), added=added, removed=removed)
    return True


def join_group(session: Session, group_id: int, annotator_id: int) -> None:
    """Add a person to a group, as an invite for it does."""
    member = _member(group_id, annotator_id)
    session.execute(insert_or(session, GroupMember).values(**member).on_conflict_do_nothing())


def restricted_to(session: Session, group_id: int) -> Sequence[str]:
    """The names of the campaigns that are restricted to a group, perhaps among others."""
    return session.scalars(
        select(Campaign.name)
        .join(CampaignGroup, CampaignGroup.campaign_id == Campaign.id)
        .where(CampaignGroup.group_id == group_id, Campaign.archived_at.is_(None))
        .order_by(Campaign.name)
    ).all()


def delete_group(session: Session, group_id: int, by: Actor = NOBODY) -> None:
    """Delete a group. Its members and their votes stay; invites for it open accounts without it.

    Raises:
        NotFound: no such group.
        Conflict: a campaign is restricted to it. Without the group, nobody could label there.
    """
    group = get_group(session, group_id)
    if names := restricted_to(session, group_id):
        raise Conflict(
            _(
                "The group %(name)r is chosen in the campaign %(campaign)r. Take it out there "
                "first.",
                name=group.name,
                campaign=names[0],
            )
        )
    session.execute(update(Invite).where(Invite.group_id == group_id).values(group_id=None))
    for table in (GroupMember, CampaignGroup):
        session.execute(
            delete(table)
            .where(table.group_id == group_id)
            .execution_options(synchronize_session=False)
        )
    session.delete(group)
    record(session, "group_deleted", by, ("group", group_id))
    session.flush()


def _member(group_id: int, annotator_id: int) -> dict[str, int]:
    return {"group_id": group_id, "annotator_id": annotator_id}


def _check_name(session: Session, name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME:
        raise InvalidInput(_("Enter a name of 1 to %(max_name)s characters.", max_name=MAX_NAME))
    if session.scalar(select(Group.id).where(Group.name == name)) is not None:
        raise Conflict(
            _("A group with the name %(name)r exists already. Choose another name.", name=name)
        )
    return name
