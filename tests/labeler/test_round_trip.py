"""What the site writes is read back by every entrance, whatever images and campaigns are called.

docs/experiments/file_formats.md lists the kinds of tables.
"""

from __future__ import annotations

import csv
import io
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from sqlalchemy import select

from labeler.accounts.invites import clean_username
from labeler.campaigns.service import CampaignPlan, create_campaign, find_campaign
from labeler.csv_input import read_filenames, read_gold_csv
from labeler.database.engine import Database
from labeler.exports.csv_files import stream_labels, stream_votes
from labeler.gold.service import GoldReport, import_gold
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset
from labeler.rules.image_selection_spec import ImageSelection
from rotation.data.file_names import is_image_name
from rotation.data.formulas import unguard_formula
from rotation.data.labels_csv import read_labels
from tests.conftest import MakeAnnotator
from tests.labeler.conftest import Visit
from tests.labeler.lit_faces import RULES, vote
from tests.test_file_formats import FORMS

JSON = {"Accept": "application/json"}
SIGNS = "'=+-@\uff1d\uff0d \",;|a"  # an import leaves out names with control characters
pieces = st.text(st.sampled_from(SIGNS), max_size=4) | st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\:"), max_size=8
)
filenames = pieces.map("{}x.png".format).filter(
    lambda name: is_image_name(name) and len(name.encode()) < 250
)
usernames = st.from_regex(r"[a-z0-9._-]{2,12}", fullmatch=True).filter(
    lambda name: clean_username(name) == name
)
campaign_names = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=20
).filter(str.strip)
numbers = count()


@settings(
    max_examples=10,
    phases=(Phase.explicit, Phase.generate),  # an example takes too long to be made smaller
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(filenames, min_size=2, max_size=4, unique=True), usernames, campaign_names)
def test_every_name_comes_back(
    db: Database,
    make_annotator: MakeAnnotator,
    tmp_path: Path,
    names: list[str],
    username: str,
    campaign_name: str,
) -> None:
    """Through import, votes, both exports, the engine's reader, a list of images, and gold."""
    number = next(numbers)
    folder = write_pictures(tmp_path / f"set{number}", names)
    dataset_id = register_dataset(db, folder).dataset_id
    check_images(db, dataset_id, processes=1)
    people = [make_annotator(db, f"{username}-{number}-{each}") for each in range(3)]
    with db.write() as session:
        campaign = session.scalars(select(Campaign).where(Campaign.dataset_id == dataset_id)).one()
        campaign.rules = RULES.as_dict()
        answers = dict.fromkeys(names, ("left",) * 3)
        vote(session, session.get_one(Dataset, dataset_id), answers, people)
        voted_id = campaign.id
    labels = "".join(stream_labels(db, voted_id))
    votes = list(csv.DictReader(io.StringIO("".join(stream_votes(db, voted_id)), newline="")))
    path = folder / "labels.csv"
    path.write_bytes(labels.encode())
    listed = tuple(read_filenames(labels))
    assert read_labels(path) == dict.fromkeys(names, "left")
    assert sorted(listed) == sorted(names)
    assert {unguard_formula(row["filename"]) for row in votes} == set(names)
    assert {row["annotator"] for row in votes} == {person.pseudonym for person in people}

    named = f"{campaign_name}{number}"
    plan = CampaignPlan(named, selection=ImageSelection(filenames=listed))
    made_id = create_campaign(db, dataset_id, plan)
    with db.write() as session:
        assert find_campaign(session, named).id == made_id
        report = import_gold(session, made_id, read_gold_csv(labels).lines)
        assert report == GoldReport(added=len(names))


def write_pictures(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name in names:
        Pillow.new("RGB", (8, 8)).save(folder / name)
    return folder


def test_the_pages_read_every_form(visit: Visit, dataset_id: int) -> None:
    """The pages of gold and of a new campaign, with an uploaded file and with pasted lines."""
    browser = visit("supervisor")
    rows = [["filename", "label"], ["000001.jpg", "Left"], ["000002.jpg", "nan"]]
    for form in FORMS.values():
        data = form(rows)
        gold = browser.submit("/admin/gold/import", {"file": (io.BytesIO(data), "gold.csv")})
        assert gold.status_code == 303
        sent = {"dataset": str(dataset_id), "list": (io.BytesIO(data), "list.csv")}
        sent |= {"csrf_token": browser.token(), "seed": "0"}
        tried = browser.client.post("/admin/campaigns/try", data=sent, headers=JSON).get_json()
        assert tried["problems"] == {}
        assert tried["selected"] == 2
    pasted = "filename\tlabel\n000001.jpg\tleft\n000002.jpg\tunsure"
    assert browser.submit("/admin/gold/import", {"lines": pasted}).status_code == 303
    page = browser.get("/admin/gold").text
    assert "1 gold question<" in page
    assert "Rows without a label, passed over: 1." in page


def test_pages_tell_each_wrong_line(visit: Visit, dataset_id: int) -> None:
    browser = visit("supervisor")
    for data, message in (
        (b"filename;label\n000001.jpg;top\n000002.jpg;up\n", "unknown label &#39;up&#39;. left"),
        (b"PK\x03\x04", "an Excel workbook or a zip file. Save it as &#39;CSV UTF-8&#39;."),
        (b"filename,label\nx.jpg,left\ny.jpg,left\n", "None of the 2 images of the file is in"),
    ):
        answer = browser.submit("/admin/gold/import", {"file": (io.BytesIO(data), "gold.csv")})
        assert answer.status_code == 422
        assert message in answer.text
