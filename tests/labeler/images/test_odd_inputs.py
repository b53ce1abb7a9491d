"""Odd pictures, zips and folders through every command that takes images.

Each is read, or refused with a message; a command never ends in a traceback, hangs, takes much
memory or leaves half of its output.
"""

from __future__ import annotations

import resource
import warnings
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from click.testing import CliRunner, Result
from PIL import Image as Picture
from sqlalchemy import select

from labeler.cli.main import cli
from labeler.database.engine import Database
from labeler.errors import SidelightError
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.models.images import Dataset, Image
from rotation.errors import RotationError
from tests.odd_inputs import Make, odd_folders, odd_pictures, odd_zips
from tests.rotation.faces.test_face_finder import rendered
from tests.rotation.modelling import tiny_folder

PICTURES = odd_pictures()
PLACES = [*odd_zips(), *odd_folders()]
QUICK = {
    *("an entry '../up.jpg'", "an entry 'line\\nbreak.jpg'", "zip in zip", "bomb", "twice"),
    *("encrypted", "wrong utf-8", "50 % of it", "loop called odd.jpg", "no utf-8", "line breaks"),
    *("pipe called list_attr_celeba.txt", "loop called img_align_celeba.zip", "empty celeba"),
}
EXPECTED = (SystemExit, RotationError, SidelightError)
MOST_MEMORY = 400 * 2**20  # bytes by which an input of some kilobytes may raise the peak


def places(quick: set[str]) -> list[ParameterSet]:
    """The odd places as parameters; those that are not `quick` are slow."""
    return [
        pytest.param(make, id=what, marks=() if what in quick else pytest.mark.slow)
        for what, make in PLACES
    ]


def settle(result: Result) -> Result:
    """The result of a command that ended as a person expects."""
    assert result.exception is None or isinstance(result.exception, EXPECTED), result.exception
    assert "Traceback" not in result.output
    return result


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, data in PICTURES.items():
        (folder / name).write_bytes(data)
    return folder


def write_labels(folder: Path, names: list[str]) -> Path:
    path = folder / "labels.csv"
    rows = [f'"{name}",{("left", "right")[i % 2]}' for i, name in enumerate(names)]
    path.write_text("\n".join(["filename,label", *rows]) + "\n", "utf-8")
    return path


def test_there_are_many_odd_inputs() -> None:
    assert len(PICTURES) + len(PLACES) >= 100
    assert {what for what, _ in PLACES} >= QUICK


def test_each_picture_is_registered_and_judged(db: Database, pictures: Path) -> None:
    before = peak()
    report = register_dataset(db, pictures)
    checked = check_images(db, report.dataset_id, processes=1)
    broken = dict(checked.broken)
    assert report.total == checked.ok + len(broken) == len(PICTURES)
    with db.read() as session:
        sizes = {row.filename: row.width for row in session.scalars(select(Image))}
    # Every file that Pillow wrote whole is good; the others, made by hand, name their fault.
    assert {"cmyk.jpg", "sixteen.png", "moving.gif", "exif_6.jpg", "UPPER.JPG"}.isdisjoint(broken)
    assert sizes["exif_6.jpg"] == 24
    for name in ("empty.jpg", "bomb.png", "eps.jpg", "pointer.jpg", "jpeg_60.jpg", "short.png"):
        assert broken[name].startswith(f"{name}: "), name
    assert peak() - before < MOST_MEMORY


@pytest.mark.slow
def test_the_classifier_leaves_out_what_it_cannot_read(pictures: Path, tmp_path: Path) -> None:
    heads = {f"head{n}.png": rendered(910 + n, azimuth) for n, azimuth in enumerate((60, 0, -60))}
    for name, head in heads.items():
        Picture.fromarray(head).save(pictures / name)
    labels = write_labels(tmp_path, [*PICTURES, *heads])
    words = ["--images", str(pictures), "--labels", str(labels), "--labels-only"]
    words += ["--out", str(tmp_path / "model"), "--processes", "1"]
    result = settle(CliRunner().invoke(cli, ["classifier", "fit", *words]))
    assert result.exit_code == 0, result.output
    assert "Left out: " in result.stderr
    assert "No face was found in " in result.stderr


@pytest.mark.parametrize("make", places(QUICK))
def test_each_place_is_registered_whole_or_not_at_all(
    db: Database, tmp_path: Path, make: Make
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of `zipfile`, about what is written here
        place = make(tmp_path / "odd")
    before = peak()
    try:
        report = register_dataset(db, place)
    except EXPECTED as error:
        refusal = str(error)
    else:
        checked = check_images(db, report.dataset_id, processes=1)
        assert checked.ok + len(checked.broken) == report.total
        refusal = ""
    with db.read() as session:
        assert (session.scalar(select(Dataset)) is None) == bool(refusal)
    assert not refusal or str(place) in refusal
    assert peak() - before < MOST_MEMORY


@pytest.mark.parametrize("make", places(set()))
def test_each_place_in_the_commands_of_the_engine(tmp_path: Path, make: Make) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = str(make(tmp_path / "odd"))
    out = tmp_path / "model"
    labels = write_labels(tmp_path, ["a.jpg", "b.jpg"])
    run = CliRunner().invoke
    words = ["--images", place, "--labels", str(labels), "--out", str(out), "--processes", "1"]
    fitted = settle(run(cli, ["classifier", "fit", *words, "--labels-only"]))
    assert out.exists() == (fitted.exit_code == 0)
    words = ["--images", place, "--out", str(tmp_path / "poses.csv"), "--device", "cpu"]
    settle(run(cli, ["rotation", "poses", *words]))


@pytest.mark.slow
def test_each_picture_as_the_source_of_a_run(pictures: Path, tmp_path: Path) -> None:
    labels = write_labels(tmp_path, list(PICTURES))
    model = tiny_folder(tmp_path / "tiny")
    words = ["--images", str(pictures), "--labels", str(labels), "--model", str(model)]
    words += ["--device", "cpu", "--yaw=-10,10", "--cache", str(tmp_path / "cache")]
    for number, name in enumerate(PICTURES):
        out = tmp_path / f"turned{number}"
        run = ["rotation", "run", *words, "--source", name, "--out", str(out)]
        result = settle(CliRunner().invoke(cli, run))
        assert result.exit_code != 0, name  # there is no face in any of them
        assert not list(out.glob("*.png")), name
        turn = ["rotation", "turn", str(pictures / name), "--fill", "surroundings"]
        settle(CliRunner().invoke(cli, [*turn, "--out", str(out)]))
        assert not list(out.glob("*.png")), name
