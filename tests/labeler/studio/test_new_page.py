"""The form of the studio: sources, the count of clusters, orders, and what it refuses."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from PIL import Image as Picture
from sqlalchemy import select
from werkzeug.test import TestResponse

from labeler.app import create_app
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.jobs import kinds
from labeler.models.audit import AuditEvent
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset, Image
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.studio import files
from labeler.subsets.service import import_names
from tests.conftest import MakeAnnotator
from tests.labeler.acting import publish_run
from tests.labeler.conftest import Browser, Visit
from tests.labeler.lit_faces import register
from tests.labeler.studio.labelled import YAWS, Face, Labelled, even_faces, register_labelled

FIELDS = {
    "source": "faces000.png",
    "light": "auto",
    "filter": "light",
    "angles": "30",
    "way": "auto",
    "size": "0",
    "min_percent": "0",
    "min_cluster": "3",
    "max_cluster": "100",
    "seed": "0",
}


@pytest.fixture
def labelled(db: Database, tmp_path: Path) -> Labelled:
    return register_labelled(db, tmp_path / "faces", even_faces(4))


def png(size: tuple[int, int] = (64, 64)) -> bytes:
    held = io.BytesIO()
    Picture.new("RGB", size, "grey").save(held, "PNG")
    return held.getvalue()


def send(browser: Browser, upload: tuple[str, bytes] | None = None, **fields: Any) -> TestResponse:
    """Press "Turn the head" with these fields changed; None leaves a field out."""
    data = {**FIELDS, "order": "yes", "csrf_token": browser.token(), **fields}
    if upload is not None:
        data["upload"] = (io.BytesIO(upload[1]), upload[0])
    sent = {name: value for name, value in data.items() if value is not None}
    return browser.client.post("/studio/new", data=sent)


def turns(db: Database) -> list[HeadTurn]:
    with db.read() as session:
        return list(session.scalars(select(HeadTurn).order_by(HeadTurn.id)))


def visible(answer: TestResponse) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def test_a_head_is_ordered(visit: Visit, db: Database, labelled: Labelled) -> None:
    boss = visit("supervisor")
    page = boss.get(f"/studio/new?image={labelled.image_ids[0]}")
    assert page.status_code == 200
    assert "as labelled: left" in visible(page)
    assert "It is known to be −30°" in visible(page)
    assert "counted when you press “Count again”" in visible(page)
    assert visible(send(boss, change="show", order=None)).count(" yes ") == 7
    answer = send(boss, name="First try", yaw="-28.5", light="right", attributes=["Male"])
    assert answer.status_code == 303
    (turn,) = turns(db)
    assert (turn.name, turn.source_name, turn.owner_id) == (
        "First try",
        "faces000.png",
        boss.annotator_id,
    )
    assert (turn.dataset_id, turn.campaign_id) == (labelled.dataset_id, labelled.campaign_id)
    assert turn.image_id == labelled.image_ids[0]
    assert turn.settings["light"] == "right"
    assert turn.settings["yaw_deg"] == -28.5
    assert turn.settings["attributes"] == ["Male"]
    with db.read() as session:
        (job,) = session.scalars(select(Job))
        (event,) = session.scalars(select(AuditEvent).where(AuditEvent.action == "turn_created"))
    assert (job.id, job.kind, job.subject, job.queue) == (turn.job_id, "turn_head", 1, "turning")
    assert (event.subject_id, event.actor_id) == (turn.id, boss.annotator_id)
    assert "Turn a head: First try" in boss.get("/admin/jobs").text
    # The form of this turn begins with its choices.
    again = boss.get(f"/studio/new?turn={turn.id}").text
    assert 'value="-28.5"' in again
    assert '<option value="right" selected>' in again


def test_the_page_of_an_image_leads_to_the_form(visit: Visit, labelled: Labelled) -> None:
    boss = visit("supervisor")
    page = boss.get(f"/admin/images/{labelled.image_ids[3]}").text
    link = re.search(r'href="([^"]+)">Turn this head', page)
    assert link is not None
    assert "faces003.png" in boss.get(link[1].replace("&amp;", "&")).text


def test_without_a_campaign_there_is_nothing_to_learn_from(visit: Visit) -> None:
    answer = visit("admin").get("/studio/new")
    assert answer.status_code == 404
    assert "No campaign is active" in answer.text


def test_the_clusters_are_counted_and_something_helps(
    visit: Visit, db: Database, tmp_path: Path
) -> None:
    faces = [Face(yaw, "left", 0b011 if n else 0b001) for yaw in YAWS for n in range(4)]
    faces += [Face(None, "left")] * 2
    register_labelled(db, tmp_path / "faces", faces)
    boss = visit("supervisor")

    def count(**fields: Any) -> str:
        data = {**FIELDS, "csrf_token": boss.token(), **fields}
        answer = boss.client.post("/studio/preview", data=data)
        assert answer.status_code == 200
        return visible(answer)

    assert "light from the left" in count()
    assert count().count(" yes ") == 7
    few = count(min_cluster="5", source="faces001.png", attributes=["Male", "Smiling"])
    assert "no, 5 needed" in few
    assert "2 labelled pictures have no known yaw. Measure poses" in few
    assert "Use the model’s labels too" in few
    assert "Use pictures of any light" in few
    dropped = count(source="faces000.png", attributes=["Male", "Smiling"])
    assert "Smiling will not be kept equal. Leave out Smiling" in dropped
    assert "Correct the form" in count(angles="own", own_angles="x")
    assert "say where its light comes from" in count(source="")
    assert "There is no subset 99" in count(subset="99")


def test_a_button_changes_one_choice_and_keeps_the_rest(
    visit: Visit, db: Database, labelled: Labelled
) -> None:
    boss = visit("supervisor")
    both = {"attributes": ["Male", "Smiling"], "name": "kept", "yaw": "3"}
    page = send(boss, drop="Smiling", **both)
    assert page.status_code == 200
    assert re.search(r'value="Male" checked', page.text)
    assert not re.search(r'value="Smiling" checked', page.text)
    assert 'value="kept"' in page.text
    assert re.search(r'value="any" checked', send(boss, change="any-light", **both).text)
    assert re.search(r'name="proposals" value="yes" checked', send(boss, change="proposals").text)
    assert turns(db) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"source": ""}, "Choose a picture of the data set, or one of your own."),
        ({"source": "nobody.jpg"}, "has no image 'nobody.jpg'"),
        ({"source": "99999999999999999999"}, "has no image"),
        ({"yaw": "far"}, "Enter degrees from -90 to 90"),
        ({"yaw": "91"}, "A number from -90 to 90 is needed."),
        ({"angles": "own", "own_angles": "1;2"}, "names no angles"),
        ({"angles": "own", "own_angles": "-30:30:0.5"}, "at most 61 are allowed"),
        ({"angles": None}, "Choose one of the list."),
        ({"filter": "dark"}, "Choose one of the two."),
        ({"way": "magic"}, "Allowed are auto, geometry"),
        ({"size": "7"}, "Allowed are 0, 128"),
        ({"min_cluster": "none"}, "Enter a whole number."),
        ({"min_cluster": "9", "max_cluster": "8"}, "must not be smaller"),
        ({"min_percent": "101"}, "A whole number from 0 to 100 is needed."),
        ({"seed": "99999999999"}, "A whole number from 0"),
        ({"light": "above"}, "Allowed are auto, left"),
        ({"subset": "77"}, "This subset does not exist any more."),
        ({"subset": "x"}, "enter a whole number from 0"),
        ({"name": "x" * 121}, "Enter a name of 1 to 120 characters"),
    ],
)
def test_a_wrong_field_is_told_and_the_others_are_kept(
    visit: Visit, db: Database, labelled: Labelled, fields: dict[str, Any], problem: str
) -> None:
    boss = visit("supervisor")
    answer = send(boss, **{"own_angles": "1,2", "seed": "5", **fields})
    assert answer.status_code == 422
    assert problem in answer.text.replace("&#39;", "'")
    if "seed" not in fields:
        assert re.search(r'id="seed" name="seed" value="5"', answer.text)
    assert turns(db) == []


def test_a_source_without_label_or_yaw_needs_them(
    visit: Visit, db: Database, tmp_path: Path
) -> None:
    register_labelled(db, tmp_path / "faces", [Face(None, None, None), *even_faces(3)])
    boss = visit("supervisor")
    answer = send(boss)
    assert answer.status_code == 422
    assert "Say where its light comes from: the picture has no label." in answer.text
    assert "Enter how far the head is turned" in answer.text
    assert send(boss, light="left", yaw="0", attributes=["Male"]).status_code == 303
    # Nothing is known of its attributes, and the engine refuses names that it cannot compare.
    assert turns(db)[0].settings["attributes"] == []


def test_the_model_tells_the_light_only_if_its_labels_are_used(
    visit: Visit, db: Database, tmp_path: Path
) -> None:
    found = register_labelled(db, tmp_path / "faces", [Face(0.0, None), *even_faces(3)])
    publish_run(db, found.dataset_id, {found.image_ids[0]: (0.9, 0.06, 0.04)}, utc_now())
    boss = visit("supervisor")
    refused = send(boss)
    assert refused.status_code == 422
    assert "Say where its light comes from" in refused.text
    assert "as labelled" not in refused.text
    assert send(boss, proposals="yes").status_code == 303


def test_the_light_stays_or_turns_with_the_head(
    visit: Visit, db: Database, labelled: Labelled
) -> None:
    boss = visit("supervisor")
    first = boss.get(f"/studio/new?source={labelled.image_ids[0]}").text
    assert re.search(r'name="relight" value="yes" checked', first)
    for fields in ({"relight": "yes"}, {}):
        assert send(boss, **fields).status_code == 303
    assert [turn.settings["relight"] for turn in turns(db)] == [True, False]


def test_a_broken_image_and_one_of_another_data_set_are_refused(
    visit: Visit, db: Database, labelled: Labelled
) -> None:
    boss = visit("supervisor")
    with db.write() as session:
        broken = session.get_one(Image, labelled.image_ids[0])
        broken.status, broken.problem = "broken", "truncated"
        other = Dataset(name="other", path="/nowhere", attribute_names=[])
        session.add(other)
        session.flush()
        image = Image(dataset_id=other.id, filename="b.png", byte_size=1, sha256="0" * 64)
        session.add(image)
        session.flush()
        foreign = image.id
    assert "cannot be turned: truncated" in send(boss).text
    assert "has no image" in send(boss, source=str(foreign)).text
    assert turns(db) == []


def test_an_upload_is_ordered(
    visit: Visit, db: Database, settings: Settings, labelled: Labelled
) -> None:
    boss = visit("supervisor")
    upload = ("pictures/Me.PNG", png())
    assert send(boss, upload, source="").status_code == 422  # nobody says its light
    answer = send(boss, upload, source="", light="left", attributes=["Male"], keep="yes")
    assert answer.status_code == 303
    (turn,) = turns(db)
    assert (turn.source_name, turn.image_id, turn.keeps_upload) == ("Me.PNG", None, True)
    assert turn.name == "Me turned"
    assert turn.settings["attributes"] == []
    kept = files.source_file(settings.home, turn.id)
    assert kept is not None
    assert kept.read_bytes() == upload[1]
    assert len(list((settings.home / "studio").iterdir())) == 1


def test_wrong_uploads_are_refused(
    visit: Visit, db: Database, settings: Settings, labelled: Labelled
) -> None:
    boss = visit("supervisor")
    large = png((8_000, 6_300))
    for name, data, problem in (
        ("me.txt", png(), "choose a picture"),
        ("me.png", b"", "the file is empty"),
        ("me.png", b"no picture", "not an image"),
        ("me.png", png()[:60], "damaged"),
        ("me.png", png((20, 20)), "It needs at least 48"),
        ("me.png", large, "8000 x 6300 pixels are too many; at most 50,000,000 are read"),
    ):
        answer = send(boss, (name, data), source="", light="left")
        assert answer.status_code == 422, name
        assert problem in answer.text, problem
    both = send(boss, ("me.png", png()), light="left")
    assert "Empty the field of the file name" in both.text
    assert turns(db) == []
    assert not (settings.home / "studio").exists()


def test_three_at_once(visit: Visit, db: Database, labelled: Labelled) -> None:
    boss = visit("supervisor")
    for _ in range(3):
        assert send(boss).status_code == 303
    answer = send(boss)
    assert answer.status_code == 409
    assert "3 at once are allowed" in answer.text
    assert len(turns(db)) == 3
    assert send(visit("admin")).status_code == 303


def test_a_subset_is_used(visit: Visit, db: Database, labelled: Labelled) -> None:
    with db.write() as session:
        dataset = session.get_one(Dataset, labelled.dataset_id)
        names = [f"faces{number:03d}.png" for number in range(28)]
        subset_id = import_names(session, dataset, "all", names).id
    assert send(visit("supervisor"), subset=str(subset_id)).status_code == 303
    assert turns(db)[0].subset_id == subset_id


def test_the_form_of_a_turn_has_its_campaign_and_its_subset(
    visit: Visit, db: Database, tmp_path: Path, labelled: Labelled
) -> None:
    with db.write() as session:
        dataset = session.get_one(Dataset, labelled.dataset_id)
        names = [f"faces{number:03d}.png" for number in range(28)]
        subset_id = import_names(session, dataset, "all", names).id
    boss = visit("supervisor")
    named = {"campaign": str(labelled.campaign_id), "subset": str(subset_id)}
    assert send(boss, **named).status_code == 303
    with db.write() as session:  # the newest active campaign is another one now
        register(session, tmp_path, ["other.png"], "others")
    (turn,) = turns(db)
    link = re.search(r'href="(/studio/new[^"]+)"', boss.get(f"/studio/{turn.id}").text)
    address = link[1].replace("&amp;", "&") if link else f"/studio/new?turn={turn.id}"
    page = boss.get(address).text
    assert f'name="campaign" value="{labelled.campaign_id}"' in page
    assert f'<option value="{subset_id}" selected>' in page
    assert 'id="source" name="source" value="faces000.png"' in page
    with db.write() as session:
        deleted = session.get_one(Campaign, labelled.campaign_id)
        deleted.active = False
        deleted.archived_at = deleted.deleted_at = utc_now()
    assert boss.get(address).status_code == 200  # with the campaign that is active


def test_annotators_need_the_setting_and_see_no_labels(
    db: Database,
    settings: Settings,
    visit: Visit,
    make_annotator: MakeAnnotator,
    labelled: Labelled,
) -> None:
    closed = visit("annotator").get("/studio/new")
    assert closed.status_code == 403
    assert "not open to annotators" in closed.text
    assert send(visit("supervisor")).status_code == 303
    application = create_app(replace(settings, studio_for_annotators=True))
    try:
        ada = _sign_in(application, db, settings, make_annotator)
        page = ada.get(f"/studio/new?image={labelled.image_ids[0]}")
        assert page.status_code == 200
        shown = visible(page)
        assert "light from the left" not in shown
        assert "as labelled:" not in shown
        assert "Measure poses" not in shown
        assert ada.get("/studio/new?turn=1").status_code == 404  # of somebody else
        refused = send(ada)
        assert refused.status_code == 422
        assert "Say where its light comes from. Or use pictures of any light." in refused.text
        data = {**FIELDS, "csrf_token": ada.token()}
        counted = ada.client.post("/studio/preview", data=data)  # would tell it by its numbers
        assert "say where its light comes from" in counted.text
        assert send(ada, light="right").status_code == 303
    finally:
        application.extensions["sidelight_db"].dispose()
    assert [turn.owner_id == ada.annotator_id for turn in turns(db)] == [False, True]


def _sign_in(
    app: Flask, db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> Browser:
    from labeler.accounts import sessions

    person = make_annotator(db, "ada")
    with db.write() as session:
        token = sessions.open_session(session, person, "tests", settings)
    client = app.test_client()
    with client.session_transaction() as cookie:
        cookie["token"] = token
    return Browser(client, person.id)


def test_the_site_imports_no_torch_for_the_form(visit: Visit, labelled: Labelled) -> None:
    import subprocess
    import sys

    code = "import sys, labeler.app; print([m for m in ('torch', 'diffusers') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert kinds.turn_head.queue_name == "turning"
