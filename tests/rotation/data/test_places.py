"""CelebA as people have it: PNG, one zip for everything, links, and unpacking that was stopped."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

import pytest

from rotation.data import celeba, image_set
from rotation.data.celeba import find_tables, read_tables
from rotation.data.image_set import open_images, read_matching_tables
from rotation.data.sources import open_source
from rotation.errors import DatasetError, ImageError
from tests.rotation.data.test_sources import write_folder, write_zip

JPEGS = {f"{number:06d}.jpg": bytes([number]) for number in range(1, 4)}
ATTRIBUTES = b"image_id,Male\n000001.jpg,1\n000002.jpg,-1\n000003.jpg,1\n"
PARTITION = b"image_id,partition\n000001.jpg,0\n000002.jpg,1\n000003.jpg,2\n"
IDENTITY = b"000001.jpg 7\n000002.jpg 8\n000003.jpg 9\n"


def below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}


@pytest.mark.parametrize("folder", ["img_align_celeba_png", "img_align_celeba", "faces/all"])
def test_tables_fit_the_variant_in_png(tmp_path: Path, folder: str) -> None:
    pngs = {name.replace(".jpg", ".png"): data for name, data in JPEGS.items()}
    tables = {"list_attr_celeba.csv": ATTRIBUTES, "identity_CelebA.txt": IDENTITY}
    root = write_folder(tmp_path / "s", below(folder, pngs) | tables)
    with open_images(root) as source:
        found = read_matching_tables(root, source.names())
        assert found.attributes is not None
        assert found.identities is not None
        assert list(found.attributes.filenames) == list(source.names())
        assert list(found.identities.filenames) == list(source.names())


def test_a_clash_of_suffixes_is_not_mismatched(tmp_path: Path) -> None:
    both = {"000001.jpg": b"1", "000001.png": b"2", "000002.png": b"3"}
    root = write_folder(tmp_path / "s", both | {"list_attr_celeba.csv": ATTRIBUTES})
    with open_source(root) as source:
        table = read_matching_tables(root, source.names()).attributes
    assert table is not None
    assert table.filenames == ("000001.jpg", "000002.png", "000003.jpg")


def test_a_table_about_other_images_is_told_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The import linter, which another test runs, disables all loggers that it finds.
    monkeypatch.setattr(image_set.LOG, "disabled", False)
    files = {"x.jpg": b"1", "list_attr_celeba.csv": ATTRIBUTES}
    root = write_folder(tmp_path / "s", files)
    with caplog.at_level(logging.WARNING):
        assert read_matching_tables(root, ["x.jpg"]).attributes is None
    assert "list_attr_celeba.csv is not used: none of its 3 rows" in caplog.text


@pytest.mark.parametrize("tables_in", ["", "Anno/", "img_align_celeba/", "CelebA/Anno/"])
@pytest.mark.parametrize("images_in", ["", "img_align_celeba", "img_align_celeba/img_align_celeba"])
def test_tables_are_read_from_the_zip_of_the_images(
    tmp_path: Path, images_in: str, tables_in: str
) -> None:
    tables = {
        f"{tables_in}list_attr_celeba.csv": ATTRIBUTES,
        f"{tables_in}list_eval_partition.csv": PARTITION,
        f"{tables_in}identity_CelebA.txt": IDENTITY,
        f"__MACOSX/{tables_in}list_landmarks_align_celeba.csv": b"no table",
    }
    images = below(images_in, JPEGS) if images_in else JPEGS
    path = write_zip(tmp_path / "archive.zip", images | tables)
    with open_source(path) as source:
        found = read_tables(path).match_names(set(source.names()))
    assert found.attributes is not None
    assert found.attributes.path == path / f"{tables_in}list_attr_celeba.csv"
    assert found.partitions is not None
    assert found.partitions.values[:, 0].tolist() == [0, 1, 2]
    assert found.identities is not None
    assert found.identities.values[:, 0].tolist() == [7, 8, 9]
    assert found.landmarks is None


def test_a_table_beside_the_zip_goes_before_one_within_it(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", JPEGS | {"list_attr_celeba.csv": ATTRIBUTES})
    beside = path.with_name("list_attr_celeba.txt")
    beside.write_text("1\nYoung\n000001.jpg 1\n")
    assert find_tables(path).attributes == beside


def test_a_faulty_table_in_a_zip_is_named_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_zip(
        tmp_path / "a.zip", JPEGS | {"x/list_attr_celeba.csv": b"image_id,Male\na,5\n"}
    )
    with pytest.raises(
        DatasetError, match=r"a\.zip/x/list_attr_celeba\.csv, line 2, column 'Male': 5 is out"
    ):
        read_tables(path)
    monkeypatch.setattr(celeba, "MAX_BYTES", 2**20)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", b"1")
        archive.writestr("list_attr_celeba.csv", bytes(2**20 + 1))
    with pytest.raises(DatasetError, match="larger than 1 MiB"):
        read_tables(bomb)


def test_archives_in_a_place_without_images_are_named(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "img_align_celeba.zip", JPEGS)
    outer = write_zip(tmp_path / "outer.zip", {"Img/img_align_celeba.zip": inner.read_bytes()})
    with pytest.raises(DatasetError, match=r"not opened \(Img/img_align_celeba\.zip\).*unpack it"):
        open_source(outer)
    folder = write_folder(tmp_path / "f", {"archive.zip": inner.read_bytes(), "b.7z.001": b""})
    with pytest.raises(DatasetError, match=r"archive\.zip.*give the path of the zip itself"):
        open_source(folder)


@pytest.mark.parametrize("inside", ["", "Img"])
@pytest.mark.parametrize("unpacked", [0, 1, 3])
def test_the_place_with_more_images_is_taken_and_told(
    tmp_path: Path, inside: str, unpacked: int
) -> None:
    part = dict(list(JPEGS.items())[:unpacked])
    base = write_folder(tmp_path / "s" / inside, below("img_align_celeba", part))
    (base / "img_align_celeba").mkdir(parents=True, exist_ok=True)
    write_zip(base / "img_align_celeba.zip", below("img_align_celeba", JPEGS))
    with open_source(tmp_path / "s") as source:
        assert list(source.names()) == list(JPEGS)
        assert source.path.name == ("img_align_celeba" if unpacked == 3 else "img_align_celeba.zip")
        if unpacked < 3:
            assert f"holds {unpacked} images" in source.notes[0]
            assert "img_align_celeba.zip is taken" in source.notes[0]
        else:
            assert source.notes == ()


def test_a_damaged_zip_beside_a_whole_folder_is_told(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "s", below("img_align_celeba", JPEGS))
    (root / "img_align_celeba.zip").write_bytes(b"PK cut short")
    with open_source(root) as source:
        assert list(source.names()) == list(JPEGS)
        assert "neither a folder nor a readable zip" in source.notes[0]
    for image in (root / "img_align_celeba").iterdir():
        image.unlink()
    with pytest.raises(DatasetError, match=r"no images found.*neither a folder nor"):
        open_source(root)


def test_a_folder_that_was_given_is_taken_and_its_zip_told(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "faces", {"000001.jpg": b"1"})
    packed = write_zip(tmp_path / "faces.zip", JPEGS)
    with open_source(root) as source:
        assert list(source.names()) == ["000001.jpg"]
        assert f"{packed} beside it holds 3 images" in source.notes[0]
    (root / "000001.jpg").unlink()
    with pytest.raises(DatasetError, match=r"no images found.*faces\.zip"):
        open_source(root)


def annex(root: Path) -> Path:
    """A repository whose images are links into `.git/annex`, as git-annex and DVC make them."""
    write_folder(root / ".git" / "annex", {f"{name}.key": data for name, data in JPEGS.items()})
    (root / "img_align_celeba").mkdir()
    for name in JPEGS:
        (root / "img_align_celeba" / name).symlink_to(f"../.git/annex/{name}.key")
    return root


def test_links_within_the_data_set_are_read(tmp_path: Path) -> None:
    root = annex(tmp_path / "repository")
    with open_source(root) as source:
        assert {name: source.read(name) for name in source.names()} == JPEGS
    (root / ".git" / "annex" / "000002.jpg.key").unlink()
    with open_source(root) as source:
        assert source.read("000003.jpg") == JPEGS["000003.jpg"]
        with pytest.raises(ImageError, match=r"000002\.jpg: a link to \.\./\.git.*is not there"):
            source.read("000002.jpg")


def test_links_that_leave_the_data_set_are_told(tmp_path: Path) -> None:
    folder = annex(tmp_path / "repository") / "img_align_celeba"
    with pytest.raises(DatasetError, match=r"3 images are left out.*links that lead out"):
        open_source(folder)
    (folder / "own.jpg").write_bytes(b"own")
    (folder / "more").symlink_to(tmp_path)
    with open_source(folder) as source:
        assert list(source.names()) == ["own.jpg"]
        assert "3 images are left out" in source.notes[0]
        assert "1 linked folders are not searched (such as more)" in source.notes[1]
        with pytest.raises(DatasetError, match="leads out of"):
            source.read("000001.jpg")


def test_a_linked_image_folder_is_read(tmp_path: Path) -> None:
    write_folder(tmp_path / "elsewhere", JPEGS)
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "img_align_celeba").symlink_to(tmp_path / "elsewhere")
    with open_source(tmp_path / "s") as source:
        assert {name: source.read(name) for name in source.names()} == JPEGS
