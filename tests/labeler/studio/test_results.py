"""The files of a result: what is read of them, which are sent, and how small pictures are made."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from labeler.errors import BrokenData, NotFound
from labeler.studio.archive import stream_zip
from labeler.studio.pictures import (
    LARGE_PIXELS,
    measure_pictures,
    show_mean,
    show_picture,
    write_copies,
)
from labeler.studio.results import TurnResult, find_file, known_files, read_result
from labeler.studio.summary import read_summary
from tests.labeler.studio.turned import COMMAND, DOUBT, SIZE, YAWS, write_result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_result(tmp_path / "result")
    return tmp_path / "result"


def read(folder: Path) -> TurnResult:
    result = read_result(folder)
    assert result is not None
    return result


def opened(picture: Path | bytes) -> Image.Image:
    content = picture.read_bytes() if isinstance(picture, Path) else picture
    return Image.open(io.BytesIO(content))


def test_a_result_tells_its_frames_doubts_and_clusters(folder: Path) -> None:
    result = read(folder)
    assert [frame.yaw_deg for frame in result.frames] == list(YAWS)
    assert result.frames[0].file == "photograph_-020.0.png"
    assert [frame.doubt for frame in result.frames] == ["", "", DOUBT]
    assert [one.angle_deg for one in result.clusters] == [-20, -10, 0, 10, 20]
    assert {one.images for one in result.clusters} == {4}
    assert result.given_up[0] == "Smiling dropped"
    assert (result.light, result.command) == ("left", COMMAND)
    assert {"strip.png", "turn.gif", "report.html"} <= result.files


def test_without_photographs_the_frames_are_the_crops(tmp_path: Path) -> None:
    write_result(tmp_path, whole=False)
    result = read(tmp_path)
    assert result.frames[0].file == "frame_-020.0.png"
    assert [frame.reached for frame in result.frames] == [True, True, False]
    source = opened(show_picture(tmp_path, result, 0))
    assert source.width == source.height


def test_the_summary_tells_what_the_page_tells(folder: Path) -> None:
    result, summary = read(folder), read_summary(folder, "again")
    assert [one["file"] for one in summary["frames"]] == [one.file for one in result.frames]
    assert [one["doubt"] for one in summary["frames"]] == [None, None, DOUBT]
    assert summary["source"] == {"yaw_deg": result.source_yaw_deg, "light": "left"}
    assert set(summary["files"]) == {"strip", "means", "beside_means", "report", "gif", "webp"}
    assert (summary["command"], summary["fallback"]) == ("again", None)
    # The way that was asked for left photographs behind, then another one made the frames.
    path = folder / "report.json"
    report = json.loads(path.read_text())
    report["turn"]["fallback"] = "the face was too small"
    path.write_text(json.dumps(report))
    kinds = [one["file"][:5] for one in read_summary(folder, "")["frames"]]
    assert kinds == ["frame"] * 3
    (folder / "strip.png").unlink()
    with pytest.raises(BrokenData):
        read_summary(folder, "")


def test_the_middle_is_that_of_the_angles(tmp_path: Path) -> None:
    write_result(tmp_path, (30.0, -10.0, 10.0))
    assert read(tmp_path).middle == 2


def change(report: dict[str, Any], what: str) -> Any:
    match what:
        case "no frames":
            report["yaws_deg"] = []
        case "text":
            report["clusters"]["sizes"] = "many"
        case "fewer":
            report["clusters"]["sizes"] = [1]
        case "list":
            return [report]
        case "less":
            del report["turn"]
    return report


@pytest.mark.parametrize("what", ["no frames", "text", "fewer", "list", "less"])
def test_a_damaged_report_is_no_result(folder: Path, what: str) -> None:
    path = folder / "report.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()), what)))
    assert read_result(folder) is None


@pytest.mark.parametrize("name", ["report.json", "strip.png"])
def test_without_report_or_strip_there_is_no_result(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert read_result(folder) is None


def test_a_folder_that_is_gone_is_no_result(tmp_path: Path) -> None:
    assert read_result(tmp_path / "nowhere") is None
    assert known_files(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "name",
    ["../secret_key", "..", ".", "", "notes.txt", "strip.png.part", "frame_10.png", "a\0.png"],
)
def test_only_files_of_a_run_are_found(folder: Path, name: str) -> None:
    (folder.parent / "secret_key").write_text("secret")
    (folder / "notes.txt").write_text("private")
    with pytest.raises(NotFound):
        find_file(folder, name)


def test_a_link_is_no_file_of_a_run(folder: Path) -> None:
    secret = folder.parent / "secret_key"
    secret.write_text("secret")
    (folder / "grid.png").symlink_to(secret)
    with pytest.raises(NotFound):
        find_file(folder, "grid.png")
    assert "grid.png" not in known_files(folder)


def test_pictures_are_the_files_and_the_source_is_of_the_strip(folder: Path) -> None:
    result = read(folder)
    assert show_picture(folder, result, 1) == folder / "photograph_-020.0.png"
    source = opened(show_picture(folder, result, 0))
    strip = opened(folder / "strip.png")
    sizes = measure_pictures(folder, result)
    assert sizes is not None
    assert sizes.strip[0] == 4 * 124 < strip.width
    assert sizes.strip[1] / sizes.strip[0] == pytest.approx(strip.height / strip.width, rel=0.01)
    assert source.size == sizes.picture
    assert source.width / source.height == pytest.approx(SIZE[0] / SIZE[1])
    for number in (-1, 4):
        with pytest.raises(NotFound):
            show_picture(folder, result, number)


def test_of_large_photographs_small_copies_are_shown(tmp_path: Path) -> None:
    size = (1200, 1600)
    assert size[0] * size[1] > LARGE_PIXELS
    write_result(tmp_path, size=size, animations=())
    result = read(tmp_path)
    shown = opened(show_picture(tmp_path, result, 3))
    assert shown.size == (384, 512)
    whole = opened(tmp_path / result.frames[2].file)
    assert shown.getpixel((9, 9))[0] == whole.getpixel((9, 9))[0]  # type: ignore[index]


def test_the_copies_of_large_photographs_are_written_once(
    tmp_path: Path,
) -> None:
    write_result(tmp_path, size=(1200, 1600), animations=())
    result = read(tmp_path)
    cut = [opened(show_picture(tmp_path, result, number)) for number in range(4)]
    write_copies(tmp_path)
    (tmp_path / "strip.png").write_bytes(b"not read again")
    for number, before in enumerate(cut):
        shown = show_picture(tmp_path, result, number)
        assert isinstance(shown, Path)
        assert opened(shown).tobytes() == before.tobytes()
    assert "shown" not in " ".join(known_files(tmp_path))


def test_small_pictures_have_no_copies(folder: Path) -> None:
    write_copies(folder)
    assert [path.name for path in (folder / "shown").iterdir()] == ["0.png"]


def test_mean_faces_are_cut_from_their_sheet(folder: Path) -> None:
    result = read(folder)
    assert opened(show_mean(folder, result, 4)).size == (128, 128)
    with pytest.raises(NotFound):
        show_mean(folder, result, 5)
    (folder / "cluster_means.png").write_bytes(b"damaged")
    with pytest.raises(NotFound, match="damaged"):
        show_mean(folder, result, 0)


def test_a_damaged_strip_has_no_size(folder: Path) -> None:
    result = read(folder)
    (folder / "strip.png").write_bytes(b"damaged")
    assert measure_pictures(folder, result) is None


def test_the_zip_has_the_known_files(folder: Path) -> None:
    (folder / "notes.txt").write_text("private")
    archive = unzip(stream_zip(folder, "ada"))
    assert archive.testzip() is None
    assert archive.namelist() == [f"ada/{name}" for name in known_files(folder)]
    assert archive.read("ada/strip.png") == (folder / "strip.png").read_bytes()


def test_a_file_that_goes_away_is_left_out_of_the_zip(folder: Path) -> None:
    pieces = stream_zip(folder, "ada")
    first = next(pieces)
    (folder / "turn.webp").unlink()
    names = unzip(iter([first, *pieces])).namelist()
    assert "ada/turn.webp" not in names
    assert "ada/turn.gif" in names


def unzip(pieces: Iterator[bytes]) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
