"""The page of a person: answers by filter, the status, and answers that are sent back."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from labeler.audit.log import Actor
from labeler.campaigns import participation
from labeler.campaigns.audience import Audience, set_audience
from labeler.campaigns.service import (
    CampaignPlan,
    activate_campaign,
    create_campaign,
    deactivate_campaign,
)
from labeler.database.engine import Database
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign, Participation
from labeler.models.consensus import Consensus
from labeler.models.voting import Vote
from labeler.quality.refresh import judge_people
from labeler.voting.answers import AnswerFilter, list_answers
from tests.labeler.acting import make_gold, set_rules
from tests.labeler.conftest import Browser, Visit, lease
from tests.labeler.web.test_confirmation import effects, undo

TICK = re.compile(r'name="vote" value="(\d+)"')
FORM = re.compile(r'<form [^>]*method="post" [^>]*action="(/admin/[^"]+)"')
TILE = re.compile(r'<span class="name">(\d+)\.jpg</span>')


def answer(person: Browser, *answers: str) -> list[int]:
    """Answer the next images; returns their numbers."""
    images = lease(person, len(answers))
    for image, word in zip(images, answers, strict=True):
        sent = {**image, "answer": word, "request_id": str(uuid.uuid4())}
        assert person.send("/label/votes", sent).status_code == 201
    return [image["image_id"] for image in images]


@pytest.fixture
def ann(visit: Visit, dataset_id: int) -> Browser:
    return visit("annotator", "ann")


@pytest.fixture
def boss(visit: Visit) -> Browser:
    return visit("supervisor", "boss")


def page(boss: Browser, ann: Browser, **query: Any) -> str:
    answer = boss.get(f"/admin/people/{ann.annotator_id}", query_string=query)
    assert answer.status_code == 200
    return answer.text


def tiles(text: str) -> list[int]:
    return [int(name) for name in TILE.findall(text)]


def test_answers_by_filter(boss: Browser, ann: Browser, db: Database) -> None:
    images = answer(ann, "left", "right", "unsure", "center")
    make_gold(db, {images[0]: "left", images[1]: "left"})
    with db.write() as session:
        row = session.get_one(Consensus, (1, images[3]))
        row.status, row.label, row.probability = "agreed", "right", 0.9
    assert tiles(page(boss, ann)) == images[::-1]
    assert tiles(page(boss, ann, answer="unsure")) == [images[2]]
    assert tiles(page(boss, ann, gold="any")) == [images[1], images[0]]
    assert tiles(page(boss, ann, gold="right")) == [images[0]]
    assert tiles(page(boss, ann, gold="wrong")) == [images[1]]
    assert tiles(page(boss, ann, differs="yes")) == [images[3], images[1]]
    assert "No answer meets these conditions." in page(boss, ann, answer="right", gold="right")
    wrong = boss.get(f"/admin/people/{ann.annotator_id}?answer=up")
    assert wrong.status_code == 422
    assert "allowed are left, center, right, unsure" in wrong.text


def test_pages_of_answers_follow_each_other(ann: Browser, db: Database) -> None:
    images = answer(ann, *["left"] * 6)
    with db.read() as session:
        who = ann.annotator_id or 0
        first = list_answers(session, who, 1, AnswerFilter(), limit=4)
        rest = list_answers(session, who, 1, AnswerFilter(), before=first[-1].vote.id, limit=4)
    assert [one.image.id for one in (*first, *rest)] == images[::-1]


def test_status_and_reason_are_changed_here(boss: Browser, ann: Browser, db: Database) -> None:
    address = f"/admin/people/{ann.annotator_id}"
    assert boss.submit(f"{address}/pause", {"reason": "Too fast"}).location == address
    assert "Too fast" in page(boss, ann)
    assert boss.submit(f"{address}/resume").location == address
    with db.read() as session:
        assert session.get_one(Participation, (1, ann.annotator_id)).status == "working"
    assert boss.get("/admin/people/999").status_code == 404


def test_the_account_is_changed_by_admins_only(boss: Browser, ann: Browser, visit: Visit) -> None:
    assert "Change the account" not in page(boss, ann)
    root = visit("admin", "root")
    assert "Change the account" in page(root, ann)
    own = root.get(f"/admin/people/{root.annotator_id}").text
    assert "Change the account" not in own
    assert "Your own account" in own


def test_sent_back_answered_again(boss: Browser, ann: Browser, db: Database) -> None:
    """The way of an answer that goes back: question, message, list, answer; both votes stay."""
    images = answer(ann, "left", "right")
    address = f"/admin/people/{ann.annotator_id}/send-back"
    votes = [int(one) for one in TICK.findall(page(boss, ann))]
    assert boss.submit(address).status_code == 422, "nothing is ticked"
    said = effects(boss.submit(address, {"vote": votes}).text)
    assert "ann gets a message, and sees these 2 images" in said
    assert "The earlier answers stay on record, and count until ann answers again." in said
    assert "To look at again" not in ann.get("/me").text, "nothing has been changed yet"
    assert boss.confirm(address, {"vote": votes}).status_code == 303
    assert boss.confirm(address, {"vote": votes}).status_code == 303, "a repeat changes nothing"
    own = ann.get("/me").text
    assert "To look at again (2)" in own
    assert "Please look at 2 images again." in ann.get("/messages").text
    assert page(boss, ann).count('<span class="tag">sent back</span>') == 2
    with db.read() as session:
        assert session.get_one(Consensus, (1, images[0])).votes_left == 1, "it counts meanwhile"
    again = {"image_id": images[0], "answer": "left", "request_id": str(uuid.uuid4())}
    assert ann.submit("/label/votes", {**again, "campaign_id": 1}).status_code == 303
    assert "To look at again (1)" in ann.get("/me").text
    assert page(boss, ann).count('<span class="tag">sent back</span>') == 1
    with db.read() as session:
        kept = session.scalars(select(Vote).where(Vote.image_id == images[0])).all()
    assert [vote.answer for vote in kept] == ["left", "left"]
    assert [vote.superseded_at is None for vote in kept] == [False, True]


def test_sent_back_and_taken_back(boss: Browser, ann: Browser) -> None:
    answer(ann, "left", "right")
    person = f"/admin/people/{ann.annotator_id}"
    votes = [int(one) for one in TICK.findall(page(boss, ann))]
    assert boss.confirm(f"{person}/send-back", {"vote": votes}).status_code == 303
    undo(boss, person)
    assert "To look at again" not in ann.get("/me").text
    assert "2 images need no second look any more." in ann.get("/messages").text
    assert boss.submit(f"{person}/take-back", {"returned": "1,x"}).status_code == 422
    boss.submit(f"{person}/take-back", {"returned": "1"})
    assert "The person has answered already." in boss.get(person).text


def test_a_message_about_sent_answers_is_in_the_language_of_the_person(
    boss: Browser, ann: Browser
) -> None:
    answer(ann, "left")
    votes = [int(one) for one in TICK.findall(page(boss, ann))]
    assert ann.submit("/language", {"language": "it"}).status_code == 303
    address = f"/admin/people/{ann.annotator_id}/send-back"
    assert boss.confirm(address, {"vote": votes}).status_code == 303
    assert "Guarda di nuovo 1 immagine." in ann.get("/messages").text


def test_only_the_persons_own_votes_go_back(boss: Browser, ann: Browser, visit: Visit) -> None:
    answer(ann, "left")
    votes = TICK.findall(page(boss, ann))
    bob = visit("annotator", "bob")
    address = f"/admin/people/{bob.annotator_id}/send-back"
    assert boss.confirm(address, {"vote": votes}).status_code == 404
    assert boss.confirm(address, {"vote": ["x"]}).status_code == 422
    assert ann.confirm(address, {"vote": votes}).status_code == 403


@pytest.fixture
def second(db: Database, dataset_id: int) -> int:
    """Another campaign with the same images, which is not active yet."""
    return create_campaign(db, dataset_id, CampaignPlan("second"))


def test_sent_back_in_another_campaign_than_the_person_labels_in(
    boss: Browser, ann: Browser, db: Database, second: int
) -> None:
    """What was sent back is shown wherever the person labels, as long as it can be answered."""
    (image,) = answer(ann, "left")
    votes = TICK.findall(page(boss, ann))
    with db.write() as session:
        activate_campaign(session, second)
    assert ann.submit("/label/campaign", {"campaign_id": second}).status_code == 303
    address = f"/admin/people/{ann.annotator_id}/send-back"
    assert boss.confirm(address, {"vote": votes}).status_code == 303
    own = ann.get("/me").text
    assert "You have not answered any image in “second” yet." in own
    assert "To look at again (1)" in own
    assert "in “faces”" in own, "the name of the other campaign"
    with db.write() as session:
        deactivate_campaign(session, 1)
    assert "To look at again" not in ann.get("/me").text, "an answer would be refused"
    with db.write() as session:
        activate_campaign(session, 1)
        deactivate_campaign(session, second)
        session.get_one(Campaign, 1).restricted = True
    own = ann.get("/me").text
    assert "To look at again (1)" in own, "also if the person labels nowhere now"
    again = {"campaign_id": 1, "image_id": image, "answer": "right"}
    sent = ann.submit("/label/votes", {**again, "request_id": str(uuid.uuid4())})
    assert sent.status_code == 303
    assert "To look at again" not in ann.get("/me").text


def test_the_page_is_about_the_chosen_campaign(
    boss: Browser, ann: Browser, db: Database, second: int
) -> None:
    """Names, the list of people and the menu stay on a campaign that is not the newest active."""
    answer(ann, "left")
    with db.write() as session:
        activate_campaign(session, second)
        participation.pause_person(
            session, 1, ann.annotator_id or 0, "Too fast", Actor(boss.annotator_id)
        )
    judge_people(db, 1)
    address = f"/admin/people/{ann.annotator_id}"
    assert f'href="{address}?campaign=1"' in boss.get("/admin/quality?campaign=1").text
    shown = boss.get("/admin/people?campaign=1").text
    assert "The status of everybody in “faces”." in shown
    assert "Too fast" in shown
    assert f'href="{address}?campaign=1"' in shown
    assert '<input type="hidden" name="campaign" value="1">' in shown
    assert "Campaign: faces" in shown
    assert '<li><a href="/admin/people">second' in shown
    newest = boss.get("/admin/people").text
    assert "The status of everybody in “second”." in newest
    assert "Too fast" not in newest
    assert boss.get("/admin/people?campaign=99").status_code == 404
    person = boss.get(f"{address}?campaign=1").text
    assert "Campaign: faces" in person
    assert f'<li><a href="{address}">second' in person, "another campaign, and the same person"
    assert 'href="/admin/people?campaign=1"' in person


def test_who_is_not_in_a_restricted_campaign_is_told(
    boss: Browser, ann: Browser, visit: Visit, db: Database
) -> None:
    answer(ann, "left")
    judge_people(db, 1)
    bob = visit("annotator", "bob")
    with db.write() as session:
        chosen = Audience(True, people=frozenset({bob.annotator_id or 0}))
        set_audience(session, session.get_one(Campaign, 1), chosen)
    outside, working = ">not in this campaign</span>", '<span class="tag good">working</span>'
    for shown, expected in ((page(boss, ann), outside), (page(boss, bob), working)):
        assert expected in shown
        assert (outside in shown) != (working in shown)
    listed = boss.get("/admin/people").text
    assert listed.count(outside) == 2, "boss is not in it either"
    assert listed.count(working) == 1
    assert outside in boss.get("/admin/quality").text
    assert boss.submit(f"/admin/people/{ann.annotator_id}/pause", {"reason": "Why"}).location
    assert ">paused, not in this campaign</span>" in page(boss, ann)


def test_forms_act_in_the_campaign_that_the_page_showed(
    boss: Browser, ann: Browser, db: Database, second: int
) -> None:
    """Somebody activates another campaign between the page and the press of a button."""
    make_gold(db, {1: "left"})
    set_rules(db, training=1)
    shown = page(boss, ann)
    runs = FORM.findall(boss.get("/admin/runs").text)
    drawing = boss.get("/admin/mean-faces").text
    with db.write() as session:
        activate_campaign(session, second)

    def press(action: str, status: str) -> None:
        nonlocal shown
        address = f"/admin/people/{ann.annotator_id}"
        (form,) = [one for one in FORM.findall(shown) if one.startswith(f"{address}/{action}")]
        sent = boss.submit(form, {"reason": "Too fast"})
        assert sent.location == f"{address}?campaign=1"
        with db.read() as session:
            assert session.get_one(Participation, (1, ann.annotator_id)).status == status
            assert session.get(Participation, (second, ann.annotator_id)) is None
        shown = page(boss, ann, campaign=1)

    press("resume", "working")
    press("train", "training")
    press("pause", "paused")
    assert {one.partition("?")[2] for one in runs} == {"campaign=1"}
    assert '<input type="hidden" name="campaign" value="1">' in drawing


def test_what_cannot_be_answered_again_is_not_sent_back(
    boss: Browser, ann: Browser, db: Database, second: int
) -> None:
    answer(ann, "left")
    votes = TICK.findall(page(boss, ann))
    address = f"/admin/people/{ann.annotator_id}/send-back"

    def refused(reason: str) -> None:
        for attempt in (boss.submit, boss.confirm):
            said = attempt(address, {"vote": votes})
            assert said.status_code == 409
            assert reason in said.text
        shown = page(boss, ann, campaign=1)
        assert TICK.findall(shown) == []
        assert "Answers go back only while the campaign is active and has not ended." in shown
        assert "There are no messages yet." in ann.get("/messages").text

    with db.write() as session:
        session.get_one(Campaign, 1).ends_at = utc_now() - timedelta(seconds=1)
    refused("has ended")
    with db.write() as session:
        session.get_one(Campaign, 1).ends_at = None
        activate_campaign(session, second)
        deactivate_campaign(session, 1)
    refused("is not active")
    with db.write() as session:
        session.get_one(Campaign, 1).archived_at = utc_now()
    refused("is archived")
    with db.write() as session:
        session.get_one(Campaign, 1).archived_at = None
        activate_campaign(session, 1)
    assert boss.confirm(address, {"vote": votes}).status_code == 303
