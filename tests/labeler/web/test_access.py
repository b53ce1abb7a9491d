"""Every route, for everybody: who may, who may not, and that no write goes without a token."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.routing import Rule

from labeler.config import Settings
from labeler.db import Database
from labeler.models import ROLES
from labeler.services import accounts
from labeler.web import access
from tests.labeler.web.conftest import Visit

PUBLIC = {
    "static", "site.home", "site.guide", "site.healthz", "auth.sign_in", "auth.do_sign_in",
    "auth.join", "auth.do_join",
}  # fmt: skip
ADMINS = {
    "admin.invites", "admin.create_invite", "admin.revoke_invite",
    "admin.set_role", "admin.deactivate", "admin.reactivate",
}  # fmt: skip


def allowed_roles(endpoint: str) -> set[str]:
    """The table that the site is to follow, said a second time and by area."""
    if endpoint in ADMINS:
        return {"admin"}
    return {"supervisor", "admin"} if endpoint.startswith("admin.") else set(ROLES)


def address_of(rule: Rule) -> str:
    values = {
        name: "x" if name in ("token", "sha_prefix", "filename") else 999 for name in rule.arguments
    }
    return rule.build(values)[1]  # type: ignore[index]


def routes(app: Flask) -> list[tuple[Rule, str]]:
    return [
        (rule, method)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) & {"GET", "POST"})
    ]


def test_each_route_and_role_is_as_declared(app: Flask, visit: Visit, dataset_id: int) -> None:
    for role in (None, *ROLES):
        for rule, method in routes(app):
            if rule.endpoint in PUBLIC or rule.endpoint == "auth.sign_out":
                continue
            browser = visit(role)  # a fresh one: some of these writes sign it out
            call = browser.get if method == "GET" else browser.submit
            status = call(address_of(rule)).status_code
            may = role in allowed_roles(rule.endpoint)
            refused = 401 if role is None else 403
            assert (status != refused) == may, f"{role} {method} {rule}: {status}"
            assert status < 500


def test_public_routes_need_nobody(app: Flask, visit: Visit) -> None:
    for rule, method in routes(app):
        if rule.endpoint in PUBLIC and method == "GET":
            assert visit(None).get(address_of(rule)).status_code in (200, 302, 404)


def test_each_write_needs_a_token(app: Flask, visit: Visit, dataset_id: int) -> None:
    admin = visit("admin")
    writes = [rule for rule, method in routes(app) if method == "POST"]
    assert len(writes) > 12
    for rule in writes:
        answer = admin.client.post(address_of(rule), headers={"Accept": "application/json"})
        assert answer.status_code == 400, rule
        assert answer.get_json()["error"]["code"] == "csrf_failed"


def test_no_view_reads_by_post_or_writes_by_get(app: Flask) -> None:
    for rule in app.url_map.iter_rules():
        assert len((rule.methods or set()) & {"GET", "POST", "PUT", "DELETE", "PATCH"}) == 1


def test_a_view_without_declaration_stops_the_start(app: Flask) -> None:
    app.view_functions["careless"] = lambda: "anything"
    with pytest.raises(LookupError, match="careless"):
        access.refuse_undeclared(app)


def test_a_token_of_another_browser_is_refused(visit: Visit) -> None:
    ada, eve = visit("admin"), visit("admin")
    answer = eve.client.post("/sign-out", data={"csrf_token": ada.token()})
    assert answer.status_code == 400


def test_a_page_of_another_account_is_refused(visit: Visit, dataset_id: int) -> None:
    """The queue of one person must not be sent as another."""
    ada = visit("annotator")
    headers = {"X-CSRFToken": ada.token(), "X-Annotator": str((ada.annotator_id or 0) + 1)}
    answer = ada.client.post("/label/leases", json={"count": 1}, headers=headers)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "other_account")


def test_a_closed_account_is_out_at_once(visit: Visit, db: Database) -> None:
    ann = visit("annotator")
    assert ann.get("/me").status_code == 200
    with db.write() as session:
        accounts.deactivate(session, ann.annotator_id or 0)
    assert ann.get("/me").status_code == 401


def test_headers_on_every_kind_of_answer(visit: Visit) -> None:
    admin = visit("admin")
    for address in ("/guide", "/admin/", "/nowhere", "/static/site.css", "/healthz"):
        headers = admin.get(address).headers
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
    assert admin.get("/me").headers["Cache-Control"] == "no-store"


def test_cookie_holds_a_token_only(visit: Visit, app: Flask, settings: Settings) -> None:
    browser = visit("admin", "ada")
    with browser.client.session_transaction() as cookie:
        assert set(cookie) <= {"token", "csrf_token", "_permanent"}
    set_cookie = visit(None).get("/sign-in").headers["Set-Cookie"]
    assert "HttpOnly" in set_cookie
    assert "SameSite=Lax" in set_cookie
    assert ("Secure" in set_cookie) == settings.cookie_secure


def test_opening_a_page_prolongs_the_cookie_and_a_vote_does_not(
    app: Flask, visit: Visit, dataset_id: int
) -> None:
    browser = visit("annotator")
    with browser.client.session_transaction() as cookie:
        cookie.permanent = True
    opened = browser.get("/label")
    assert "sidelight=" in opened.headers["Set-Cookie"]
    assert "Expires=" in opened.headers["Set-Cookie"]
    answer = browser.send("/label/leases", {"count": 1})
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert browser.get("/label").status_code == 200


@pytest.mark.parametrize(
    ("address", "headers"), [("/static/site.css", {}), ("/admin/", {"X-Fragment": "1"})]
)
def test_what_a_page_asks_for_by_itself_prolongs_nothing(
    visit: Visit, address: str, headers: dict[str, str]
) -> None:
    """Arriving late, it would bring back a cookie that has been cleared meanwhile."""
    browser = visit("supervisor")
    with browser.client.session_transaction() as cookie:
        cookie.permanent = True
    answer = browser.get(address, headers=headers)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
