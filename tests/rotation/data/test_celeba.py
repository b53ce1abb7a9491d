"""CelebA's text files, as distributed and as the mirror has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rotation.data.celeba import (
    LANDMARK_COLUMNS,
    find_tables,
    parse_attributes,
    parse_identities,
    parse_landmarks,
    parse_partitions,
    read_tables,
)
from rotation.errors import DatasetError

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "celeba10k"
TXT = {
    "list_attr_celeba.txt": "2\nBald Male Young\n000001.jpg -1  1 -1\n000002.jpg  1 -1  1\n",
    "identity_CelebA.txt": "000001.jpg 2880\n000002.jpg 2937\n",
    "list_eval_partition.txt": "000001.jpg 0\n000002.jpg 2\n",
    "list_landmarks_align_celeba.txt": "2\n" + " ".join(LANDMARK_COLUMNS) + "\n"
    "000001.jpg 69 109 106 113 77 142 73 152 108 154\n"
    "000002.jpg 69 110 107 112 81 135 70 151 108 153\n",
}
CSV = {
    "list_attr_celeba.csv": "image_id,Bald,Male,Young\n000001.jpg,-1,1,-1\n000002.jpg,1,-1,1\n",
    "identity_CelebA.csv": "image_id,identity\n000001.jpg,2880\n000002.jpg,2937\n",
    "list_eval_partition.csv": "image_id,partition\n000001.jpg,0\n000002.jpg,2\n",
    "list_landmarks_align_celeba.csv": "image_id," + ",".join(LANDMARK_COLUMNS) + "\n"
    "000001.jpg,69,109,106,113,77,142,73,152,108,154\n"
    "000002.jpg,69,110,107,112,81,135,70,151,108,153\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("files", [TXT, CSV], ids=["txt", "csv"])
def test_both_variants_say_the_same(tmp_path: Path, files: dict[str, str]) -> None:
    tables = read_tables(write(tmp_path, files))
    assert tables.attributes is not None
    assert tables.identities is not None
    assert tables.partitions is not None
    assert tables.landmarks is not None
    assert tables.attributes.columns == ("Bald", "Male", "Young")
    assert tables.attributes.values.tolist() == [[0, 1, 0], [1, 0, 1]]
    assert tables.attributes.index == {"000001.jpg": 0, "000002.jpg": 1}
    assert tables.identities.values[:, 0].tolist() == [2880, 2937]
    assert tables.partitions.values[:, 0].tolist() == [0, 2]
    assert tables.landmarks.columns == LANDMARK_COLUMNS
    assert tables.landmarks.values[1].tolist() == [69, 110, 107, 112, 81, 135, 70, 151, 108, 153]


def quoted(text: str) -> str:
    """A CSV text with quotes around each cell, as some programs write it."""
    rows = (",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines())
    return "".join(f"{row}\n" for row in rows)


def test_quoted_cells_say_the_same(tmp_path: Path) -> None:
    plain = read_tables(write(tmp_path / "plain", CSV))
    other = {name: quoted(text) for name, text in CSV.items()}
    tables = read_tables(write(tmp_path / "quoted", other))
    for kind in ("attributes", "identities", "partitions", "landmarks"):
        expected, found = getattr(plain, kind), getattr(tables, kind)
        assert found.filenames == expected.filenames == ("000001.jpg", "000002.jpg")
        assert found.columns == expected.columns
        assert found.values.tolist() == expected.values.tolist()


def test_a_comma_at_the_end_of_rows_without_a_header_is_passed_over(tmp_path: Path) -> None:
    text = "000001.jpg,7,\n000002.jpg,9,\n"
    found = read_tables(write(tmp_path / "commas", {"identity_CelebA.csv": text})).identities
    assert found is not None
    assert found.values.ravel().tolist() == [7, 9]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "image_id,Male,Bald,Male\na.jpg,1,1,1\n", "line 1: the columns 2 and 4 are both"),
        ("t.csv", "image_id,Male,\na.jpg,1,1\n", "line 2: '1' stands in column 3, which has no"),
        ("t.csv", "image_id,,Male\na.jpg,1,1\n", "line 2: '1' stands in column 2, which has no"),
        ("t.csv", 'image_id,A,B\na.jpg,"1 1",\n', "line 2, column 'A': '1 1' is not a whole num"),
        ("t.csv", "image_id,A,B\na.jpg,1,\n", "line 2, column 'B': '' is not a whole number"),
        ("t.csv", "image_id,A\n,1\n", "line 2: the filename is empty"),
        ("t.csv", 'image_id,A\n"a.jpg,1\n', "line 2: it is not CSV"),
        ("t.txt", "1\nMale Bald Male\na.jpg 1 1 1\n", "line 2: the columns 1 and 3 are both"),
    ],
)
def test_columns_and_cells_that_cannot_be(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = write(tmp_path, {name: text}) / name
    with pytest.raises(DatasetError) as caught:
        parse_attributes(path)
    assert str(caught.value).startswith(f"{path}, {message}")


def test_names_stand_first_as_they_are(tmp_path: Path) -> None:
    """Blanks go only from a name that no image has, and only if no other row has the rest."""
    text = "image_id,identity\n a.jpg,1\nb.jpg ,2\n c.jpg,3\nc.jpg,4\n"
    path = write(tmp_path, {"identity_CelebA.csv": text}) / "identity_CelebA.csv"
    table = parse_identities(path)
    assert table.filenames == (" a.jpg", "b.jpg ", " c.jpg", "c.jpg")
    known = {" a.jpg", "a.jpg", "b.jpg", "c.jpg"}
    assert table.match_names(known).filenames == (" a.jpg", "b.jpg", " c.jpg", "c.jpg")


def test_the_line_with_the_number_of_rows_may_be_missing(tmp_path: Path) -> None:
    lines = TXT["list_attr_celeba.txt"].split("\n", 1)[1]
    path = write(tmp_path, {"list_attr_celeba.txt": lines}) / "list_attr_celeba.txt"
    assert parse_attributes(path).values.tolist() == [[0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize("newline", ["\r\n", "\n\n"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(tmp_path: Path, newline: str) -> None:
    path = tmp_path / "identity_CelebA.txt"
    text = "﻿" + TXT["identity_CelebA.txt"].replace("\n", newline)
    path.write_bytes(text.encode())
    assert parse_identities(path).filenames == ("000001.jpg", "000002.jpg")


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_identities, "000001.jpg 1\n000002.jpg x\n", "line 2, .*: 'x' is not a whole number"),
        (
            parse_identities,
            "000001.jpg 1\n000002.jpg 9999999999999999999999\n",
            "line 2, .*: '9+' is",
        ),
        (parse_identities, "000001.jpg 1\n\n000002.jpg\n", "line 3: 1 values .* 0 found"),
        (parse_identities, "a.jpg 1\nb.jpg 2\na.jpg 3\n", r"line 3: a\.jpg stands in line 1"),
        (parse_identities, "a.jpg -4\n", "line 1, column 'identity': -4 is out of range. 0 to"),
        (
            parse_partitions,
            "a.jpg 0\nb.jpg 3\n",
            "line 2, column 'partition': 3 is out of range. 0 to 2 is",
        ),
        (parse_attributes, "2\nBald Male\na.jpg 1 1\nb.jpg 1\n", "line 4: 2 values .* 1 found"),
        (
            parse_attributes,
            "2\nBald Male\na.jpg 1 7\n",
            "line 3, column 'Male': 7 is out of range. -1 to 1 is",
        ),
        (parse_attributes, "a.jpg 1 1\n", "line 1: a line with the names of the columns"),
        (parse_landmarks, "a.jpg 1 2 3\n", "line 1: 10 values .* 3 found"),
    ],
)
def test_a_fault_is_told_with_file_and_line(
    tmp_path: Path, parse: object, text: str, message: str
) -> None:
    path = tmp_path / "table.txt"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        parse(path)  # type: ignore[operator]
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity_CelebA.txt"
    path.write_bytes(b"\xff\xfe\x00\x81\x00")
    with pytest.raises(DatasetError, match="not a CSV file: it is no text in UTF-16"):
        parse_identities(path)


@pytest.mark.parametrize("target", ["", "img_align_celeba", "img_align_celeba.zip", "Img"])
def test_the_files_are_found_beside_the_images(tmp_path: Path, target: str) -> None:
    write(tmp_path, {"identity_CelebA.txt": TXT["identity_CelebA.txt"]})
    write(tmp_path / "Anno", {"list_attr_celeba.txt": TXT["list_attr_celeba.txt"]})
    write(tmp_path / "Eval", {"list_eval_partition.csv": CSV["list_eval_partition.csv"]})
    (tmp_path / target).mkdir(exist_ok=True)
    found = find_tables(tmp_path / target)
    assert found.identities == tmp_path / "identity_CelebA.txt"
    assert found.attributes == tmp_path / "Anno" / "list_attr_celeba.txt"
    assert found.partitions == tmp_path / "Eval" / "list_eval_partition.csv"
    assert found.landmarks is None


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared/data/celeba10k is not here")
def test_real_celeba() -> None:
    tables = read_tables(SHARED)
    assert tables.attributes is not None
    assert tables.identities is not None
    assert tables.attributes.values.shape == (10_000, 40)
    assert "Male" in tables.attributes.columns
    assert set(np.unique(tables.attributes.values)) == {0, 1}
    assert tables.identities.filenames == tables.attributes.filenames


@pytest.mark.parametrize(
    "text",
    [
        "000001 2880\n000002 2937\n000003 8692\n",
        "000001,2880\n000002,2937\n000003,8692\n",
        "3\n000001 2880\n000002 2937\n000003 8692\n",
    ],
)
def test_a_table_without_header_and_suffixes_keeps_its_first_rows(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "identity_CelebA.txt"
    path.write_text(text)
    table = parse_identities(path)
    assert table.filenames == ("000001", "000002", "000003")
    assert table.values[:, 0].tolist() == [2880, 2937, 8692]


def test_a_row_without_suffix_below_an_image_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "identity_CelebA.txt"
    path.write_text("a.jpg 5\nb 6\nc.jpg 7\n")
    assert parse_identities(path).values[:, 0].tolist() == [5, 6, 7]
