"""The qualification: right and wrong are told, rounds end, and no exercise counts."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from sqlalchemy import select, update

from labeler.audit.log import Actor
from labeler.campaigns.participation import send_to_qualification
from labeler.campaigns.service import CampaignPlan, activate_campaign, create_campaign
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.gold.service import NewGold, add_gold
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign, Participation
from labeler.models.consensus import Consensus, Gold
from labeler.models.voting import Vote
from tests.labeler.acting import set_rules
from tests.labeler.conftest import Browser, Visit, lease

WRONG = {"left": "center", "center": "right", "right": "left"}


@pytest.fixture
def truth(db: Database, dataset_id: int) -> dict[int, str]:
    """The label of each gold image: five of the six."""
    with db.write() as session:
        ids = list(session.scalars(select(Consensus.image_id).order_by(Consensus.image_id)))[:5]
        known = dict(zip(ids, ("left", "center", "right", "left", "right"), strict=True))
        add_gold(
            session,
            1,
            [NewGold(image_id, label, f"Look at {image_id}.") for image_id, label in known.items()],
            "csv",
        )
    set_rules(db, training=2, pass_share=1.0)
    return known


@dataclass
class Exercise:
    """The form of an exercise, and sending it."""

    browser: Browser
    image_id: int
    request_id: str

    def answer(self, answer: str) -> str:
        """Post it; returns the page that tells what is right."""
        posted = self.send(answer)
        assert posted.status_code == 303
        return self.browser.get(posted.location).text

    def send(self, answer: str):  # type: ignore[no-untyped-def]
        fields = {"image_id": self.image_id, "request_id": self.request_id, "answer": answer}
        return self.browser.submit("/label/training", fields)


def open_exercise(browser: Browser) -> Exercise:
    page = browser.get("/label/training")
    assert page.status_code == 200
    fields = dict(re.findall(r'name="(image_id|request_id)" value="([^"]+)"', page.text))
    return Exercise(browser, int(fields["image_id"]), fields["request_id"])


def status(db: Database, browser: Browser) -> str | None:
    with db.read() as session:
        row = session.get(Participation, (1, browser.annotator_id))
        return row.status if row else None


def train(browser: Browser, truth: dict[int, str], *right: bool) -> list[int]:
    """Answer so many exercises rightly or wrongly; returns their images."""
    asked = []
    for is_right in right:
        one = open_exercise(browser)
        label = truth[one.image_id]
        one.answer(label if is_right else WRONG[label])
        asked.append(one.image_id)
    return asked


def test_what_is_right_is_told(visit: Visit, truth: dict[int, str]) -> None:
    ann = visit("annotator")
    first = open_exercise(ann)
    label = truth[first.image_id]
    page = first.answer(label)
    assert "Correct: " in page
    assert f"Look at {first.image_id}." in page
    assert f"/images/{first.image_id}/" in page, "the picture stands there again"
    assert "1 of 2 answered, 1 correct" in page
    second = open_exercise(ann)
    assert second.image_id != first.image_id
    page = second.answer(WRONG[truth[second.image_id]])
    assert "Not quite: " in page
    assert f"You answered {WRONG[truth[second.image_id]]}." in page


def test_an_exercise_shows_no_suggestion_and_is_never_counted(
    visit: Visit, db: Database, truth: dict[int, str]
) -> None:
    ann = visit("annotator")
    train(ann, truth, False, True)
    with db.read() as session:
        votes = session.scalars(select(Vote)).all()
        assert {(vote.mode, vote.blind, vote.shown_label) for vote in votes} == {
            ("training", True, None)
        }
        rows = session.scalars(select(Consensus)).all()
        assert sum(row.votes_left + row.votes_center + row.votes_right for row in rows) == 0
    assert "0 answered" in ann.get("/label").text


def test_who_is_right_often_enough_works(visit: Visit, db: Database, truth: dict[int, str]) -> None:
    ann = visit("annotator")
    assert lease_or_none(ann) == []
    train(ann, truth, True)
    assert status(db, ann) is None
    last = open_exercise(ann)
    page = last.answer(truth[last.image_id])
    assert "2 of 2 correct. You have passed the qualification." in page
    assert 'href="/label"' in page
    assert status(db, ann) == "working"
    assert len(lease(ann, 1)) == 1
    assert ann.get("/label/training").location == "/label"


def lease_or_none(browser: Browser) -> list[object]:
    images: list[object] = browser.send("/label/leases", {"count": 1}).get_json()["images"]
    return images


def test_another_round_has_other_images_as_long_as_there_are_any(
    visit: Visit, db: Database, truth: dict[int, str]
) -> None:
    ann = visit("annotator")
    first = train(ann, truth, True, False)
    assert status(db, ann) == "training"
    second = train(ann, truth, False, False)
    assert len({*first, *second}) == 4
    third = train(ann, truth, True, True)
    assert set(truth) == {*first, *second, *third}
    assert third[1] == first[0], "the oldest comes again"
    assert status(db, ann) == "working"


def test_the_result_of_a_failed_round_is_told(visit: Visit, truth: dict[int, str]) -> None:
    ann = visit("annotator")
    train(ann, truth, True)
    one = open_exercise(ann)
    assert "1 of 2 correct. You need 2. Another round follows." in one.answer(
        WRONG[truth[one.image_id]]
    )


def test_few_gold_images_make_a_short_round(
    visit: Visit, db: Database, truth: dict[int, str]
) -> None:
    set_rules(db, training=50, pass_share=0.6)
    ann = visit("annotator")
    train(ann, truth, True, True, True, False)
    assert status(db, ann) is None
    train(ann, truth, False)
    assert status(db, ann) == "working", "3 of 5 is 0.6"


def test_without_gold_that_can_be_shown_the_work_begins(
    visit: Visit, db: Database, truth: dict[int, str]
) -> None:
    ann = visit("annotator")
    with db.write() as session:
        send_to_qualification(session, 1, ann.annotator_id, by=Actor(ann.annotator_id))
        session.execute(update(Gold).values(revoked_at=utc_now()))
    assert ann.get("/label/training").location == "/label"
    assert status(db, ann) == "working"


def test_an_answer_that_was_told_cannot_be_mended(
    visit: Visit, db: Database, truth: dict[int, str]
) -> None:
    ann = visit("annotator")
    one = open_exercise(ann)
    one.answer(WRONG[truth[one.image_id]])
    again = Exercise(ann, one.image_id, "another-request").send(truth[one.image_id])
    assert again.status_code == 409
    by_the_page = ann.send(
        "/label/votes",
        {"image_id": one.image_id, "answer": truth[one.image_id], "request_id": "third-request"},
    )
    assert by_the_page.status_code == 201, "it is stored"
    train(ann, truth, True)
    assert status(db, ann) == "training", "and the first answer counts"


def test_the_same_answer_sent_twice_is_one(
    visit: Visit, db: Database, truth: dict[int, str]
) -> None:
    ann = visit("annotator")
    one = open_exercise(ann)
    locations = {one.send("left").location for _ in range(2)}
    assert len(locations) == 1
    with db.read() as session:
        assert len(session.scalars(select(Vote)).all()) == 1


def test_a_reload_gives_the_same_exercise(visit: Visit, truth: dict[int, str]) -> None:
    ann = visit("annotator")
    assert open_exercise(ann).image_id == open_exercise(ann).image_id


def test_other_peoples_exercises_are_not_told(visit: Visit, truth: dict[int, str]) -> None:
    ann, bob = visit("annotator"), visit("annotator")
    posted = open_exercise(ann).send("left")
    assert bob.get(posted.location).status_code == 404
    assert ann.get(f"/label/training?after={2**63 - 1}").status_code == 404


def test_a_paused_campaign_gives_no_exercises(
    visit: Visit, db: Database, truth: dict[int, str]
) -> None:
    with db.write() as session:
        session.execute(update(Campaign).values(paused_at=utc_now()))
    assert visit("annotator").get("/label/training").location == "/label"


def test_exercises_over_answers_of_the_work_leave_the_counts_right(
    visit: Visit, db: Database, truth: dict[int, str]
) -> None:
    """Who answered all gold at work and is sent to train trains on the same images."""
    set_rules(db, training=0, gold_rate=1.0)
    ann = visit("annotator")
    for image in lease(ann, 5):
        body = {"image_id": image["image_id"], "answer": "left"}
        ann.send("/label/votes", {**body, "request_id": f"request-{image['image_id']}"})
    set_rules(db, training=2)
    with db.write() as session:
        send_to_qualification(session, 1, ann.annotator_id, by=Actor(ann.annotator_id))
    train(ann, truth, True, True)
    with db.write() as session:
        assert rebuild(session, 1) == 0


def test_the_answers_must_be_labels(visit: Visit, truth: dict[int, str]) -> None:
    assert open_exercise(visit("annotator")).send("up").status_code == 422


def test_an_exercise_in_hand_is_taken_after_another_campaign_became_active(
    visit: Visit, db: Database, truth: dict[int, str]
) -> None:
    ann = visit("annotator")
    page = ann.get("/label/training").text
    sent = dict(re.findall(r'name="(\w+)" value="([^"]+)"', page))
    made = create_campaign(db, 1, CampaignPlan("another"))
    with db.write() as session:
        activate_campaign(session, made)
    label = truth[int(sent["image_id"])]
    answer = ann.submit("/label/training", {**sent, "answer": label})
    assert answer.status_code == 303
    page = ann.get(answer.location).text
    assert "Correct: " in page
    assert "1 of 2 answered, 1 correct" in page
    with db.read() as session:
        assert session.scalars(select(Vote.campaign_id)).all() == [1]


def test_a_second_try_follows_the_reason(visit: Visit, db: Database, truth: dict[int, str]) -> None:
    """A wrong answer and "unsure" tell the note and not the label; the second answer decides."""
    set_rules(db, tries=2)
    ann = visit("annotator")
    first = open_exercise(ann)
    label = truth[first.image_id]
    page = first.answer("unsure")
    assert "Not quite. You answered unsure. You have another try." in page
    assert f"Look at {first.image_id}." in page
    assert "Try again" in page
    assert "the light comes from" not in page
    assert "0 of 2 answered, 0 correct" in page
    again = open_exercise(ann)
    assert again.image_id == first.image_id
    page = again.answer(label)
    assert "Correct: " in page
    assert "1 of 2 answered, 1 correct" in page
    second = open_exercise(ann)
    assert second.image_id != first.image_id
    wrong = WRONG[truth[second.image_id]]
    second.answer(wrong)
    page = open_exercise(ann).answer(wrong)
    assert f"You answered {wrong}." in page
    assert "another try" not in page
    assert "1 of 2 correct. You need 2. Another round follows." in page
    assert status(db, ann) == "training"
    with db.read() as session:
        answers = session.scalars(select(Vote.answer).order_by(Vote.id)).all()
    assert answers == ["unsure", label, wrong, wrong], "each try stays on record"


def test_a_first_answer_that_is_right_needs_no_second_try(
    visit: Visit, db: Database, truth: dict[int, str]
) -> None:
    set_rules(db, tries=2)
    ann = visit("annotator")
    train(ann, truth, True, True)
    assert status(db, ann) == "working"


def test_a_repeated_first_try_uses_up_no_try(
    visit: Visit, db: Database, truth: dict[int, str]
) -> None:
    set_rules(db, tries=2)
    ann = visit("annotator")
    one = open_exercise(ann)
    one.answer("unsure")
    assert "another try" in one.answer("unsure"), "the same request, sent again"
    assert "Correct: " in open_exercise(ann).answer(truth[one.image_id])
