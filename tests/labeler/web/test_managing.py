"""The managing pages: what they show, what they download, what they start."""

from __future__ import annotations

import csv
import io
import uuid

import pytest
from sqlalchemy import select, update

from labeler.database.engine import Database
from labeler.models.base import utc_now
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.web.campaigns.forms import attribute_words
from labeler.web.formatting import download_name
from tests.labeler.acting import waiting
from tests.labeler.conftest import Visit, lease


def test_without_a_data_set_the_next_step_is_named(visit: Visit) -> None:
    admin = visit("admin")
    for address in ("/admin/", "/admin/data-sets", "/admin/campaigns"):
        assert "/admin/data-sets/add" in admin.get(address).text
    assert 'href="/admin/"' in admin.get("/label").text
    assert admin.get("/admin/export/votes.csv").status_code == 404
    assert admin.submit("/admin/propose").status_code == 404


def test_downloads(visit: Visit, dataset_id: int) -> None:
    ann, supervisor = visit("annotator"), visit("supervisor")
    for image in lease(ann, 3):
        vote = {"image_id": image["image_id"], "answer": "left", "request_id": str(uuid.uuid4())}
        ann.send("/label/votes", vote)
    for name, key in (("labels", "votes_left"), ("votes", "answer")):
        answer = supervisor.get(f"/admin/export/{name}.csv")
        assert answer.mimetype == "text/csv"
        named = f"attachment; filename=faces-{name}-{utc_now():%Y-%m-%d}.csv"
        assert answer.headers["Content-Disposition"] == named
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row[key] for row in rows] == ["1" if name == "labels" else "left"] * 3
    assert supervisor.get("/admin/export/labels.csv?proposals=yes").status_code == 409


def test_a_figure_that_is_queued_is_not_queued_twice(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    boss = visit("supervisor")
    agreed = {"status": "agreed", "label": "left", "probability": 0.99}
    with db.write() as session:
        session.execute(update(Consensus).values(**agreed))
        session.execute(update(Image).values(yaw_deg=5.0))
    assert "Draw it now" in boss.get("/admin/mean-faces?min=80").text
    for _ in range(2):
        assert boss.submit("/admin/mean-faces", {"min": "80"}).status_code == 303
    assert waiting(db) == 1
    page = boss.get("/admin/mean-faces?min=80").text
    assert "disabled>Drawing is queued" in page
    assert "Draw it now" in boss.get("/admin/mean-faces?min=90").text
    boss.submit("/admin/mean-faces", {"min": "90"})
    assert waiting(db) == 2


def test_attributes_are_written_as_people_write_them() -> None:
    assert attribute_words("5_o_Clock_Shadow") == "5 o’Clock Shadow"
    assert attribute_words("Wavy_Hair") == "Wavy Hair"


@pytest.mark.parametrize(
    ("campaign", "name"),
    [
        ("Monday’s class / 2", "mondays-class-2"),
        ("Façade 10.000", "facade-10-000"),
        ("光", "campaign"),
        ("a" * 90, "a" * 60),
    ],
)
def test_downloads_have_names_that_every_system_takes(campaign: str, name: str) -> None:
    assert download_name(campaign, "votes", "csv") == f"{name}-votes-{utc_now():%Y-%m-%d}.csv"


def test_broken_files_are_listed_by_name(visit: Visit, db: Database, dataset_id: int) -> None:
    with db.write() as session:
        first = session.scalars(select(Image.id).order_by(Image.id)).first()
        session.execute(
            update(Image)
            .where(Image.id == first)
            .values(status="broken", problem="truncated <JPEG>")
        )
    page = visit("supervisor").get("/admin/data-sets").text
    assert "000001.jpg" in page
    assert "truncated &lt;JPEG&gt;" in page
    assert "1 broken file is not shown" in visit("supervisor").get("/admin/").text


def test_proposing_without_votes_says_what_is_missing(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    answer = visit("supervisor").submit("/admin/propose")
    assert answer.status_code == 409
    assert "There are not enough votes" in answer.text
    assert waiting(db) == 0


def test_proposing_queues_a_job(visit: Visit, db: Database, dataset_id: int) -> None:
    ann, supervisor = visit("annotator"), visit("supervisor")
    for number, image in enumerate(lease(ann, 6)):
        answer = ("left", "right")[number % 2]
        vote = {"image_id": image["image_id"], "answer": answer, "request_id": str(uuid.uuid4())}
        ann.send("/label/votes", vote)
    assert waiting(db) == 0
    assert supervisor.submit("/admin/propose").status_code == 303
    assert waiting(db) == 1
    assert "It waits for the background worker" in supervisor.get("/admin/").text


def test_supervisors_see_no_links_that_are_not_theirs(visit: Visit, dataset_id: int) -> None:
    page = visit("supervisor").get("/admin/").text
    assert "/admin/invites" not in page
    people = visit("supervisor").get("/admin/people").text
    assert "/deactivate" not in people
    assert "/role" not in people
    assert "/admin/invites" not in people
    assert "/admin/invites" in visit("admin").get("/admin/people").text


def test_own_progress_counts_own_votes(visit: Visit, dataset_id: int) -> None:
    ann, bob = visit("annotator"), visit("annotator")
    assert "You have not answered any image yet" in bob.get("/me").text
    [image] = lease(ann)
    vote = {"image_id": image["image_id"], "answer": "unsure", "request_id": str(uuid.uuid4())}
    ann.send("/label/votes", vote)
    page = ann.get("/me").text
    assert "All your answers" in page
    assert image["url"] in page
    assert "You have not answered any image yet" in bob.get("/me").text
