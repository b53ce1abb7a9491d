"""Zip files that no import opens: each is refused with the reason, and nothing is registered."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest
from sqlalchemy import select

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import BrokenData
from labeler.image_imports.zip_check import check_images_at
from labeler.models.images import Dataset
from rotation.errors import DatasetError
from tests.labeler.acting import work
from tests.labeler.conftest import Visit
from tests.labeler.image_imports.uploading import Entry, make_zip, upload

SPECIAL = zipfile.ZipInfo("link.jpg")
SPECIAL.create_system = 3
SPECIAL.external_attr = (stat.S_IFLNK | 0o777) << 16
JPEG = b"\xff\xd8\xff\xe0 not a whole one"


def check(path: Path, content: bytes, most: int = 1000) -> None:
    path.write_bytes(content)
    check_images_at(path, most)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([("../../etc/a.jpg", JPEG)], "leads out of it"),
        ([("a.jpg", JPEG), ("/etc/passwd", b"x")], "leads out of it"),
        ([("a.jpg", JPEG), ("c:/windows/b.txt", b"x")], "leads out of it"),
        ([("..\\a.jpg", JPEG)], "leads out of it"),
        ([(SPECIAL, b"/etc/passwd")], "the link 'link.jpg'"),
    ],
)
def test_names_that_lead_out(tmp_path: Path, entries: list[Entry], words: str) -> None:
    with pytest.raises(BrokenData, match=r"Make a new zip file") as told:
        check(tmp_path / "a.zip", make_zip(entries))
    assert words in told.value.message


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice(tmp_path: Path) -> None:
    with pytest.raises(BrokenData, match=r"'a\.jpg' twice"):
        check(tmp_path / "a.zip", make_zip([("a.jpg", JPEG), ("a.jpg", JPEG)]))


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"PK\x05\x06", b"x" * 70_000])
def test_no_zip(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BrokenData, match=r"not a zip file, or it is cut off"):
        check(tmp_path / "a.zip", content)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_cut_off_in_the_middle(tmp_path: Path, part: float) -> None:
    whole = make_zip([(f"{number}.jpg", JPEG * 20) for number in range(50)])
    check(tmp_path / "whole.zip", whole)
    with pytest.raises(BrokenData, match="cut off"):
        check(tmp_path / "a.zip", whole[: int(part * len(whole))])


def test_a_bomb(tmp_path: Path) -> None:
    nothing = bytes(30 * 2**20)
    bomb = make_zip([(f"{number}.jpg", nothing) for number in range(10)], zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2 * 10**6
    with pytest.raises(BrokenData, match=r"would unpack to 314,572,800\..* zip bomb"):
        check(tmp_path / "a.zip", bomb)


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_too_many_images(tmp_path: Path, count: int) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(make_zip((f"{number}.jpg", b"") for number in range(count)))
    with pytest.raises(BrokenData, match=rf"{count:,} images; {count - 1:,} images are allowed"):
        check_images_at(path, count - 1)
    check_images_at(path, count)
    with pytest.raises(BrokenData, match=r"far more; 10 images are allowed"):
        check_images_at(path, 10)  # its directory is not even read


def test_a_folder_has_the_same_limit(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(JPEG)
    check_images_at(tmp_path, 3)
    with pytest.raises(BrokenData, match="3 images; 2 images are allowed"):
        check_images_at(tmp_path, 2)
    with pytest.raises(DatasetError):
        check_images_at(tmp_path / "nowhere", 2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no zip at all", "This is not a zip file"),
        (make_zip([("../a.jpg", JPEG)]), "leads out of it"),
        (make_zip([("readme.txt", b"nothing else")]), "no images found"),
    ],
)
def test_the_page_says_why(
    visit: Visit, db: Database, settings: Settings, content: bytes, words: str
) -> None:
    admin = visit("admin")
    import_id = upload(admin, "class", content)
    work(settings)
    page = admin.get(f"/admin/data-sets/imports/{import_id}").text
    assert "The images could not be added" in page
    assert words in page
    with db.read() as session:
        assert not session.scalars(select(Dataset)).all()
