"""Counting the clusters: as the engine selects them, without opening an image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.database.engine import Database
from labeler.errors import Conflict
from labeler.exports.csv_files import stream_labels
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.studio.choices import TurnChoices
from labeler.studio.preview import (
    ClusterPreview,
    PreviewSource,
    load_source,
    preview_clusters,
    usable_attributes,
)
from labeler.studio.turning import POSE_COLUMNS
from labeler.subsets.service import import_names
from rotation.clusters.selection import Criteria, Selection, cluster_angles
from rotation.clusters.selection import select as select_members
from rotation.clusters.selection import usable_attributes as engine_usable
from rotation.data.image_set import open_images, read_matching_tables
from rotation.data.labels import LABELS
from rotation.data.labels_csv import read_labels, read_probabilities, stream_csv
from rotation.data.records import join_records, source_record
from rotation.editing.pipeline import wanted_light
from rotation.errors import SelectionError
from rotation.options import ClusterOptions
from rotation.poses.source import poses_from_csv
from tests.labeler.acting import publish_run
from tests.labeler.studio.labelled import (
    ATTRIBUTES,
    YAWS,
    Face,
    Labelled,
    even_faces,
    register_labelled,
)

UPLOAD = PreviewSource()
FEW = TurnChoices(light="left", min_cluster=4, max_cluster=50, with_proposals=False)


def count(
    db: Database,
    campaign_id: int,
    choices: TurnChoices = FEW,
    source: PreviewSource = UPLOAD,
    subset_id: int | None = None,
) -> ClusterPreview:
    with db.read() as session:
        campaign = session.get_one(Campaign, campaign_id)
        return preview_clusters(session, campaign, source, choices, subset_id)


def sizes(preview: ClusterPreview) -> list[int]:
    return [one.used for one in preview.clusters]


def test_each_image_counts_as_it_is_and_mirrored(any_db: Database, tmp_path: Path) -> None:
    faces = [*even_faces(2, "left"), *even_faces(3, "right"), *even_faces(5, "center")]
    found = register_labelled(any_db, tmp_path, faces)
    assert sizes(count(any_db, found.campaign_id)) == [5] * 7
    assert sizes(count(any_db, found.campaign_id, replace(FEW, light="center"))) == [10] * 7
    assert sizes(count(any_db, found.campaign_id, replace(FEW, light_filter=False))) == [20] * 7
    assert sizes(count(any_db, found.campaign_id, replace(FEW, max_cluster=4))) == [4] * 7


def test_the_light_of_the_source_is_its_label(db: Database, tmp_path: Path) -> None:
    found = register_labelled(db, tmp_path, [*even_faces(4), Face(3.0, "right")])
    auto = replace(FEW, light="auto")
    assert count(db, found.campaign_id, auto).light is None
    with db.read() as session:
        image = session.get_one(Image, found.image_ids[-1])
        campaign = session.get_one(Campaign, found.campaign_id)
        source = load_source(session, campaign, image, with_proposals=False)
    assert (source.label, source.yaw_deg) == ("right", 3.0)
    preview = count(db, found.campaign_id, auto, source)
    assert preview.light == "right"
    assert preview.is_enough


def test_attributes_are_given_up_from_the_last_one_on(any_db: Database, tmp_path: Path) -> None:
    male, smiling = 1, 2
    faces = [Face(yaw, "left", bits) for yaw in YAWS for bits in (male, male, male | smiling) * 2]
    found = register_labelled(any_db, tmp_path, faces)
    source = PreviewSource(attribute_bits=male | smiling)
    chosen = replace(FEW, attributes=("Male", "Smiling"))
    preview = count(any_db, found.campaign_id, chosen, source)
    assert (list(preview.kept), list(preview.dropped)) == (["Male"], ["Smiling"])
    assert [(one.found, one.used) for one in preview.clusters] == [(2, 6)] * 7
    # An upload has no known attributes.
    assert sizes(count(any_db, found.campaign_id, chosen)) == [6] * 7


def test_clusters_that_are_too_small_are_widened_and_marked(db: Database, tmp_path: Path) -> None:
    faces = [face for face in even_faces(4) if face.yaw_deg != 29.5]
    faces += [Face(37.0), Face(38.0), Face(None), Face(0.0, None)]
    found = register_labelled(db, tmp_path, faces)
    preview = count(db, found.campaign_id)
    assert not preview.is_enough
    (small,) = preview.too_small
    assert (small.angle_deg, small.used, small.half_width_deg, small.enough) == (30, 2, 10, False)
    assert (preview.labelled, preview.unknown_yaw) == (27, 1)


def test_the_person_and_the_image_of_the_source_are_left_out(db: Database, tmp_path: Path) -> None:
    faces = [
        Face(yaw, "left", 0, 7 if number == 0 else None) for yaw in YAWS for number in range(5)
    ]
    found = register_labelled(db, tmp_path, faces)
    source = PreviewSource(image_id=found.image_ids[1], identity=7)
    counted = count(db, found.campaign_id, replace(FEW, min_cluster=1), source)
    assert sizes(counted) == [3, 4, 4, 4, 4, 4, 4]


def test_only_images_of_the_subset_count(any_db: Database, tmp_path: Path) -> None:
    found = register_labelled(any_db, tmp_path, even_faces(6))
    names = [f"faces{number:03d}.png" for number in range(42) if number % 6 < 4]
    other = register_labelled_other(any_db, tmp_path)
    with any_db.write() as session:
        campaign = session.get_one(Campaign, found.campaign_id)
        subset_id = import_names(session, campaign.dataset, "four each", names).id
    assert sizes(count(any_db, found.campaign_id, subset_id=subset_id)) == [4] * 7
    with pytest.raises(Exception, match="Choose a subset of that data set"):
        count(any_db, other, subset_id=subset_id)


def register_labelled_other(db: Database, folder: Path) -> int:
    from labeler.campaigns.service import ensure_campaign
    from labeler.models.images import Dataset

    with db.write() as session:
        dataset = Dataset(name="other", path=str(folder), attribute_names=[])
        session.add(dataset)
        session.flush()
        return ensure_campaign(session, dataset).id


RUN = {"with_proposals": True}
CASES = {  # choices that differ from FEW
    "as they are": {"attributes": ("Male", "Young")},
    "none given up": {"min_cluster": 1, "attributes": ("Male", "Young")},
    "too few": {"min_cluster": 60},
    "the model too": {**RUN},
    "sure ones": {"min_percent": 75},
    "sure ones, the model too": {**RUN, "min_percent": 75},
    "any light, however unsure": {**RUN, "light_filter": False, "min_percent": 90},
    "the light of the source": {**RUN, "light": "auto"},
    "the light by votes alone": {"light": "auto"},
}
ENOUGH = set(CASES) - {"too few", "the light by votes alone"}


@pytest.mark.parametrize("case", CASES)
def test_the_counts_are_those_of_the_engine(any_db: Database, tmp_path: Path, case: str) -> None:
    exported = _export_mixed(any_db, tmp_path)
    choices = replace(FEW, **CASES[case])
    with any_db.read() as session:
        campaign = session.get_one(Campaign, exported.campaign_id)
        image = session.get_one(Image, exported.source_id)
        source = load_source(session, campaign, image, with_proposals=choices.with_proposals)
        preview = preview_clusters(session, campaign, source, choices)
        usable = usable_attributes(choices.attributes, campaign, source)
    try:
        selected = _select(any_db, exported, replace(choices, attributes=tuple(usable)))
    except SelectionError:
        assert not preview.is_enough
        assert case not in ENOUGH
        return
    assert case in ENOUGH
    assert preview.is_enough
    assert tuple(sizes(preview)) == selected.sizes
    assert tuple(preview.dropped) == selected.dropped
    assert tuple(float(one.half_width_deg) for one in preview.clusters) == selected.half_widths_deg


@dataclass(frozen=True, slots=True)
class Exported:
    """A data set whose images are labelled by votes, by gold, by the model, or not at all."""

    campaign_id: int
    source_id: int
    source_name: str
    folder: Path


def _export_mixed(db: Database, folder: Path) -> Exported:
    """Faces at whole degrees, between them, and so near to an edge that rounding decides."""
    rng = np.random.default_rng(4)
    yaws = rng.uniform(-45, 45, 240)
    yaws[::2] = np.round(yaws[::2])
    yaws[::10] += rng.choice([-0.0006, -0.0004, 0.0004, 0.0006], len(yaws[::10]))
    lights = rng.choice([*LABELS, None], len(yaws), p=[0.3, 0.2, 0.2, 0.3])
    faces = [
        Face(float(yaw), light, int(bits), int(person))
        for yaw, light, bits, person in zip(
            yaws, lights, rng.integers(0, 8, 240), rng.integers(0, 40, 240), strict=True
        )
    ]
    faces[0] = Face(3.0, None, 5, 7)  # the source: labelled by the model alone
    found = register_labelled(db, folder, faces)
    with db.write() as session:
        chances = _change_rows(session, found, faces, rng)
    publish_run(db, found.dataset_id, chances, utc_now())
    _write_tables(folder, faces)
    return Exported(found.campaign_id, found.image_ids[0], "faces000.png", folder)


def _change_rows(
    session: Session, found: Labelled, faces: list[Face], rng: np.random.Generator
) -> dict[int, tuple[float, float, float]]:
    """Vary votes and gold; returns what a model shall propose, by image."""
    chances: dict[int, tuple[float, float, float]] = {}
    for number, image_id in enumerate(found.image_ids):
        row = session.get_one(Consensus, (found.campaign_id, image_id))
        if faces[number].label and number % 3 == 1:  # two of three votes agree
            named = f"votes_{row.label}"
            other = "votes_right" if named != "votes_right" else "votes_left"
            setattr(row, named, 2)
            setattr(row, other, 1)
            row.probability = 2 / 3
        if faces[number].label and number % 5 == 1:  # gold: agreed without a vote
            row.votes_left = row.votes_center = row.votes_right = 0
        if number % 4 != 3:
            left, center, right = rng.dirichlet([0.4, 0.3, 0.3]) if number else (0.8, 0.1, 0.1)
            chances[image_id] = (float(left), float(center), float(right))
    return chances


def _write_tables(folder: Path, faces: list[Face]) -> None:
    """Attributes and persons, as the engine reads them beside the images."""
    names = [f"faces{number:03d}.png" for number in range(len(faces))]
    signs = [["1" if (face.bits or 0) >> bit & 1 else "-1" for bit in range(3)] for face in faces]
    rows = [",".join([name, *row]) for name, row in zip(names, signs, strict=True)]
    header = ",".join(["image_id", *ATTRIBUTES])
    (folder / "list_attr_celeba.csv").write_text("\n".join([header, *rows]) + "\n")
    people = [f"{name} {face.identity}" for name, face in zip(names, faces, strict=True)]
    (folder / "identity_CelebA.txt").write_text("\n".join(people) + "\n")


def _select(db: Database, exported: Exported, choices: TurnChoices) -> Selection:
    """What the engine selects from the files that a turn exports."""
    labels_file, poses_file = exported.folder / "labels.csv", exported.folder / "poses.csv"
    chunks = stream_labels(db, exported.campaign_id, choices.with_proposals)
    labels_file.write_text("".join(chunks), encoding="utf-8")
    with db.read() as session:
        yaws = session.execute(select(Image.filename, Image.yaw_deg)).all()
    poses_file.write_text(
        "".join(stream_csv(POSE_COLUMNS, [(name, f"{yaw:.3f}") for name, yaw in yaws]))
    )
    with open_images(exported.folder) as images:
        known = set(images.names())
        labels = read_labels(labels_file, known)
        tables = read_matching_tables(exported.folder, known)
        chances = read_probabilities(labels_file, known)
        records = join_records(labels, known, tables, chances)
    options = ClusterOptions(light=choices.light, light_filter=choices.light_filter)
    light = wanted_light(exported.source_name, labels, options)
    criteria = Criteria(
        light,
        choices.attributes,
        minimum=choices.min_cluster,
        maximum=choices.max_cluster,
        min_probability=choices.min_percent / 100,
    )
    source = source_record(exported.source_name, light or "center", tables)
    usable = engine_usable(choices.attributes, records, source, explicit=True)
    assert usable == choices.attributes
    poses = poses_from_csv(poses_file).find_poses(records.filenames)
    angles, rng = cluster_angles(choices.angles_deg), np.random.default_rng(0)
    return select_members(records, poses, source, angles, criteria, rng)


def test_whole_degrees_at_the_edge_of_a_window_count(any_db: Database, tmp_path: Path) -> None:
    faces = [Face(yaw) for yaw in (5.0, 5.0004, -5.0, -5.0004, 5.0006, -5.0006, 15.0, -15.0)]
    found = register_labelled(any_db, tmp_path, faces)
    preview = count(any_db, found.campaign_id, replace(FEW, min_cluster=1))
    assert [(one.angle_deg, one.used) for one in preview.clusters][2:5] == [
        (-10, 4),
        (0, 4),
        (10, 4),
    ]


def test_of_a_source_without_attributes_none_are_usable(db: Database, tmp_path: Path) -> None:
    found = register_labelled(db, tmp_path, [Face(0.0, "left", None), Face(0.0, "left", 1)])
    with db.read() as session:
        campaign = session.get_one(Campaign, found.campaign_id)
        sources = [
            load_source(session, campaign, session.get_one(Image, one), with_proposals=True)
            for one in found.image_ids
        ]
        usable = [usable_attributes(["Male", "Bald"], campaign, one) for one in sources]
    assert usable == [[], ["Male"]]


def test_a_subset_without_images_is_refused(db: Database, tmp_path: Path) -> None:
    found = register_labelled(db, tmp_path, even_faces(4))
    with db.write() as session:
        campaign = session.get_one(Campaign, found.campaign_id)
        subset_id = import_names(session, campaign.dataset, "one", ["faces000.png"]).id
        session.get_one(Image, found.image_ids[0]).status = "broken"
        session.get_one(Image, found.image_ids[0]).problem = "gone"
    with pytest.raises(Conflict, match="broken or no longer there"):
        count(db, found.campaign_id, subset_id=subset_id)
