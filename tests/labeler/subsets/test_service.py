"""Subsets, live and frozen: their images, their hash, and what is refused."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from labeler.audit.log import Actor, list_events
from labeler.campaigns.service import CampaignPlan, active_campaign, create_campaign, get_campaign
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import BrokenData, Conflict, InvalidInput, NotFound
from labeler.exports.csv_files import stream_labels
from labeler.gold.service import promote_unanimous
from labeler.images.filtering import ImageFilter, Range
from labeler.mean_faces.service import WantedLabels, choose_images
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.subsets import Subset, SubsetImage
from labeler.rules.image_selection_spec import ImageSelection
from labeler.subsets import service
from labeler.subsets.members import count_members, hash_names, stream_names
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import at_once
from tests.labeler.images.labelled_images import (
    AGREED_LEFT,
    AGREED_RIGHT,
    BROKEN,
    COUNT,
    LabelledImages,
    label_images,
)

LEFT = ImageFilter(label="left")


@pytest.fixture
def labelled(
    db: Database, tmp_path: Path, make_annotator: MakeAnnotator, settings: Settings
) -> LabelledImages:
    return label_images(db, tmp_path / "faces", make_annotator, settings)


def keep(db: Database, name: str, wanted: ImageFilter, *, frozen: bool = False) -> int:
    with db.write() as session:
        campaign = active_campaign(session)
        assert campaign is not None
        make = service.freeze_filter if frozen else service.keep_filter
        return make(session, campaign, name, wanted).id


def load(db: Database, subset_id: int) -> Subset:
    with db.read() as session:
        return service.get_subset(session, subset_id)


def names(db: Database, subset_id: int) -> list[str]:
    """The file names of a subset, as its CSV has them."""
    text = "".join(stream_names(db, load(db, subset_id)))
    return [row["filename"] for row in csv.DictReader(io.StringIO(text))]


def agree(db: Database, place: int, labelled: LabelledImages) -> None:
    """Make the campaign agree that the light of an open image comes from the left."""
    with db.write() as session:
        session.execute(
            update(Consensus)
            .where(Consensus.image_id == labelled.ids[place])
            .values(status="agreed", label="left", probability=1.0)
        )


def test_a_live_subset_follows_the_votes_and_a_frozen_one_does_not(
    db: Database, labelled: LabelledImages
) -> None:
    live, frozen = keep(db, "live", LEFT), keep(db, "frozen", LEFT, frozen=True)
    before = [f"{place:06d}.jpg" for place in AGREED_LEFT]
    assert names(db, live) == names(db, frozen) == before
    agree(db, 9, labelled)
    assert names(db, live) == [*before, "000009.jpg"]
    assert names(db, frozen) == before
    with db.write() as session:
        again = service.freeze_subset(session, service.get_subset(session, live), "later").id
    assert names(db, again) == [*before, "000009.jpg"]
    assert names(db, live) == names(db, again)
    assert load(db, again).filter == load(db, live).filter == {"label": "left"}


def test_the_hash_is_that_of_the_sorted_names_one_per_line(
    db: Database, labelled: LabelledImages
) -> None:
    subset = load(db, keep(db, "all", ImageFilter(), frozen=True))
    with db.read() as session:
        known = sorted(session.scalars(select(Image.filename)))
    assert len(known) == subset.count == COUNT + 2
    lines = "".join(f"{name}\n" for name in known)
    assert subset.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert subset.sha256 == hash_names(reversed(known))
    assert subset.sha256 != hash_names(known[1:])


FILTERS = (
    LEFT,
    ImageFilter(search="0", status="selected", probability=Range(0.5, None)),
    ImageFilter(differs=False, gold=False, confidence=Range(None, 0.9)),
    ImageFilter(proposal="none"),
    ImageFilter(status="outside"),
    ImageFilter(gold=True, yaw=Range(-40, 20)),
    ImageFilter(attributes={"Bald": True, "Young": True}, partition=0),
)


def test_any_filter_is_kept_and_can_be_combined(
    any_db: Database, tmp_path: Path, make_annotator: MakeAnnotator, settings: Settings
) -> None:
    """Live and frozen ones have the same images, also within the statement of an export."""
    label_images(any_db, tmp_path / "faces", make_annotator, settings)
    left = names(any_db, keep(any_db, "left", LEFT))
    for wanted in FILTERS:
        assert ImageFilter.from_dict(wanted.as_dict()) == wanted
        name = ", ".join(wanted.names)
        live = keep(any_db, f"live {name}", wanted)
        found = names(any_db, live)
        if not found:
            with pytest.raises(InvalidInput, match="nothing to freeze"):
                keep(any_db, f"frozen {name}", wanted, frozen=True)
            continue
        frozen = keep(any_db, f"frozen {name}", wanted, frozen=True)
        assert names(any_db, frozen) == found
        rows = labels(any_db, live)
        assert labels(any_db, frozen) == rows
        assert {row["filename"] for row in rows} <= set(found)
        both = ImageFilter(subset=frozen, label="left")
        within = keep(any_db, f"left of {name}", both)
        assert names(any_db, within) == [name for name in found if name in left]


def labels(db: Database, subset_id: int) -> list[dict[str, str]]:
    text = "".join(stream_labels(db, 1, with_proposals=True, subset_id=subset_id))
    return list(csv.DictReader(io.StringIO(text)))


def test_the_export_has_only_images_of_the_subset(db: Database, labelled: LabelledImages) -> None:
    right = keep(db, "right", ImageFilter(label="right"))
    assert [row["filename"] for row in labels(db, right)] == ["000003.jpg"]
    assert len(labels(db, keep(db, "all", ImageFilter()))) > 10


def test_a_campaign_takes_a_frozen_subset(db: Database, labelled: LabelledImages) -> None:
    frozen = keep(db, "left", LEFT, frozen=True)
    plan = CampaignPlan("next", selection=ImageSelection(subset=frozen))
    made = create_campaign(db, labelled.dataset_id, plan)
    with db.read() as session:
        chosen = set(
            session.scalars(select(Consensus.image_id).where(Consensus.campaign_id == made))
        )
        assert get_campaign(session, made).parsed_selection.subset == frozen
    assert chosen == {labelled.ids[place] for place in AGREED_LEFT}
    live = keep(db, "live", LEFT)
    plan = CampaignPlan("live", selection=ImageSelection(subset=live))
    with pytest.raises(InvalidInput, match="is live"):
        create_campaign(db, labelled.dataset_id, plan)


def test_gold_is_chosen_among_a_subset(db: Database, labelled: LabelledImages) -> None:
    from labeler.subsets.members import select_members

    right = load(db, keep(db, "right", ImageFilter(label="right")))
    with db.write() as session:
        among = select_members(session, right)
        report = promote_unanimous(session, 1, 2, 30, among=among)
    assert report.added == len(AGREED_RIGHT)


def test_mean_faces_use_a_subset(db: Database, labelled: LabelledImages) -> None:
    left = keep(db, "left", LEFT)
    with db.read() as session:
        chosen = choose_images(session, 1, WantedLabels(subset_id=left))
    assert chosen.filenames == ["000001.jpg", "000002.jpg"]


def test_a_list_comes_back_as_it_went_out(db: Database, labelled: LabelledImages) -> None:
    """Doubles, and blanks around a name, do not make another list."""
    frozen = keep(db, "all", ImageFilter(), frozen=True)
    listed = [*names(db, frozen), "000001.jpg", " 000002.jpg "]
    with db.write() as session:
        dataset = load(db, frozen).dataset_id
        again = service.import_names(
            session, session.get_one(Campaign, 1).dataset, "again", listed, Actor(None)
        )
        assert again.dataset_id == dataset
    assert load(db, again.id).sha256 == load(db, frozen).sha256


def test_unknown_names_are_counted_and_named(db: Database, labelled: LabelledImages) -> None:
    unknown = [f"other{n}.jpg" for n in range(25)]
    with db.read() as session:
        dataset = session.get_one(Campaign, 1).dataset
    with pytest.raises(BrokenData) as refused, db.write() as session:
        service.import_names(session, dataset, "odd", ["000001.jpg", *unknown])
    told = refused.value.message
    assert "25 of the 26" in told
    assert "other19.jpg" in told
    assert "other20.jpg" not in told
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(Subset)) == 0
        assert session.scalar(select(func.count()).select_from(SubsetImage)) == 0


def test_a_name_has_a_length_and_one_line(db: Database, labelled: LabelledImages) -> None:
    for name in ("", "  ", "x" * 101, "two\nlines"):
        with pytest.raises(InvalidInput, match="1 to 100"):
            keep(db, name, LEFT)


def test_a_taken_name_is_refused_until_the_subset_is_deleted(
    db: Database, labelled: LabelledImages
) -> None:
    first = keep(db, "left", LEFT)
    with pytest.raises(Conflict, match="Choose another name"):
        keep(db, " left ", LEFT, frozen=True)
    with db.write() as session:
        service.delete_subset(session, first)
    second = keep(db, "left", LEFT)
    with pytest.raises(Conflict, match="exists already"), db.write() as session:
        service.restore_subset(session, first)
    with db.write() as session:
        service.rename_subset(session, service.get_subset(session, second), "other")
        service.restore_subset(session, first)
    assert load(db, first).name == "left"


def test_one_of_many_gets_a_name_and_one_deletion_is_logged(
    any_db: Database, make_dataset: MakeDataset
) -> None:
    make_dataset(any_db, 2)
    results = at_once(lambda _: keep(any_db, "the one", ImageFilter(), frozen=True), 6)
    assert sum(isinstance(one, Conflict) for one in results) == 5
    kept = next(one for one in results if isinstance(one, int))

    def delete(_number: int) -> None:
        with any_db.write() as session:
            service.delete_subset(session, kept)

    assert at_once(delete, 6) == [None] * 6
    with any_db.read() as session:
        deletions = [one.event.action for one in list_events(session)].count("subset_deleted")
        assert deletions == 1
        with pytest.raises(NotFound, match="'the one' was deleted"):
            service.get_subset(session, kept)


def test_pictures_that_are_gone_are_counted(db: Database, labelled: LabelledImages) -> None:
    frozen = keep(db, "left", LEFT, frozen=True)
    campaign_id = 1
    for place, gone in zip(AGREED_LEFT, (1, 2), strict=True):
        with db.write() as session:
            image = session.get_one(Image, labelled.ids[place])
            image.status, image.problem = "broken", "no longer in the data set"
        with db.read() as session:
            counted = count_members(session, service.get_subset(session, frozen))
            assert (counted.images, counted.gone) == (2, gone)
    with pytest.raises(Conflict, match="all 2 images"):
        list(stream_labels(db, campaign_id, subset_id=frozen))


def test_an_empty_live_subset_is_kept_and_cannot_be_used(
    db: Database, labelled: LabelledImages
) -> None:
    empty = keep(db, "none", ImageFilter(search="nobody"))
    with pytest.raises(Conflict, match="No image meets the filter"):
        list(stream_labels(db, 1, subset_id=empty))


def test_a_subset_of_another_data_set_is_refused(
    db: Database, labelled: LabelledImages, make_dataset: MakeDataset
) -> None:
    frozen = keep(db, "left", LEFT, frozen=True)
    other = make_dataset(db, 2, "others")
    with db.read() as session:
        campaign = session.scalars(select(Campaign).where(Campaign.dataset_id == other)).one()
    with pytest.raises(InvalidInput, match="Choose a subset of that data set"):
        list(stream_labels(db, campaign.id, subset_id=frozen))
    plan = CampaignPlan("odd", selection=ImageSelection(subset=frozen))
    with pytest.raises(InvalidInput, match="data set 'faces'"):
        create_campaign(db, other, plan)
    with pytest.raises(InvalidInput, match="cannot be a condition"), db.write() as session:
        service.keep_filter(
            session, get_campaign(session, campaign.id), "odd", ImageFilter(subset=frozen)
        )


def test_broken_files_belong_to_a_subset_if_the_filter_finds_them(
    db: Database, labelled: LabelledImages
) -> None:
    broken = keep(db, "broken", ImageFilter(status="broken"), frozen=True)
    assert names(db, broken) == [BROKEN]
