"""The page of a turned head: its parts, its files, and what can be done with it."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import replace
from html import unescape

import pytest
from flask import Flask
from sqlalchemy import func, select

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.audit import AuditEvent
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.studio.files import turn_folder
from rotation.clusters.selection import Criteria, too_small_message
from tests.conftest import CountQueries
from tests.labeler.conftest import Browser, Visit
from tests.labeler.studio.turned import (
    COMMAND,
    DOUBT,
    add_result,
    add_turn,
    folder_of,
    remove_by_hand,
)

PICTURE = re.compile(r'src="(/studio/[^"]+)"')
CHOSEN = {
    "light": "left",
    "light_filter": True,
    "attributes": ["Male", "Smiling"],
    "angles_deg": [-20.0, 0.0, 20.0],
    "way": "auto",
    "with_proposals": False,
    "min_percent": 90,
    "min_cluster": 20,
    "max_cluster": 300,
}


@pytest.fixture
def boss(visit: Visit) -> Browser:
    return visit("supervisor", "chief")


@pytest.fixture
def turn_id(db: Database, settings: Settings, boss: Browser) -> int:
    return add_result(db, settings, boss.annotator_id or 0, settings=CHOSEN)


def actions(db: Database) -> list[str]:
    with db.read() as session:
        return list(session.scalars(select(AuditEvent.action)))


def test_the_page_shows_the_result_in_words_and_pictures(boss: Browser, turn_id: int) -> None:
    page = unescape(boss.get(f"/studio/{turn_id}").text)
    for words in (
        "Turned from faces/000001.jpg by <a",
        "20° left",
        "20° right",
        "Source, 3° right as measured",
        f"Doubtful. {DOUBT}.",
        "light from the left, Male",
        "Smiling dropped",
        "on, light: left",
        "20° left to 20° right in steps of 20°",
        "votes, at least 90 % sure",
        COMMAND,
    ):
        assert words in page, words
    addresses = {unescape(one) for one in PICTURE.findall(page)}
    assert len(addresses) == 4 + 1 + 5  # source and frames, the strip, the mean faces
    for address in addresses:
        answer = boss.get(address)
        assert (answer.status_code, answer.mimetype) == (200, "image/png"), address
        assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"


def test_the_source_leads_to_its_page(boss: Browser, db: Database, dataset_id: int) -> None:
    waiting = add_turn(db, boss.annotator_id or 0, state="queued", image_id=1)
    assert 'href="/admin/images/1">faces/000001.jpg</a>' in boss.get(f"/studio/{waiting}").text


def test_every_download_is_there(boss: Browser, turn_id: int) -> None:
    page = boss.get(f"/studio/{turn_id}").text
    links = re.findall(r'href="([^"]+)" download>([^<]+)</a>', page)
    assert [text for _, text in links] == [
        "Strip (PNG)",
        "Animation (GIF)",
        "Animation (WebP)",
        "Report (HTML)",
        "Report (JSON)",
        "All files (ZIP)",
    ]
    for address, text in links:
        answer = boss.get(unescape(address))
        assert answer.status_code == 200, text
        assert answer.headers["Content-Disposition"].startswith("attachment; filename=ada")


def test_a_report_is_never_shown_as_a_page_of_the_site(boss: Browser, turn_id: int) -> None:
    answer = boss.get(f"/studio/{turn_id}/files/report.html")
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_a_browser_asks_again_for_what_has_no_version(boss: Browser, turn_id: int) -> None:
    first = boss.get(f"/studio/{turn_id}/files/turn.gif")
    assert first.headers["Cache-Control"] == "private, no-cache"
    known = {"If-None-Match": first.headers["ETag"]}
    assert boss.get(f"/studio/{turn_id}/files/turn.gif", headers=known).status_code == 304
    part = boss.get(f"/studio/{turn_id}/files/turn.gif", headers={"Range": "bytes=0-5"})
    assert (part.status_code, part.data) == (206, first.data[:6])


def test_a_picture_prolongs_no_session(boss: Browser, turn_id: int) -> None:
    """Arriving late, it would bring back a cookie that has been cleared meanwhile."""
    with boss.client.session_transaction() as cookie:
        cookie.permanent = True
    assert "Set-Cookie" in boss.get(f"/studio/{turn_id}").headers
    for path in ("files/strip.png", "pictures/0", "means/0", "thumbnail"):
        assert "Set-Cookie" not in boss.get(f"/studio/{turn_id}/{path}").headers


@pytest.mark.parametrize(
    "name", ["..%2f..%2fsecret_key", "../../secret_key", "%2e%2e", "notes.txt", "strip.png%00"]
)
def test_no_other_file_is_sent(
    boss: Browser, db: Database, settings: Settings, turn_id: int, name: str
) -> None:
    (folder_of(db, settings, turn_id) / "notes.txt").write_text("private")
    assert boss.get(f"/studio/{turn_id}/files/{name}").status_code == 404


@pytest.mark.parametrize("state", ["queued", "running", "failed", "cancelled", None])
def test_before_the_end_there_is_no_file(boss: Browser, db: Database, state: str | None) -> None:
    waiting = add_turn(db, boss.annotator_id or 0, state=state)
    for path in ("files/strip.png", "files.zip", "pictures/0", "means/0", "thumbnail"):
        assert boss.get(f"/studio/{waiting}/{path}").status_code == 404


@pytest.mark.parametrize(
    ("state", "words", "button"),
    [
        ("queued", "The head is waiting to be turned", "Cancel the turn"),
        ("running", "The head is being turned", "Cancel the turn"),
        ("failed", "The head could not be turned", "Delete it"),
        ("cancelled", "The turn was cancelled", "Delete it"),
        (None, "The job that turned it is gone", "Delete it"),
    ],
)
def test_before_the_end_the_page_tells_the_state(
    boss: Browser, db: Database, state: str | None, words: str, button: str
) -> None:
    waiting = add_turn(db, boss.annotator_id or 0, state=state)
    page = boss.get(f"/studio/{waiting}").text
    assert words in page
    assert button in page


def test_the_reason_of_a_failure_is_told(boss: Browser, db: Database) -> None:
    waiting = add_turn(db, boss.annotator_id or 0, state="failed")
    with db.write() as session:
        session.scalars(select(Job)).one().problem = "The cluster at -30° has 4 images."
    assert "The cluster at -30° has 4 images." in boss.get(f"/studio/{waiting}").text


SMALL = {-30.0: 4, -20.0: 30, 30.0: 1250}


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (
            too_small_message(SMALL, Criteria("left", minimum=2000, maximum=3000), "as it is"),
            "2,000 are needed at each angle. There are too few at 30° left (4 found), 20° left "
            "(30 found), 30° right (1,250 found). Choose smaller angles",
        ),
        (
            "No pose is known of source.png: no face was found, or the file of poses or landmarks "
            "lacks it. Give its yaw with --source-yaw, or choose another source.",
            "Say how far the head is turned, or choose another picture.",
        ),
        (
            "The pose of source.png is doubtful: its confidence is 0.1000, and 0.5 is the least. "
            "Give its yaw with --source-yaw if there is one, or choose another source.",
            "It is doubtful how far the head in wall.png is turned.",
        ),
        (
            "No face was found in source.png. Choose a picture that shows a whole face, or give "
            "its yaw with --source-yaw if there is one.",
            "No face was found in wall.png. Choose a picture that shows a whole face.",
        ),
        (
            "source.png shows 3 faces. Cut the picture so that it shows only the head to turn.",
            "wall.png shows 3 faces. Cut the picture",
        ),
        (
            "source.png has no label, so its light is not known. Say it with "
            "--light left|center|right, label the image, or give --no-light-filter.",
            "wall.png has no label. Say where its light comes from",
        ),
        (
            "/home/site/studio/1/source.png: The face is only 30 pixels wide; 40 are the least.",
            "The face in wall.png is only 30 pixels wide. It needs at least 40.",
        ),
        (
            "The head is turned by -70 degrees; heads within 50 degrees can be measured. Choose "
            "another photograph.",
            "The head in wall.png is turned by 70° already; up to 50° are possible.",
        ),
        (
            "--subset inputs/subset.csv: none of its 12 images has a label in --labels.",
            "No picture of the subset has a label.",
        ),
        (
            "inputs/labels.csv: no row has one of the labels left, center, right in the column "
            "'label'; export labels after some voting.",
            "No picture of the data set has a label yet.",
        ),
        ("/home/site/studio/1/source.PNG is odd.", "<p>wall.png is odd.</p>"),
    ],
)
def test_a_refusal_of_the_engine_is_told_in_words_of_the_form(
    boss: Browser, db: Database, problem: str, told: str
) -> None:
    failed = add_turn(db, boss.annotator_id or 0, state="failed", source_name="wall.png")
    with db.write() as session:
        session.scalars(select(Job)).one().problem = problem
    page = unescape(boss.get(f"/studio/{failed}").text)
    assert told in page
    assert not re.search(r" --[a-z]|source\.png", page)
    assert f'href="/studio/new?turn={failed}">Change the settings' in page


def test_a_page_that_waits_loads_only_the_names_that_it_shows(
    app: Flask, boss: Browser, db: Database, count_queries: CountQueries
) -> None:
    waiting = add_turn(db, boss.annotator_id or 0, state="running")
    with count_queries(app.extensions["sidelight_db"]) as statements:
        assert boss.get(f"/studio/{waiting}", headers={"X-Fragment": "1"}).status_code == 200
    assert not [one for one in statements if "image_import" in one]
    of_turns = [one for one in statements if "FROM head_turn" in one]
    assert of_turns
    assert all("WHERE" in one for one in of_turns)


def test_a_page_that_waited_learns_that_the_head_is_turned(boss: Browser, turn_id: int) -> None:
    part = boss.get(f"/studio/{turn_id}", headers={"X-Fragment": "1"}).text
    assert "data-turned" in part
    assert "Show the result" in part


def test_a_job_is_cancelled_once_and_queued_again(
    boss: Browser, db: Database, dataset_id: int
) -> None:
    waiting = add_turn(db, boss.annotator_id or 0, state="running", image_id=1)
    assert boss.submit(f"/studio/{waiting}/cancel").status_code == 303
    second = boss.submit(f"/studio/{waiting}/cancel")
    assert second.status_code == 409
    assert "cannot be cancelled" in second.text
    assert "Try it again as it is" in boss.get(f"/studio/{waiting}").text
    assert boss.submit(f"/studio/{waiting}/retry").status_code == 303
    assert boss.submit(f"/studio/{waiting}/retry").status_code == 409
    assert "waiting to be turned" in boss.get(f"/studio/{waiting}").text


def test_an_upload_that_was_not_kept_is_not_turned_again(
    boss: Browser, db: Database, settings: Settings
) -> None:
    failed = add_turn(db, boss.annotator_id or 0, state="failed")
    assert "Try it again as it is" not in boss.get(f"/studio/{failed}").text
    answer = boss.submit(f"/studio/{failed}/retry")
    assert answer.status_code == 409
    assert "The picture was not kept" in answer.text
    folder = turn_folder(settings.home, failed)
    folder.mkdir(parents=True)
    (folder / "source.jpg").touch()
    assert boss.submit(f"/studio/{failed}/retry").status_code == 303


def test_what_is_turned_is_neither_cancelled_nor_turned_again(boss: Browser, turn_id: int) -> None:
    for what in ("cancel", "retry"):
        assert boss.submit(f"/studio/{turn_id}/{what}").status_code == 409


def test_a_result_gets_another_name(boss: Browser, db: Database, turn_id: int) -> None:
    answer = boss.submit(f"/studio/{turn_id}/rename", {"new_name": "  Night light "})
    assert answer.status_code == 303
    assert "<h1>Night light</h1>" in boss.get(f"/studio/{turn_id}").text
    boss.submit(f"/studio/{turn_id}/rename", {"new_name": "Night light"})
    assert actions(db).count("turn_renamed") == 1


@pytest.mark.parametrize("name", ["", "x" * 121, "two\nlines"])
@pytest.mark.parametrize("state", ["done", "queued"])
def test_a_name_that_is_not_allowed_is_refused(
    boss: Browser, db: Database, turn_id: int, name: str, state: str
) -> None:
    number = turn_id if state == "done" else add_turn(db, boss.annotator_id or 0, state=state)
    answer = boss.submit(f"/studio/{number}/rename", {"new_name": name})
    assert answer.status_code == 422
    assert "Enter a name of 1 to 120 characters" in answer.text


def test_deleting_asks_and_then_removes_row_and_files(
    boss: Browser, db: Database, settings: Settings, turn_id: int
) -> None:
    boss.submit(f"/studio/{turn_id}/share")
    asked = boss.submit(f"/studio/{turn_id}/delete")
    assert asked.status_code == 200
    assert "The link that shows its strip no longer works." in asked.text
    assert turn_folder(settings.home, turn_id).is_dir()
    assert boss.confirm(f"/studio/{turn_id}/delete").status_code == 303
    assert not turn_folder(settings.home, turn_id).exists()
    for path in ("", "/files/strip.png", "/pictures/1"):
        assert boss.get(f"/studio/{turn_id}{path}").status_code == 404
    assert boss.confirm(f"/studio/{turn_id}/delete").status_code == 404
    assert actions(db).count("turn_deleted") == 1


def test_deleting_cancels_a_job_that_is_under_way(boss: Browser, db: Database) -> None:
    waiting = add_turn(db, boss.annotator_id or 0, state="running")
    assert boss.confirm(f"/studio/{waiting}/delete").status_code == 303
    with db.read() as session:
        assert session.scalars(select(Job.state)).all() == ["cancelled"]
        assert session.scalar(select(func.count()).select_from(HeadTurn)) == 0


def test_a_folder_that_was_removed_by_hand_is_told_and_can_be_deleted(
    boss: Browser, db: Database, settings: Settings, turn_id: int
) -> None:
    with db.write() as session:
        session.get_one(HeadTurn, turn_id).summary = {"command": COMMAND}
    remove_by_hand(settings, turn_id)
    page = boss.get(f"/studio/{turn_id}")
    assert page.status_code == 200
    assert "The files of this result are gone or damaged." in page.text
    assert COMMAND in page.text
    for path in ("files/strip.png", "files.zip", "pictures/0", "means/0", "thumbnail"):
        assert boss.get(f"/studio/{turn_id}/{path}").status_code == 404
    assert boss.get("/studio").status_code == 200
    assert boss.confirm(f"/studio/{turn_id}/delete").status_code == 303


def test_annotators_see_their_own_results_if_the_site_allows_it(
    app: Flask, visit: Visit, db: Database, settings: Settings, turn_id: int
) -> None:
    ann = visit("annotator")
    assert ann.get("/studio").status_code == 403
    app.extensions["sidelight_settings"] = replace(settings, studio_for_annotators=True)
    own = add_result(db, settings, ann.annotator_id or 0)
    page = ann.get(f"/studio/{own}").text
    assert 'aria-label="Manage"' not in page
    assert ">Studio</a>" in page
    for words in ("light from the left", COMMAND, "Report"):  # they would tell labels and folders
        assert words not in page, words
    zipped = ann.get(f"/studio/{own}/files.zip")
    with zipfile.ZipFile(io.BytesIO(zipped.data)) as archive:
        names = [name.rpartition("/")[2] for name in archive.namelist()]
    assert "strip.png" in names
    for report in ("report.json", "report.html"):
        assert report not in names
        assert ann.get(f"/studio/{own}/files/{report}").status_code == 404
    for path in ("", "/files/strip.png", "/pictures/0", "/means/0", "/thumbnail", "/files.zip"):
        assert ann.get(f"/studio/{turn_id}{path}").status_code == 404
    for what in ("rename", "delete", "cancel", "retry", "share", "share/revoke"):
        assert ann.confirm(f"/studio/{turn_id}/{what}").status_code == 404
    assert visit("admin").get(f"/studio/{own}").status_code == 200
