"""The bundled faces: whole, posed by the code that poses CelebA, and written as a data set."""

import csv
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from rotation.data.celeba import read_tables
from rotation.data.crop import standard_crop
from rotation.data.sources import open_source
from rotation.demo_faces.dataset import ATTRIBUTES, FACES, TABLE, count_faces, write_faces
from rotation.errors import DatasetError
from rotation.poses.mtcnn import LandmarkDetector
from rotation.poses.source import poses_from_landmarks

N = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_faces(tmp_path_factory.mktemp("sets") / "faces", N)


def bundled(count: int) -> np.ndarray:
    with zipfile.ZipFile(FACES) as faces:
        names = faces.namelist()[:count]
        return np.stack([np.asarray(Image.open(io.BytesIO(faces.read(n)))) for n in names])


def test_every_face_is_a_picture_of_64_pixels_with_landmarks_inside():
    faces = bundled(count_faces())
    assert faces.shape == (count_faces(), 64, 64, 3)
    assert len({face.tobytes() for face in faces}) == len(faces)
    with zipfile.ZipFile(FACES) as packed:
        rows = list(csv.reader(io.StringIO(packed.read(TABLE).decode())))[1:]
    points = np.array([row[2:] for row in rows], dtype=float)
    assert len(rows) == len(faces)
    assert points.min() > 0
    assert points.max() < 64
    assert (points[:, 2] > points[:, 0] + 5).all()  # the right eye is right of the left one


def test_the_standard_crop_is_nearly_the_face(folder):
    with open_source(folder) as images:
        assert images.names() == [f"{k:06d}.jpg" for k in range(1, N + 1)]
        crops = [standard_crop(Image.open(folder / "img_align_celeba" / n)) for n in images.names()]
    error = np.abs(np.stack(crops).astype(int) - bundled(N)).mean(axis=(1, 2, 3))
    assert error.max() < 4


def test_yaws_are_those_that_the_detector_reads(folder):
    landmarks = read_tables(folder).landmarks
    written = poses_from_landmarks(landmarks).find_poses(landmarks.filenames)
    read = LandmarkDetector().estimate_crops(bundled(N))
    assert np.abs(written.yaw_deg - read.yaw_deg).mean() < 1.0


def test_faces_turn_both_ways(tmp_path):
    folder = write_faces(tmp_path / "all")
    landmarks = read_tables(folder).landmarks
    yaws = poses_from_landmarks(landmarks).find_poses(landmarks.filenames).yaw_deg
    for low, high in ((-40, -15), (-5, 5), (15, 40)):
        assert ((yaws > low) & (yaws < high)).sum() >= 50


def test_writing_again_does_nothing_and_another_number_is_refused(folder):
    before = (folder / "sampled.json").stat().st_mtime_ns
    assert write_faces(folder, N) == folder
    assert (folder / "sampled.json").stat().st_mtime_ns == before
    with pytest.raises(DatasetError, match="Name another folder"):
        write_faces(folder, N + 1)


@pytest.mark.parametrize("count", [0, 1_000_000])
def test_more_faces_than_there_are_are_refused(tmp_path, count):
    with pytest.raises(DatasetError, match=r"1 to \d+ are there"):
        write_faces(tmp_path / "faces", count)
    assert not (tmp_path / "faces").exists()


def test_the_faces_have_attributes(folder, tmp_path):
    table = read_tables(folder).attributes
    assert table.columns == ("Male", "Young", "Eyeglasses", "Smiling")
    assert table.filenames == tuple(f"{k:06d}.jpg" for k in range(1, N + 1))
    assert ((table.values.sum(axis=0) > 0)[[0, 1, 3]]).all()
    assert (table.values.sum(axis=0) < N).all()
    with ATTRIBUTES.open() as file:
        assert len(list(csv.reader(file))) == count_faces() + 1


def test_a_demo_without_attributes_gets_them(tmp_path):
    folder = write_faces(tmp_path / "faces", 12)
    written = folder / "list_attr_celeba.txt"
    before = written.read_bytes()
    written.unlink()
    assert write_faces(folder, 12) == folder
    assert written.read_bytes() == before
    assert sorted(one.name for one in folder.iterdir()) == [
        "img_align_celeba",
        "list_attr_celeba.txt",
        "list_landmarks_align_celeba.txt",
        "sampled.json",
    ]
