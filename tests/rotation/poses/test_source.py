"""Poses that `rotation poses` has measured are kept, until their image is replaced."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from labeler.cli.main import cli
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.renderer import render_view
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads

YAWS = (-25.0, 0.0, 25.0)
NAMES = ("a.png", "b.png", "c.png")
MARK = "12.345"  # a yaw that no measurement gives: a row that has it was not measured again


@pytest.fixture(scope="module")
def heads() -> dict[float, Image.Image]:
    found = {}
    for yaw in YAWS:
        head = sample_heads(1, 3, first_identity=BENCHMARK_IDENTITY, yaw_range=(yaw, yaw))
        found[yaw] = Image.fromarray(render_view(head, CELEBA_VIEW)[0])
    return found


def write(folder: Path, images: Sequence[Image.Image], zipped: bool) -> Path:
    """The images under NAMES; returns what --images takes."""
    folder.mkdir(exist_ok=True)
    for name, image in zip(NAMES, images, strict=True):
        image.save(folder / name)
    if not zipped:
        return folder
    with zipfile.ZipFile(folder / "heads.zip", "w") as archive:
        for name in NAMES:
            archive.write(folder / name, name)
    return folder / "heads.zip"


def measure(images: Path, out: Path) -> list[dict[str, str]]:
    """The rows of the file after a run."""
    words = ["rotation", "poses", "--images", str(images), "--landmarks", "mtcnn"]
    result = CliRunner().invoke(cli, [*words, "--device", "cpu", "--out", str(out)])
    assert result.exit_code == 0, result.output
    return rows_of(out)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["filename"])


def mark(path: Path, columns: Sequence[str]) -> None:
    """Give every row the yaw MARK, and the file these columns only."""
    rows = [row | {"yaw_deg": MARK} for row in rows_of(path)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_replaced_image_is_measured_again_and_the_others_are_not(
    heads: dict[float, Image.Image], tmp_path: Path, zipped: bool
) -> None:
    left, front, right = (heads[yaw] for yaw in YAWS)
    out = tmp_path / "poses.csv"
    images = write(tmp_path / "heads", [left, front, right], zipped)
    first = measure(images, out)
    np.testing.assert_allclose([float(row["yaw_deg"]) for row in first], YAWS, atol=12)
    mark(out, list(first[0]))
    assert [row["yaw_deg"] for row in measure(images, out)] == [MARK] * 3
    write(tmp_path / "heads", [left, right, right], zipped)
    again = measure(images, out)
    assert [row["filename"] for row in again] == list(NAMES)
    assert [row["yaw_deg"] for row in again] == [MARK, first[2]["yaw_deg"], MARK]


def test_a_file_of_before_fingerprints_is_trusted_once(
    heads: dict[float, Image.Image], tmp_path: Path
) -> None:
    left, front, right = (heads[yaw] for yaw in YAWS)
    out = tmp_path / "poses.csv"
    images = write(tmp_path / "heads", [left, front, right], zipped=False)
    measured = measure(images, out)
    old = [name for name in measured[0] if name != "content"]
    assert old == ["filename", "yaw_deg", "pitch_deg", "roll_deg", "confidence"]
    mark(out, old)
    assert [row["yaw_deg"] for row in measure(images, out)] == [MARK] * 3
    write(tmp_path / "heads", [left, left, right], zipped=False)
    found = [row["yaw_deg"] for row in measure(images, out)]
    assert found == [MARK, measured[0]["yaw_deg"], MARK]


def test_an_unreadable_image_is_measured_once_it_can_be_read(
    heads: dict[float, Image.Image], tmp_path: Path
) -> None:
    front = heads[0.0]
    out = tmp_path / "poses.csv"
    images = write(tmp_path / "heads", [front] * 3, zipped=False)
    whole = (images / "b.png").read_bytes()
    (images / "b.png").write_bytes(whole[:900])
    assert [bool(row["yaw_deg"]) for row in measure(images, out)] == [True, False, True]
    (images / "b.png").write_bytes(whole)
    assert len({row["yaw_deg"] for row in measure(images, out)}) == 1


def test_a_damaged_entry_of_a_zip_is_not_taken_for_a_replaced_image(
    heads: dict[float, Image.Image], tmp_path: Path
) -> None:
    out = tmp_path / "poses.csv"
    packed = write(tmp_path / "heads", [heads[0.0]] * 3, zipped=True)
    with zipfile.ZipFile(packed) as archive:
        entry = archive.getinfo("b.png")
    data = bytearray(packed.read_bytes())
    data[entry.header_offset + 200] ^= 255
    packed.write_bytes(data)
    assert [bool(row["yaw_deg"]) for row in measure(packed, out)] == [True, False, True]
    before = out.stat()
    measure(packed, out)
    after = out.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
