"""The page of the model runs: what is going on, going back, stopping."""

from __future__ import annotations

import time
import uuid

import pytest
from sqlalchemy import delete, func, select, update

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.light_classifier.storage import model_to_bytes
from labeler.light_classifier.training import METHOD
from labeler.models.base import utc_now
from labeler.models.proposals import ModelRun, Proposal, Publication
from labeler.proposals.runs import current_run, publish_run, start_run
from tests.labeler import acting
from tests.labeler.acting import set_rules, waiting, work
from tests.labeler.conftest import Browser, Visit, lease
from tests.labeler.proposals.test_rollback import biased

IMAGES = 6


@pytest.fixture
def boss(visit: Visit, dataset_id: int) -> Browser:
    return visit("supervisor", "boss")


@pytest.fixture
def two(db: Database, dataset_id: int) -> tuple[int, int]:
    """Two published runs: the first sees light from the left everywhere, the second right."""
    ids = range(1, IMAGES + 1)
    first = acting.publish_run(db, dataset_id, dict.fromkeys(ids, (0.8, 0.1, 0.1)), utc_now())
    second = acting.publish_run(db, dataset_id, dict.fromkeys(ids, (0.1, 0.1, 0.8)), utc_now())
    return first, second


def test_going_back_is_seen_by_who_labels_and_can_be_undone(
    boss: Browser, visit: Visit, db: Database, two: tuple[int, int]
) -> None:
    first, second = two
    ann = visit("annotator")
    assert lease(ann)[0]["shown"]["label"] == "right"
    page = boss.get("/admin/runs").text
    assert f'name="run" value="{first}"' in page
    assert f'name="run" value="{second}"' not in page
    assert boss.submit("/admin/runs/restore", {"run": first}).status_code == 303
    assert waiting(db) == 1, "the consensus follows"
    assert {one["shown"]["label"] for one in lease(ann, IMAGES)[1:]} == {"left"}
    page = boss.get("/admin/runs").text
    assert f'name="run" value="{second}"' in page
    assert boss.submit("/admin/runs/restore", {"run": second}).status_code == 303
    assert {one["shown"]["label"] for one in lease(visit("annotator"), 1)} == {"right"}


def test_it_is_recorded_who_went_back(boss: Browser, db: Database, dataset_id: int) -> None:
    for _ in range(2):
        publish_run(db, start_run(db, dataset_id, METHOD, {}), {}, model_to_bytes(biased(0.0)))
    with db.write() as session:
        session.add_all(
            Proposal(model_run_id=1, image_id=image, p_left=1, p_center=0, p_right=0)
            for image in range(1, IMAGES + 1)
        )
    boss.submit("/admin/runs/restore", {"run": 1})
    with db.read() as session:
        last = session.scalars(select(Publication).order_by(Publication.id.desc())).first()
    assert last is not None
    assert (last.model_run_id, last.annotator_id) == (1, boss.annotator_id)
    assert "chosen by boss" in boss.get("/admin/runs").text


def test_proposals_that_are_gone_are_made_by_the_worker(
    boss: Browser, db: Database, settings: Settings, dataset_id: int, two: tuple[int, int]
) -> None:
    first, second = two
    with db.write() as session:
        session.execute(delete(Proposal).where(Proposal.model_run_id == first))
        session.execute(
            update(ModelRun)
            .where(ModelRun.id == first)
            .values(method=METHOD, model=model_to_bytes(biased(0.0)))
        )
    assert boss.submit("/admin/runs/restore", {"run": first}).status_code == 303
    assert current(db, dataset_id) == second
    work(settings)
    assert current(db, dataset_id) == first
    with db.read() as session:
        kept = select(func.count()).where(Proposal.model_run_id == first)
        assert session.scalar(kept) == IMAGES


def current(db: Database, dataset_id: int) -> int | None:
    with db.read() as session:
        run = current_run(session, dataset_id)
        return run.id if run else None


def test_refusals(boss: Browser, visit: Visit, db: Database, two: tuple[int, int]) -> None:
    first, second = two
    assert visit("annotator").submit("/admin/runs/restore", {"run": first}).status_code == 403
    assert boss.submit("/admin/runs/restore", {"run": second}).status_code == 409
    assert boss.submit("/admin/runs/restore", {"run": 99}).status_code == 404
    assert boss.submit("/admin/runs/restore", {"run": "x"}).status_code == 422
    assert boss.submit("/admin/runs/stop").status_code == 404


