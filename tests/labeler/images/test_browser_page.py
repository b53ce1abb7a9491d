"""The grid of images and the page of one image, as supervisors see them."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html import unescape
from itertools import combinations
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from labeler.accounts.sessions import open_session
from labeler.app import create_app
from labeler.campaigns.service import CampaignPlan, create_campaign
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.images.filtering import STATUSES
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Gold
from labeler.models.images import Image
from labeler.models.voting import Vote
from labeler.voting.service import undo_vote
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import NOON, publish_run, queue
from tests.labeler.conftest import Visit
from tests.labeler.images.labelled_images import (
    AGREED_LEFT,
    BROKEN,
    CANNOT_TELL,
    COUNT,
    GOLD,
    NAMES,
    UNCHECKED,
    LabelledImages,
    label_images,
)

LINK = re.compile(r'<a[^>]* href="([^"]+)"[^>]*>([^<]*)')
HEADING = re.compile(r'<h2 id="found"[^>]*>([^<]*)')


@pytest.fixture
def labelled(
    db: Database, tmp_path: Path, make_annotator: MakeAnnotator, settings: Settings
) -> LabelledImages:
    return label_images(db, tmp_path / "faces", make_annotator, settings)


def grid(visit: Visit, **query: str) -> str:
    answer = visit("supervisor").get(f"/admin/images?{urlencode(query)}")
    assert answer.status_code == 200
    return answer.text


CONDITIONS = [
    *(("status", status) for status in STATUSES),
    ("label", "left"),
    ("probability_from", "90"),
    ("proposal", "left"),
    ("proposal", "none"),
    ("confidence_to", "60"),
    ("differs", "yes"),
    ("gold", "yes"),
    ("gold", "no"),
    ("identity", "1"),
    ("partition", "0"),
    ("yaw_from", "-20"),
    ("attribute-Bald", "yes"),
    ("search", "000"),
]


@pytest.mark.slow
@pytest.mark.postgres
def test_any_two_conditions_have_a_page_on_postgresql(
    postgres_db: Database,
    tmp_path: Path,
    make_annotator: MakeAnnotator,
    settings: Settings,
) -> None:
    label_images(postgres_db, tmp_path / "faces", make_annotator, settings)
    supervisor = make_annotator(postgres_db, role="supervisor")
    application = create_app(replace(settings, database_url=postgres_db.url))
    with postgres_db.write() as session:
        token = open_session(session, supervisor, "tests", settings)
    client = application.test_client()
    with client.session_transaction() as cookie:
        cookie["token"] = token
    try:
        assert refused_pairs(client) == []
    finally:
        application.extensions["sidelight_db"].dispose()


@pytest.mark.slow
def test_any_two_conditions_have_a_page(visit: Visit, labelled: LabelledImages) -> None:
    assert refused_pairs(visit("supervisor").client) == []


def refused_pairs(client: FlaskClient) -> list[tuple[str, int]]:
    """The pairs of conditions that are not answered with a page, and their status."""
    asked = [
        urlencode([one, other]) for one, other in combinations(CONDITIONS, 2) if one[0] != other[0]
    ]
    answers = [(query, client.get(f"/admin/images?{query}").status_code) for query in asked]
    return [(query, status) for query, status in answers if status != 200]


def names_on(page: str) -> list[str]:
    return re.findall(r'<span class="name">([^<]+)', page)


def heading(page: str) -> str:
    found = HEADING.search(page)
    assert found is not None
    return found[1]


def links_of(page: str) -> dict[str, str]:
    """The addresses of the links by their words."""
    return {unescape(words): unescape(address) for address, words in LINK.findall(page)}


def test_the_grid_shows_label_proposal_and_gold(visit: Visit, labelled: LabelledImages) -> None:
    page = grid(visit)
    assert heading(page) == "16 images"
    assert {BROKEN, UNCHECKED, *NAMES.values()} < set(names_on(page))
    assert page.count("<strong>left, 100 %</strong>") == len(AGREED_LEFT)
    assert "gold: center" in page
    assert "model: right, 96 %" in page
    assert "broken file" in page


def test_the_form_leads_to_a_short_address(visit: Visit, labelled: LabelledImages) -> None:
    boss = visit("supervisor")
    sent = boss.get("/admin/images?campaign=1&search=&status=agreed&label=left&yaw_from=&gold=")
    assert (sent.status_code, sent.location) == (302, "/admin/images?status=agreed&label=left")
    assert names_on(boss.get(sent.location).text) == ["000001.jpg", "000002.jpg"]


def test_conditions_can_be_removed_one_by_one(visit: Visit, labelled: LabelledImages) -> None:
    query = {"label": "left", "identity": "1", "yaw_from": "-50", "attribute-Bald": "no"}
    page = grid(visit, **query)
    assert names_on(page) == ["000001.jpg"]
    removed = re.findall(r'<a class="small" href="([^"]+)">Remove', page)
    assert len(removed) == 4
    boss = visit("supervisor")
    for address in removed:
        shorter = boss.get(unescape(address))
        assert shorter.status_code == 200
        assert shorter.text.count(">Remove<") == 3


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status=settled", "Allowed are selected, open, agreed"),
        ("label=unsure", "Allowed are left, center, right."),
        ("proposal=up", "Allowed are left, center, right, none."),
        ("identity=99999999999999999999", "Enter a whole number."),
        ("identity=9999999999", "A whole number from 0 to 2147483647 is needed."),
        ("identity=-1", "Enter a whole number."),
        ("partition=1.5", "Enter a whole number."),
        ("probability_from=101", "A number from 0 to 100 is needed."),
        ("confidence_to=1e5", "Enter a number."),
        ("yaw_from=nan", "Enter a number."),
        ("yaw_from=20&yaw_to=-20", "A number that is not below the first is needed."),
        ("gold=maybe", "Allowed are yes, no."),
        ("differs=1", "Allowed are yes, no."),
        ("search=a%00b", "without a NUL character"),
        (f"search={'a' * 500}", "at most 400 characters"),
        ("attribute-Tall=yes", "The data set has no attribute “Tall”. Choose among these."),
        ("attribute-Bald=perhaps", "Allowed are yes, no."),
        ("colour=red", "There is no filter “colour”."),
        ("_external=1", "There is no filter “_external”."),
        ("campaign=99", "There is no campaign 99."),
        ("campaign=99999999999999999999", "There is no campaign 99999999999999999999."),
        ("label=left&label=right", "The address has several values. Choose one."),
    ],
)
def test_wrong_values_are_told_beside_their_field(
    visit: Visit, labelled: LabelledImages, query: str, said: str
) -> None:
    answer = visit("supervisor").get(f"/admin/images?{query}")
    assert answer.status_code == 422
    assert said in answer.text
    assert names_on(answer.text) == []
    field = re.escape(query.partition("=")[0])
    if not query.startswith(("colour", "_external", "attribute", "yaw_from=20")):
        assert re.search(rf'name="{field}"[^>]*aria-invalid="true"', answer.text)
        assert f'id="{query.partition("=")[0]}-wrong"' in answer.text


def test_all_wrong_values_are_told_at_once(visit: Visit, labelled: LabelledImages) -> None:
    page = visit("supervisor").get("/admin/images?status=x&label=y&identity=z&yaw_to=w").text
    assert "4 fields need a correction." in page
    assert page.count('aria-invalid="true"') == 4


@pytest.mark.parametrize("query", ["after=x", "after=99999999999999999999", "before=-3"])
def test_odd_places_are_the_first_page(visit: Visit, labelled: LabelledImages, query: str) -> None:
    page = visit("supervisor").get(f"/admin/images?{query}")
    assert (page.status_code, heading(page.text)) == (200, "16 images")
    assert len(names_on(page.text)) == 16


def test_a_place_behind_all_images_leads_back(visit: Visit, labelled: LabelledImages) -> None:
    page = grid(visit, after="2000000000", status="open")
    assert "There are no images here." in page
    assert links_of(page)["Show the first images"] == "/admin/images?status=open"


def test_an_empty_result_tells_how_to_relax(visit: Visit, labelled: LabelledImages) -> None:
    page = grid(visit, status="open", label="left", partition="1")
    assert "No image meets all conditions." in page
    links = links_of(page)
    assert links["Status: open"] == "/admin/images?label=left&partition=1"
    assert links["Label: left"] == "/admin/images?status=open&partition=1"
    assert "Partition: valid" not in links
    assert "Remove several conditions." in grid(visit, identity="77", partition="9")


def test_pages_of_many_images(
    visit: Visit, db: Database, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    make_dataset(db, 130)
    boss = visit("supervisor")
    seen, address = [], "/admin/images?status=open"
    while address:
        page = boss.get(address).text
        assert heading(page) == "130 images"
        seen.append(names_on(page))
        address = links_of(page).get("Next", "")
    assert [len(one) for one in seen] == [60, 60, 10]
    assert [name for one in seen for name in one] == [f"{n:06d}.jpg" for n in range(1, 131)]
    assert "Images 121 to 130" in page
    assert names_on(boss.get(links_of(page)["Previous"]).text) == seen[1]
    assert names_on(boss.get(links_of(page)["First"]).text) == seen[0]


def test_the_numbers_of_the_overview_lead_to_their_images(
    visit: Visit, labelled: LabelledImages
) -> None:
    boss = visit("supervisor")
    for dashboard in ("/admin/", "/admin/campaigns/1", "/admin/data-sets"):
        page = boss.get(dashboard).text
        numbers = [
            (unescape(address), int(match[1].replace(",", "")))
            for address, words in LINK.findall(page)
            if "/admin/images" in address and (match := re.match(r"([\d,]+)", words))
        ]
        assert len(numbers) >= 3
        for address, number in numbers:
            shown = heading(boss.get(address).text)
            assert shown == f"{number} image{'s' if number != 1 else ''}", address


def test_the_grid_of_another_campaign_stays_there(visit: Visit, labelled: LabelledImages) -> None:
    boss = visit("supervisor")
    assert boss.submit("/admin/campaigns/1/clone", {"copy_name": "second"}).status_code == 303
    page = boss.get("/admin/images?campaign=2&status=agreed").text
    assert heading(page) == "0 images"
    assert links_of(page)["Status: agreed"] == "/admin/images?campaign=2"
    page = boss.get("/admin/images?campaign=2").text
    assert f"/admin/images/{labelled.ids[1]}?campaign=2" in page
    assert (
        "Nothing has happened" not in boss.get(f"/admin/images/{labelled.ids[1]}?campaign=2").text
    )


def test_files_that_are_gone_are_told(
    visit: Visit, labelled: LabelledImages, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "faces")
    for page in (grid(visit), visit("admin").get(f"/admin/images/{labelled.ids[1]}").text):
        assert "The files of this data set are gone" in page
        assert str(tmp_path / "faces") in page
        assert "<img" not in page


def test_without_a_data_set_the_next_step_is_named(visit: Visit) -> None:
    assert "No data set is registered yet." in visit("supervisor").get("/admin/images").text
    assert visit("supervisor").get("/admin/images/1").status_code == 404


def test_only_supervisors_look_at_images(visit: Visit, labelled: LabelledImages) -> None:
    for address in ("/admin/images", "/admin/images/1"):
        assert visit("annotator").get(address).status_code == 403
        assert visit(None).get(address).status_code == 401


def test_one_image_tells_how_its_label_came_about(
    visit: Visit, labelled: LabelledImages, db: Database, settings: Settings
) -> None:
    with db.read() as session:
        who = session.scalars(select(Vote).where(Vote.image_id == labelled.ids[1])).all()
    with db.write() as session:
        undo_vote(session, who[-1].annotator_id, who[-1].id, settings=settings, now=NOON)
    page = visit("supervisor").get(f"/admin/images/{labelled.ids[1]}").text
    rows = re.findall(r"<tr[^>]*>\s*<td data-label=\"When\".*?</tr>", page, re.S)
    assert len(rows) == 4
    assert sum("answered <strong>left</strong>" in row for row in rows) == 3
    assert sum("withdrawn or changed" in row for row in rows) == 1
    assert "Model run 1" in page
    assert "the current run" in page
    for fact in ("000001.jpg", "Yaw", "−35°", "valid", "number 1", "Young"):
        assert fact in page
    same = names_on(page)
    assert same == ["000004.jpg", "000007.jpg", "000010.jpg", NAMES[13]]


def test_decisions_and_gold_are_told_with_their_end(
    visit: Visit, labelled: LabelledImages, db: Database
) -> None:
    boss = visit("supervisor")
    page = boss.get(f"/admin/images/{labelled.ids[CANNOT_TELL]}").text
    assert "decided <strong>cannot tell</strong>" in page
    assert "two lamps" in page
    assert "A supervisor decided: cannot tell." in page
    with db.read() as session:
        gold = session.scalars(select(Gold.id)).one()
    here = f"/admin/images/{labelled.ids[GOLD]}"
    assert "made it a gold question <strong>center</strong>" in boss.get(here).text
    answer = boss.confirm(f"/admin/gold/{gold}/revoke", {"back": here})
    assert (answer.status_code, answer.location) == (303, here)
    page = boss.get(here).text
    assert ">removed," in page
    assert "Remove the gold question" not in page


def test_a_decision_on_the_page_of_an_image_leads_back_to_it(
    visit: Visit, labelled: LabelledImages, db: Database
) -> None:
    boss, image_id = visit("supervisor"), labelled.ids[9]
    here = f"/admin/images/{image_id}"
    form = {
        "decision": "right",
        "note": "one lamp",
        "seen": "0",
        "use_as_gold": "yes",
        "back": here,
    }
    answer = boss.submit(f"/admin/contested/{image_id}?campaign=1", form)
    assert (answer.status_code, answer.location) == (303, here)
    page = boss.get(here).text
    assert "Gold question: right." in page
    assert "decided <strong>right</strong>" in page
    undo = re.search(r'action="(/admin/decisions/\d+/undo[^"]*)"', page)
    assert undo is not None
    answer = boss.submit(unescape(undo[1]), {"back": here})
    assert (answer.status_code, answer.location) == (303, here)
    assert "undone or replaced" in boss.get(here).text
    with db.read() as session:
        assert session.get_one(Consensus, (1, image_id)).status == "open"


@pytest.mark.parametrize("back", ["https://other.example/", "//other.example", "\0", "a b"])
def test_the_way_back_stays_on_this_site(visit: Visit, labelled: LabelledImages, back: str) -> None:
    image_id = labelled.ids[9]
    form = {"decision": "right", "note": "", "seen": "0", "back": back}
    answer = visit("supervisor").submit(f"/admin/contested/{image_id}", form)
    assert answer.status_code == 303
    assert answer.location.startswith("/admin/contested?")


def test_broken_and_unchecked_images_have_pages(
    visit: Visit, labelled: LabelledImages, db: Database
) -> None:
    with db.read() as session:
        rows = session.execute(select(Image.filename, Image.id))
        ids = dict(rows.all())
    page = visit("supervisor").get(f"/admin/images/{ids[BROKEN]}").text
    assert "There is no picture:" in page
    assert "Decide the label" not in page
    page = visit("supervisor").get(f"/admin/images/{ids[UNCHECKED]}").text
    assert "not checked yet" in page
    assert visit("supervisor").get("/admin/images/999999").status_code == 404
    assert visit("supervisor").get("/admin/images/99999999999999999999").status_code == 404


def test_an_image_of_another_data_set_is_not_in_the_campaign(
    visit: Visit, db: Database, make_dataset: MakeDataset
) -> None:
    make_dataset(db, 2, "first")
    make_dataset(db, 2, "second")
    with db.read() as session:
        first = session.scalars(select(Image.id).order_by(Image.id)).first()
    boss = visit("supervisor")
    assert "first" in boss.get(f"/admin/images/{first}").text
    assert boss.get(f"/admin/images/{first}?campaign=2").status_code == 404
    assert boss.get(f"/admin/images/{first}?campaign=77").status_code == 404


def test_proposals_of_earlier_runs_are_told(
    visit: Visit, labelled: LabelledImages, db: Database
) -> None:
    run = publish_run(db, labelled.dataset_id, dict.fromkeys(queue(db), (0.1, 0.8, 0.1)), NOON)
    page = visit("supervisor").get(f"/admin/images/{labelled.ids[3]}").text
    assert "an earlier run" in page
    assert f"Model run {run}" in page
    assert f"{COUNT} images" == heading(grid(visit, proposal="center"))


def test_the_menu_is_about_the_campaign_of_the_images(
    visit: Visit, db: Database, labelled: LabelledImages
) -> None:
    boss = visit("supervisor")
    made = create_campaign(db, labelled.dataset_id, CampaignPlan("two"))
    overview, image = 'href="/admin/"', f"/admin/images/{labelled.ids[1]}"
    kept = f'href="/admin/?campaign={made}"'
    for address in ("/admin/images", image):
        assert overview in boss.get(address).text
        page = boss.get(f"{address}?campaign={made}").text
        assert kept in page, address
        assert "<summary>Campaign: two" in page
    with db.write() as session:
        session.get_one(Campaign, 1).active = False
    for address in ("/admin/images", image):  # the newest campaign, as nothing else is asked for
        page = boss.get(address).text
        assert kept in page, address
        assert "<summary>Campaign: two" in page
    assert "<summary>Campaign: none" in boss.get("/admin/").text
