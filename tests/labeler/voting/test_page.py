"""Votes over HTTP, by the script's JSON and by plain forms."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from labeler.audit.log import Actor
from labeler.campaigns.participation import pause_person
from labeler.campaigns.service import (
    CampaignPlan,
    activate_campaign,
    active_campaign,
    create_campaign,
    pause_campaign,
    resume_campaign,
)
from labeler.database.engine import Database
from labeler.gold.service import NewGold, add_gold
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.proposals import ModelRun, Proposal
from labeler.models.voting import Lease, Vote
from tests.conftest import CountQueries, MakeDataset
from tests.labeler.acting import set_rules
from tests.labeler.conftest import Browser, Visit, lease

pytestmark = pytest.mark.usefixtures("dataset_id")


def vote_for(image: dict[str, Any], answer: str = "left", **changes: Any) -> dict[str, Any]:
    body = {"image_id": image["image_id"], "answer": answer, "request_id": str(uuid.uuid4())}
    return {**body, "elapsed_ms": 800, **changes}


def stored(db: Database) -> list[Vote]:
    with db.read() as session:
        return list(session.scalars(select(Vote).order_by(Vote.id)))


def hidden(html: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    assert found is not None
    return found[1]


def test_a_vote_is_stored_with_its_time(visit: Visit, db: Database) -> None:
    ann = visit("annotator")
    [image] = lease(ann)
    answer = ann.send("/label/votes", vote_for(image, "right"))
    assert answer.status_code == 201
    [vote] = stored(db)
    assert answer.get_json()["vote"] == {
        "id": vote.id,
        "image_id": image["image_id"],
        "answer": "right",
    }
    assert (vote.answer, vote.elapsed_ms, vote.annotator_id) == ("right", 800, ann.annotator_id)


def test_the_same_request_again_changes_nothing(visit: Visit, db: Database) -> None:
    ann = visit("annotator")
    body = vote_for(lease(ann)[0])
    first, second = ann.send("/label/votes", body), ann.send("/label/votes", body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.get_json()["vote"] == second.get_json()["vote"]
    assert len(stored(db)) == 1


def test_leases_are_distinct_and_stay_the_same_until_answered(visit: Visit) -> None:
    ann = visit("annotator")
    first = [one["image_id"] for one in lease(ann, 4)]
    assert len(set(first)) == 4
    assert {one["image_id"] for one in lease(ann, 4)} == set(first)
    ann.send("/label/votes", vote_for({"image_id": first[0]}))
    again = [one["image_id"] for one in lease(ann, 6)]
    assert first[0] not in again
    assert len(again) == 5


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"answer": "up"}, 422, "invalid_input"),
        ({"answer": None}, 422, "invalid_input"),
        ({"request_id": ""}, 422, "invalid_input"),
        ({"elapsed_ms": -1}, 422, "invalid_input"),
        ({"elapsed_ms": "soon"}, 422, "invalid_input"),
        ({"image_id": "1"}, 422, "invalid_input"),
        ({"image_id": 10**30}, 422, "invalid_input"),
        ({"image_id": 999_999}, 404, "not_found"),
    ],
)
def test_bad_votes(
    visit: Visit, db: Database, changes: dict[str, Any], status: int, code: str
) -> None:
    ann = visit("annotator")
    answer = ann.send("/label/votes", vote_for(lease(ann)[0], **changes))
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (status, code)
    assert stored(db) == []


def test_an_image_that_was_not_assigned(visit: Visit, db: Database) -> None:
    ann, bob = visit("annotator"), visit("annotator")
    [image] = lease(ann)
    answer = bob.send("/label/votes", vote_for(image))
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "forbidden")
    assert stored(db) == []


def test_a_stale_lease_of_a_finished_image(visit: Visit, db: Database) -> None:
    ann = visit("annotator")
    [image] = lease(ann)
    with db.write() as session:
        session.execute(update(Lease).values(expires_at=utc_now() - timedelta(minutes=1)))
        session.execute(
            update(Consensus)
            .where(Consensus.image_id == image["image_id"])
            .values(status="agreed", label="left", probability=1.0)
        )
    answer = ann.send("/label/votes", vote_for(image))
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "stale_lease")


def test_a_request_id_that_stands_for_another_vote(visit: Visit) -> None:
    ann = visit("annotator")
    body = vote_for(lease(ann)[0])
    ann.send("/label/votes", body)
    answer = ann.send("/label/votes", {**body, "answer": "right"})
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "conflict")


def test_undo_gives_the_same_image_back(visit: Visit, db: Database) -> None:
    ann = visit("annotator")
    [image] = lease(ann)
    vote = ann.send("/label/votes", vote_for(image)).get_json()["vote"]
    answer = ann.send(f"/label/votes/{vote['id']}/undo", {})
    assert answer.status_code == 200
    assert answer.get_json()["image"]["image_id"] == image["image_id"]
    assert [one.superseded_at is None for one in stored(db)] == [False]
    assert ann.send("/label/votes", vote_for(image, "center")).status_code == 201


def test_undoing_somebody_elses_vote(visit: Visit, db: Database) -> None:
    ann, bob = visit("annotator"), visit("annotator")
    vote = ann.send("/label/votes", vote_for(lease(ann)[0])).get_json()["vote"]
    answer = bob.send(f"/label/votes/{vote['id']}/undo", {})
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (403, "forbidden")
    assert stored(db)[0].superseded_at is None
    assert bob.send("/label/votes/424242/undo", {}).status_code == 404


def test_without_scripts(visit: Visit, db: Database) -> None:
    ann = visit("annotator")
    pressed = []
    for answer in ("left", "unsure", "right"):
        page = ann.get("/label").text
        fields = {name: hidden(page, name) for name in ("image_id", "request_id")}
        posted = ann.submit("/label/votes", {**fields, "answer": answer})
        assert (posted.status_code, posted.location) == (303, "/label")
        pressed.append((int(fields["image_id"]), answer))
    assert [(vote.image_id, vote.answer) for vote in stored(db)] == pressed
    page = ann.get("/label").text
    undo = re.search(r'action="(/label/votes/\d+/undo)"', page)
    assert undo is not None
    undone = ann.submit(undo[1])
    assert undone.status_code == 303
    assert [vote.superseded_at is None for vote in stored(db)] == [True, True, False]
    assert int(hidden(ann.get(undone.location).text, "image_id")) == pressed[-1][0]


def test_a_form_that_is_wrong_gets_a_page(visit: Visit) -> None:
    ann = visit("annotator")
    answer = ann.submit("/label/votes", {"image_id": "x", "answer": "left", "request_id": "r" * 9})
    assert answer.status_code == 422
    assert "enter a whole number" in answer.text
    assert answer.mimetype == "text/html"


def label_all(browser: Browser) -> None:
    while images := lease(browser, 6):
        for image in images:
            browser.send("/label/votes", vote_for(image))


def test_nothing_left_says_thank_you(visit: Visit) -> None:
    ann = visit("annotator")
    label_all(ann)
    page = ann.get("/label").text
    assert "no images left for you to label" in page
    assert "6 answered, 0 to go" in page


def propose(db: Database, dataset_id: int) -> None:
    with db.write() as session:
        run = ModelRun(dataset_id=dataset_id, method="test", settings={}, metrics={})
        session.add(run)
        run.status, run.published_at = "published", utc_now()
        session.flush()
        for image_id in session.scalars(select(Image.id)):
            session.add(
                Proposal(
                    model_run_id=run.id, image_id=image_id, p_left=0.1, p_center=0.1, p_right=0.8
                )
            )


def test_the_hint_is_words(visit: Visit, db: Database, dataset_id: int) -> None:
    propose(db, dataset_id)
    ann = visit("annotator")
    assert "Suggestion: right (80 %)" in ann.get("/label").text
    assert lease(ann)[0]["shown"] == {"label": "right", "probability": 0.8}
    ann.send("/label/votes", vote_for(lease(ann)[0]))
    assert stored(db)[0].shown_label == "right"


def test_the_blind_see_no_hint(visit: Visit, db: Database, dataset_id: int) -> None:
    propose(db, dataset_id)
    set_rules(db, proposals="hidden")
    ann = visit("annotator")
    assert '<p id="hint"></p>' in ann.get("/label").text
    assert lease(ann)[0]["shown"] is None
    ann.send("/label/votes", vote_for(lease(ann)[0]))
    vote = stored(db)[0]
    assert (vote.blind, vote.shown_label, vote.withheld_label) == (True, None, "right")


def test_a_vote_brings_the_next_images(visit: Visit, db: Database) -> None:
    ann = visit("annotator")
    [first] = lease(ann)
    answer = ann.send("/label/votes", vote_for(first, then=2)).get_json()
    assert "progress" not in answer
    ids = [one["image_id"] for one in answer["images"]]
    assert len(set(ids)) == 2
    assert first["image_id"] not in ids
    assert {one["image_id"] for one in lease(ann, 2)} == set(ids)
    for image in answer["images"]:
        assert image["expires_in_s"] > 200
        assert ann.get(image["url"]).status_code == 200


@pytest.mark.parametrize("then", [-1, 121, "2", None])
def test_a_wrong_number_of_images_stores_nothing(visit: Visit, db: Database, then: Any) -> None:
    ann = visit("annotator")
    answer = ann.send("/label/votes", vote_for(lease(ann)[0], then=then))
    assert answer.get_json()["error"]["code"] == "invalid_input"
    assert stored(db) == []


def test_answers_to_mirrored_images_mean_what_is_seen(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    """Half of the pictures are; whoever sees light from the left says left."""
    propose(db, dataset_id)
    set_rules(db, mirror_views=True)
    ann = visit("annotator")
    images = lease(ann, 6)
    assert {one["mirrored"] for one in images} == {True, False}
    for image in images:
        assert image["shown"]["label"] == ("left" if image["mirrored"] else "right")
        ann.send("/label/votes", vote_for(image, "left"))
    answers = {vote.image_id: (vote.answer, vote.shown_label) for vote in stored(db)}
    for image in images:
        said = "right" if image["mirrored"] else "left"
        assert answers[image["image_id"]] == (said, "right")
    assert 'class="mirrored"' in ann.get("/me").text
    last = next(one for one in images if one["image_id"] == stored(db)[-1].image_id)
    assert "Last answer: left" in ann.get("/label").text
    undone = ann.send(f"/label/votes/{stored(db)[-1].id}/undo", {}).get_json()["image"]
    assert undone["mirrored"] == last["mirrored"]
    assert undone["shown"]["label"] == last["shown"]["label"]
    page = ann.get(f"/label?image={undone['image_id']}").text
    assert ('class="mirrored"' in page) == undone["mirrored"]


def reason(browser: Browser) -> tuple[str, str]:
    """Why there is no image: what the script is told, and what the page says."""
    answer = browser.send("/label/leases", {"count": 3}).get_json()
    assert answer["images"] == []
    page = browser.get("/label").text
    assert answer["idle"]["title"] in page
    for way in answer["idle"]["ways"]:
        assert f'href="{way["address"]}"' in page
        assert browser.get(way["address"]).status_code == 200
    return answer["idle"]["code"], page


def campaign_of(session: Session) -> Campaign:
    campaign = active_campaign(session)
    assert campaign is not None
    return campaign


def test_images_come_without_a_reason(visit: Visit) -> None:
    answer = visit("annotator").send("/label/leases", {"count": 1}).get_json()
    assert answer["idle"] is None


def test_why_there_is_no_image(visit: Visit, db: Database) -> None:
    ann = visit("annotator")
    with db.write() as session:
        pause_campaign(session, campaign_of(session).id)
    assert reason(ann)[0] == "campaign_paused"
    with db.write() as session:
        resume_campaign(session, campaign_of(session).id)
        pause_person(
            session,
            campaign_of(session).id,
            ann.annotator_id,
            "Left & right are mixed up.",
            Actor(1),
        )
    code, page = reason(ann)
    assert (code, "Reason: Left &amp; right are mixed up." in page) == ("paused", True)
    with db.write() as session:
        campaign_of(session).active = False
    assert reason(ann)[0] == "no_campaign"
    assert "No campaign is active" in reason(visit("admin"))[1]


def test_the_qualification_comes_first(visit: Visit, db: Database) -> None:
    set_rules(db, training=2)
    ann = visit("annotator")
    assert len(lease(ann, 2)) == 2, "nothing is known, so nobody can be taught"
    with db.write() as session:
        image_id = session.scalars(select(Image.id)).first()
        assert image_id is not None
        add_gold(session, campaign_of(session).id, [NewGold(image_id, "left")], "csv")
    code, page = reason(ann)
    assert (code, 'href="/label/training"' in page) == ("training", True)


def test_a_form_leads_back_only_within_the_site(visit: Visit) -> None:
    ann = visit("annotator")
    for back, expected in (("/me#last-answers", "/me#last-answers"), ("//evil.example", "/label")):
        [image] = lease(ann)
        fields = {**vote_for(image), "back": back}
        assert ann.submit("/label/votes", fields).location == expected


def test_an_answer_to_the_exercises_is_nothing_to_undo(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    ann = visit("annotator")
    [image] = lease(ann)
    with db.write() as session:
        session.execute(update(Lease).values(mode="training"))
    ann.send("/label/votes", vote_for(image))
    assert stored(db)[0].mode == "training"
    assert "Last answer: left" not in ann.get("/label").text
    undo = ann.send(f"/label/votes/{stored(db)[0].id}/undo", {})
    assert undo.status_code == 409


def test_state_gives_a_token_that_works(visit: Visit) -> None:
    ann = visit("annotator")
    state = ann.get("/label/state").get_json()
    assert state["annotator_id"] == ann.annotator_id
    headers = {"X-CSRFToken": state["csrf_token"]}
    assert ann.client.post("/label/leases", json={"count": 1}, headers=headers).status_code == 200


def test_a_vote_takes_few_statements(visit: Visit, app: Any, count_queries: CountQueries) -> None:
    ann = visit("annotator")
    body, token = vote_for(lease(ann)[0], then=3), ann.token()
    with count_queries(app.extensions["sidelight_db"]) as statements:
        answer = ann.client.post("/label/votes", json=body, headers={"X-CSRFToken": token})
    assert len(answer.get_json()["images"]) == 3
    assert len([one for one in statements if not one.startswith(("BEGIN", "SAVEPOINT"))]) <= 6


def test_undo_without_script_shows_an_image_of_the_earlier_campaign(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    ann = visit("annotator")
    [image] = lease(ann)
    vote = ann.send("/label/votes", vote_for(image)).get_json()["vote"]
    made = create_campaign(db, dataset_id, CampaignPlan("another"))
    with db.write() as session:
        activate_campaign(session, made)
    undone = ann.submit(f"/label/votes/{vote['id']}/undo")
    page = ann.get(undone.location).text
    assert f'name="campaign_id" value="{image["campaign_id"]}"' in page
    assert f'name="image_id" value="{image["image_id"]}"' in page


def test_large_counts_have_separators(
    visit: Visit, db: Database, make_dataset: MakeDataset
) -> None:
    with db.write() as session:
        session.execute(update(Campaign).values(active=False))
    make_dataset(db, 1200)
    page = visit("annotator").get("/label").text
    assert '<span id="count">0 answered, 1,200 to go</span>' in page
