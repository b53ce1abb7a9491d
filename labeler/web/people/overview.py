"""The list of people, and the invites by which they come (admins only)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from flask import session as session_cookie
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.accounts import invites as accounts_invites
from labeler.accounts.directory import MAX_SEARCH, PAGE, find_people
from labeler.accounts.groups import GroupSize, list_groups
from labeler.accounts.invites import InviteStatus
from labeler.accounts.service import Person
from labeler.campaigns import participation
from labeler.campaigns.participation import ParticipantStatus
from labeler.errors import InvalidInput, NotFound
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext, pgettext
from labeler.models.accounts import ROLES, Annotator
from labeler.progress.annotator_progress import count_votes
from labeler.web import access, confirmation, request_fields
from labeler.web.context import Page, actor, db, render, site_address
from labeler.web.current_campaign import campaign_or_none, page_query
from labeler.web.person_name import PersonName, name_person, sees_names
from labeler.web.status_reasons import write_reason

bp = Blueprint("people", __name__, url_prefix="/admin")
NEW_INVITE = "new_invite"  # in the cookie: number and link, until the list has shown them
STATUS_WORDS = {
    "training": mark("in qualification"),
    "working": mark("working"),
    "paused": mark("paused"),
}


@dataclass(frozen=True, slots=True)
class StatusRow:
    """The status of a person in the campaign. `flags`: findings about the votes, as sentences.

    `in_audience`: the person may label in the campaign.
    """

    status: str
    in_audience: bool
    words: str
    reason: str
    by_rules: bool
    changed_at: datetime | None
    flags: list[str]


@dataclass(frozen=True, slots=True)
class PersonRow:
    """An account of the list. `pseudonym`: "" if it is the name that is shown.

    `votes`: those that count in the campaign that the page is about. Without one, those in all
    campaigns are counted, and `status` is None.
    """

    name: PersonName
    pseudonym: str
    role: str
    votes: int
    created_at: datetime
    last_seen_at: datetime | None
    state: str
    state_words: str
    status: StatusRow | None


@dataclass(frozen=True, slots=True)
class PeoplePage(Page):
    """A page of the accounts. `next`, `first`: addresses, "" without such a page.

    `query`: the query values that keep the search on the campaign.
    """

    template = "people/people.html"
    people: list[PersonRow]
    campaign: str
    search: str
    next: str
    first: str
    query: Mapping[str, Any]
    problem: str = ""
    max_search: int = MAX_SEARCH


@dataclass(frozen=True, slots=True)
class InviteRow:
    """An invite of the list. `open`: its link still works."""

    id: int
    note: str
    role: str
    uses: int
    max_uses: int
    state: str
    open: bool
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class InviteForm:
    """The values of the form for a new invite. `group`: the number of a group, or ""."""

    note: str = ""
    role: str = "annotator"
    group: str = ""
    max_uses: str = "1"
    days: str = "14"


@dataclass(frozen=True, slots=True)
class InvitesPage(Page):
    """All invites, and the groups that a new one can be for.

    `number`, `link`: those of the invite that was just created. `is_local`: the link works only on
    the machine that runs the site.
    """

    template = "people/invites.html"
    invites: list[InviteRow]
    groups: Sequence[GroupSize]
    form: InviteForm = field(default_factory=InviteForm)
    number: int = 0
    link: str = ""
    is_local: bool = False
    problem: str = ""
    roles: tuple[str, ...] = ROLES


@bp.get("/people")
@access.only("supervisor", "admin")
def people() -> tuple[str, int]:
    """The people who have an account: those that a search finds, a page at a time."""
    search, after = request.args.get("search", "").strip(), request.args.get("after", "")
    with db().read() as session:
        try:
            found = find_people(
                session, search=search, by_name=sees_names(), after=after, limit=PAGE + 1
            )
        except InvalidInput as error:
            page = PeoplePage([], "", search, "", "", page_query(), error.message)
            return render(page, error.status)
        return render(_people_page(session, found, search, after))


@bp.get("/invites")
@access.only("admin")
def invites() -> tuple[str, int]:
    """The invites, and the form for a new one. A link that was just created is shown once."""
    made = session_cookie.pop(NEW_INVITE, None)
    if made is None:
        return render(InvitesPage(_rows(), _groups()))
    number, link = made
    local = accounts_invites.is_local(link)
    return render(InvitesPage(_rows(), _groups(), number=number, link=link, is_local=local))


@bp.post("/invites")
@access.only("admin")
@access.asks_password(mark("create an invite link"), "people.invites")
def create_invite() -> tuple[str, int] | Response:
    """Create an invite. The site does not store its link, so the admin's own cookie brings it."""
    form = InviteForm(
        **{
            name: request_fields.text(name)
            for name in ("note", "role", "group", "max_uses", "days")
        }
    )
    try:
        uses, days = request_fields.whole("max_uses"), request_fields.whole("days")
        with db().write() as session:
            made, token = accounts_invites.create_invite(
                session,
                form.role,
                uses,
                days,
                form.note,
                actor(),
                group_id=request_fields.row_number("group") or None,
            )
            number = made.id
    except (InvalidInput, NotFound) as error:
        return render(InvitesPage(_rows(), _groups(), form, problem=error.message), error.status)
    session_cookie[NEW_INVITE] = number, accounts_invites.invite_address(site_address(), token)
    return redirect(url_for("people.invites"), 303)


