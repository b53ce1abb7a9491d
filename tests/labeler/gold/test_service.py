"""Gold from files, supervisors and unanimous votes, and its effect on the consensus."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from labeler.audit.log import Actor
from labeler.config import Settings
from labeler.consensus.store import rebuild
from labeler.csv_input import GoldLine, read_filenames, read_gold_csv
from labeler.database.engine import Database
from labeler.errors import BrokenData, InvalidInput, NotFound
from labeler.gold.service import (
    GoldReport,
    GoldStatus,
    NewGold,
    add_gold,
    count_gold,
    gold_from_supervisors,
    import_gold,
    list_gold,
    promote_unanimous,
    revoke_gold,
    share_evenly,
)
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Gold
from labeler.models.images import Image
from rotation.data.labels import LABELS
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import consensus_row, lease, set_rules, vote


@pytest.fixture
def campaign_id(any_db: Database, make_dataset: MakeDataset) -> int:
    """Nine images, a majority of three."""
    make_dataset(any_db, 9)
    with any_db.read() as session:
        return session.scalars(select(Campaign.id)).one()


def image_ids(db: Database) -> list[int]:
    with db.read() as session:
        return list(session.scalars(select(Image.id).order_by(Image.id)))


def listed(db: Database, campaign_id: int) -> list[GoldStatus]:
    with db.read() as session:
        return list_gold(session, campaign_id, 100)


def make_gold(db: Database, campaign_id: int, *new: NewGold, source: str = "csv") -> GoldReport:
    with db.write() as session:
        return add_gold(session, campaign_id, list(new), source)


def all_answer(
    db: Database, settings: Settings, people: list[int], answers: dict[int, str | list[str]]
) -> None:
    """Everybody answers the images: the same, or one answer each."""
    for number, person in enumerate(people):
        lease(db, person, 9, settings)
        for image_id, given_ in answers.items():
            answer = given_ if isinstance(given_, str) else given_[number]
            vote(db, person, image_id, answer, settings)


@pytest.fixture
def people(any_db: Database, make_annotator: MakeAnnotator, campaign_id: int) -> list[int]:
    set_rules(any_db, method="posterior", vote_cap=7, threshold=0.9999, use_model=False)
    return [make_annotator(any_db).id for _ in range(3)]


def read_lines(text: str) -> list[GoldLine]:
    return read_gold_csv(text).lines


def test_a_file_becomes_gold_and_decides(any_db: Database, campaign_id: int) -> None:
    lines = read_lines("filename,label,explanation\n000001.jpg,left,cheek\n000002.jpg,right,\n")
    with any_db.write() as session:
        assert import_gold(session, campaign_id, lines) == GoldReport(added=2)
    first, second, third = image_ids(any_db)[:3]
    row = consensus_row(any_db, first)
    assert (row.status, row.label, row.probability) == ("agreed", "left", 1.0)
    assert consensus_row(any_db, second).label == "right"
    assert consensus_row(any_db, third).status == "open"
    assert [(one.gold.label, one.gold.explanation) for one in listed(any_db, campaign_id)] == [
        ("right", ""),
        ("left", "cheek"),
    ]
    with any_db.write() as session:
        assert rebuild(session, campaign_id) == 0
        assert count_gold(session, campaign_id) == {"left": 1, "center": 0, "right": 1}


def test_the_same_file_again_changes_nothing(any_db: Database, campaign_id: int) -> None:
    lines = [GoldLine(2, "000001.jpg", "left", ""), GoldLine(3, "000002.jpg", "right", "")]
    with any_db.write() as session:
        import_gold(session, campaign_id, lines)
    with any_db.write() as session:
        assert import_gold(session, campaign_id, lines) == GoldReport(unchanged=2)
        other = [GoldLine(2, "000001.jpg", "center", ""), lines[1]]
        assert import_gold(session, campaign_id, other) == GoldReport(changed=1, unchanged=1)
    assert consensus_row(any_db, image_ids(any_db)[0]).label == "center"
    with any_db.read() as session:
        rows = session.scalars(select(Gold).order_by(Gold.id)).all()
    assert [(one.label, one.revoked_at is None) for one in rows] == [
        ("left", False),
        ("right", True),
        ("center", True),
    ]


def test_all_or_nothing_with_the_lines_that_are_wrong(any_db: Database, campaign_id: int) -> None:
    lines = read_lines("filename,label\n000001.jpg,left\nnowhere.jpg,left\n")
    message = r"Line 3: 'nowhere\.jpg' is not an image"
    with pytest.raises(BrokenData, match=message), any_db.write() as session:
        import_gold(session, campaign_id, lines)
    assert listed(any_db, campaign_id) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name,label\na.jpg,left\n",
            "Line 1: the column 'filename' is missing; found: name",
        ),
        (
            "filename,label\na.jpg,top\n",
            r"Line 2, column 'label': unknown label 'top'. left, center",
        ),
        ("filename,label\n,left\n", "Line 2, column 'filename': the filename is empty"),
        (
            "filename,label\na.jpg,left\na.jpg,right\n",
            r"Line 3, .*: 'a\.jpg' stands in line 2 already",
        ),
        ("filename,label\n", "No row below the header has one of the labels left"),
        ("filename,label,label\na.jpg,left,right\n", "columns 2 and 3 are both called 'label'"),
        ("filename,label, label\na.jpg,left,right\n", "columns 2 and 3 are both called 'label'"),
        ("filename,,label\na.jpg,x,left\n", "Line 2: 'x' stands in column 2, which has no name"),
        ("filename,label,\na.jpg,left,x\n", "Line 2: 'x' stands in column 3, which has no name"),
        ('filename,label\n"a.jpg,left\n', "it is not CSV"),
        ("", "Line 1: the column 'filename' is missing; found: nothing"),
        ("filename,label\na\0.jpg,left\n", "NUL"),
        (
            "filename,label,explanation\na.jpg,left," + "x" * 301,
            "it has 301 characters. At most 300",
        ),
        ("filename,label\n" + "x.jpg,top\n" * 22, "line 21.*;\nand 2 more wrong lines. left"),
    ],
)
def test_files_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(BrokenData, match=message):
        read_gold_csv(text)


def test_a_file_as_spreadsheets_write_it() -> None:
    text = '\ufeffexplanation,filename,label,\r\n"Nose, cheek",a.jpg, left ,\r\n,,,\r\n'
    assert read_lines(text) == [GoldLine(2, "a.jpg", "left", "Nose, cheek")]


def test_names_of_a_list_stand_first_as_they_are() -> None:
    assert read_filenames(" a.jpg\nb.jpg \n") == [" a.jpg", "b.jpg "]
    assert read_filenames("filename,label\n a.jpg,left\n") == [" a.jpg"]


def test_blanks_around_a_name_go_where_no_image_has_them(
    any_db: Database, campaign_id: int
) -> None:
    lines = read_lines("filename,label\n 000001.jpg,left\n000002.jpg ,right\n")
    with any_db.write() as session:
        assert import_gold(session, campaign_id, lines) == GoldReport(added=2)
    assert consensus_row(any_db, image_ids(any_db)[1]).label == "right"
    twice = read_lines("filename,label\n000001.jpg,left\n 000001.jpg,right\n")
    with pytest.raises(BrokenData, match=r"Line 3: ' 000001\.jpg'"), any_db.write() as session:
        import_gold(session, campaign_id, twice)


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg\nb.jpg\n",
        "filename\r\na.jpg\r\nb.jpg\r\n",
        "id,filename\n1,a.jpg\n2,b.jpg\n",
        "\ufefffilename,label\na.jpg,left\nb.jpg,\n",
        "\na.jpg\n\n \nb.jpg",
    ],
)
def test_lists_of_images(text: str) -> None:
    assert read_filenames(text) == ["a.jpg", "b.jpg"]


def test_revoking_lets_the_votes_speak(
    any_db: Database, campaign_id: int, people: list[int], settings: Settings
) -> None:
    image_id = image_ids(any_db)[0]
    all_answer(any_db, settings, people, {image_id: "right"})
    before = consensus_row(any_db, image_id)
    make_gold(any_db, campaign_id, NewGold(image_id, "left"))
    assert consensus_row(any_db, image_id).label == "left"
    [status] = listed(any_db, campaign_id)
    for _ in range(2):  # twice is as good as once
        with any_db.write() as session:
            revoke_gold(session, status.gold.id)
    after = consensus_row(any_db, image_id)
    assert (after.status, after.p_right) == (before.status, pytest.approx(before.p_right))
    assert listed(any_db, campaign_id) == []
    with any_db.write() as session, pytest.raises(NotFound):
        revoke_gold(session, 999)


def test_what_cannot_be_gold(any_db: Database, campaign_id: int) -> None:
    first = image_ids(any_db)[0]
    for new, error in (
        (NewGold(first, "unsure"), InvalidInput),
        (NewGold(first, "left", "x" * 301), InvalidInput),
        (NewGold(999, "left"), NotFound),
    ):
        with pytest.raises(error):
            make_gold(any_db, campaign_id, new)
    assert listed(any_db, campaign_id) == []


def test_supervisors_who_agree(
    any_db: Database, campaign_id: int, make_annotator: MakeAnnotator, settings: Settings
) -> None:
    one, other = (make_annotator(any_db, role=role).id for role in ("supervisor", "admin"))
    student = make_annotator(any_db).id
    a, b, c, d, e = image_ids(any_db)[:5]
    for person, answers in (
        (one, {a: "left", b: "left", c: "unsure", d: "center"}),
        (other, {a: "left", b: "right", d: "center"}),
        (student, {a: "right", e: "left"}),
    ):
        lease(any_db, person, 9, settings)
        lease(any_db, person, 9, settings)
        for image_id, answer in answers.items():
            vote(any_db, person, image_id, answer, settings)
    make_gold(any_db, campaign_id, NewGold(d, "right"))
    with any_db.write() as session:
        assert gold_from_supervisors(session, campaign_id, Actor(one)) == GoldReport(added=1)
        assert gold_from_supervisors(session, campaign_id, Actor(one)) == GoldReport()
    found = {status.image.id: status for status in listed(any_db, campaign_id)}
    assert {key: one.gold.label for key, one in found.items()} == {a: "left", d: "right"}
    assert found[a].gold.source == "supervisor"
    assert (found[a].asked, found[d].asked) == (0, 2), "those who made it are not shown yet by it"


def test_unanimous_images_are_promoted(
    any_db: Database, campaign_id: int, people: list[int], settings: Settings
) -> None:
    ids = image_ids(any_db)
    answers: dict[int, str | list[str]] = dict.fromkeys(ids[:4], "left")
    answers |= {
        ids[4]: "right",
        ids[5]: ["left", "left", "center"],
        ids[6]: ["right", "right", "unsure"],
    }
    set_rules(any_db, threshold=0.9, audit_share=0.0, required_votes=3)
    all_answer(any_db, settings, people, answers)
    with any_db.write() as session:
        assert promote_unanimous(session, campaign_id, 4, 10) == GoldReport()
        assert promote_unanimous(session, campaign_id, 3, 3) == GoldReport(added=3)
    found = {one.image.id: one.gold for one in listed(any_db, campaign_id)}
    assert Counter(one.label for one in found.values()) == {"left": 2, "right": 1}
    assert found.keys() <= set(ids[:5])
    with any_db.write() as session:
        assert promote_unanimous(session, campaign_id, 3, 10) == GoldReport(added=2)
        assert session.scalar(select(func.count()).where(Gold.source == "unanimous")) == 5
        for wrong in ((1, 5), (3, 0)):
            with pytest.raises(InvalidInput):
                promote_unanimous(session, campaign_id, *wrong)


@given(st.fixed_dictionaries({label: st.integers(0, 20) for label in LABELS}), st.integers(1, 70))
def test_shares_are_even(available: dict[str, int], count: int) -> None:
    shares = share_evenly(available, count)
    assert sum(shares.values()) == min(count, sum(available.values()))
    assert all(0 <= shares[name] <= available[name] for name in available)
    fullest = max(shares.values())
    assert all(shares[name] >= fullest - 1 for name in available if shares[name] < available[name])


def test_difficulty_counts_everybody_who_was_asked(
    any_db: Database, campaign_id: int, people: list[int], settings: Settings
) -> None:
    image_id = image_ids(any_db)[0]
    make_gold(any_db, campaign_id, NewGold(image_id, "left"), source="unanimous")
    set_rules(any_db, gold_first=20, gold_rate=1.0)
    for person, answer in zip(people, ("left", "right", "left"), strict=True):
        lease(any_db, person, 9, settings)
        vote(any_db, person, image_id, answer, settings, now=None)  # type: ignore[arg-type]
    [status] = listed(any_db, campaign_id)
    assert (status.asked, status.right) == (3, 2)
    with any_db.read() as session:
        assert session.get_one(Consensus, (campaign_id, image_id)).label == "left"
