"""A link works only as long as its maker may make it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import update

from labeler.accounts import invites
from labeler.accounts import service as accounts
from labeler.audit.log import Actor
from labeler.database.engine import Database
from labeler.errors import Conflict
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from tests.conftest import MakeAnnotator
from tests.labeler.conftest import Browser, Visit
from tests.labeler.people.test_page import invite, join

PASSWORD = "quiet-lamp-over-there"
LOSSES: dict[str, Callable[[Browser, int], object]] = {
    "closed": lambda boss, who: boss.confirm(f"/admin/people/{who}/deactivate"),
    "demoted": lambda boss, who: boss.confirm(f"/admin/people/{who}/role", {"role": "supervisor"}),
    "anonymised": lambda boss, who: boss.submit(
        f"/admin/people/{who}/anonymise", {"username": "eve"}
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_the_links_of_a_former_admin_are_revoked(visit: Visit, loss: str) -> None:
    boss, eve = visit("admin", "boss"), visit("admin", "eve")
    links = [invite(eve, role=role) for role in ("admin", "annotator")]
    kept = invite(boss)
    LOSSES[loss](boss, eve.annotator_id or 0)
    for link in links:
        assert visit(None).get(link).status_code == 409
        assert join(visit(None), link) == 409
    assert join(visit(None), kept) == 303


def test_the_people_page_says_how_many_links_were_revoked(visit: Visit) -> None:
    boss, eve = visit("admin"), visit("admin", "eve")
    for _ in range(2):
        invite(eve)
    boss.confirm(f"/admin/people/{eve.annotator_id}/deactivate")
    assert "2 open invite links of this person were revoked." in boss.get("/admin/people").text


def test_a_link_stays_revoked_when_its_maker_comes_back(visit: Visit) -> None:
    boss, eve = visit("admin"), visit("admin", "eve")
    link = invite(eve)
    for action in ("deactivate", "reactivate"):
        boss.confirm(f"/admin/people/{eve.annotator_id}/{action}")
    assert visit(None).get(link).status_code == 409


def test_the_maker_is_looked_at_again_when_a_link_is_used(
    any_db: Database, make_annotator: MakeAnnotator
) -> None:
    """A link that was made while its maker lost the role, or by an earlier version."""
    eve = make_annotator(any_db, "eve", role="admin")
    with any_db.write() as session:
        makers = (Actor(eve.id), Actor())
        tokens = [invites.create_invite(session, max_uses=2, by=one)[1] for one in makers]
    for lost in ({"role": "annotator"}, {"role": "admin", "deactivated_at": utc_now()}):
        with any_db.write() as session:
            session.execute(update(Annotator).where(Annotator.id == eve.id).values(lost))
            with pytest.raises(Conflict, match="revoked"):
                invites.accept_invite(session, tokens[0], "mallory", PASSWORD)
            states = {one.invite.created_by_id: one.state for one in invites.list_invites(session)}
            assert states == {eve.id: "revoked", None: "open"}
    with any_db.write() as session:
        assert invites.accept_invite(session, tokens[1], "ada", PASSWORD)


def test_used_and_expired_links_are_not_counted(
    any_db: Database, make_annotator: MakeAnnotator
) -> None:
    make_annotator(any_db, role="admin")
    eve = make_annotator(any_db, "eve", role="admin")
    with any_db.write() as session:
        _, token = invites.create_invite(session, by=Actor(eve.id))
        invites.accept_invite(session, token, "ada", PASSWORD)
        invites.create_invite(session, by=Actor(eve.id))
        assert accounts.deactivate(session, eve.id).revoked_links == 1
        assert accounts.deactivate(session, eve.id).revoked_links == 0
