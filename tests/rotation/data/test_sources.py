"""Folders and zips of images, read in place."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from rotation.data.sources import open_source
from rotation.errors import DatasetError, ImageError

FILES = {"b.jpg": b"bee", "a.PNG": b"ay", "sub/c.webp": b"sea"}
OTHERS = {"notes.txt": b"", ".hidden.jpg": b"", "__MACOSX/._b.jpg": b"", ".thumbs/d.jpg": b""}


def write_folder(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(params=["folder", "zip"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "folder":
        return write_folder(tmp_path / "images", FILES | OTHERS)
    return write_zip(tmp_path / "images.zip", FILES | OTHERS)


def test_only_images_are_named_and_sorted(path: Path) -> None:
    with open_source(path) as source:
        assert list(source.names()) == sorted(FILES)


def test_every_named_image_is_read(path: Path) -> None:
    with open_source(path) as source:
        assert {name: source.read(name) for name in source.names()} == FILES


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "sub/../../secret.jpg", "/etc/hostname", "", "a\\..\\b", "C:/x.jpg"]
)
def test_a_name_that_leaves_the_root_is_refused(path: Path, name: str) -> None:
    (path.parent / "secret.jpg").write_bytes(b"secret")
    with open_source(path) as source, pytest.raises(DatasetError, match="leaves the data set"):
        source.read(name)


def test_a_name_that_is_not_there_is_refused(path: Path) -> None:
    with open_source(path) as source, pytest.raises(DatasetError) as error:
        source.read("none.jpg")
    assert "'none.jpg': not in" in str(error.value)
    assert f"such as {min(FILES)!r}" in str(error.value)


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    write_folder(tmp_path / "outside", {"secret.jpg": b"secret"})
    root = write_folder(tmp_path / "images", FILES)
    (root / "link.jpg").symlink_to(tmp_path / "outside" / "secret.jpg")
    (root / "linked").symlink_to(tmp_path / "outside")
    with open_source(root) as source:
        assert list(source.names()) == sorted(FILES)
        for name in ("link.jpg", "linked/secret.jpg"):
            with pytest.raises(DatasetError, match="leads out of"):
                source.read(name)


def test_a_zip_entry_that_leaves_the_root_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bad.zip", {"ok.jpg": b"1", "../evil.jpg": b"2"})
    with pytest.raises(DatasetError, match="leaves the data set"):
        open_source(path)


def test_a_zip_with_backslashes_is_read_like_any_other(tmp_path: Path) -> None:
    names = ("img_align_celeba\\", "img_align_celeba\\a.jpg", "img_align_celeba\\sub\\b.jpg")
    path = write_zip(tmp_path / "windows.zip", {name: name.encode() for name in names})
    with open_source(path) as source:
        assert list(source.names()) == ["a.jpg", "sub/b.jpg"]
        assert source.read("sub/b.jpg") == names[2].encode()
    evil = write_zip(tmp_path / "evil.zip", {"ok.jpg": b"1", "..\\evil.jpg": b"2"})
    with pytest.raises(DatasetError, match="leaves the data set"):
        open_source(evil)


def test_a_zip_whose_names_are_not_in_their_encoding_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "names.zip", {"é.jpg": b"1"})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xff"))
    with pytest.raises(DatasetError, match="neither a folder nor a readable zip"):
        open_source(path)


def test_an_entry_that_holds_more_than_it_states_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.jpg", bytes(70_000))
    stated, claimed = (70_000).to_bytes(4, "little"), (9).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(stated, claimed))
    with open_source(path) as source, pytest.raises(ImageError, match=r"bomb\.jpg: damaged"):
        source.read("bomb.jpg")


def test_a_zip_that_holds_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.jpg", b"2")
    with pytest.raises(DatasetError, match=r"holds a\.jpg twice"):
        open_source(path)


@pytest.mark.parametrize("nesting", ["img_align_celeba", "img_align_celeba/img_align_celeba"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inside", ["", "Img"])
def test_celeba_is_found_and_its_folder_left_out_of_the_names(
    tmp_path: Path, nesting: str, packed: bool, inside: str
) -> None:
    root = tmp_path / "CelebA"
    (root / inside).mkdir(parents=True)
    files = {f"{nesting}/000001.jpg": b"1", f"{nesting}/000002.jpg": b"2"}
    if packed:
        write_zip(root / inside / "img_align_celeba.zip", files)
    else:
        write_folder(root / inside, files)
    (root / "list_attr_celeba.txt").write_text("")
    with open_source(root) as source:
        assert list(source.names()) == ["000001.jpg", "000002.jpg"]
        assert source.read("000002.jpg") == b"2"


def test_a_damaged_entry_is_an_error_of_that_image_only(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "images.zip", {"a.jpg": b"A" * 100, "b.jpg": b"B" * 100})
    path.write_bytes(path.read_bytes().replace(b"A" * 100, b"X" * 100))
    with open_source(path) as source:
        assert source.read("b.jpg") == b"B" * 100
        with pytest.raises(ImageError, match=r"a\.jpg: damaged in images\.zip"):
            source.read("a.jpg")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "nowhere", "no such file or folder"),
        (lambda p: p, "no images found"),
        (lambda p: write_folder(p, {"x.zip": b"PK no"}) / "x.zip", "neither a folder nor"),
        (lambda p: write_zip(p / "empty.zip", {"readme.txt": b""}), "no images found"),
    ],
)
def test_what_holds_no_images_is_refused(tmp_path: Path, make: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        open_source(make(tmp_path))  # type: ignore[operator]


def test_threads_may_read_one_zip_at_once(tmp_path: Path) -> None:
    files = {f"{i:03d}.jpg": bytes([i]) * 5_000 for i in range(100)}
    wrong: list[str] = []
    with open_source(write_zip(tmp_path / "images.zip", files)) as source:

        def read_all() -> None:
            wrong.extend(name for name, data in files.items() if source.read(name) != data)

        threads = [threading.Thread(target=read_all) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_reading_a_closed_zip_is_an_error(tmp_path: Path) -> None:
    source = open_source(write_zip(tmp_path / "images.zip", FILES))
    source.close()
    with pytest.raises(DatasetError, match="is closed"):
        source.read("b.jpg")
