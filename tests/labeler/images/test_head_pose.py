"""The yaw of images: from landmarks, from a file of poses, and the command for both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from labeler.cli.main import cli
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import BrokenData, Conflict
from labeler.images.head_pose import YawReport, estimate_yaw, load_yaw, measure_yaw
from labeler.models.images import Image
from rotation.errors import DatasetError
from rotation.poses.estimation import MEAN_FACE
from tests.head_rotation import rotation_matrices
from tests.labeler.lit_faces import register

NAMES = ("a.png", "b.png", "c.png", "d.png")


def landmarks(yaw_deg: float) -> list[int]:
    """The ten whole numbers that CelebA's file would have for a large face."""
    angles = np.deg2rad([[yaw_deg, 0.0, 0.0]])
    turned = MEAN_FACE @ rotation_matrices(angles)[0].T
    points = turned[:, :2] * [1, -1] * 200 + [500, 500]
    return [int(value) for value in np.rint(points).ravel()]


def add_images(
    db: Database, known: Mapping[str, list[int] | None], names: tuple[str, ...] = NAMES
) -> int:
    with db.write() as session:
        dataset = register(session, Path("faces"), names)
        session.execute(update(Image).values(landmarks=None))
        for name, points in known.items():
            where = update(Image).where(Image.filename == name)
            session.execute(where.values(landmarks=points))
        return dataset.id


def yaws(db: Database) -> dict[str, float | None]:
    with db.read() as session:
        return dict(session.execute(select(Image.filename, Image.yaw_deg)).all())


def test_yaw_is_read_off_the_landmarks(any_db: Database) -> None:
    known = {"a.png": landmarks(-25), "b.png": landmarks(0), "c.png": [7] * 10}
    dataset_id = add_images(any_db, known)
    assert measure_yaw(any_db, dataset_id) == YawReport(stored=2, faceless=1, missing=1)
    found = yaws(any_db)
    assert found["a.png"] == pytest.approx(-25, abs=0.5)
    assert found["b.png"] == pytest.approx(0, abs=0.5)
    assert found["c.png"] is None
    assert found["d.png"] is None
    before = yaws(any_db)
    measure_yaw(any_db, dataset_id)
    assert yaws(any_db) == before


def test_the_nose_to_the_viewers_right_is_a_positive_yaw() -> None:
    face = landmarks(0)
    face[4] += 60
    assert (estimate_yaw([face])[0] or 0) > 5


def test_only_the_data_set_that_is_meant(db: Database) -> None:
    dataset_id = add_images(db, {"a.png": landmarks(10)})
    with db.write() as session:
        other = Image(dataset_id=dataset_id, filename="z.png", byte_size=1, sha256="0" * 64)
        session.add(other)
    with pytest.raises(Conflict, match="No image has landmarks"):
        measure_yaw(db, dataset_id + 1)
    assert set(yaws(db).values()) == {None}


def test_a_file_of_poses(any_db: Database, tmp_path: Path) -> None:
    dataset_id = add_images(any_db, {})
    with any_db.write() as session:
        session.execute(update(Image).values(yaw_deg=5.0))
    path = tmp_path / "poses.csv"
    path.write_text("filename,yaw_deg,pitch_deg\na.png,-12.5,3\nb.png,,\nother.png,1,1\n")
    report = load_yaw(any_db, dataset_id, path)
    assert report == YawReport(stored=1, faceless=1, missing=2, foreign=("other.png",))
    assert yaws(any_db) == {"a.png": -12.5, "b.png": None, "c.png": 5.0, "d.png": 5.0}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("filename,yaw_deg\na.png,1\nb.png,far\n", "line 3"),
        ("filename,yaw_deg\na.png,1\na.png,2\n", "line 3"),
        ("filename,yaw_deg\na.png,1\nb.png,400\n", "line 3"),
        ("filename,pitch_deg\na.png,1\n", "line 1"),
    ],
)
def test_a_wrong_file_changes_nothing(
    db: Database, tmp_path: Path, text: str, problem: str
) -> None:
    dataset_id = add_images(db, {})
    path = tmp_path / "poses.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=problem):
        load_yaw(db, dataset_id, path)
    path.write_text("filename,yaw_deg\nelsewhere.png,1\n")
    with pytest.raises(BrokenData, match=r"elsewhere\.png"):
        load_yaw(db, dataset_id, path)
    assert set(yaws(db).values()) == {None}


def test_the_command(
    db: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDELIGHT_HOME", str(settings.home))
    monkeypatch.setenv("SIDELIGHT_DATABASE_URL", settings.database_url)
    add_images(db, {"a.png": landmarks(20), "b.png": landmarks(-5)})
    by_landmarks = CliRunner().invoke(cli, ["images", "poses"])
    assert by_landmarks.stdout == "faces: stored the yaw of 2 images\n"
    assert by_landmarks.stderr == "Note: 2 images got no new pose\n"
    path = tmp_path / "poses.csv"
    path.write_text("filename,yaw_deg\nc.png,7\nx.png,7\ny.png,\n")
    by_file = CliRunner().invoke(cli, ["images", "poses", str(path), "--dataset", "faces"])
    assert by_file.stdout == "faces: stored the yaw of 1 images\n"
    assert "2 names are not in the data set: 'x.png', 'y.png'" in by_file.stderr
    assert yaws(db)["c.png"] == 7
    assert yaws(db)["a.png"] == pytest.approx(20, abs=0.5)
