"""The start page, the guide, and the health check."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, current_app, jsonify, redirect, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from labeler.campaigns.audience import current_campaign
from labeler.campaigns.default_guideline import DEFAULT_GUIDELINE
from labeler.campaigns.service import active_campaign
from labeler.web import access, markdown
from labeler.web.context import Page, account_or_none, db, manages, render
from labeler.web.errors import always_json

bp = Blueprint("home", __name__)


@dataclass(frozen=True, slots=True)
class GuidePage(Page):
    """How to judge the light. `guideline`: that of the campaign, or the default one."""

    template = "home/guide.html"
    guideline: Markup
    is_default: bool


@bp.get("/")
@access.public
def home() -> Response:
    """Redirect to a person's work: the overview for those who manage, labelling for others."""
    if account_or_none() is None:
        return redirect(url_for("accounts.sign_in"))
    return redirect(url_for("dashboard.overview" if manages() else "voting.label"))


@bp.get("/guide")
@access.public
def guide() -> tuple[str, int]:
    """The guide for annotators: what to look for, and which keys answer."""
    with db().read() as session:
        me = account_or_none()
        campaign = current_campaign(session, me.id) if me else active_campaign(session)
        text = campaign.guideline if campaign else ""
    return render(GuidePage(markdown.render(text or DEFAULT_GUIDELINE), not text))


@bp.get("/healthz")
@access.public
@always_json
def healthz() -> tuple[Response, int, dict[str, str]]:
    """Answer 200 if votes can be stored, else 503 and which part fails; in two seconds at most."""
    found = current_app.extensions["sidelight_health"].problems()
    checks = {part: problem or "ok" for part, problem in found.items()}
    wrong = [f"{part}: {problem}" for part, problem in found.items() if problem]
    headers = {"Cache-Control": "no-store"}
    if not wrong:
        return jsonify(ok=True, checks=checks), 200, headers
    error = {"code": "unhealthy", "message": " ".join(wrong)}
    return jsonify(ok=False, error=error, checks=checks), 503, headers | {"Retry-After": "5"}
