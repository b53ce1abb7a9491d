"""Labels and the tables beside the images, joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rotation.data.celeba import Tables, parse_attributes, parse_identities
from rotation.data.records import UNKNOWN, join_records
from rotation.errors import DatasetError


def test_refuses_images_that_are_not_in_the_set() -> None:
    with pytest.raises(DatasetError, match=r"1 of 2 labelled images .*'b\.png'"):
        join_records({"a.png": "left", "b.png": "left"}, ["a.png"], Tables())


def test_joins_the_probability_of_the_label() -> None:
    labels = {"c.png": "center", "b.png": "right"}
    records = join_records(labels, labels, Tables(), {"a.png": 0.7, "b.png": 0.6})
    assert records.probability is not None
    np.testing.assert_array_equal(records.probability, [np.nan, 0.6])
    assert records.take(np.array([1])).probability == [0.6]
    assert join_records(labels, labels, Tables()).probability is None


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
