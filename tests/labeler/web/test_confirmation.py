"""What hurts asks first, says what it will do in numbers, and is undone where that is possible."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from sqlalchemy import select

from labeler.audit.log import list_events
from labeler.campaigns.service import CampaignPlan, create_campaign
from labeler.database.engine import Database
from labeler.gold.service import NewGold, add_gold
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Gold
from tests.labeler.acting import make_gold, queue, set_rules, waiting
from tests.labeler.campaigns.test_page import form
from tests.labeler.conftest import Browser, Visit, lease
from tests.labeler.people.test_page import invite

EFFECT = re.compile(r"<li>([^<]+)</li>")
UNDO = re.compile(
    r'class="message success">.*?<form method="post" action="([^"]+)">(.*?)</form>', re.DOTALL
)
FIELD = re.compile(r'name="([^"]+)" value="([^"]*)"')


def effects(page: str) -> str:
    """The sentences of a question."""
    assert "Nothing has been changed yet." in page
    return " ".join(EFFECT.findall(page))


def undo(browser: Browser, address: str) -> None:
    """Press the button that the next page offers."""
    found = UNDO.search(browser.get(address).text)
    assert found is not None, "no undo"
    fields = {name: value for name, value in FIELD.findall(found[2]) if name != "csrf_token"}
    assert browser.submit(found[1], fields).status_code == 303


def actions(db: Database) -> list[tuple[str, int | None]]:
    """The newest events first, and who did it."""
    with db.read() as session:
        return [(one.event.action, one.event.actor_id) for one in list_events(session)]


def account(db: Database, annotator_id: int | None) -> Annotator:
    with db.read() as session:
        return session.get_one(Annotator, annotator_id)


def active(db: Database) -> list[str]:
    with db.read() as session:
        found = select(Campaign.name).where(Campaign.active).order_by(Campaign.id)
        return list(session.scalars(found))


def vote(person: Browser, count: int, answer: str = "left") -> None:
    for image in lease(person, count):
        sent = {**image, "answer": answer, "request_id": str(uuid.uuid4())}
        assert person.send("/label/votes", sent).status_code == 201


def test_closing_an_account(visit: Visit, db: Database, dataset_id: int) -> None:
    boss, eve = visit("admin", "boss"), visit("admin", "eve")
    invite(eve)
    vote(eve, 2)
    lease(eve, 3)
    address = f"/admin/people/{eve.annotator_id}/deactivate"
    asked = boss.submit(address)
    assert asked.status_code == 200
    said = effects(asked.text)
    for words in ("1 browser.", "3 images that eve", "The 2 votes of eve", "1 open invite link"):
        assert words in said
    assert account(db, eve.annotator_id).deactivated_at is None
    assert boss.confirm(address).status_code == 303
    assert account(db, eve.annotator_id).deactivated_at is not None
    undo(boss, "/admin/people")
    assert account(db, eve.annotator_id).deactivated_at is None
    assert [("account_reopened", boss.annotator_id), ("account_closed", boss.annotator_id)] == [
        one for one in actions(db) if one[0].startswith("account_")
    ][:2]


def test_a_change_of_role(visit: Visit, db: Database) -> None:
    boss, eve = visit("admin", "boss"), visit("admin", "eve")
    invite(eve)
    address = f"/admin/people/{eve.annotator_id}/role"
    said = effects(boss.submit(address, {"role": "annotator"}).text)
    assert "eve is an admin now. An annotator labels images" in said
    assert "1 open invite link of eve will be revoked." in said
    assert account(db, eve.annotator_id).role == "admin"
    assert boss.confirm(address, {"role": "annotator"}).status_code == 303
    assert account(db, eve.annotator_id).role == "annotator"
    undo(boss, "/admin/people")
    assert account(db, eve.annotator_id).role == "admin"
    boss.submit(address, {"role": "admin"})
    assert "has the role admin already" in boss.get("/admin/people").text


def test_activating_another_campaign(visit: Visit, db: Database, dataset_id: int) -> None:
    boss, ann = visit("supervisor"), visit("annotator")
    vote(ann, 1)
    lease(ann, 2)
    made = create_campaign(db, dataset_id, CampaignPlan("next"))
    address = f"/admin/campaigns/{made}/activate"
    said = effects(boss.submit(address).text)
    for words in (
        "2 people with an open account can label in next.",
        "1 person answered in faces in the last ten minutes.",
        "It has 6 images, 6 of them to go.",
        "Until then they stay in the campaign of their last answer",
    ):
        assert words in said, said
    assert active(db) == ["faces"]
    assert boss.confirm(address).status_code == 303
    assert active(db) == ["faces", "next"]
    undo(boss, f"/admin/campaigns/{made}")
    assert active(db) == ["faces"]
    assert actions(db)[:2] == [
        ("campaign_deactivated", boss.annotator_id),
        ("campaign_activated", boss.annotator_id),
    ]


def test_the_first_activation_asks_nothing(visit: Visit, db: Database, dataset_id: int) -> None:
    """Nobody is at work in another campaign."""
    with db.write() as session:
        session.scalars(select(Campaign)).one().active = False
    assert visit("supervisor").submit("/admin/campaigns/1/activate").status_code == 303


def test_removing_a_gold_question(visit: Visit, db: Database, dataset_id: int) -> None:
    image = queue(db)[0]
    boss, ann = visit("supervisor"), visit("annotator")
    vote(ann, 6)
    with db.write() as session:
        add_gold(session, 1, [NewGold(image, "left")], "csv")
        number = session.scalars(select(Gold.id)).one()
    said = effects(boss.submit(f"/admin/gold/{number}/revoke").text)
    assert "no longer fixed to left" in said
    assert "1 answer to it" in said

    def is_gold() -> bool:
        with db.read() as session:
            row = session.get_one(Consensus, (1, image))
            return row.method == "gold-1"

    assert is_gold()
    assert boss.confirm(f"/admin/gold/{number}/revoke").status_code == 303
    assert not is_gold()
    assert waiting(db) == 1
    undo(boss, "/admin/gold")
    assert is_gold()
    assert actions(db)[:2] == [
        ("gold_restored", boss.annotator_id),
        ("gold_revoked", boss.annotator_id),
    ]
    make_gold(db, {image: "right"})
    assert boss.submit(f"/admin/gold/{number}/restore").status_code == 409


@pytest.fixture
def finished(visit: Visit, db: Database, dataset_id: int) -> int:
    """A campaign of six images, of which four are finished with one vote each."""
    set_rules(db, method="majority", required_votes=1)
    vote(visit("annotator"), 4)
    return 1


def stored(db: Database, campaign_id: int) -> Any:
    with db.read() as session:
        return session.get_one(Campaign, campaign_id).parsed_rules


def test_stricter_rules(visit: Visit, db: Database, finished: int) -> None:
    boss = visit("supervisor")
    name = active(db)
    strict = form(name=name, method="majority", required_votes="2", gold_first="0")
    said = effects(boss.submit(f"/admin/campaigns/{finished}", strict).text)
    assert "4 finished images will open again and need more votes." in said
    assert "0 of 6 images then need no more votes. It is 4 by the present rules." in said
    assert stored(db, finished).required_votes == 1
    assert boss.confirm(f"/admin/campaigns/{finished}", strict).status_code == 303
    assert stored(db, finished).required_votes == 2
    undo(boss, f"/admin/campaigns/{finished}")
    assert stored(db, finished).required_votes == 1
    assert actions(db)[0] == ("rules_changed", boss.annotator_id)


def test_rules_that_open_nothing_are_saved_at_once(
    visit: Visit, db: Database, finished: int
) -> None:
    boss, name = visit("supervisor"), active(db)
    harmless = form(name=name, method="majority", required_votes="1", blind_share="30")
    assert boss.submit(f"/admin/campaigns/{finished}", harmless).status_code == 303
    assert stored(db, finished).blind_share == 0.3


def test_what_is_asked_for_on_a_page_is_told_to_programs(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    boss, ann = visit("admin"), visit("annotator", "ann")
    headers = {"X-CSRFToken": boss.token(), "Accept": "application/json"}
    answer = boss.client.post(f"/admin/people/{ann.annotator_id}/deactivate", headers=headers)
    assert answer.status_code == 409
    error = answer.get_json()["error"]
    assert error["code"] == "confirmation_needed"
    assert "Send confirmed=yes to go on." in error["message"]
