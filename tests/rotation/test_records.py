"""labels.csv and the tables beside the images, joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rotation.dataset.celeba import Tables, parse_attributes, parse_identities
from rotation.errors import DatasetError
from rotation.records import UNKNOWN, join_records, read_labels, read_probabilities

EXPORT = (
    "image_id,filename,label,p_left,p_center,p_right,votes_left,votes_center,votes_right,"
    "votes_unsure,status,source\n"
    "1,000001.jpg,left,1,0,0,3,0,0,0,agreed,votes\n"
    "2,000002.jpg,,,,,1,1,0,0,contested,votes\n"
    "3,000003.jpg,right,0,0,1,0,0,3,0,agreed,votes\n"
)


def write(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_the_export_and_passes_over_rows_without_label(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, EXPORT))
    assert labels == {"000001.jpg": "left", "000003.jpg": "right"}


def test_needs_only_filename_and_label(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, "label,filename\ncenter,a.png\n")) == {"a.png": "center"}


def test_reads_a_byte_order_mark_and_carriage_returns(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "\ufefffilename,label\r\na.png,left\r\n"))
    assert labels == {"a.png": "left"}


@pytest.mark.parametrize("name", ["=sum.png", "+a.png", "-b.png", "@c.png", "'=odd.png"])
def test_undoes_the_apostrophe_of_neutralised_formulas(tmp_path: Path, name: str) -> None:
    assert list(read_labels(write(tmp_path, f"filename,label\n'{name},left\n"))) == [name]


def test_keeps_an_apostrophe_that_belongs_to_the_name(tmp_path: Path) -> None:
    assert list(read_labels(write(tmp_path, "filename,label\n'tis.png,left\n"))) == ["'tis.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,votes\na.png,3\n", "line 1: the column 'label' is missing"),
        ("name,label\na.png,left\n", "line 1: the column 'filename' is missing"),
        ("", "line 1: the column 'filename' is missing; found: nothing"),
        ("filename,label\na.png,left\nb.png,\na.png,right\n", "line 4: 'a.png' stands in line 2"),
        ("filename,label\na.png,\na.png,left\n", "line 3: 'a.png' stands in line 2"),
        ("filename,label\na.png,left\n./a.png,right\n", "line 3: 'a.png' stands in line 2"),
        ("filename,label\na.png,top\n", "line 2: unknown label 'top'; left, center, right"),
        ("filename,label\na.png\n", "line 2: the row is too short"),
        ("filename,label\n../a.png,left\n", "line 2: '../a.png': leaves the data set"),
        ("filename,label\n/etc/a.png,left\n", "line 2: '/etc/a.png': leaves the data set"),
        ("filename,label\na.png,\n", "no row has a label"),
    ],
)
def test_refuses_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError) as error:
        read_labels(write(tmp_path, text))
    assert message in str(error.value)


def test_refuses_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xff\xd8\xff\xe0\x00")
    with pytest.raises(DatasetError, match="not a CSV file"):
        read_labels(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_labels(tmp_path / "none.csv")


def test_refuses_images_that_are_not_in_the_set() -> None:
    with pytest.raises(DatasetError, match=r"1 of 2 labelled images .*'b\.png'"):
        join_records({"a.png": "left", "b.png": "left"}, ["a.png"], Tables())


def test_reads_the_probability_of_each_rows_own_label(tmp_path: Path) -> None:
    text = (
        "p_right,filename,label,p_left,p_center\n"
        "0.1,a.png,left,0.7,0.2\n"
        "0.6,b.png,right,0.3,0.1\n"
        ",c.png,center,,\n"
        "0.4,d.png,,0.3,0.3\n"
    )
    found = read_probabilities(write(tmp_path, text))
    assert found == {"a.png": 0.7, "b.png": 0.6}
    labels = {"c.png": "center", "b.png": "right"}
    records = join_records(labels, labels, Tables(), found)
    assert records.probability is not None
    np.testing.assert_array_equal(records.probability, [np.nan, 0.6])
    assert records.take(np.array([1])).probability == [0.6]
    assert join_records(labels, labels, Tables()).probability is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,label\na.png,left\n", "line 1: the column 'p_left' is missing"),
        (
            "filename,label,p_left,p_center,p_right\na.png,left,most,0,0\n",
            "line 2: 'most' is no probability",
        ),
        (
            "filename,label,p_left,p_center,p_right\na.png,left,1.2,0,0\n",
            "line 2: '1.2' is no probability",
        ),
        (
            "filename,label,p_left,p_center,p_right\na.png,left,nan,0,0\n",
            "line 2: 'nan' is no probability",
        ),
    ],
)
def test_refuses_probabilities_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError) as error:
        read_probabilities(write(tmp_path, text))
    assert message in str(error.value)


def test_joins_attributes_and_identities_and_says_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("2\nMale Young\na.png 1 -1\nb.png -1 1\n")
    (tmp_path / "i.txt").write_text("a.png 7\n")
    tables = Tables(
        attributes=parse_attributes(tmp_path / "a.txt"),
        identities=parse_identities(tmp_path / "i.txt"),
    )
    labels = {"b.png": "left", "c.png": "right", "a.png": "center"}
    records = join_records(labels, ["a.png", "b.png", "c.png"], tables)
    assert records.filenames == ("b.png", "c.png", "a.png")
    assert records.attribute("Male").tolist() == [0, UNKNOWN, 1]
    assert records.identities.tolist() == [UNKNOWN, UNKNOWN, 7]
    assert records.take(np.array([2])).filenames == ("a.png",)
    with pytest.raises(DatasetError, match="no attribute 'Bald'; known: Male, Young"):
        records.attribute("Bald")


def test_without_tables_all_is_unknown() -> None:
    records = join_records({"a.png": "left"}, ["a.png"], Tables())
    assert records.identities.tolist() == [UNKNOWN]
    assert records.attribute_names == ()
