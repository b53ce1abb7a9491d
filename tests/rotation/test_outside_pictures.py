"""Turning a picture that is not in the image set, and telling another program the progress."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from rotation.cli.run import run
from rotation.demo_faces.dataset import write_faces
from rotation.poses.mtcnn import LandmarkDetector
from rotation.synthetic_heads.dataset import read_truth, write_dataset
from tests.rotation.modelling import tiny_folder

COUNT = 40
ONE, TWO = "000004.jpg", "000007.jpg"


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with labels.csv beside it."""
    folder = write_dataset(tmp_path_factory.mktemp("heads") / "set", COUNT, seed=5)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "label"])
        writer.writerows(read_truth(folder).items())
    return Path(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model's folder."""
    return Path(tiny_folder(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> list[Image.Image]:
    """Generated faces, as photographs of 256 pixels."""
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, 3, None)
    found = sorted((folder / "img_align_celeba").glob("*.jpg"))
    return [Image.open(path).convert("RGB").resize((256, 256)) for path in found]


def turn(heads: Path, model: Path, out: Path, *more: object) -> Result:
    words = ["--images", heads, "--labels", heads / "labels.csv", "--model", model]
    words += ["--out", out / "turned", "--cache", out / "cache", "--min-cluster", 1]
    words += ["--iterations", 0, "--device", "cpu", "--yaw", "-20,20", "--attributes", "none"]
    words += ["--editing", "line", *more]
    return CliRunner().invoke(run, [str(word) for word in words])


def test_a_picture_outside_of_the_set_is_turned(heads: Path, model: Path, tmp_path: Path) -> None:
    picture = tmp_path / TWO  # the name of an image of the set, with another head
    picture.write_bytes((heads / "img_align_celeba" / ONE).read_bytes())
    result = turn(
        heads, model, tmp_path, "--source-file", picture, "--light", "left", "--progress-json"
    )
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "turned" / "report.json").read_text())
    assert report["source"]["name"] == TWO
    assert report["source"]["light"] == "left"
    told = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    assert all(set(one) == {"stage", "done", "total"} for one in told)
    ends = [one for one in told if one["stage"] == "embed"]
    assert ends[-1]["done"] == ends[-1]["total"] > 0
    assert "--progress-json" not in report["command"]


def test_what_a_picture_needs_is_told(
    heads: Path, model: Path, tmp_path: Path, faces: list[Image.Image]
) -> None:
    several = Image.new("RGB", (768, 256))
    for number, face in enumerate(faces):
        several.paste(face, (256 * number, 0))
    several.save(tmp_path / "class.png")
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "wall.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, light, words in (
        ("class.png", "left", "class.png shows 3 faces. Cut the picture"),
        ("wall.png", "left", "No face was found in wall.png"),
        ("text.png", "left", "text.png: not an image"),
        ("none.png", "left", "none.png: cannot be read (No such file or directory)"),
        ("wall.png", "auto", "wall.png has no label, so its light is not known"),
    ):
        result = turn(heads, model, tmp_path, "--source-file", tmp_path / name, "--light", light)
        assert result.exit_code == 1, name
        assert words in result.output
    wall = "--source-file", tmp_path / "wall.png", "--light", "left", "--source-yaw", 0
    assert "No face was found in wall.png" in turn(heads, model, tmp_path, *wall).output
    assert "one of them" in turn(heads, model, tmp_path, "--source", ONE, "--sources", ONE).output


def test_faces_are_counted(faces: list[Image.Image]) -> None:
    detector = LandmarkDetector()
    assert [detector.count_faces(face) for face in faces] == [1, 1, 1]
    assert detector.count_faces(Image.new("RGB", (10, 10))) == 0
