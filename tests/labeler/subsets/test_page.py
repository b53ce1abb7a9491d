"""The pages of subsets: keep a filter, use it, rename, freeze, delete and bring it back."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import select

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Gold
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.conftest import Browser, Visit
from tests.labeler.images.labelled_images import LabelledImages, label_images
from tests.labeler.web.test_confirmation import undo

KEEP = re.compile(r'href="([^"]+)">Keep as a subset')
FORM = re.compile(r'<form method="post" action="(/admin/subsets[^"]*)">')
LABELS = "/admin/export/labels.csv"


@pytest.fixture
def labelled(
    db: Database, tmp_path: Path, make_annotator: MakeAnnotator, settings: Settings
) -> LabelledImages:
    return label_images(db, tmp_path / "faces", make_annotator, settings)


def keep(boss: Browser, query: str, name: str, kind: str) -> str:
    """Press the button on the page of the images, and fill in the form; returns the new page."""
    found = KEEP.search(boss.get(f"/admin/images?{query}").text)
    assert found is not None
    form = boss.get(unescape(found[1]))
    assert form.status_code == 200
    action = FORM.search(form.text)
    assert action is not None
    kept = boss.submit(unescape(action[1]), {"name": name, "kind": kind})
    assert kept.status_code == 303, kept.text
    return kept.location


def filenames(boss: Browser, address: str) -> list[str]:
    answer = boss.get(address)
    assert answer.mimetype == "text/csv"
    return [row["filename"] for row in csv.DictReader(io.StringIO(answer.text))]


def test_a_filter_is_kept_frozen_and_used(
    visit: Visit, db: Database, labelled: LabelledImages
) -> None:
    boss = visit("supervisor", "chief")
    live = keep(boss, "label=left&probability_from=90", "sure, left", "live")
    page = boss.get(live).text
    for words in ("2 images", "90 % or more", "chief", "live"):
        assert words in page
    frozen = boss.submit(f"{live}/freeze", {"freeze_name": "of today"}).location
    page = boss.get(frozen).text
    assert re.search(r"<code class=\"hash\">[0-9a-f]{64}</code>", page)
    names = filenames(boss, f"{frozen}/filenames.csv")
    assert names == ["000001.jpg", "000002.jpg"]
    number = frozen.rpartition("/")[2]
    shown = boss.get(f"/admin/images?subset={number}").text
    assert "2 images" in shown
    assert "Subset: of today" in shown
    assert "1 image" in boss.get(f"/admin/images?subset={number}&search=000001").text
    assert filenames(boss, f"{LABELS}?subset={number}") == names
    listed = boss.get("/admin/subsets").text
    assert "Label: left; Probability of the label: 90 % or more" in unescape(listed)
    drawn = boss.submit("/admin/mean-faces", {"min": "0", "subset": number})
    assert (drawn.status_code, f"subset={number}" in drawn.location) == (303, True)
    fields = {"min_votes": "2", "count": "9", "subset": number}
    assert boss.submit("/admin/gold/promote", fields).status_code == 303
    with db.read() as session:
        gold = session.scalars(select(Gold.image_id).where(Gold.source == "unanimous"))
        assert set(gold) == {labelled.ids[1], labelled.ids[2]}


@pytest.mark.parametrize("kind", ["live", "frozen"])
def test_the_way_to_the_studio_keeps_the_subset(
    visit: Visit, labelled: LabelledImages, kind: str
) -> None:
    """From the images of a subset, over an image, to the form that turns its head."""
    boss = visit("supervisor", "chief")
    page = boss.get(keep(boss, "label=left", "left", kind)).text
    for link in (
        r'href="([^"]+)">Show the images',
        r'<a href="(/admin/images/\d[^"]*)"',
        r'href="([^"]+)">Turn this head',
    ):
        found = re.search(link, page)
        assert found is not None, link
        page = boss.get(unescape(found[1])).text
    assert re.search(r'<option value="\d+" selected>left \(', page)


def test_a_campaign_of_a_subset(visit: Visit, db: Database, labelled: LabelledImages) -> None:
    boss = visit("supervisor")
    number = keep(boss, "label=left", "left", "frozen").rpartition("/")[2]
    form = boss.get(f"/admin/campaigns/new?dataset={labelled.dataset_id}&subset={number}").text
    assert f'<option value="{number}" selected>left</option>' in form
    from tests.labeler.campaigns.test_page import form as campaign_form

    sent = campaign_form(labelled.dataset_id, name="again", subset=number)
    made = boss.submit("/admin/campaigns", sent)
    assert made.status_code == 303, made.text
    assert "of the subset left" in boss.get(made.location).text
    with db.read() as session:
        campaign = session.scalars(select(Campaign.id).where(Campaign.name == "again")).one()
        images = select(Consensus.image_id).where(Consensus.campaign_id == campaign)
        assert set(session.scalars(images)) == {labelled.ids[1], labelled.ids[2]}
    refused = boss.submit("/admin/campaigns", {**sent, "name": "odd", "subset": "777"})
    assert (refused.status_code, "There is no subset 777." in refused.text) == (422, True)


def test_a_list_is_imported_or_refused_whole(visit: Visit, dataset_id: int) -> None:
    boss = visit("supervisor")
    upload = (io.BytesIO(b"filename;light\n000002.jpg;x\n000001.jpg;y\n"), "list.csv")
    sent = {"name": "two", "file": upload, "csrf_token": boss.token()}
    made = boss.client.post("/admin/subsets/import", data=sent)
    assert made.status_code == 303
    assert filenames(boss, f"{made.location}/filenames.csv") == ["000001.jpg", "000002.jpg"]
    for lines, told in (
        ("000001.jpg\nnobody.jpg", "1 of the 2 listed images are not in"),
        ("", "names no image"),
        ("filename,filename\na.jpg,b.jpg", "columns"),
    ):
        refused = boss.submit("/admin/subsets/import", {"name": "odd", "lines": lines})
        assert refused.status_code == 422, lines
        assert told in unescape(refused.text)
        assert 'value="odd"' in refused.text
    taken = boss.submit("/admin/subsets/import", {"name": "two", "lines": "000001.jpg"})
    assert (taken.status_code, "Choose another name" in taken.text) == (409, True)
    other = {"name": "odd", "lines": "000001.jpg", "dataset": "99"}
    assert boss.submit("/admin/subsets/import", other).status_code == 404


def test_deleting_asks_and_can_be_undone(visit: Visit, dataset_id: int) -> None:
    boss, eve = visit("supervisor"), visit("supervisor")
    kept = keep(boss, "", "all", "frozen")
    asked = boss.submit(f"{kept}/delete")
    assert "6 images of faces and all their labels stay." in asked.text
    assert boss.get(kept).status_code == 200
    assert boss.confirm(f"{kept}/delete").status_code == 303
    assert eve.confirm(f"{kept}/delete").status_code == 303, "it was deleted already"
    gone = eve.get(kept)
    assert (gone.status_code, "was deleted" in gone.text) == (404, True)
    assert eve.submit(f"{kept}/rename", {"new_name": "x"}).status_code == 404
    undo(boss, "/admin/subsets")
    assert boss.get(kept).status_code == 200


def test_what_is_wrong_is_told(visit: Visit, db: Database, make_dataset: MakeDataset) -> None:
    make_dataset(db, 2, "others")
    make_dataset(db, 3)
    boss = visit("supervisor")
    kept = keep(boss, "status=open&campaign=2", "open", "frozen")
    for address, status, words in (
        ("/admin/subsets/new?colour=red", 422, "There is no filter “colour”"),
        ("/admin/subsets/new?attribute-Hat=yes", 422, "has no attribute “Hat”"),
        ("/admin/subsets/new?subset=99", 422, "no frozen subset 99"),
        ("/admin/images?subset=99", 422, "no frozen subset 99"),
        ("/admin/images?subset=1&campaign=1", 422, "no frozen subset 1"),
        (f"{LABELS}?subset=99", 404, "There is no subset 99."),
        (f"{LABELS}?subset=x", 422, "enter a whole number"),
        (f"{LABELS}?subset=1&campaign=1", 422, "Choose a subset of that data set."),
    ):
        answer = boss.get(address)
        assert (answer.status_code, words in unescape(answer.text)) == (status, True), address
    for fields, status, words in (
        ({"name": "open", "kind": "live"}, 409, "Choose another name"),
        ({"name": "", "kind": "live"}, 422, "1 to 100 characters"),
        ({"name": "x", "kind": "cold"}, 422, "allowed are live, frozen"),
    ):
        answer = boss.submit("/admin/subsets?status=open&campaign=2", fields)
        assert (answer.status_code, words in unescape(answer.text)) == (status, True), fields
    empty = boss.submit("/admin/subsets?label=left", {"name": "none", "kind": "frozen"})
    assert (empty.status_code, "nothing to freeze" in empty.text) == (422, True)
    again = boss.submit(f"{kept}/freeze", {"freeze_name": "more"})
    assert (again.status_code, "is frozen already" in again.text) == (409, True)