def test_a_run_in_training_shows_how_far_it_is_and_can_be_stopped(
    boss: Browser, db: Database, dataset_id: int
) -> None:
    run_id = start_run(db, dataset_id, METHOD, {"automatic": True})
    told = {"step": "proposing", "done": 2560, "total": 10240, "began": time.time() - 20}
    with db.write() as session:
        session.execute(update(ModelRun).values(progress=told))
    page = boss.get("/admin/runs").text
    assert "automatically, is in training: proposing, 2,560 of 10,240, about" in page
    assert '<progress value="2560" max="10240"' in page
    assert "Train a model" not in page  # one at a time
    assert f"Run {run_id} is in training: proposing" in boss.get("/admin/").text
    assert boss.submit("/admin/runs/stop").status_code == 303
    page = boss.get("/admin/runs").text
    assert "No run is in training." in page
    assert "Train a model" in page
    assert "stopped by boss" in page
    assert '<span class="tag">stopped</span>' in page
    assert "failed" not in page
    overview = boss.get("/admin/").text
    assert '<span class="tag">stopped</span>' in overview
    assert "failed" not in overview


def test_the_rose_shows_the_directions_of_the_current_run(
    boss: Browser, db: Database, two: tuple[int, int]
) -> None:
    assert "Where the light comes from" not in boss.get("/admin/runs").text  # an earlier method
    directions = [0] * 24
    directions[5], directions[12], directions[18] = 4, 10, 6
    with db.write() as session:
        session.get_one(ModelRun, two[1]).metrics = {
            "directions": directions,
            "n_without_face": 3,
            "n_several_faces": 1,
        }
    page = boss.get("/admin/runs").text
    assert "20 photographs: 20 % from the left, 50 % from the front, 30 % from the right." in page
    assert "No face was found in 3 photographs." in page
    assert "1 photograph showed several faces." in page
    assert page.count("<title>") >= 24
    assert "0° to 15°: 10" in page


def test_a_training_that_is_queued_is_not_queued_twice(
    boss: Browser, visit: Visit, db: Database, dataset_id: int
) -> None:
    for number, image in enumerate(lease(boss, IMAGES)):
        answer = ("left", "right")[number % 2]
        vote = {"image_id": image["image_id"], "answer": answer, "request_id": str(uuid.uuid4())}
        assert boss.send("/label/votes", vote).status_code == 201
    for _ in range(2):
        assert boss.submit("/admin/propose").status_code == 303
    page = boss.get("/admin/runs").text
    assert waiting(db) == 1
    assert "A training is requested." in page
    assert "was queued already" in page
    assert 'form="train"' not in page
    assert "A training is requested." in boss.get("/admin/").text


def test_a_run_that_comes_back_is_not_asked_for_twice(
    boss: Browser, db: Database, two: tuple[int, int]
) -> None:
    first, _ = two
    with db.write() as session:
        session.execute(delete(Proposal).where(Proposal.model_run_id == first))
        session.execute(
            update(ModelRun)
            .where(ModelRun.id == first)
            .values(method=METHOD, model=model_to_bytes(biased(0.0)))
        )
    for _ in range(2):
        boss.submit("/admin/runs/restore", {"run": first})
    assert waiting(db) == 1
    page = boss.get("/admin/runs").text
    assert "becomes current soon" in page
    assert f'name="run" value="{first}"' not in page


def test_the_page_says_when_the_next_run_is_due(boss: Browser, db: Database) -> None:
    assert "starts automatically at 15 votes. There are 0." in boss.get("/admin/runs").text
    assert "starts automatically at 15 votes" in boss.get("/admin/").text
    set_rules(db, retrain_votes=0)
    assert "only when somebody requests it" in boss.get("/admin/runs").text


def test_sure_proposals_are_offered_where_the_run_can_promise_them(
    boss: Browser, db: Database, two: tuple[int, int]
) -> None:
    assert "sure=yes" not in boss.get("/admin/").text
    assert boss.get("/admin/export/labels.csv?sure=yes").status_code == 409
    for least, count in ((0.75, IMAGES), (0.85, 0)):
        with db.write() as session:
            session.get_one(ModelRun, two[1]).metrics = {"thresholds": {"0.95": least}}
        assert f"a probability of {100 * least:.1f} % or more" in boss.get("/admin/").text
        answer = boss.get("/admin/export/labels.csv?sure=yes")
        text = answer.text
        named = answer.headers["Content-Disposition"]
        assert named.startswith("attachment; filename=faces-labels-and-sure-proposals-20")
        assert sum(line.split(",")[2] == "right" for line in text.splitlines()) == count
