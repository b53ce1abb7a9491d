"""The privacy notice for everybody, and the form with which admins change it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, jsonify, redirect, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from labeler.errors import InvalidInput
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.privacy import service as privacy
from labeler.privacy.service import MAX_NOTICE, Notice
from labeler.web import access, confirmation, markdown, request_fields
from labeler.web.confirmation import Undo
from labeler.web.context import Page, actor, db, render, settings
from labeler.web.errors import wants_json

bp = Blueprint("privacy", __name__)


@dataclass(frozen=True, slots=True)
class PrivacyPage(Page):
    """The notice, as everybody reads it. `changed_at`: None for the default one."""

    template = "privacy/notice.html"
    notice: Markup
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class EditPage(Page):
    """The form. `text`: as it was typed or is stored. `stored`: the notice that people read."""

    template = "privacy/edit.html"
    text: str
    preview: Markup
    stored: Notice
    problem: str = ""
    max_length: int = MAX_NOTICE


@bp.get("/privacy")
@access.public
def notice() -> tuple[str, int]:
    """What the site stores about people, how long, and who sees it."""
    found = _stored()
    return render(PrivacyPage(markdown.render(found.text), found.changed_at))


@bp.get("/admin/privacy")
@access.only("admin")
def edit() -> tuple[str, int]:
    """The form for the privacy notice. It begins with the text that is shown at present."""
    return render(_page(_stored().text))


@bp.post("/admin/privacy")
@access.only("admin")
@request_fields.accepts_uploads
def save() -> tuple[str, int] | Response:
    """Replace the privacy notice."""
    text = request_fields.text("privacy_notice")
    try:
        with db().write() as session:
            before = privacy.change_notice(session, settings(), text, actor())
            is_default = privacy.get_notice(session, settings()).is_default
    except InvalidInput as error:
        return render(_page(text, error.message), error.status)
    if before is None:
        return _back(_("The privacy notice is unchanged."))
    if is_default:
        return _back(_("The default privacy notice is shown again."))
    back = Undo(url_for("privacy.restore"), _("Undo: show the default notice again"))
    return _back(_("Everybody now reads your privacy notice."), back if before.is_default else None)


@bp.post("/admin/privacy/try")
@access.only("admin")
@request_fields.accepts_uploads
def preview() -> tuple[str, int] | Response:
    """Show what a text will look like. Nothing is stored."""
    text = request_fields.text("privacy_notice")
    problem = ""
    try:
        privacy.check_length(text)
    except InvalidInput as error:
        problem = error.message
    if wants_json():
        return jsonify(ok=True, preview=str(markdown.render(text)), problem=problem)
    return render(_page(text, problem))


@bp.post("/admin/privacy/default")
@access.only("admin")
def restore() -> tuple[str, int] | Response:
    """Show the default notice again. The own text is deleted, so the site asks first."""
    stored = _stored()
    if stored.is_default:
        return _back(_("The default privacy notice is shown already."))
    if not confirmation.is_given():
        effects = [
            _(
                "Your text of %(count)s characters will be deleted. Copy it first if you may "
                "need it again.",
                count=write_number(len(stored.text)),
            ),
            _("Everybody then reads the default notice of this software."),
        ]
        title = _("Show the default privacy notice again?")
        return confirmation.ask(title, effects, _("Delete your text"), url_for("privacy.edit"))
    with db().write() as session:
        privacy.restore_default(session, settings(), actor())
    return _back(_("The default privacy notice is shown again."))


def _stored() -> Notice:
    with db().read() as session:
        return privacy.get_notice(session, settings())


def _page(text: str, problem: str = "") -> EditPage:
    return EditPage(text, markdown.render(text), _stored(), problem)


def _back(text: str, undo: Undo | None = None) -> Response:
    confirmation.tell(text, undo)
    return redirect(url_for("privacy.edit"), 303)
