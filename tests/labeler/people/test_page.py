"""Accounts over HTTP: invites, signing in, passwords, browsers, roles."""

from __future__ import annotations

import re
from datetime import timedelta

from flask import Flask
from sqlalchemy import select, update

from labeler.database.engine import Database
from labeler.models.accounts import Annotator, Invite
from labeler.models.base import utc_now
from labeler.models.consensus import Skill
from tests.labeler.conftest import PASSWORD, Browser, Visit


def invite(admin: Browser, **fields: str) -> str:
    """The path of a fresh invite link."""
    form = {"note": "Ann", "role": "annotator", "max_uses": "1", "days": "7", **fields}
    assert admin.submit("/admin/invites", form).status_code == 303
    link = re.search(r'value="http://localhost(/join/[^"]+)"', admin.get("/admin/invites").text)
    assert link is not None
    return link[1]


def reset_path(admin: Browser, person: Browser) -> str:
    """The path of the link for a new password that the admin has just created."""
    page = admin.get(f"/admin/people/{person.annotator_id}").text
    link = re.search(r'value="http://localhost(/reset/[^"]+)"', page)
    assert link is not None
    return link[1]


def join(browser: Browser, path: str, username: str = "ann", password: str = PASSWORD) -> int:
    return browser.submit(path, {"username": username, "password": password}).status_code


def sign_in(browser: Browser, username: str, password: str = PASSWORD, **fields: str) -> int:
    form = {"username": username, "password": password, **fields}
    return browser.submit("/sign-in", form).status_code


def test_from_invite_to_account(visit: Visit, db: Database) -> None:
    path = invite(visit("admin"))
    ann = visit(None)
    assert ann.get(path).status_code == 200
    assert join(ann, path) == 303
    assert ann.get("/me").status_code == 200
    with db.read() as session:
        assert (
            session.scalars(select(Annotator.role).where(Annotator.username == "ann")).one()
            == "annotator"
        )


def test_a_link_for_this_computer_only_says_so(visit: Visit) -> None:
    form = {"note": "Ann", "role": "annotator", "max_uses": "1", "days": "7"}
    admin = visit("admin")
    admin.submit("/admin/invites", form)
    page = admin.get("/admin/invites").text
    assert "This link works only on the computer that runs the site." in page


def test_a_reload_makes_no_second_link_and_links_differ(visit: Visit, db: Database) -> None:
    admin = visit("admin")
    form = {"note": "Monday", "role": "annotator", "max_uses": "20", "days": "7"}
    for _ in range(2):
        assert admin.submit("/admin/invites", form).status_code == 303
    shown = admin.get("/admin/invites").text
    assert "Invite 2 is ready." in shown
    page = admin.get("/admin/invites").text
    assert "is ready." not in page
    with db.read() as session:
        assert len(session.scalars(select(Invite)).all()) == 2
    rows = page.partition("<tbody>")[2].partition("</tbody>")[0].split("</tr>")[:2]
    assert all('data-label="Created"><time' in row for row in rows)
    assert rows[0] != rows[1].replace(">1<", ">2<")
    assert "Revoke invite 1 for Monday" in rows[1]


def test_the_link_is_shown_once_and_works_once(visit: Visit) -> None:
    admin = visit("admin")
    path = invite(admin)
    assert path not in admin.get("/admin/invites").text
    assert join(visit(None), path) == 303
    late = visit(None)
    assert late.get(path).status_code == 409
    assert join(late, path, "bob") == 409


def test_a_link_for_a_class(visit: Visit) -> None:
    path = invite(visit("admin"), max_uses="2")
    assert [join(visit(None), path, name) for name in ("ann", "bob", "cem")] == [303, 303, 409]


