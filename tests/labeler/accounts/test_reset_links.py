"""Links for a new password, the display name, and closing the own account."""

from __future__ import annotations

from datetime import timedelta

import pytest

from labeler.accounts import own_account, reset_links
from labeler.accounts import service as accounts
from labeler.accounts.passwords import hash_password
from labeler.accounts.sessions import Browser as Agent
from labeler.audit.log import Actor, list_events
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput, NotFound, WrongPassword
from labeler.models.accounts import Annotator
from tests.conftest import MakeAnnotator
from tests.labeler.acting import NOON, after, at_once
from tests.labeler.conftest import PASSWORD, Visit
from tests.labeler.people.test_page import invite, join, reset_path, sign_in

NEW = "a quiet lamp over there"


def test_from_the_admin_to_the_new_password(visit: Visit, db: Database) -> None:
    admin, here, there = visit("admin", "root"), visit(None), visit(None)
    assert join(here, invite(admin), "ann") == 303
    with db.read() as session:
        here.annotator_id = accounts.find_person(session, "ann").id
    address = f"/admin/people/{here.annotator_id}/reset-link"
    assert visit("supervisor").submit(address).status_code == 403
    assert admin.submit(address).status_code == 303
    path = reset_path(admin, here)
    assert path not in admin.get(f"/admin/people/{here.annotator_id}").text, "it is shown once"
    assert here.get("/me").status_code == 200, "the link alone changes nothing"
    assert "For the account ann." in there.get(path).text
    easy = there.submit(path, {"new": "password1234"})
    assert easy.status_code == 422
    assert "too easy to guess" in easy.text
    assert there.submit(path, {"new": NEW}).status_code == 303
    there.annotator_id = here.annotator_id
    assert there.get("/me").status_code == 200
    assert here.get("/me").status_code == 401, "other browsers are signed out"
    assert visit(None).get(path).status_code == 409
    assert visit(None).get("/reset/unknown").status_code == 404
    assert sign_in(visit(None), "ann", PASSWORD) == 401
    assert sign_in(visit(None), "ann", NEW) == 303
    with db.read() as session:
        logged = [one.event.action for one in list_events(session)]
    assert {"reset_link_created", "password_reset"} <= set(logged)


def test_nobody_resets_the_own_password_so(visit: Visit) -> None:
    admin = visit("admin")
    assert admin.submit(f"/admin/people/{admin.annotator_id}/reset-link").status_code == 409
    assert admin.submit("/admin/people/999/reset-link").status_code == 404


@pytest.fixture
def root(any_db: Database, make_annotator: MakeAnnotator) -> Actor:
    return Actor(make_annotator(any_db, "root", role="admin").id)


@pytest.fixture
def ann(any_db: Database, make_annotator: MakeAnnotator) -> int:
    return make_annotator(any_db, "ann").id


def link(db: Database, ann: int, root: Actor) -> str:
    with db.write() as session:
        return reset_links.create_reset_link(session, ann, root, now=NOON)


def works(db: Database, token: str, hours: float = 0.0) -> bool:
    with db.read() as session:
        try:
            at = NOON + timedelta(hours=hours)
            reset_links.find_person_of_link(session, token, now=at)
        except Conflict:
            return False
        return True


def test_what_ends_a_link(any_db: Database, ann: int, root: Actor) -> None:
    token = link(any_db, ann, root)
    assert works(any_db, token, reset_links.RESET_HOURS - 0.1)
    assert not works(any_db, token, reset_links.RESET_HOURS)
    second = link(any_db, ann, root)
    assert (works(any_db, token), works(any_db, second)) == (False, True)
    with any_db.write() as session:
        accounts.reset_password(session, "ann", root)
    assert not works(any_db, second), "the password was changed otherwise"
    third = link(any_db, ann, root)
    with any_db.write() as session:
        accounts.deactivate(session, ann, root)
    assert not works(any_db, third)
    with any_db.write() as session:
        with pytest.raises(Conflict, match="closed"):
            reset_links.create_reset_link(session, ann, root)
        accounts.reactivate(session, ann, root)
    assert not works(any_db, third), "reopening does not bring it back"
    with pytest.raises(NotFound), any_db.read() as session:
        reset_links.find_person_of_link(session, "x")


def test_a_link_ends_with_the_rights_of_its_maker(
    any_db: Database, ann: int, root: Actor, make_annotator: MakeAnnotator
) -> None:
    make_annotator(any_db, "other", role="admin")
    token = link(any_db, ann, root)
    with any_db.write() as session:
        accounts.set_role(session, root.id or 0, "supervisor")
    assert not works(any_db, token)


def test_a_link_works_once_also_at_the_same_moment(any_db: Database, ann: int, root: Actor) -> None:
    token = link(any_db, ann, root)

    def use(number: int) -> str:
        with any_db.write() as session:
            word = f"{NEW} {number}"
            return reset_links.use_reset_link(session, token, word, now=after(1)).username

    results = at_once(use, 4)
    assert results.count("ann") == 1
    assert sum(isinstance(one, Conflict) for one in results) == 3


def test_display_names(any_db: Database, ann: int) -> None:
    with any_db.write() as session:
        person = own_account.change_display_name(session, ann, "  Ada \n Example ", Actor(ann))
        assert person.display_name == "Ada Example"
        for wrong in ("x" * 61, "Ada\u202e"):
            with pytest.raises(InvalidInput, match="at most 60"):
                own_account.change_display_name(session, ann, wrong, Actor(ann))
        accounts.anonymise(session, ann, Actor(ann))
        assert session.get_one(Annotator, ann).display_name == ""


def test_the_own_account_is_closed_with_the_password(
    any_db: Database, ann: int, root: Actor, settings: Settings
) -> None:
    with any_db.write() as session:
        for person in (ann, root.id):
            session.get_one(Annotator, person).password_hash = hash_password(PASSWORD)

    def close(person: int, password: str) -> None:
        own_account.close_own_account(any_db, person, password, Agent(), settings)

    with pytest.raises(WrongPassword):
        close(ann, "wrong")
    with pytest.raises(Conflict, match="last active admin"):
        close(root.id or 0, PASSWORD)
    close(ann, PASSWORD)
    with any_db.read() as session:
        assert session.get_one(Annotator, ann).deactivated_at is not None
        assert session.get_one(Annotator, root.id).deactivated_at is None


def test_closing_says_what_stays(visit: Visit, db: Database, dataset_id: int) -> None:
    ann, root = visit("annotator", "ann"), visit("admin", "root")
    with db.write() as session:
        person = session.get_one(Annotator, ann.annotator_id)
        person.password_hash = hash_password(PASSWORD)
    asked = ann.get("/account/close").text
    assert "Your 0 answers stay and still count" in asked
    assert ann.submit("/account/close", {"current": "wrong"}).status_code == 401
    assert ann.get("/me").status_code == 200
    assert root.get("/account/close").status_code == 409
    assert ann.submit("/account/name", {"display_name": "x" * 61}).status_code == 422
    assert ann.submit("/account/name", {"display_name": "Ann B."}).status_code == 303
    assert 'value="Ann B."' in ann.get("/account").text
    done = ann.submit("/account/close", {"current": PASSWORD})
    assert (done.status_code, done.location) == (303, "/sign-in")
    ann.annotator_id = None
    assert ann.get("/me").status_code == 401
    assert sign_in(visit(None), "ann") == 403, "the account is closed"
