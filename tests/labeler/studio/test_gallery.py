"""The gallery of turned heads, and two of them in one view."""

from __future__ import annotations

import re
from html import unescape

import pytest
from flask import Flask

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.studio.turns import PAGE
from labeler.web.studio.settings import write_angles
from labeler.web.studio.words import name_angle
from tests.conftest import CountQueries
from tests.labeler.conftest import Browser, Visit
from tests.labeler.studio.turned import add_result, add_turn, remove_by_hand

NAME = re.compile(r'<h2><a href="/studio/(\d+)">([^<]+)</a></h2>')


@pytest.fixture
def boss(visit: Visit) -> Browser:
    return visit("supervisor", "chief")


def names(browser: Browser, address: str = "/studio") -> list[str]:
    answer = browser.get(address)
    assert answer.status_code == 200
    return [unescape(name) for _, name in NAME.findall(answer.text)]


def test_an_empty_gallery_leads_on(boss: Browser) -> None:
    page = boss.get("/studio").text
    assert "No head has been turned yet." in page


def test_the_gallery_shows_states_settings_and_who_made_it(
    boss: Browser, visit: Visit, db: Database, settings: Settings
) -> None:
    other = visit("admin", "dora")
    chosen = {"light_filter": False, "attributes": [], "angles_deg": [-10.0, 15.0]}
    add_result(db, settings, other.annotator_id or 0, name="First", settings=chosen)
    add_turn(db, boss.annotator_id or 0, state="running", name="Second")
    add_turn(db, boss.annotator_id or 0, state="failed", name="Third")
    assert names(boss) == ["Third", "Second", "First"]
    assert names(boss, "/studio?of=me") == ["Third", "Second"]
    page = unescape(boss.get("/studio").text)
    for words in ("turning", "failed", "dora", "Light filter: off; Attributes: none"):
        assert words in page, words
    assert "Angles: 10° left, 15° right" in page
    assert page.count('name="result"') == 1  # only what is turned can be compared
    (thumbnail,) = re.findall(r'<img src="([^"]+)"', page)
    assert boss.get(thumbnail).mimetype == "image/png"


def test_the_gallery_has_pages(boss: Browser, db: Database) -> None:
    for number in range(PAGE + 2):
        add_turn(db, boss.annotator_id or 0, name=f"Head {number}")
    first = boss.get("/studio?of=me").text
    assert len(NAME.findall(first)) == PAGE
    (older,) = re.findall(r'href="([^"]+)">Show older ones', first)
    assert "of=me" in older
    assert names(boss, unescape(older)) == ["Head 1", "Head 0"]
    assert "There are no older ones." in boss.get("/studio?before=1").text


def test_the_gallery_asks_as_often_for_many_as_for_few(
    app: Flask, boss: Browser, db: Database, count_queries: CountQueries
) -> None:
    counts = []
    for _ in range(2):
        for _ in range(5):
            add_turn(db, boss.annotator_id or 0)
        with count_queries(app.extensions["sidelight_db"]) as statements:
            names(boss)
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_two_results_are_compared_in_one_view(
    boss: Browser, db: Database, settings: Settings
) -> None:
    kept = {"light_filter": True, "way": "auto", "seed": 0}
    one = add_result(db, settings, boss.annotator_id or 0, name="Kept", settings=kept)
    any_light = {"light_filter": False, "way": "auto", "seed": 7}
    other = add_result(db, settings, boss.annotator_id or 0, name="Any", settings=any_light)
    ticked = boss.get(f"/studio/compare?result={one}&result={other}")
    assert ticked.location == f"/studio/compare?a={one}&b={other}"
    page = unescape(boss.get(ticked.location).text)
    assert len(re.findall(r"<img[^>]+data-yaw=", page)) == 6
    rows = re.findall(r'<tr( class="differing")?>\s*<th scope="row">([^<]+?)\s*<', page)
    assert [title for marked, title in rows if marked] == ["Light filter", "Seed"]
    assert {title for marked, title in rows if not marked} >= {"Source", "Way of turning"}


@pytest.mark.parametrize(
    "query",
    ["", "a=1", "a=1&b=1", "result=1", "result=1&result=2&result=3", "result=x&result=1", "b=2"],
)
def test_a_comparison_needs_two(
    boss: Browser, db: Database, settings: Settings, query: str
) -> None:
    add_turn(db, boss.annotator_id or 0)
    answer = boss.get(f"/studio/compare?{query}")
    assert answer.status_code == 422
    assert "Tick exactly two turned heads" in answer.text


def test_what_has_no_pictures_is_not_compared(
    boss: Browser, db: Database, settings: Settings
) -> None:
    one, gone = (add_result(db, settings, boss.annotator_id or 0) for _ in range(2))
    waiting = add_turn(db, boss.annotator_id or 0, state="queued", name="Late")
    remove_by_hand(settings, gone)
    for other, said in (
        (gone, "were removed"),
        (waiting, "has not been turned yet"),
        (999, "There is no turned head 999."),
    ):
        answer = boss.get(f"/studio/compare?a={one}&b={other}")
        assert answer.status_code == 404
        assert said in answer.text


@pytest.mark.parametrize(
    ("yaw_deg", "words"),
    [(-30.0, "30° left"), (0.0, "0°"), (-0.01, "0°"), (12.5, "12.5° right")],
)
def test_angles_are_named_as_the_viewer_sees_them(yaw_deg: float, words: str) -> None:
    assert name_angle(yaw_deg) == words


@pytest.mark.parametrize(
    ("yaws_deg", "words"),
    [
        ([-30, -15, 0, 15], "30° left to 15° right in steps of 15°"),
        ([10], "10° right"),
        ([-5, 0, 20], "5° left, 0°, 20° right"),
    ],
)
def test_angles_are_written_as_a_range_if_they_are_one(yaws_deg: list[float], words: str) -> None:
    assert write_angles(yaws_deg) == words
