"""Names of a file and names of an image set: suffixes, folders and clashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rotation.data.image_names import match_names, match_table_names


@pytest.mark.parametrize(
    ("names", "known", "expected"),
    [
        # CelebA's tables name .jpg files, and its other variant holds .png files.
        (["1.jpg", "2.jpg"], {"1.png", "2.png"}, ["1.png", "2.png"]),
        (["1.jpg"], {"img_align_celeba_png/1.png"}, ["img_align_celeba_png/1.png"]),
        (["1.jpg"], {"faces/1.jpg"}, ["faces/1.jpg"]),
        (["b/1.jpg"], {"a/b/1.png"}, ["a/b/1.png"]),
        (["1"], {"1.PNG"}, ["1.PNG"]),
        ([" 1.jpg "], {"1.png"}, ["1.png"]),
        (["one.v2.jpg"], {"one.v2.webp"}, ["one.v2.webp"]),
        # Both are there: each row belongs to its own image.
        (["1.jpg"], {"1.jpg", "1.png"}, ["1.jpg"]),
        (["1.jpg", "1.png"], {"1.jpg", "1.png"}, ["1.jpg", "1.png"]),
        (["1.jpg", "1.png"], {"1.png"}, ["1.jpg", "1.png"]),
        # Two images or two rows come into question: nothing is guessed.
        (["1.jpeg"], {"1.jpg", "1.png"}, ["1.jpeg"]),
        (["1.jpg", "1.bmp"], {"1.png"}, ["1.jpg", "1.bmp"]),
        (["1.jpg"], {"a/1.png", "b/1.png"}, ["1.jpg"]),
        # Another folder or another stem is another image.
        (["a/1.jpg"], {"b/1.jpg", "1.jpg"}, ["a/1.jpg"]),
        (["1.jpg"], {"11.png", "01.png"}, ["1.jpg"]),
        (["1.txt"], {"1.png"}, ["1.txt"]),
        # The image in the same folder goes before one in a deeper folder.
        (["1.jpg"], {"1.png", "old/1.png"}, ["1.png"]),
    ],
)
def test_a_name_means_the_one_image_that_differs_in_suffix_or_folder(
    names: list[str], known: set[str], expected: list[str]
) -> None:
    assert match_table_names(names, known) == expected


def test_labels_of_another_suffix_or_folder_are_about_other_images() -> None:
    rows = ["1.jpg", "a/2.png", " 3.png "]
    assert match_names(rows, {"1.png", "2.png", "3.png"}) == ["1.jpg", "a/2.png", "3.png"]


NAMES = st.from_regex(r"(a/)?(b/)?[12](\.jpg|\.png|\.PNG|)", fullmatch=True)


@given(st.lists(NAMES, unique=True), st.sets(NAMES))
def test_no_image_gets_two_rows_and_known_names_stay(names: list[str], known: set[str]) -> None:
    matched = match_table_names(names, known)
    assert len(set(matched)) == len(names)
    assert all(after == name for name, after in zip(names, matched, strict=True) if name in known)
    assert all(after in known for name, after in zip(names, matched, strict=True) if after != name)


def test_two_spellings_of_one_image_are_not_matched() -> None:
    """Neither row is better than the other, in whatever order they stand."""
    rows = [" a.jpg", "a.jpg "]
    assert match_names(rows, {"a.jpg"}) == rows
    assert match_names(rows, {"a.jpg"}, doubles=True) == ["a.jpg", "a.jpg"]
