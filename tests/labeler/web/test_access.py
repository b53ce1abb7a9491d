"""Every route, for everybody: who may, who may not, and that no write goes without a token."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update
from werkzeug.routing import Rule

from labeler.accounts import groups, invites
from labeler.accounts import service as accounts
from labeler.accounts.passwords import hash_token
from labeler.accounts.sessions import TOUCH_AFTER
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.images.filtering import ImageFilter
from labeler.jobs import queue as queue_jobs
from labeler.models.accounts import ROLES, LoginSession, PasswordReset
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.image_imports import ImageImport
from labeler.models.images import Image
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.quality.refresh import judge_people
from labeler.subsets.service import keep_filter
from labeler.web import access
from labeler.web.images.datasets import HASH_DIGITS
from tests.conftest import WRITING, CountQueries, MakeAnnotator
from tests.labeler.acting import ids, lease, make_gold, publish_run, queue, set_rules, vote, waiting
from tests.labeler.conftest import Browser, Visit
from tests.labeler.studio.turned import add_result

PUBLIC = {
    "static",
    "home.home",
    "home.guide",
    "home.healthz",
    "privacy.notice",
    "accounts.sign_in",
    "accounts.do_sign_in",
    "accounts.join",
    "accounts.do_join",
    "accounts.reset",
    "accounts.do_reset",
    "appearance.choose",
    "appearance.save",
    "languages.choose",
    "languages.save",
    "studio_shares.shared",
    "studio_shares.shared_strip",
}
ADMINS = {
    "people.invites",
    "people.create_invite",
    "people.revoke_invite",
    "person_account.set_role",
    "person_account.deactivate",
    "person_account.reactivate",
    "person_account.confirm_anonymise",
    "person_account.anonymise",
    "person_account.create_reset_link",
    "deletion.confirm_campaign",
    "deletion.delete_campaign",
    "deletion.confirm_dataset",
    "deletion.delete_dataset",
    "privacy.edit",
    "privacy.save",
    "privacy.preview",
    "privacy.restore",
    "audit.show",
    "image_imports.add",
    "image_imports.upload_form",
    "image_imports.begin",
    "image_imports.unfinished",
    "image_imports.offset",
    "image_imports.receive",
    "image_imports.finish",
    "image_imports.show",
    "image_imports.retry",
    "image_imports.cancel",
    "image_imports.server_folder",
    "image_imports.add_from_server",
}


def allowed_roles(rule: Rule) -> set[str]:
    """The roles that may use a route, by its address."""
    if rule.endpoint in ADMINS:
        return {"admin"}
    # The studio is not open to annotators unless the settings say so.
    managed = rule.rule.startswith(("/admin/", "/studio"))
    return {"supervisor", "admin"} if managed else set(ROLES)


def address_of(rule: Rule) -> str:
    values = {
        name: "x" if name in ("token", "sha_prefix", "filename", "topic") else 999
        for name in rule.arguments
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
            if rule.endpoint in PUBLIC or rule.endpoint == "accounts.sign_out":
                continue
            browser = visit(role)  # a fresh one: some of these writes sign it out
            call = browser.get if method == "GET" else browser.submit
            status = call(address_of(rule)).status_code
            may = role in allowed_roles(rule)
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


@pytest.fixture
def worked(
    db: Database, settings: Settings, dataset_id: int, make_annotator: MakeAnnotator
) -> dict[str, Any]:
    """A campaign with all that pages show; returns what the addresses need."""
    chances = dict.fromkeys(queue(db), (0.6, 0.3, 0.1))
    publish_run(db, dataset_id, chances, utc_now())
    ada = make_annotator(db).id
    voted, contested = ids(lease(db, ada, 2, settings, utc_now()))
    vote(db, ada, voted, "left", settings, utc_now())
    make_gold(db, {voted: "left"})
    with db.write() as session:
        row = session.get_one(Consensus, (1, contested))
        row.status = "contested"
        _, token = invites.create_invite(session)
        session.add(  # the token of the invite also stands for a link for a new password
            PasswordReset(
                token_hash=hash_token(token),
                annotator_id=ada,
                expires_at=utc_now() + timedelta(hours=1),
            )
        )
        group = groups.create_group(session, "Monday")
        image = session.get_one(Image, contested)
        session.add(Job(id=1, kind="fill_campaign", queue="labels", subject=1, parameters={}))
        queue_jobs.cancel(session, 1, "ada")
        campaign = session.get_one(Campaign, 1)
        subset_id = keep_filter(session, campaign, "all", ImageFilter()).id
        session.add(
            ImageImport(owner_id=ada, name="more", path="more", files=[["images.zip", 9]], size=9)
        )
    judge_people(db, 1)
    turn_id, _ = (add_result(db, settings, ada) for _ in range(2))
    with db.write() as session:
        turn = session.get_one(HeadTurn, turn_id)
        turn.share_hash, turn.shared_at = hash_token(token), utc_now()
    return {
        "turn_id": turn_id,
        "number": 0,
        "result_file": "strip.png",
        "subset_id": subset_id,
        "token": token,
        "image_id": contested,
        "sha_prefix": image.sha256[:HASH_DIGITS],
        "campaign_id": 1,
        "dataset_id": dataset_id,
        "group_id": group.id,
        "job_id": 1,
        "import_id": 1,
        "annotator_id": ada,
        "filename": "site.css",
        "topic": "quality",
    }


# Each assigns images to the person who opens it, and shows them. The page comes with its images,
# so that it works at once and without a script; to open it again assigns the same ones.
WRITE_BY_GET = {
    "voting.label": "the next image",
    "verification.show": "the images of a page",
}
# The audit log tells who has taken which data out of the site.
LOGGED_BY_GET = {
    "exports.labels_csv": {"audit_event"},
    "exports.votes_csv": {"audit_event"},
    "subsets.filenames_csv": {"audit_event"},
}
WRITE_BY_GET_IN_TRAINING = {"qualification.exercise": "the next gold image"}
QUERIES = {
    "verification.show": {"label": "left", "source": "model", "size": "24"},
    "studio_gallery.compare": {"a": "1", "b": "2"},
    "studio_clusters.clusters": {"at": "0:5"},
    "studio_clusters.mean": {"at": "0:5"},
}


def writes_by_get(
    app: Flask, browser: Browser, role: str, values: dict[str, Any], count_queries: CountQueries
) -> dict[str, set[str]]:
    """The tables that opening each page changes, by the name of the route."""
    found = {}
    for rule, method in routes(app):
        if method == "GET":
            address = rule.build({name: values[name] for name in rule.arguments})
            assert address is not None
            with count_queries(app.extensions["sidelight_db"]) as statements:
                query = QUERIES.get(rule.endpoint, {})
                answer = browser.get(address[1], query_string=query)
                answer.close()  # it may be an open file
            assert answer.status_code in expected_statuses(role, rule), rule
            if statements.writes:
                found[rule.endpoint] = {WRITING.search(one)[2] for one in statements.writes}  # type: ignore[index]
    return found


def expected_statuses(role: str, rule: Rule) -> set[int]:
    if role not in allowed_roles(rule) and rule.endpoint not in PUBLIC:
        return {403}
    if role == "admin" and rule.endpoint == "accounts.confirm_close":
        return {409}  # this is the only admin
    # No figure is there, the person has seen no image that they could flag, and the upload is not
    # theirs.
    absent = {"mean_faces.mean_faces_png", "flags.new", "image_imports.offset"}
    absent.add("studio_clusters.mean")  # of pictures without a yaw
    absent.add("image_imports.server_folder")  # the settings allow none
    return {404} if rule.endpoint in absent else {200, 302}


@pytest.mark.parametrize("role", ROLES)
def test_only_pages_that_assign_images_write_by_get(
    app: Flask,
    visit: Visit,
    db: Database,
    worked: dict[str, Any],
    count_queries: CountQueries,
    role: str,
) -> None:
    found = writes_by_get(app, visit(role), role, worked, count_queries)
    logged = {name: found.pop(name) for name in LOGGED_BY_GET if name in found}
    assert logged == ({} if role == "annotator" else LOGGED_BY_GET)
    assert found.keys() == WRITE_BY_GET.keys()
    assert set().union(*found.values()) <= {"lease", "consensus"}
    assert waiting(db) == 0, "to open a page starts no job"


def test_in_training_only_the_exercise_writes_by_get(
    app: Flask,
    visit: Visit,
    db: Database,
    worked: dict[str, Any],
    count_queries: CountQueries,
) -> None:
    set_rules(db, training=1)
    found = writes_by_get(app, visit("annotator"), "annotator", worked, count_queries)
    assert found.keys() == WRITE_BY_GET_IN_TRAINING.keys()


def test_a_visit_after_a_while_writes_only_when_the_person_was_last_here(
    app: Flask, visit: Visit, db: Database, dataset_id: int, count_queries: CountQueries
) -> None:
    browser = visit("annotator")
    with db.write() as session:
        session.execute(update(LoginSession).values(last_seen_at=utc_now() - TOUCH_AFTER))
    written = []
    for _ in range(2):
        with count_queries(app.extensions["sidelight_db"]) as statements:
            assert browser.get("/me").status_code == 200
        written.append([WRITING.search(one)[2] for one in statements.writes])  # type: ignore[index]
    assert written == [["login_session"], []]


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
    assert opened.headers["Set-Cookie"].startswith(app.config["SESSION_COOKIE_NAME"])
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
