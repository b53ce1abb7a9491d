"""The pages of groups: who is in them. Campaigns and invites can be for a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from labeler.accounts import groups as accounts_groups
from labeler.accounts.service import list_people
from labeler.errors import SidelightError
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext
from labeler.web import access, confirmation, request_fields
from labeler.web.context import Page, actor, db, render
from labeler.web.person_name import by_name

bp = Blueprint("groups", __name__, url_prefix="/admin/groups")


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group of the list."""

    id: int
    name: str
    members: int


@dataclass(frozen=True, slots=True)
class GroupsPage(Page):
    """All groups, and the form for a new one."""

    template = "groups/list.html"
    groups: list[GroupRow]
    name: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PersonTick:
    """A person who can be in the group. `closed`: the account is closed."""

    id: int
    name: str
    member: bool
    closed: bool


@dataclass(frozen=True, slots=True)
class GroupPage(Page):
    """A group and its members. `campaigns`: those that are restricted to it."""

    template = "groups/group.html"
    id: int
    heading: str
    name: str
    people: list[PersonTick]
    campaigns: Sequence[str]
    problem: str = ""


@bp.get("")
@access.only("supervisor", "admin")
def groups() -> tuple[str, int]:
    """The groups."""
    return render(GroupsPage(_rows()))


@bp.post("")
@access.only("supervisor", "admin")
def create_group() -> tuple[str, int] | Response:
    """Create a group."""
    name = request_fields.text("name")
    try:
        with db().write() as session:
            group_id = accounts_groups.create_group(session, name, actor()).id
    except SidelightError as error:
        return render(GroupsPage(_rows(), name, error.message), error.status)
    return _back(group_id, _("The group has been created. Choose who is in it."))


@bp.get("/<id:group_id>")
@access.only("supervisor", "admin")
def group(group_id: int) -> tuple[str, int]:
    """One group: its name and its members."""
    return render(_group_page(group_id))


@bp.post("/<id:group_id>")
@access.only("supervisor", "admin")
def save_group(group_id: int) -> tuple[str, int] | Response:
    """Change the name and the members of a group."""
    name, people = request_fields.text("name"), request_fields.row_numbers("person")
    try:
        with db().write() as session:
            accounts_groups.rename_group(session, group_id, name, actor())
            accounts_groups.set_members(session, group_id, people, actor())
    except SidelightError as error:
        return render(_group_page(group_id, name, people, error.message), error.status)
    return _back(group_id, _("Your changes have been saved."))


@bp.post("/<id:group_id>/delete")
@access.only("supervisor", "admin")
def delete_group(group_id: int) -> tuple[str, int] | Response:
    """Delete a group. Its people and their votes stay."""
    if not confirmation.is_given():
        return _ask_deletion(group_id)
    with db().write() as session:
        name = accounts_groups.get_group(session, group_id).name
        accounts_groups.delete_group(session, group_id, actor())
    confirmation.tell(_("The group %(name)s is deleted. Its people stay.", name=name))
    return redirect(url_for("groups.groups"), 303)


def _ask_deletion(group_id: int) -> tuple[str, int]:
    with db().read() as session:
        name = accounts_groups.get_group(session, group_id).name
        members = len(accounts_groups.members_of(session, group_id))
    effects = [
        ngettext(
            "%(num)s person is in it. Their accounts and votes stay.",
            "%(num)s people are in it. Their accounts and votes stay.",
            members,
        ),
        _("Invites for the group still work, and the new accounts are in no group."),
        _("It cannot be undone. You can create another group at any time."),
    ]
    back = url_for("groups.group", group_id=group_id)
    return confirmation.ask(
        _("Delete the group %(name)s?", name=name), effects, _("Delete the group"), back
    )


def _rows() -> list[GroupRow]:
    with db().read() as session:
        return [
            GroupRow(one.group.id, one.group.name, one.members)
            for one in accounts_groups.list_groups(session)
        ]


def _group_page(
    group_id: int,
    name: str | None = None,
    ticked: frozenset[int] | None = None,
    problem: str = "",
) -> GroupPage:
    """Return the page of a group, with the form as it is stored or as it was sent."""
    with db().read() as session:
        found = accounts_groups.get_group(session, group_id)
        members = accounts_groups.members_of(session, group_id)
        shown = members if ticked is None else ticked
        people = [
            PersonTick(one.id, name, one.id in shown, one.deactivated_at is not None)
            for name, one in by_name(person.annotator for person in list_people(session))
            if one.deactivated_at is None or one.id in members
        ]
        restricted = accounts_groups.restricted_to(session, group_id)
        stored = found.name
    return GroupPage(
        group_id, stored, stored if name is None else name, people, restricted, problem
    )


def _back(group_id: int, text: str) -> Response:
    confirmation.tell(text)
    return redirect(url_for("groups.group", group_id=group_id), 303)
