"""One reader for every CSV file: what it refuses, and which names it matches."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.cli.light_classifier import read_proposals
from rotation.data.csv_text import parse_rows
from rotation.data.image_names import match_keys, match_names, spellings
from rotation.errors import DatasetError
from rotation.poses.pose_csv import read_poses
from rotation.synthetic_heads.dataset import TRUTH, read_truth

PROPOSALS = "filename,p_left,p_center,p_right\na.jpg,1,0,0\n"


def test_cells_are_read_as_the_csv_module_reads_them() -> None:
    text = 'filename,note\r\n" a, ""b"".jpg","two\r\nlines"\r\n\r\n,\r\nc.jpg\r\n'
    rows = list(parse_rows(text, lambda cells: True))
    assert [(row.line, row.cells) for row in rows] == [
        (1, ["filename", "note"]),
        (2, [' a, "b".jpg', "two\r\nlines"]),
        (6, ["c.jpg"]),
    ]


def poses(path: Path) -> object:
    return read_poses(path)


def proposals(path: Path) -> object:
    return read_proposals(path)


def truth(path: Path) -> object:
    return read_truth(path.parent)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (poses, "filename,yaw_deg\na.jpg,3\n"),
        (proposals, PROPOSALS),
        (truth, "filename,light\na.jpg,left\n"),
    ],
)
def test_every_reader_refuses_columns_that_cannot_be(
    tmp_path: Path, read: object, text: str
) -> None:
    path = tmp_path / TRUTH
    header, row = text.splitlines()
    last = header.split(",")[-1]
    cases = {
        f"{header},{last}\n{row},1\n": "line 1: the columns",
        f" {last.upper()} ,{header}\n1,{row}\n": f"are both called '{last}'",
        f"{header},\n{row},x\n": "line 2: 'x' stands in column",
        f"{header},,z\n{row},x,\n": "line 2: 'x' stands in column",
        f"{header.replace(last, 'other')}\n{row}\n": f"the column '{last}' is missing",
    }
    for wrong, message in cases.items():
        path.write_text(wrong, "utf-8")
        with pytest.raises(DatasetError) as caught:
            read(path)  # type: ignore[operator]
        assert str(caught.value).startswith(f"{path}, line ")
        assert message in str(caught.value)
    for right in (f"{header},\n{row},\n,,\n", f",{header}\n0,{row}\n"):
        path.write_text(right, "utf-8")
        assert read(path)  # type: ignore[operator]


def test_proposals_about_one_image_twice(tmp_path: Path) -> None:
    path = tmp_path / "proposals.csv"
    path.write_text(PROPOSALS + "a.jpg,0,1,0\n", "utf-8")
    with pytest.raises(DatasetError, match=r"line 3, .*'a\.jpg' stands in line 2 already"):
        read_proposals(path)


def test_names_are_trimmed_only_where_that_is_needed() -> None:
    known = {"a.jpg", " b.jpg", "b.jpg", "c.jpg"}
    given_ = [" a.jpg", " b.jpg", "c.jpg\t", " c.jpg", "d.jpg "]
    assert match_names(given_, known) == ["a.jpg", " b.jpg", "c.jpg\t", " c.jpg", "d.jpg "]
    quoted = ['"e, ""f"".jpg"', '"\'-g.jpg" ', '"h.jpg"']
    assert match_names(quoted, {'e, "f".jpg', "-g.jpg", '"h.jpg"'}) == [
        'e, "f".jpg',
        "-g.jpg",
        '"h.jpg"',
    ]
    assert match_names(["'-e.jpg", "-f.jpg"], {"-e.jpg", "'-f.jpg"}) == ["-e.jpg", "'-f.jpg"]
    assert match_keys({" a.jpg": 1, "a.jpg": 2}, known) == {" a.jpg": 1, "a.jpg": 2}


names = st.text(alphabet=" \tab'\"-", min_size=1, max_size=4)


@given(st.lists(names, unique=True), st.sets(names))
def test_no_name_is_lost_and_none_is_given_twice(given_: list[str], known: set[str]) -> None:
    matched = match_names(given_, known)
    assert len(set(matched)) == len(given_)
    for before, after in zip(given_, matched, strict=True):
        assert after in spellings(before)
        assert before not in known or after == before


def test_a_list_may_name_an_image_twice() -> None:
    assert match_names(["a.jpg", "a.jpg "], {"a.jpg"}) == ["a.jpg", "a.jpg "]
    assert match_names(["a.jpg", "a.jpg "], {"a.jpg"}, doubles=True) == ["a.jpg", "a.jpg"]