@bp.post("/invites/<id:invite_id>/revoke")
@access.only("admin")
def revoke_invite(invite_id: int) -> Response | tuple[str, int]:
    """End an invite. Its link cannot be restored, so the site asks first."""
    if not confirmation.is_given():
        with db().read() as session:
            status = accounts_invites.get_status(session, invite_id)
        if status.state == "open":
            return _ask_revoking(status)
    with db().write() as session:
        accounts_invites.revoke_invite(session, invite_id, actor())
    flash(_("The link no longer works. Accounts that were created with it stay."), "success")
    return redirect(url_for("people.invites"), 303)


def _ask_revoking(status: InviteStatus) -> tuple[str, int]:
    """Ask before an invite that still works is revoked."""
    invite = status.invite
    effects = [
        ngettext(
            "The link could create %(num)s more account with the role %(role)s. It will no "
            "longer work.",
            "The link could create %(num)s more accounts with the role %(role)s. It will no "
            "longer work.",
            invite.max_uses - status.uses,
            role=_(invite.role),
        ),
        ngettext(
            "%(num)s account was created with it. That account stays.",
            "%(num)s accounts were created with it. Those accounts stay.",
            status.uses,
        )
        if status.uses
        else _("No account was created with it."),
        _("It cannot be restored. You can create another link at any time."),
    ]
    if invite.note:
        title = _("Revoke invite %(number)s for %(note)s?", number=invite.id, note=invite.note)
    else:
        title = _("Revoke invite %(number)s?", number=invite.id)
    return confirmation.ask(title, effects, _("Revoke the link"), url_for("people.invites"))


def _people_page(session: Session, found: Sequence[Person], search: str, after: str) -> PeoplePage:
    campaign, shown = campaign_or_none(session), found[:PAGE]
    ids = [one.annotator.id for one in shown]
    statuses = participation.list_statuses(session, campaign.id, ids) if campaign else {}
    votes = count_votes(session, campaign.id if campaign else None, among=ids)
    query = {**page_query(), **({"search": search} if search else {})}
    following = ""
    if len(found) > PAGE:
        last = shown[-1].annotator
        place = last.username if sees_names() else last.pseudonym
        following = url_for("people.people", **query, after=place)
    return PeoplePage(
        [_row(one, votes, statuses) for one in shown],
        campaign.name if campaign else "",
        search,
        following,
        url_for("people.people", **query) if after else "",
        page_query(),
    )


def _row(
    person: Person, votes: Mapping[int, int], statuses: Mapping[int, ParticipantStatus]
) -> PersonRow:
    annotator = person.annotator
    status = statuses.get(annotator.id)
    return PersonRow(
        name_person(annotator),
        annotator.pseudonym if sees_names() else "",
        annotator.role,
        votes.get(annotator.id, 0),
        annotator.created_at,
        person.last_seen_at,
        account_state(annotator),
        state_words(annotator),
        status_row(status) if status else None,
    )


def account_state(annotator: Annotator) -> str:
    """Return `active`, `closed` or `anonymised`."""
    if annotator.removed_at is not None:
        return "anonymised"
    return "active" if annotator.deactivated_at is None else "closed"


def state_words(annotator: Annotator) -> str:
    """Return the state of an account in words."""
    return {
        "active": pgettext("account", "active"),
        "closed": pgettext("account", "closed"),
        "anonymised": pgettext("account", "anonymised"),
    }[account_state(annotator)]


def _state_of_invite(state: str) -> str:
    return {
        "open": pgettext("invite", "open"),
        "used up": pgettext("invite", "used up"),
        "expired": pgettext("invite", "expired"),
        "revoked": pgettext("invite", "revoked"),
    }[state]


def status_words(found: ParticipantStatus) -> str:
    """Return a status in words; a pause is told also of a person who is not in the campaign."""
    if found.in_audience:
        return _(STATUS_WORDS[found.status])
    if found.status == "paused":
        return _("paused, not in this campaign")
    return _("not in this campaign")


def status_row(found: ParticipantStatus) -> StatusRow:
    """Return a status in words."""
    return StatusRow(
        found.status,
        found.in_audience,
        status_words(found),
        write_reason(found.reason),
        found.by_rules,
        found.changed_at,
        [write_reason(sentence) for sentence in found.flags],
    )


def _rows() -> list[InviteRow]:
    with db().read() as session:
        return [_invite_row(status) for status in accounts_invites.list_invites(session)]


def _groups() -> Sequence[GroupSize]:
    with db().read() as session:
        return list_groups(session)


def _invite_row(status: InviteStatus) -> InviteRow:
    invite = status.invite
    return InviteRow(
        invite.id,
        invite.note,
        invite.role,
        status.uses,
        invite.max_uses,
        _state_of_invite(status.state),
        status.state == "open",
        invite.created_at,
        invite.expires_at,
    )
