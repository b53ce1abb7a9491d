"""The start page, the guide, and the sign of life."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, jsonify, redirect, url_for
from sqlalchemy import text
from werkzeug.wrappers import Response

from labeler.web import access
from labeler.web.errors import always_json
from labeler.web.state import Page, account_or_none, db, render

bp = Blueprint("site", __name__)


@dataclass(frozen=True, slots=True)
class GuidePage(Page):
    """How to judge the light. The same for everybody."""

    template = "site/guide.html"


@bp.get("/")
@access.public
def home() -> Response:
    """Where a person's work is: managing for an admin, labelling for the others."""
    found = account_or_none()
    if found is None:
        return redirect(url_for("auth.sign_in"))
    return redirect(url_for("admin.overview" if found.role == "admin" else "labelling.label"))


@bp.get("/guide")
@access.public
def guide() -> tuple[str, int]:
    return render(GuidePage())


@bp.get("/healthz")
@access.public
@always_json
def healthz() -> Response:
    """200 when the database answers, else 503."""
    with db().read() as session:
        session.execute(text("SELECT 1"))
    return jsonify(ok=True)
