"""The verify grid over HTTP: who gets which images, one vote for each, sent twice, undone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from labeler.assignment.annotator_state import load_annotator_state
from labeler.campaigns.service import CampaignPlan, activate_campaign, create_campaign
from labeler.config import Settings
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.models.base import utc_now
from labeler.models.campaigns import Participation
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.voting import Lease, Vote
from labeler.verification import candidates
from labeler.verification.service import new_batch, open_page, store_page
from tests.conftest import CountQueries, MakeAnnotator, MakeDataset
from tests.labeler.acting import lease, publish_run, set_rules, vote
from tests.labeler.conftest import Browser, Visit
from tests.labeler.conftest import lease as lease_by_page

LEFT = {"label": "left", "source": "model", "size": "24"}


@pytest.fixture
def images(db: Database, dataset_id: int) -> list[int]:
    """Six: the model calls the first four left, surer and surer, one center, one a tie."""
    with db.read() as session:
        ids = list(session.scalars(select(Image.id).order_by(Image.id)))
    chances = {
        image_id: (0.4 + 0.1 * n, 0.3 - 0.05 * n, 0.3 - 0.05 * n)
        for n, image_id in enumerate(ids[:4])
    }
    chances |= {ids[4]: (0.2, 0.6, 0.2), ids[5]: (0.4, 0.2, 0.4)}
    publish_run(db, dataset_id, chances, utc_now())
    with db.write() as session:
        rebuild(session, 1)
    return ids


def open_grid(browser: Browser, **changes: str) -> str:
    answer = browser.get("/grid", query_string={**LEFT, **changes})
    assert answer.status_code == 200
    return answer.text


def tiles(html: str) -> dict[int, str]:
    """The pictures in their order, with the answer that is chosen."""
    found = re.findall(r'name="answer-(\d+)".*?value="(\w+)" selected', html, re.DOTALL)
    return {int(number): answer for number, answer in found}


def fields(html: str, **answers: str) -> dict[str, Any]:
    """What the form of the page sends; `answers` are those that are marked, as `a12="right"`."""
    marked = {int(name[1:]): answer for name, answer in answers.items()}
    batch = re.search(r'name="batch" value="(\w+)"', html)
    assert batch is not None
    cells = {f"answer-{n}": answer for n, answer in (tiles(html) | marked).items()}
    return {**LEFT, "batch": batch[1], **cells}


def votes_of(db: Database, annotator_id: int | None) -> list[Vote]:
    with db.read() as session:
        mine = select(Vote).where(Vote.annotator_id == annotator_id).order_by(Vote.id)
        return list(session.scalars(mine))


def test_the_most_doubtful_come_first_and_only_those_of_the_label(
    visit: Visit, db: Database, images: list[int]
) -> None:
    ann = visit("annotator")
    page = open_grid(ann)
    assert list(tiles(page)) == images[:4]
    assert set(tiles(page).values()) == {"left"}
    assert list(tiles(open_grid(ann, label="center"))) == [images[4]]
    assert "The model has no open images labelled right." in open_grid(ann, label="right")
    with db.read() as session:
        for one in session.scalars(select(Lease).where(Lease.image_id.in_(images[:4]))):
            assert (one.mode, one.shown_label, one.blind, one.mirrored) == (
                "grid",
                "left",
                False,
                False,
            )
            assert one.shown_run_id is not None


def test_each_image_gets_its_own_vote(visit: Visit, db: Database, images: list[int]) -> None:
    ann = visit("annotator")
    page = open_grid(ann)
    answer = ann.submit("/grid", fields(page, **{f"a{images[1]}": "right"}))
    assert (answer.status_code, answer.location) == (303, "/grid?label=left&source=model&size=24")
    cast = votes_of(db, ann.annotator_id)
    assert [(one.image_id, one.answer) for one in cast] == [
        (images[0], "left"),
        (images[1], "right"),
        (images[2], "left"),
        (images[3], "left"),
    ]
    assert {(one.mode, one.shown_label, one.elapsed_ms) for one in cast} == {("grid", "left", None)}
    assert len({one.request_id for one in cast}) == 4
    assert "4 answers have been stored, 1 of them not left." in ann.get(answer.location).text
    with db.write() as session:
        assert rebuild(session, 1) == 0
        assert session.scalars(select(Lease)).all() == []


def test_sent_twice_is_stored_once(visit: Visit, db: Database, images: list[int]) -> None:
    ann = visit("annotator")
    page = open_grid(ann)
    for _ in range(2):
        assert ann.submit("/grid", fields(page)).status_code == 303
    assert len(votes_of(db, ann.annotator_id)) == 4
    assert "answers have been stored" in ann.get("/grid").text


def test_the_rest_of_a_page_that_failed_in_the_middle(
    visit: Visit, db: Database, images: list[int], settings: Settings
) -> None:
    ann = visit("annotator")
    assert ann.annotator_id is not None
    open_grid(ann)
    batch, answers = new_batch(), dict.fromkeys(images[:4], "left")
    first = dict(list(answers.items())[:2])
    assert store_page(db, ann.annotator_id, batch, first, settings=settings) == []
    assert store_page(db, ann.annotator_id, batch, answers, settings=settings) == []
    assert [one.image_id for one in votes_of(db, ann.annotator_id)] == images[:4]


def test_what_is_not_taken_is_named(visit: Visit, db: Database, images: list[int]) -> None:
    ann = visit("annotator")
    page = open_grid(ann)
    with db.write() as session:
        gone = Lease.image_id == images[0]
        session.execute(update(Lease).where(gone).values(expires_at=utc_now()))
        session.execute(
            update(Consensus)
            .where(Consensus.image_id == images[0])
            .values(status="agreed", label="left", probability=1.0)
        )
    text = ann.get(ann.submit("/grid", fields(page)).location).text
    assert "3 answers have been stored, 0 of them not left." in text
    assert (
        f"1 answer was not accepted (image {images[0]}): Your time for this image is over" in text
    )
    assert len(votes_of(db, ann.annotator_id)) == 3


def test_nobody_gets_what_others_hold_or_what_they_answered(
    visit: Visit, db: Database, images: list[int], settings: Settings
) -> None:
    ann, bob = visit("annotator"), visit("annotator")
    assert len(tiles(open_grid(ann))) == 4
    assert tiles(open_grid(bob)) == {}
    assert {one["image_id"] for one in lease_by_page(bob, 2)} == set(images[4:])
    cyn = visit("annotator")
    assert tiles(open_grid(cyn, label="center")) == {}, "held on a page of single pictures"
    ann.submit("/grid", fields(open_grid(ann)))
    assert tiles(open_grid(ann)) == {}
    assert list(tiles(open_grid(bob))) == images[:4]


def test_a_list_that_is_kept_is_looked_at_again(
    visit: Visit, db: Database, images: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was answered, taken or finished since the list was made is passed over."""
    monkeypatch.setattr(candidates, "MAX_LISTED", 4)  # so that the list of four is full
    monkeypatch.setattr(candidates, "RECHECK_BATCH", 1)
    ann, bob = visit("annotator"), visit("annotator")
    ann.submit("/grid", fields(open_grid(ann)))
    assert tiles(open_grid(ann)) == {}
    with db.write() as session:
        session.execute(
            update(Consensus)
            .where(Consensus.image_id == images[1])
            .values(status="agreed", label="left", probability=1.0)
        )
    assert list(tiles(open_grid(bob))) == [images[0], images[2], images[3]]


