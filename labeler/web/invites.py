"""Managing invites: making a link (shown once), listing, revoking."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from flask import flash, redirect, request, url_for
from werkzeug.wrappers import Response

from labeler.errors import InvalidInput
from labeler.models import ROLES
from labeler.services import invites as service
from labeler.services.invites import InviteStatus
from labeler.web import access, forms
from labeler.web.admin import bp
from labeler.web.state import Page, account, db, render, settings


@dataclass(frozen=True, slots=True)
class InviteRow:
    """One invite in the list. `open`: the link still works."""

    id: int
    note: str
    role: str
    uses: int
    max_uses: int
    state: str
    open: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class InviteForm:
    """What the form holds when it is shown."""

    note: str = ""
    role: str = "annotator"
    max_uses: str = "1"
    days: str = "14"


@dataclass(frozen=True, slots=True)
class InvitesPage(Page):
    """All invites; `link` is the one just made."""

    template = "admin/invites.html"
    invites: list[InviteRow]
    form: InviteForm = field(default_factory=InviteForm)
    link: str = ""
    problem: str = ""
    roles: tuple[str, ...] = ROLES


@bp.get("/invites")
@access.only("admin")
def invites() -> tuple[str, int]:
    """The invites, and the form for a new one."""
    return render(InvitesPage(_rows()))


@bp.post("/invites")
@access.only("admin")
def create_invite() -> tuple[str, int]:
    """The link is in the answer itself: it is kept nowhere, so there is nothing to redirect to."""
    form = InviteForm(**{name: forms.text(name) for name in ("note", "role", "max_uses", "days")})
    try:
        uses, days = forms.whole("max_uses"), forms.whole("days")
        with db().write() as session:
            _, token = service.create_invite(
                session, form.role, uses, days, form.note, account().id
            )
    except InvalidInput as error:
        return render(InvitesPage(_rows(), form, problem=error.message), error.status)
    return render(InvitesPage(_rows(), link=_link(token)), 201)


@bp.post("/invites/<id:invite_id>/revoke")
@access.only("admin")
def revoke_invite(invite_id: int) -> Response:
    """End an invite."""
    with db().write() as session:
        service.revoke_invite(session, invite_id)
    flash("The link no longer works. Accounts that were created with it stay.", "success")
    return redirect(url_for("admin.invites"), 303)


def _link(token: str) -> str:
    """With the public address, or the one under which the admin sees the site."""
    base = settings().public_url or request.host_url.rstrip("/")
    return base + url_for("auth.join", token=token)


def _rows() -> list[InviteRow]:
    with db().read() as session:
        return [_row(status) for status in service.list_invites(session)]


def _row(status: InviteStatus) -> InviteRow:
    invite = status.invite
    return InviteRow(
        invite.id,
        invite.note,
        invite.role,
        status.uses,
        invite.max_uses,
        status.state,
        status.state == "open",
        invite.expires_at,
    )
