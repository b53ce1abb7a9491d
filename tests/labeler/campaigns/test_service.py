"""The images that a campaign selects, copies of it, and several active campaigns."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from labeler.campaigns.service import (
    CampaignPlan,
    activate_campaign,
    active_campaigns,
    clone_campaign,
    create_campaign,
    deactivate_campaign,
    find_campaign,
    get_campaign,
)
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection
from tests.conftest import MakeAnnotator, write_images
from tests.labeler.acting import ids, lease, vote

COUNT = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "faces", COUNT)


@pytest.fixture
def faces(any_db: Database, folder: Path) -> int:
    """Twelve images: every second one smiles, every third one is in the partition `valid`."""
    names = [path.name for path in sorted(folder.glob("*.jpg"))]
    smiles = "".join(f"{name} {1 if n % 2 else -1} -1\n" for n, name in enumerate(names))
    (folder / "list_attr_celeba.txt").write_text(f"{COUNT}\nSmiling Young\n{smiles}")
    parts = "".join(f"{name} {1 if n % 3 == 0 else 0}\n" for n, name in enumerate(names))
    (folder / "list_eval_partition.txt").write_text(parts)
    dataset_id = register_dataset(any_db, folder).dataset_id
    check_images(any_db, dataset_id, processes=1)
    return dataset_id


def names_in(db: Database, campaign_id: int) -> list[str]:
    with db.read() as session:
        return list(
            session.scalars(
                select(Image.filename)
                .join(Consensus, Consensus.image_id == Image.id)
                .where(Consensus.campaign_id == campaign_id)
                .order_by(Image.filename)
            )
        )


def numbers(db: Database, campaign_id: int) -> list[int]:
    """The images of a campaign by the numbers in their names, from 0."""
    return [int(name[:6]) - 1 for name in names_in(db, campaign_id)]


def make(db: Database, dataset_id: int, name: str = "part", **selection: object) -> int:
    chosen = ImageSelection(**selection)  # type: ignore[arg-type]
    return create_campaign(db, dataset_id, CampaignPlan(name, Rules(), chosen))


def test_a_campaign_takes_the_partitions_and_attributes_it_selects(
    any_db: Database, faces: int
) -> None:
    assert numbers(any_db, faces) == list(range(COUNT))
    assert numbers(any_db, make(any_db, faces, "p", partitions=(1,))) == [0, 3, 6, 9]
    smiling = make(any_db, faces, "s", attributes={"Smiling": True})
    assert numbers(any_db, smiling) == list(range(1, COUNT, 2))
    both = make(any_db, faces, "b", partitions=(1,), attributes={"Smiling": False, "Young": False})
    assert numbers(any_db, both) == [0, 6]


def test_a_partition_of_images_without_any_is_told(any_db: Database, folder: Path) -> None:
    dataset_id = register_dataset(any_db, folder).dataset_id
    with pytest.raises(InvalidInput, match="has a partition"):
        make(any_db, dataset_id, partitions=(1,))


def test_blanks_around_a_listed_name_go_where_no_image_has_them(
    any_db: Database, faces: int
) -> None:
    listed = make(any_db, faces, filenames=(" 000003.jpg", "000001.jpg "))
    assert names_in(any_db, listed) == ["000001.jpg", "000003.jpg"]
    twice = make(any_db, faces, "twice", filenames=("000001.jpg", " 000001.jpg"))
    assert names_in(any_db, twice) == ["000001.jpg"]


def test_a_list_names_the_images(any_db: Database, faces: int) -> None:
    listed = make(any_db, faces, filenames=("000003.jpg", "000001.jpg", "000003.jpg"))
    assert names_in(any_db, listed) == ["000001.jpg", "000003.jpg"]
    with pytest.raises(NotFound, match=r"1 of the 2 listed .*: 'x\.jpg'"):
        make(any_db, faces, "wrong", filenames=("000001.jpg", "x.jpg"))


def test_a_sample_is_the_same_for_the_same_seed(any_db: Database, faces: int) -> None:
    drawn = [
        numbers(any_db, make(any_db, faces, f"sample {n}", sample=5, seed=seed))
        for n, seed in enumerate((1, 1, 2, 3))
    ]
    assert [len(one) for one in drawn] == [5] * 4
    assert drawn[0] == drawn[1]
    assert len({tuple(one) for one in drawn}) >= 2
    everyone = make(any_db, faces, "all", sample=500)
    assert len(numbers(any_db, everyone)) == COUNT


@pytest.mark.parametrize(
    ("selection", "error"),
    [
        ({"partitions": (2,)}, InvalidInput),
        ({"attributes": {"Smiling": True, "Young": True}}, InvalidInput),
        ({"attributes": {"Bald": True}}, NotFound),
    ],
)
def test_a_selection_of_nothing_makes_no_campaign(
    any_db: Database, faces: int, selection: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make(any_db, faces, **selection)
    with any_db.read() as session:
        assert len(session.scalars(select(Campaign)).all()) == 1


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
def test_names_are_checked(any_db: Database, faces: int, name: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 100 characters"):
        make(any_db, faces, name)


def test_a_name_is_given_once(any_db: Database, faces: int) -> None:
    with pytest.raises(Conflict, match="'faces' exists already"):
        make(any_db, faces, " faces ")


def test_a_copy_has_the_same_images_and_rules_and_no_votes(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    rules = Rules(method="majority", required_votes=1, gold_rate=0.0)
    chosen = ImageSelection(attributes={"Smiling": True})
    first = create_campaign(any_db, faces, CampaignPlan("first", rules, chosen, "Look!"))
    with any_db.write() as session:
        activate_campaign(session, first)
    ada = make_annotator(any_db).id
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    vote(any_db, ada, image_id, "left", settings)
    second = clone_campaign(any_db, first, "second")
    with any_db.read() as session:
        one, other = get_campaign(session, first), get_campaign(session, second)
        assert (other.rules, other.selection, other.guideline) == (
            one.rules,
            one.selection,
            one.guideline,
        )
        assert session.get_one(Consensus, (first, image_id)).status == "agreed"
        copied = session.get_one(Consensus, (second, image_id))
        assert (copied.status, copied.votes_left) == ("open", 0)
    assert numbers(any_db, second) == numbers(any_db, first)


def test_the_same_person_answers_the_same_image_in_each_campaign(
    any_db: Database, faces: int, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    second = make(any_db, faces, filenames=("000001.jpg",))
    ada = make_annotator(any_db).id
    for image_id in ids(lease(any_db, ada, COUNT, settings)):
        vote(any_db, ada, image_id, "left", settings)
    with any_db.write() as session:
        activate_campaign(session, second)
        deactivate_campaign(session, faces)
    (again,) = ids(lease(any_db, ada, COUNT, settings))
    vote(any_db, ada, again, "right", settings)
    with any_db.read() as session:
        rows = session.scalars(select(Consensus).where(Consensus.image_id == again)).all()
        counts = {row.campaign_id: (row.votes_left, row.votes_right) for row in rows}
    assert counts == {faces: (1, 0), second: (0, 1)}


def test_several_campaigns_are_active(any_db: Database, faces: int) -> None:
    second = make(any_db, faces)
    for _ in range(2):
        with any_db.write() as session:
            activate_campaign(session, second)
        with any_db.read() as session:
            assert [one.id for one in active_campaigns(session)] == [second, faces]
            with pytest.raises(Conflict, match=r"2 campaigns are active: .*Choose one with --camp"):
                find_campaign(session, None)
    with any_db.write() as session:
        deactivate_campaign(session, second)
    with any_db.read() as session:
        assert find_campaign(session, None).id == faces


def test_images_imported_later_join_the_campaigns_that_select_them(
    any_db: Database, faces: int, folder: Path
) -> None:
    listed = make(any_db, faces, "listed", filenames=("000001.jpg",))
    some = make(any_db, faces, "some", attributes={"Smiling": True})
    sample = make(any_db, faces, "sample", sample=5)
    before = {one: numbers(any_db, one) for one in (listed, some, sample)}
    write_images(folder.parent / "more", COUNT + 8)
    for number in range(COUNT + 1, COUNT + 9):
        (folder.parent / "more" / f"{number:06d}.jpg").rename(folder / f"{number:06d}.jpg")
    with (folder / "list_attr_celeba.txt").open("a") as file:
        file.write(f"{COUNT + 1:06d}.jpg 1 -1\n{COUNT + 2:06d}.jpg -1 -1\n")
    register_dataset(any_db, folder)
    check_images(any_db, faces, processes=1)
    assert numbers(any_db, faces) == list(range(COUNT + 8))
    assert numbers(any_db, listed) == before[listed]
    assert numbers(any_db, some) == [*before[some], COUNT]
    assert numbers(any_db, sample) == before[sample]


def test_an_image_of_a_sample_that_was_away_comes_back_into_it(
    any_db: Database, faces: int, folder: Path
) -> None:
    sample = make(any_db, faces, "sample", sample=5)
    before = names_in(any_db, sample)
    away = folder / before[0]
    away.rename(folder / "away")
    register_dataset(any_db, folder)
    assert names_in(any_db, sample) == before[1:]
    (folder / "away").rename(away)
    register_dataset(any_db, folder)
    check_images(any_db, faces, processes=1)
    assert names_in(any_db, sample) == before