def test_what_another_process_has_stored_is_seen_at_once(
    db: Database,
    settings: Settings,
    images: list[int],
    make_annotator: MakeAnnotator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A list that is kept has nothing left since another process finished its images."""
    monkeypatch.setattr(candidates, "MAX_LISTED", 2)  # so that the first two fill the list
    here, there = db, Database(db.url)
    claim, ann, bob = (
        candidates.LabelClaim("left", "model"),
        *(make_annotator(db).id for _ in range(2)),
    )
    for database, seen in ((here, images[:2]), (there, images[:2]), (here, images[2:4])):
        with database.read() as session:
            annotator = load_annotator_state(session, ann)
            assert annotator is not None
            found = candidates.find_candidates(session, annotator, claim, 2, utc_now())
        assert [one.image_id for one in found] == seen
        if database is there:
            with there.write() as session:
                session.execute(
                    update(Consensus)
                    .where(Consensus.image_id.in_(images[:2]))
                    .values(status="agreed", label="left", probability=1.0)
                )
    cells = [open_page(each, bob, claim, 24, settings=settings) for each in (there, here)]
    assert [[cell.image_id for cell in page] for page in cells] == [images[2:4]] * 2
    there.dispose()


def test_a_reload_shows_the_same_page(visit: Visit, images: list[int]) -> None:
    ann = visit("annotator")
    assert tiles(open_grid(ann)) == tiles(open_grid(ann))


def test_undo_comes_before_the_page_that_is_open(
    visit: Visit, db: Database, dataset_id: int, make_dataset: MakeDataset
) -> None:
    make_dataset(db, 60, "many")
    with db.write() as session:
        activate_campaign(session, 2)
        ids = list(session.scalars(select(Consensus.image_id).where(Consensus.campaign_id == 2)))
    publish_run(db, 2, dict.fromkeys(ids, (0.6, 0.2, 0.2)), utc_now())
    ann = visit("annotator")
    page = open_grid(ann)
    first = list(tiles(page))
    next_page = ann.get(ann.submit("/grid", fields(page)).location).text
    assert len({*first, *tiles(next_page)}) == 48
    batch = re.search(r'name="batch" value="(grid\w+)"', next_page.split("undo-form")[-1])
    assert batch is not None
    undone = ann.submit("/grid/undo", {**LEFT, "batch": batch[1]})
    assert list(tiles(ann.get(undone.location).text)) == first


def test_undo_opens_the_page_as_it_was(visit: Visit, db: Database, images: list[int]) -> None:
    ann = visit("annotator")
    page = open_grid(ann)
    ann.submit("/grid", fields(page, **{f"a{images[2]}": "unsure"}))
    choice = ann.get("/grid").text
    assert "Undo the last page" in choice
    batch = re.search(r'name="batch" value="(grid\w+)"', choice)
    assert batch is not None
    undone = ann.submit("/grid/undo", {**LEFT, "label": "right", "batch": batch[1]})
    again = ann.get(undone.location).text
    assert "4 answers have been undone." in again
    expected = dict.fromkeys(images[:4], "left") | {images[2]: "unsure"}
    assert list(tiles(again).items()) == list(expected.items())
    assert "Undo the last page" not in again
    assert all(one.superseded_at for one in votes_of(db, ann.annotator_id))
    with db.write() as session:
        assert rebuild(session, 1) == 0
        assert {one.mode for one in session.scalars(select(Lease))} == {"grid"}
    ann.submit("/grid", fields(again))
    current = [one for one in votes_of(db, ann.annotator_id) if one.superseded_at is None]
    assert [one.answer for one in current] == ["left", "left", "unsure", "left"]


def test_an_undo_writes_each_lease_once(
    visit: Visit, app: Flask, images: list[int], count_queries: CountQueries
) -> None:
    ann = visit("annotator")
    ann.submit("/grid", fields(open_grid(ann)))
    batch = re.search(r'name="batch" value="(grid\w+)"', ann.get("/grid").text)
    assert batch is not None
    sent = {**LEFT, "batch": batch[1], "csrf_token": ann.token()}
    with count_queries(app.extensions["sidelight_db"]) as statements:
        assert ann.client.post("/grid/undo", data=sent).status_code == 303
    leases = [one for one in statements if one.startswith("INSERT INTO lease")]
    assert len(leases) == 4


def test_nobody_undoes_the_page_of_another(visit: Visit, db: Database, images: list[int]) -> None:
    ann, bob = visit("annotator"), visit("annotator")
    ann.submit("/grid", fields(open_grid(ann)))
    batch = votes_of(db, ann.annotator_id)[0].request_id.partition("-")[0]
    assert bob.submit("/grid/undo", {**LEFT, "batch": batch}).status_code == 303
    assert all(one.superseded_at is None for one in votes_of(db, ann.annotator_id))


def test_a_single_answer_after_the_page_ends_its_undo(visit: Visit, images: list[int]) -> None:
    ann = visit("annotator")
    ann.submit("/grid", fields(open_grid(ann)))
    [image] = lease_by_page(ann)
    body = {"image_id": image["image_id"], "answer": "left", "request_id": "a-single-one"}
    ann.send("/label/votes", body)
    assert "Undo the last page" not in ann.get("/grid").text


def test_what_the_votes_claim(
    visit: Visit, db: Database, images: list[int], settings: Settings
) -> None:
    """Only images with a vote for it: without one, the posterior is the model's opinion."""
    set_rules(db, method="posterior", required_votes=3, vote_cap=5)
    bob = visit("annotator").annotator_id
    assert bob is not None
    held = lease(db, bob, 6, settings, utc_now())
    for one in held[:2]:
        vote(db, bob, one.image_id, "right", settings)
    with db.write() as session:
        session.execute(update(Lease).values(expires_at=utc_now()))
        session.execute(update(Consensus).values(leased_until=None))
        by_doubt = [
            row.image_id
            for row in sorted(session.scalars(select(Consensus)), key=lambda row: row.p_right)
            if row.votes_right and row.p_right > max(row.p_left, row.p_center)
        ]
    ann = visit("annotator")
    assert list(tiles(open_grid(ann, source="votes", label="right"))) == by_doubt
    with db.read() as session:
        runs = session.scalars(
            select(Lease.shown_run_id).where(Lease.annotator_id == ann.annotator_id)
        )
        assert set(runs) <= {None}
    assert tiles(open_grid(visit("annotator"), source="votes", label="center")) == {}


def test_the_blind_sample_stays_out_of_the_grid(
    visit: Visit, db: Database, images: list[int]
) -> None:
    set_rules(db, proposals="mixed", blind_share=0.5)
    ann = visit("annotator")
    on_grid = set(tiles(open_grid(ann)))
    rest = {one["image_id"]: one["shown"] for one in lease_by_page(ann, 6)}
    assert on_grid.isdisjoint(rest)
    for image_id in set(images[:4]) - on_grid:
        assert rest[image_id] is None


def test_a_campaign_that_hides_suggestions_has_no_grid(
    visit: Visit, db: Database, images: list[int]
) -> None:
    set_rules(db, proposals="hidden")
    page = open_grid(visit("annotator"))
    assert "You cannot verify many images in this campaign." in page
    assert tiles(page) == {}


def test_only_for_those_who_work(visit: Visit, db: Database, images: list[int]) -> None:
    ann = visit("annotator")
    with db.write() as session:
        session.add(
            Participation(
                campaign_id=1, annotator_id=ann.annotator_id, status="paused", reason="Rest."
            )
        )
    page = open_grid(ann)
    assert "You are paused." in page
    assert tiles(page) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "up"},
        {"source": "me"},
        {"size": "25"},
        {"size": "many"},
    ],
)
def test_a_claim_that_is_none(visit: Visit, images: list[int], wrong: dict[str, str]) -> None:
    answer = visit("annotator").get("/grid", query_string={**LEFT, **wrong})
    assert answer.status_code == (200 if wrong == {"size": "many"} else 422)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": ""},
        {"batch": "grid-1"},
        {"label": "up"},
        {"size": "x"},
        {"answer-x": "left"},
        {"answer-0": "left"},
        {f"answer-{10**30}": "left"},
    ],
)
def test_a_page_that_is_none(
    visit: Visit, db: Database, images: list[int], wrong: dict[str, str]
) -> None:
    ann = visit("annotator")
    answer = ann.submit("/grid", {**fields(open_grid(ann)), **wrong})
    assert answer.status_code == 422
    assert votes_of(db, ann.annotator_id) == []


