"""The data set of synthetic heads: CelebA's formats, truth, and how it gets onto the disk."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rotation.data.celeba import read_tables
from rotation.data.crop import standard_crop
from rotation.data.sources import open_source
from rotation.errors import DatasetError
from rotation.synthetic_heads.dataset import DEMO_IDENTITY, plan_dataset, write_dataset
from rotation.synthetic_heads.parameters import light_class
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY

N_IMAGES, N_PERSONS = 14, 4
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("sets") / "heads", N_IMAGES, N_PERSONS, seed=5)


def rows(path: Path, header: int) -> list[list[str]]:
    return [line.split() for line in path.read_text(encoding="ascii").splitlines()[header:]]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_pictures_have_celebas_names_and_size(folder):
    files = sorted((folder / "img_align_celeba").iterdir())
    assert [f.name for f in files] == [f"{k:06d}.jpg" for k in range(1, N_IMAGES + 1)]
    for file in files:
        with Image.open(file) as picture:
            assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (178, 218))


def test_the_standard_crop_gives_back_the_rendered_head(folder):
    truth = render([entry.head for entry in plan_dataset(N_IMAGES, N_PERSONS, 5)])
    for expected, file in zip(truth, sorted((folder / "img_align_celeba").iterdir()), strict=True):
        with Image.open(file) as picture:
            crop = standard_crop(picture)
        assert np.abs(crop.astype(int) - expected).mean() < 2.5


def test_attributes_are_a_subset_of_celebas_in_its_format(folder):
    lines = (folder / "list_attr_celeba.txt").read_text(encoding="ascii").splitlines()
    assert lines[0] == str(N_IMAGES)
    names = lines[1].split()
    assert names == sorted(names)
    assert {"Male", "Young", "Eyeglasses", "Smiling", "Bald", "Black_Hair"} <= set(names)
    for line in lines[2:]:
        assert len(line.split()) == 1 + len(names)
        assert set(line.split()[1:]) <= {"-1", "1"}


def test_attributes_say_what_was_rendered(folder):
    lines = (folder / "list_attr_celeba.txt").read_text(encoding="ascii").splitlines()
    glasses = lines[1].split().index("Eyeglasses")
    smiling = lines[1].split().index("Smiling")
    for line, entry in zip(lines[2:], plan_dataset(N_IMAGES, N_PERSONS, 5), strict=True):
        values = line.split()[1:]
        assert (values[glasses] == "1") == (entry.head.identity.glasses > 0)
        assert (values[smiling] == "1") == (entry.head.smile > 0.45)


def test_hair_has_one_colour_unless_there_is_none(folder):
    lines = (folder / "list_attr_celeba.txt").read_text(encoding="ascii").splitlines()
    names = lines[1].split()
    for line in lines[2:]:
        held = {n for n, v in zip(names, line.split()[1:], strict=True) if v == "1"}
        colours = held & {"Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"}
        assert len(colours) == (0 if "Bald" in held else 1)


def test_identities_and_partitions_keep_a_person_together(folder):
    persons = {name: int(p) for name, p in rows(folder / "identity_CelebA.txt", 0)}
    parts = {name: int(p) for name, p in rows(folder / "list_eval_partition.txt", 0)}
    assert list(persons) == list(parts)
    assert set(persons.values()) == set(range(1, N_PERSONS + 1))
    for person in set(persons.values()):
        assert len({parts[name] for name in persons if persons[name] == person}) == 1


def test_the_projects_reader_takes_all_four_tables(folder):
    tables = read_tables(folder)
    for table in (tables.attributes, tables.identities, tables.partitions, tables.landmarks):
        assert table is not None
        assert len(table) == N_IMAGES
    with open_source(folder) as source:
        assert tuple(source.names()) == tables.attributes.filenames


def test_landmark_file_has_celebas_header_and_points_inside_the_picture(folder):
    path = folder / "list_landmarks_align_celeba.txt"
    lines = path.read_text(encoding="ascii").splitlines()
    assert lines[:2] == [
        str(N_IMAGES),
        "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y "
        "leftmouth_x leftmouth_y rightmouth_x rightmouth_y",
    ]
    points = np.array([row[1:] for row in rows(path, 2)], int).reshape(N_IMAGES, 5, 2)
    assert (points >= 0).all()
    assert (points < [178, 218]).all()
    assert (points[:, 0, 0] < points[:, 1, 0]).all()


def test_truth_gives_pose_and_light(folder):
    with (folder / "truth.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))
    plan = plan_dataset(N_IMAGES, N_PERSONS, 5)
    assert [row["filename"] for row in truth] == [entry.filename for entry in plan]
    for row, entry in zip(truth, plan, strict=True):
        assert float(row["yaw_deg"]) == pytest.approx(entry.head.yaw_deg, abs=1e-3)
        assert row["light"] == light_class(float(row["light_azimuth_deg"]))
        assert int(row["identity"]) == entry.person


def test_each_persons_yaws_are_spread_over_the_range():
    plan = plan_dataset(480, 120, 0)
    for person in range(1, 121):
        yaws = sorted(e.head.yaw_deg for e in plan if e.person == person)
        assert len(yaws) == 4
        assert np.digitize(yaws, [-20, 0, 20]).tolist() == [0, 1, 2, 3]


def test_demo_people_are_in_no_training_set_or_benchmark():
    assert DEMO_IDENTITY > BENCHMARK_IDENTITY
    assert DEMO_IDENTITY - BENCHMARK_IDENTITY >= 1_000_000


def test_the_same_seed_writes_the_same_bytes(folder, tmp_path):
    again = write_dataset(tmp_path / "again", N_IMAGES, N_PERSONS, seed=5)
    assert snapshot(again) == snapshot(folder)


def test_a_second_call_does_nothing(folder):
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    calls: list[tuple[int, int]] = []
    write_dataset(folder, N_IMAGES, N_PERSONS, 5, lambda done, total: calls.append((done, total)))
    assert calls == []
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_another_data_set_is_not_overwritten(folder):
    before = snapshot(folder)
    with pytest.raises(DatasetError, match="Name another folder"):
        write_dataset(folder, N_IMAGES, N_PERSONS, seed=6)
    assert snapshot(folder) == before


def test_foreign_files_are_not_overwritten(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DatasetError, match="other files"):
        write_dataset(tmp_path, 2)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "heads", 4, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_picture(tmp_path):
    calls: list[tuple[int, int]] = []
    write_dataset(tmp_path / "heads", 3, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(("images", "persons"), [(0, None), (3, 4), (3, 0)])
def test_senseless_counts_are_refused(tmp_path, images, persons):
    with pytest.raises(DatasetError, match="1 <= identities <= images"):
        write_dataset(tmp_path / "heads", images, persons)
    assert not (tmp_path / "heads").exists()


def test_the_command_writes_a_data_set_once(tmp_path):
    out = tmp_path / "heads"
    command = [sys.executable, str(ROOT / "manage.py"), "rotation", "synthesize"]
    asked = [*command, "--out", str(out), "--images", "2", "--identities", "1"]
    first = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert len(rows(out / "identity_CelebA.txt", 0)) == 2
    other = subprocess.run([*asked, "--seed", "1"], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "Name another folder" in other.stderr
    assert "Traceback" not in other.stderr


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DatasetError, match="cannot be made"):
        write_dataset(tmp_path / "file" / "heads", 4)
