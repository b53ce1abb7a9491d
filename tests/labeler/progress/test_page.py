"""A person's own page: how far, how fast, and answers that can be changed."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select, update

from labeler.database.engine import Database
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign, Participation
from labeler.models.consensus import Consensus, Skill
from labeler.models.voting import Vote
from labeler.progress.annotator_progress import (
    answers_per_hour,
    count_votes,
    own_pace,
    own_progress,
    own_review,
)
from labeler.voting.answers import list_own_answers
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import NOON, after, set_rules
from tests.labeler.conftest import Browser, Visit, lease

DAY = 86_400


def answer(browser: Browser, image: dict[str, Any], word: str, elapsed_ms: int = 900) -> None:
    body = {
        "image_id": image["image_id"],
        "answer": word,
        "elapsed_ms": elapsed_ms,
        "request_id": f"request-{image['image_id']}",
    }
    assert browser.send("/label/votes", body).status_code == 201


def forms(html: str) -> list[dict[str, str]]:
    """The hidden fields of the answers that can be changed, and the one that was given."""
    parts = html.split('<form method="post" action="/label/votes"')[1:]
    found = []
    for part in parts:
        fields = dict(re.findall(r'name="(image_id|request_id|back)" value="([^"]+)"', part))
        said = re.search(r'value="(\w+)" aria-pressed="true"', part)
        assert said is not None
        found.append({**fields, "said": said[1]})
    return found


def current(db: Database) -> dict[int, str]:
    with db.read() as session:
        votes = session.scalars(select(Vote).where(Vote.superseded_at.is_(None)))
        return {vote.image_id: vote.answer for vote in votes}


def test_an_answer_is_changed_in_place(visit: Visit, db: Database, dataset_id: int) -> None:
    ann = visit("annotator")
    images = lease(ann, 3)
    for image in images:
        answer(ann, image, "left")
    listed = forms(ann.get("/me").text)
    assert [int(one["image_id"]) for one in listed] == [
        image["image_id"] for image in reversed(images)
    ]
    form = listed[-1]
    place = form["image_id"]
    changed = ann.submit("/label/votes", {**form, "answer": "right"})
    assert (changed.status_code, changed.location) == (303, f"/me?changed={place}#answer-{place}")
    assert current(db) == {image["image_id"]: "left" for image in images} | {
        int(form["image_id"]): "right"
    }
    page = ann.get(changed.location).text
    after = forms(page)
    assert [one["image_id"] for one in after] == [one["image_id"] for one in listed]
    assert [one["said"] for one in after] == ["left", "left", "right"]
    own = page.partition(f'id="answer-{place}"')[2].partition("</li>")[0]
    assert "Your answer has been changed to <strong>right</strong>" in own
    assert page.count("has been changed") == 1


def test_exercises_are_no_answers(visit: Visit, db: Database, make_dataset: MakeDataset) -> None:
    make_dataset(db, 14)
    ann = visit("annotator")
    images = lease(ann, 14)
    for image in images[:12]:
        answer(ann, image, "center")
    with db.write() as session:
        session.execute(
            Vote.__table__.insert(),
            [
                {
                    "campaign_id": 1,
                    "image_id": images[13]["image_id"],
                    "answer": "left",
                    "annotator_id": ann.annotator_id,
                    "mode": "training",
                    "blind": True,
                    "request_id": "exercise",
                    "planted": False,
                    "mirrored": False,
                    "created_at": utc_now(),
                }
            ],
        )
    page = ann.get("/me").text
    listed = [int(one["image_id"]) for one in forms(page)]
    assert listed == [one["image_id"] for one in images[11::-1]]
    assert "<dd>12</dd>" in page


def test_nobody_sees_what_others_answered(visit: Visit, dataset_id: int) -> None:
    ann, bob = visit("annotator"), visit("annotator", "bobby")
    for image in lease(bob, 6):
        answer(bob, image, "right")
    page = ann.get("/me").text
    assert "You have not answered any image yet." in page
    assert "bobby" not in page
    assert forms(page) == []


def test_without_a_campaign(visit: Visit) -> None:
    assert "You have not answered any image yet." in visit("annotator").get("/me").text


def test_the_pace(db: Database, make_annotator: MakeAnnotator, make_dataset: MakeDataset) -> None:
    """The median of what was timed; answers by day, as they were seen."""
    make_dataset(db, 6)
    ada = make_annotator(db).id
    cast = [
        ("left", True, 1000, 0),
        ("left", False, 3000, 30),
        ("center", False, None, 60),
        ("right", False, 2000, 3660),
        ("unsure", False, 9000, -DAY),
        ("left", False, 1, -9 * DAY),
    ]
    with db.write() as session:
        session.add_all(
            Vote(
                campaign_id=1,
                image_id=n,
                annotator_id=ada,
                answer=word,
                mirrored=mirrored,
                elapsed_ms=ms,
                created_at=after(at),
                request_id=f"request-{n}",
                blind=False,
            )
            for n, (word, mirrored, ms, at) in enumerate(cast, start=1)
        )
    with db.read() as session:
        pace = own_pace(session, ada, 1, now=after(4000))
    assert pace.median_s == 2.0
    assert pace.per_hour == 120
    assert pace.days == [
        (NOON.date() - timedelta(days=1), 1),
        (NOON.date(), 4),
    ]
    assert pace.answers == {"left": 2, "center": 1, "right": 2, "unsure": 1}


def test_answers_per_hour_of_work() -> None:
    assert answers_per_hour([]) is None
    assert answers_per_hour([NOON]) is None
    assert answers_per_hour([NOON, NOON]) is None
    assert answers_per_hour([after(s) for s in (0, 10, 20)]) == 360
    assert answers_per_hour([after(s) for s in (0, 10, 2000, 2010)]) == 360, "no pauses"


@pytest.mark.parametrize(
    ("training", "status", "told"),
    [(0, "open", None), (3, "open", 7), (0, "agreed", 7)],
    ids=["at work", "with a training", "finished"],
)
def test_who_is_told_how_they_do_on_gold(
    visit: Visit, db: Database, dataset_id: int, training: int, status: str, told: int | None
) -> None:
    set_rules(db, training=training)
    ann = visit("annotator")
    assert ann.annotator_id is not None
    figures = {"gold_right": 7, "gold_asked": 9}
    with db.write() as session:
        session.add(
            Skill(
                campaign_id=1,
                annotator_id=ann.annotator_id,
                confusion=[],
                copy_rate=0.0,
                figures=figures,
                flags=[],
            )
        )
        label = "left" if status == "agreed" else None
        probability = 1.0 if label else None
        session.execute(
            update(Consensus).values(status=status, label=label, probability=probability)
        )
    with db.read() as session:
        review = own_review(session, ann.annotator_id, session.get_one(Campaign, 1))
    assert review.gold_right == told


def test_advice_and_pauses_are_said_kindly(visit: Visit, db: Database, dataset_id: int) -> None:
    ann = visit("annotator")
    answer(ann, lease(ann)[0], "left")
    with db.write() as session:
        session.add(
            Skill(
                campaign_id=1,
                annotator_id=ann.annotator_id,
                confusion=[],
                copy_rate=0.0,
                figures={},
                flags=[["too_fast", "Half of the answers came."], ["random", "No."]],
            )
        )
        session.add(
            Participation(
                campaign_id=1,
                annotator_id=ann.annotator_id,
                status="paused",
                reason="Take a break.",
            )
        )
    page = ann.get("/me").text
    assert "Please take a second to look at each image." in page
    assert "Half of the answers" not in page, "the words for the supervisor"
    assert "differ from answers that are known" not in page
    assert "You are paused." in page
    assert "Reason: Take a break." in page


def close_image(db: Database, image_id: int) -> None:
    with db.write() as session:
        session.execute(
            update(Consensus)
            .where(Consensus.image_id == image_id)
            .values(status="agreed", label="left", probability=1.0)
        )


def test_two_processes_see_the_same_number_left(
    any_db: Database, make_annotator: MakeAnnotator, make_dataset: MakeDataset
) -> None:
    """Each has a `Database` of its own; neither keeps what the other has changed."""
    make_dataset(any_db, 6)
    ada, other = make_annotator(any_db).id, Database(any_db.url)
    for up_to, expected in ((3, None), (5, 5), (3, None), (9, 3), (3, 2)):
        seen = []
        for database in (any_db, other):
            with database.read() as session:
                seen.append(own_progress(session, ada, counted_up_to=up_to).remaining)
        assert seen == [expected, expected]
        with any_db.read() as session:
            open_ones = select(Consensus.image_id).where(Consensus.status == "open")
            image_id = session.scalars(open_ones).first()
        close_image(any_db, image_id or 0)
    other.dispose()


def test_only_so_many_open_images_are_counted(
    visit: Visit, dataset_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = visit("annotator")
    assert "6 to go" in ann.get("/label").text
    few = partial(own_progress, counted_up_to=5)
    monkeypatch.setattr("labeler.progress.annotator_progress.own_progress", few)
    assert '<span id="count">0 answered</span>' in ann.get("/label").text


def test_votes_are_counted_for_everybody_or_for_one_person(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    ann, bob = visit("annotator"), visit("annotator")
    assert ann.annotator_id is not None
    assert bob.annotator_id is not None
    for browser, count in ((ann, 1), (bob, 2)):
        for number, image in enumerate(lease(browser, count)):
            body = {"image_id": image["image_id"], "answer": "left", "elapsed_ms": 900}
            body["request_id"] = f"request-{browser.annotator_id}-{number}"
            assert browser.send("/label/votes", body).status_code == 201
    with db.read() as session:
        assert count_votes(session) == {ann.annotator_id: 1, bob.annotator_id: 2}
        assert count_votes(session, 1, bob.annotator_id) == {bob.annotator_id: 2}
        assert count_votes(session, 2, bob.annotator_id) == {}


def test_own_answers_by_filter_and_page(
    visit: Visit, db: Database, make_dataset: MakeDataset
) -> None:
    """The filter is about what the person pressed, also on mirrored images."""
    make_dataset(db, 8)
    set_rules(db, mirror_views=True)
    ann = visit("annotator")
    images = lease(ann, 8)
    assert len({image["mirrored"] for image in images}) == 2
    for number, image in enumerate(images):
        answer(ann, image, "left" if number % 2 else "right")
    lefts = [image["image_id"] for image in images[1::2]][::-1]
    assert [int(one["image_id"]) for one in forms(ann.get("/me?answer=left").text)] == lefts
    assert ann.get("/me?answer=up").status_code == 422
    with db.read() as session:
        who = ann.annotator_id or 0
        first = list_own_answers(session, who, 1, answer="left", limit=3)
        rest = list_own_answers(session, who, 1, answer="left", before=first[-1].place, limit=3)
    assert [one.image.id for one in (*first, *rest)] == lefts
    assert "You have no such answer." in ann.get("/me?answer=center").text