def test_revoked_and_expired_links(visit: Visit, db: Database) -> None:
    admin = visit("admin")
    path = invite(admin)
    with db.read() as session:
        invite_id = session.scalars(select(Invite.id)).one()
    assert admin.confirm(f"/admin/invites/{invite_id}/revoke").status_code == 303
    assert visit(None).get(path).status_code == 409
    expired = invite(admin)
    with db.write() as session:
        session.execute(update(Invite).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert visit(None).get(expired).status_code == 409


def test_revoking_asks_first(visit: Visit) -> None:
    """It says what is lost. A link that no longer works is not asked about."""
    admin = visit("admin")
    path = invite(admin, max_uses="3", note="Monday")
    assert join(visit(None), path, "ann") == 303
    asked = admin.submit("/admin/invites/1/revoke").text
    assert "<h1>Revoke invite 1 for Monday?</h1>" in asked
    assert "The link could create 2 more accounts with the role annotator." in asked
    assert "1 account was created with it. That account stays." in asked
    assert visit(None).get(path).status_code == 200, "nothing has been changed yet"
    for _ in range(2):
        assert admin.confirm("/admin/invites/1/revoke").status_code == 303
    assert visit(None).get(path).status_code == 409
    assert admin.submit("/admin/invites/1/revoke").status_code == 303
    assert admin.submit("/admin/invites/99/revoke").status_code == 404


def test_join_says_what_is_wrong_and_keeps_the_name(visit: Visit) -> None:
    path = invite(visit("admin"), max_uses="5")
    ann = visit(None)
    answer = ann.submit(path, {"username": "ann", "password": "short"})
    assert answer.status_code == 422
    assert "at least 10 characters" in answer.text
    assert 'value="ann"' in answer.text
    assert join(ann, path, "no spaces please") == 422
    assert join(visit(None), path) == 303
    assert join(visit(None), path) == 409  # the name is taken


def test_bad_invites_say_what_is_allowed(visit: Visit) -> None:
    admin = visit("admin")
    for wrong in ({"max_uses": "0"}, {"days": "999"}, {"role": "king"}, {"max_uses": "many"}):
        form = {"note": "Kept", "role": "annotator", "max_uses": "1", "days": "7", **wrong}
        answer = admin.submit("/admin/invites", form)
        assert answer.status_code == 422
        assert 'value="Kept"' in answer.text


def test_signing_in_and_out(visit: Visit) -> None:
    assert join(visit(None), invite(visit("admin"))) == 303
    ann = visit(None)
    assert sign_in(ann, "ann", "wrong password") == 401
    assert sign_in(ann, "nobody") == 401
    assert sign_in(ann, "Ann") == 303
    assert ann.get("/me").status_code == 200
    ann.annotator_id = 1
    assert ann.submit("/sign-out").status_code == 303
    assert ann.get("/me").status_code == 401


def test_signing_in_leads_back_but_never_away(visit: Visit) -> None:
    assert join(visit(None), invite(visit("admin"))) == 303
    wanted = {
        "/me": "/me",
        "//evil.example": "/",
        "https://evil.example": "/",
        "/\\evil.example": "/",
    }
    for given, expected in wanted.items():
        form = {"username": "ann", "password": PASSWORD, "next": given}
        assert visit(None).submit("/sign-in", form).location == expected


def test_too_many_wrong_passwords(visit: Visit) -> None:
    ann = visit(None)
    statuses = [sign_in(ann, "ann", "wrong") for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    answer = ann.client.post(
        "/sign-in",
        data={"username": "ann", "password": "wrong", "csrf_token": ann.token()},
    )
    assert "Too many wrong passwords" in answer.text


def test_changing_the_password_signs_the_others_out(visit: Visit) -> None:
    here, there = visit(None), visit(None)
    assert join(here, invite(visit("admin"))) == 303
    assert sign_in(there, "ann") == 303
    here.annotator_id = 1
    change = {"current": PASSWORD, "new": "another good sentence"}
    assert here.submit("/account/password", {**change, "current": "wrong"}).status_code == 401
    assert here.submit("/account/password", {**change, "new": "short"}).status_code == 422
    assert there.get("/me").status_code == 200
    assert here.submit("/account/password", change).status_code == 303
    assert here.get("/me").status_code == 200
    assert there.get("/me").status_code == 401
    assert sign_in(visit(None), "ann") == 401
    assert sign_in(visit(None), "ann", "another good sentence") == 303


def test_signing_one_browser_out_from_another(visit: Visit) -> None:
    here, there = visit(None), visit(None)
    assert join(here, invite(visit("admin"))) == 303
    assert sign_in(there, "ann") == 303
    here.annotator_id = 1
    revoke = re.findall(r'action="(/account/sessions/\d+/revoke)"', here.get("/account").text)
    assert len(revoke) == 1
    assert visit("admin").submit(revoke[0]).status_code == 404  # not theirs
    assert there.get("/me").status_code == 200
    assert here.submit(revoke[0]).status_code == 303
    assert (here.get("/me").status_code, there.get("/me").status_code) == (200, 401)


def test_roles_and_closing(visit: Visit) -> None:
    admin, ann = visit("admin"), visit("annotator")
    person = f"/admin/people/{ann.annotator_id}"
    assert admin.confirm(f"{person}/role", {"role": "supervisor"}).status_code == 303
    assert ann.get("/admin/").status_code == 200
    assert admin.submit(f"{person}/role", {"role": "king"}).status_code == 422
    assert admin.confirm(f"{person}/deactivate").status_code == 303
    assert ann.get("/me").status_code == 401
    assert admin.submit(f"{person}/reactivate").status_code == 303
    assert admin.submit("/admin/people/999/role", {"role": "admin"}).status_code == 404


def test_the_last_admin_stays(visit: Visit) -> None:
    admin = visit("admin")
    answer = admin.submit(f"/admin/people/{admin.annotator_id}/deactivate")
    assert answer.status_code == 409
    assert "last active admin" in answer.text


def test_start_page_leads_to_ones_work(visit: Visit, app: Flask) -> None:
    expected = {
        None: "/sign-in",
        "annotator": "/label",
        "supervisor": "/admin/",
        "admin": "/admin/",
    }
    assert {role: visit(role).get("/").location for role in expected} == expected


def test_standing_is_changed_by_supervisors(visit: Visit, db: Database, dataset_id: int) -> None:
    boss, ann = visit("supervisor"), visit("annotator", "ann")
    person = f"/admin/people/{ann.annotator_id}"
    assert boss.submit(f"{person}/pause", {"reason": " "}).status_code == 422
    assert boss.submit(f"{person}/pause", {"reason": "See <me>."}).status_code == 303
    page = boss.get("/admin/people").text
    assert "See &lt;me&gt;." in page
    assert "by a supervisor" in page
    answer = ann.send("/label/leases", {"count": 1}).get_json()
    assert answer["images"] == []
    assert boss.submit(f"{person}/resume").status_code == 303
    assert len(ann.send("/label/leases", {"count": 1}).get_json()["images"]) == 1
    assert boss.submit(f"{person}/train").status_code == 409
    assert boss.submit("/admin/people/999/resume").status_code == 404


def test_flags_are_for_supervisors_only(visit: Visit, db: Database, dataset_id: int) -> None:
    boss, ann, bob = visit("supervisor"), visit("annotator", "ann"), visit("annotator", "bob")
    sentence = "Half of the answers took less than a blink."
    with db.write() as session:
        session.add(
            Skill(
                campaign_id=1,
                annotator_id=ann.annotator_id or 0,
                confusion=[],
                copy_rate=0.0,
                figures={},
                flags=[["one_sided", sentence]],
            )
        )
    assert sentence in boss.get("/admin/people").text
    assert ann.get("/admin/people").status_code == 403
    for address in ("/me", "/label", "/guide"):
        assert sentence not in bob.get(address).text


def test_without_a_campaign_the_accounts_are_listed(visit: Visit) -> None:
    admin = visit("admin", "root")
    assert "root" in admin.get("/admin/people").text
    assert admin.submit(f"/admin/people/{admin.annotator_id}/resume").status_code == 404