def test_more_answers_than_a_page_has(visit: Visit, db: Database, images: list[int]) -> None:
    ann = visit("annotator")
    many = {f"answer-{n}": "left" for n in range(1, 62)}
    assert ann.submit("/grid", {**LEFT, "batch": new_batch(), **many}).status_code == 422


def test_the_choice_leases_nothing(visit: Visit, db: Database, images: list[int]) -> None:
    assert "Show images" in visit("annotator").get("/grid").text
    with db.read() as session:
        assert session.scalars(select(Lease)).all() == []


def test_a_page_in_hand_is_stored_after_another_campaign_became_active(
    visit: Visit, db: Database, images: list[int]
) -> None:
    ann = visit("annotator")
    page = open_grid(ann)
    made = create_campaign(db, 1, CampaignPlan("another"))
    with db.write() as session:
        activate_campaign(session, made)
    stored = ann.get(ann.submit("/grid", fields(page)).location).text
    assert f"{len(tiles(page))} answers have been stored" in stored
    votes = votes_of(db, ann.annotator_id)
    assert [one.campaign_id for one in votes] == [1] * len(tiles(page))


def test_pages_sent_as_json_need_not_name_their_campaign(
    visit: Visit, db: Database, images: list[int]
) -> None:
    ann = visit("annotator")
    open_grid(ann)
    body = {**LEFT, "size": 24, "batch": new_batch(), "answers": {str(images[0]): "left"}}
    for wrong in ("1", 0, True):
        assert ann.send("/grid", {**body, "campaign_id": wrong}).status_code == 422
    assert ann.send("/grid", body).status_code == 200
    assert [one.image_id for one in votes_of(db, ann.annotator_id)] == [images[0]]
