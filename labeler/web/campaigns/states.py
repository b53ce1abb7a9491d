"""The views that change whether a campaign assigns images: activate, pause, archive and back."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, url_for
from werkzeug.wrappers import Response

from labeler.campaigns import archive as archiving
from labeler.campaigns import service as campaigns
from labeler.errors import Conflict
from labeler.languages.texts import gettext as _
from labeler.web import access, confirmation, request_fields
from labeler.web.campaigns.questions import ask_activation, ask_archiving, ask_deactivation
from labeler.web.confirmation import Undo
from labeler.web.context import actor, db

bp = Blueprint("campaign_states", __name__, url_prefix="/admin/campaigns/<id:campaign_id>")


@bp.post("/activate")
@access.only("supervisor", "admin")
def activate(campaign_id: int) -> Response | tuple[str, int]:
    """Assign images of a campaign, beside those of other active campaigns."""
    if not confirmation.is_given():
        with db().read() as session:
            found = campaigns.get_campaign(session, campaign_id)
            others = [one for one in campaigns.active_campaigns(session) if one.id != found.id]
            if others and not found.active:
                return ask_activation(session, found, others)
    with db().write() as session:
        was_active = campaigns.get_campaign(session, campaign_id).active
        found = campaigns.activate_campaign(session, campaign_id, actor())
    undo = Undo(
        _address("deactivate", campaign_id), _("Undo: deactivate %(name)s", name=found.name)
    )
    said = _("%(name)s is now active. People are assigned its images.", name=found.name)
    return _back(campaign_id, said, None if was_active else undo)


@bp.post("/deactivate")
@access.only("supervisor", "admin")
def deactivate(campaign_id: int) -> Response | tuple[str, int]:
    """Assign no more images of a campaign."""
    if not confirmation.is_given():
        with db().read() as session:
            found = campaigns.get_campaign(session, campaign_id)
            if found.active:
                return ask_deactivation(session, found)
    with db().write() as session:
        was_active = campaigns.get_campaign(session, campaign_id).active
        found = campaigns.deactivate_campaign(session, campaign_id, actor())
    undo = Undo(
        _address("activate", campaign_id), _("Undo: activate %(name)s again", name=found.name)
    )
    said = _(
        "%(name)s is no longer active. People can still answer the images they have.",
        name=found.name,
    )
    return _back(campaign_id, said, undo if was_active else None)


@bp.post("/pause")
@access.only("supervisor", "admin")
def pause(campaign_id: int) -> Response:
    """Stop assigning images of a campaign."""
    with db().write() as session:
        campaigns.pause_campaign(session, campaign_id, actor())
    return _back(
        campaign_id,
        _(
            "The campaign is paused. Nobody gets new images. People can still answer the images "
            "they already have."
        ),
    )


@bp.post("/resume")
@access.only("supervisor", "admin")
def resume(campaign_id: int) -> Response:
    """Assign images of a campaign again."""
    with db().write() as session:
        campaigns.resume_campaign(session, campaign_id, actor())
    return _back(campaign_id, _("The campaign continues. People get new images again."))


@bp.post("/archive")
@access.only("supervisor", "admin")
def archive(campaign_id: int) -> Response | tuple[str, int]:
    """Put a campaign away."""
    if not confirmation.is_given():
        with db().read() as session:
            return ask_archiving(session, campaigns.get_campaign(session, campaign_id))
    with db().write() as session:
        was_active = campaigns.get_campaign(session, campaign_id).active
        found = archiving.archive_campaign(session, campaign_id, actor())
    undo = Undo(_address("restore", campaign_id), _("Undo: restore %(name)s", name=found.name))
    if was_active:
        said = _("%(name)s is archived. It is no longer active.", name=found.name)
    else:
        said = _("%(name)s is archived.", name=found.name)
    return _back(campaign_id, said, undo)


@bp.post("/restore")
@access.only("supervisor", "admin")
def restore(campaign_id: int) -> Response:
    """Take a campaign out of the archive, perhaps under another name."""
    name = request_fields.text("restored_name") or None
    try:
        with db().write() as session:
            found = archiving.restore_campaign(session, campaign_id, actor(), name=name)
    except Conflict as error:
        flash(error.message, "error")
        return redirect(url_for("campaigns.campaign", campaign_id=campaign_id), 303)
    return _back(campaign_id, _("%(name)s is restored. It is not active.", name=found.name))


def _address(view: str, campaign_id: int) -> str:
    return url_for(f"campaign_states.{view}", campaign_id=campaign_id)


def _back(campaign_id: int, text: str, undo: Undo | None = None) -> Response:
    confirmation.tell(text, undo)
    return redirect(url_for("campaigns.campaign", campaign_id=campaign_id), 303)
