"""Counting the clusters: as the engine selects them, without opening an image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labeler.database.engine import Database
from labeler.errors import Conflict
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from labeler.studio.choices import TurnChoices
from labeler.studio.preview import ClusterPreview, PreviewSource, load_source, preview_clusters
from labeler.subsets.service import import_names
from rotation.clusters.selection import Criteria, cluster_angles, select
from rotation.data.records import Records
from rotation.poses.estimation import Poses
from tests.labeler.studio.labelled import ATTRIBUTES, YAWS, Face, even_faces, register_labelled

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
        source = load_source(session, session.get_one(Campaign, found.campaign_id), image)
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


def test_the_counts_are_those_of_the_engine(db: Database, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    faces = [
        Face(
            float(yaw),
            ("left", "center", "right")[int(light)],
            int(bits),
            int(person),
        )
        for yaw, light, bits, person in zip(
            rng.uniform(-45, 45, 160).round(2) + 0.005,
            rng.integers(0, 3, 160),
            rng.integers(0, 8, 160),
            rng.integers(0, 40, 160),
            strict=True,
        )
    ]
    found = register_labelled(db, tmp_path, faces)
    for minimum in (1, 4, 9):
        choices = replace(FEW, min_cluster=minimum, attributes=("Male", "Young"))
        source = PreviewSource(
            found.image_ids[0], "left", 1.0, 0.0, faces[0].bits, faces[0].identity
        )
        preview = count(db, found.campaign_id, choices, source)
        records = _records(faces)
        criteria = Criteria("left", ("Male", "Young"), minimum=minimum, maximum=50)
        try:
            selected = select(
                records,
                _poses(faces),
                records.take(np.array([0])),
                cluster_angles(choices.angles_deg),
                criteria,
                np.random.default_rng(0),
            )
        except Exception:  # noqa: BLE001 - the engine refuses
            assert not preview.is_enough
            continue
        assert preview.is_enough
        assert tuple(sizes(preview)) == selected.sizes
        assert tuple(preview.dropped) == selected.dropped
        widths = tuple(float(one.half_width_deg) for one in preview.clusters)
        assert widths == selected.half_widths_deg


def _records(faces: list[Face]) -> Records:
    bits = np.array([face.bits or 0 for face in faces])
    return Records(
        filenames=tuple(f"faces{number:03d}.png" for number in range(len(faces))),
        labels=np.array([face.label for face in faces]),
        identities=np.array([face.identity for face in faces]),
        attribute_names=tuple(ATTRIBUTES),
        attributes=np.stack([np.where(bits >> bit & 1, 1, -1) for bit in range(3)], axis=1),
    )


def _poses(faces: list[Face]) -> Poses:
    yaws = np.array([face.yaw_deg for face in faces], dtype=np.float64)
    level = np.zeros(len(faces))
    return Poses(yaws, level, level, np.ones(len(faces)))


def test_a_subset_without_images_is_refused(db: Database, tmp_path: Path) -> None:
    found = register_labelled(db, tmp_path, even_faces(4))
    with db.write() as session:
        campaign = session.get_one(Campaign, found.campaign_id)
        subset_id = import_names(session, campaign.dataset, "one", ["faces000.png"]).id
        session.get_one(Image, found.image_ids[0]).status = "broken"
        session.get_one(Image, found.image_ids[0]).problem = "gone"
    with pytest.raises(Conflict, match="broken or no longer there"):
        count(db, found.campaign_id, subset_id=subset_id)
