"""labels.csv: written, read, and every file name between."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotation.data.formulas import guard_formula, unguard_formula
from rotation.data.image_source import safe_name
from rotation.data.labels_csv import (
    LabelRow,
    read_azimuths,
    read_labels,
    read_probabilities,
    stream_label_rows,
)
from rotation.errors import DatasetError
from tests.names import AWKWARD_NAMES

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
        (
            "filename,label\na.png,left\nb.png,\na.png,right\n",
            "line 4, column 'filename': 'a.png' stands in line 2",
        ),
        (
            "filename,label\na.png,\na.png,left\n",
            "line 3, column 'filename': 'a.png' stands in line 2",
        ),
        (
            "filename,label\na.png,left\n./a.png,right\n",
            "line 3, column 'filename': 'a.png' stands in line 2",
        ),
        (
            "filename,label\na.png,top\n",
            "line 2, column 'label': unknown label 'top'. left, center, right are",
        ),
        ("label,filename,label\n", "line 1: the columns 1 and 3 are both called 'label'"),
        ("filename,,label\na.png,x,left\n", "line 2: 'x' stands in column 2, which has no name"),
        (",label\na.png,left\n", "line 1: the column 'filename' is missing; found: (no name), lab"),
        ("filename,label,,\na.png,left,,x\n", "line 2: 'x' stands in column 4, which has no name"),
        ("filename,label\na,b.png,left\n", "line 2: 'left' stands in column 3, which has no"),
        ("filename,label\na.png\n", "no row has one of the labels left, center, right"),
        (
            "filename,label\n../a.png,left\n",
            "line 2, column 'filename': '../a.png': leaves the data set",
        ),
        (
            "filename,label\n/etc/a.png,left\n",
            "line 2, column 'filename': '/etc/a.png': leaves the data set",
        ),
        ("filename,label\na.png,\n", "no row has one of the labels left, center, right"),
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


def test_reads_the_probability_of_each_rows_own_label(tmp_path: Path) -> None:
    text = (
        "p_right,filename,label,p_left,p_center\n"
        "0.1,a.png,left,0.7,0.2\n"
        "0.6,b.png,right,0.3,0.1\n"
        ",c.png,center,,\n"
        "0.4,d.png,,0.3,0.3\n"
        "0,e.png,left,nan,0\n"
    )
    found = read_probabilities(write(tmp_path, text))
    assert found == {"a.png": 0.7, "b.png": 0.6}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,label\na.png,left\n", "line 1: the column 'p_left' is missing"),
        (
            "filename,label,p_left,p_center,p_right\na.png,left,most,0,0\n",
            "line 2, column 'p_left': 'most' is no number. Numbers from 0 to 1 are allowed",
        ),
        (
            "filename,label,p_left,p_center,p_right\na.png,left,1.2,0,0\n",
            "line 2, column 'p_left': '1.2' is out of range. Numbers from 0 to 1 are allowed",
        ),
    ],
)
def test_refuses_probabilities_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError) as error:
        read_probabilities(write(tmp_path, text))
    assert message in str(error.value)


def test_reads_azimuths_where_there_are_any(tmp_path: Path) -> None:
    text = "filename,p_left,azimuth_deg\na.png,0.7,-42.5\nb.png,0.3,\nc.png,0.1,nan\nd.png,,180\n"
    path = write(tmp_path, text)
    assert read_azimuths(path) == {"a.png": -42.5, "d.png": 180.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("filename,label\na.png,left\n", "the column 'azimuth_deg' is missing"),
        ("filename,azimuth_deg\na.png,\n", "no row has a number in the column 'azimuth_deg'"),
        ("filename,azimuth_deg\na.png,181\n", "Numbers from -180 to 180 are allowed"),
        ("filename,azimuth_deg\na.png,west\n", "line 2, column 'azimuth_deg': 'west' is no number"),
    ],
)
def test_refuses_azimuths_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError) as error:
        read_azimuths(write(tmp_path, text))
    assert message in str(error.value)


def row(filename: str, label: str | None = "left") -> LabelRow:
    return LabelRow(
        image_id=1,
        filename=filename,
        label=label,
        probabilities=(0.5, 0.25, 0.25) if label else None,
        votes=(2, 1, 1, 0),
        status="agreed" if label else "contested",
        source="votes",
        method="a-rule-1",
    )


def write_rows(folder: Path, rows: list[LabelRow]) -> Path:
    path = folder / "labels.csv"
    path.write_bytes("".join(stream_label_rows(rows)).encode())
    return path


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_an_awkward_name_survives(tmp_path: Path, name: str) -> None:
    path = write_rows(tmp_path, [row("before.png"), row(name, "right"), row("after.png")])
    assert read_labels(path) == {"before.png": "left", name: "right", "after.png": "left"}
    assert read_probabilities(path) == {"before.png": 0.5, name: 0.25, "after.png": 0.5}


def is_legal(name: str) -> bool:
    try:
        return safe_name(name) == name and bool(name.strip())
    except DatasetError:
        return False


hard = st.text(alphabet=st.sampled_from("'=+-@\t\r\n \",;ab./\u00e9\u2028"), max_size=8)
names = (hard | st.text(st.characters(exclude_categories=("Cs",)), max_size=20)).filter(is_legal)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(names, min_size=1, max_size=5, unique=True))
def test_every_legal_name_survives(tmp_path: Path, names: list[str]) -> None:
    assert list(read_labels(write_rows(tmp_path, [row(name) for name in names]))) == names


@given(
    st.text(alphabet=st.sampled_from("'=+-@\t\r\n\uff1d\uff20ab"), max_size=6)
    | st.text(max_size=20)
)
def test_guarded_text_starts_no_formula_and_the_guard_comes_off(text: str) -> None:
    guarded = guard_formula(text)
    assert unguard_formula(guarded) == text
    assert not guarded.startswith(tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"))


def test_the_file_has_the_form_of_the_export(tmp_path: Path) -> None:
    path = write_rows(tmp_path, [row("=a, b.png"), row("c.png", None)])
    assert path.read_text(encoding="utf-8") == (
        "image_id,filename,label,p_left,p_center,p_right,votes_left,votes_center,votes_right,"
        "votes_unsure,status,source,method\n"
        '1,"\'=a, b.png",left,0.500000,0.250000,0.250000,2,1,1,0,agreed,votes,a-rule-1\n'
        "1,c.png,,,,,2,1,1,0,contested,votes,a-rule-1\n"
    )


@pytest.mark.parametrize("word", ["unsure", "Contested", " open ", "boundary", "none", "nan"])
def test_passes_over_words_that_say_there_is_no_label(tmp_path: Path, word: str) -> None:
    text = f"filename,label,p_left,p_center,p_right\na.png,{word},1,0,0\nb.png, Left,1,0,0\n"
    path = write(tmp_path, text)
    assert read_labels(path) == {"b.png": "left"}
    assert read_probabilities(path) == {"b.png": 1.0}


def test_allows_blanks_in_the_header(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, "filename, label\na.png,left\n")) == {"a.png": "left"}


def test_a_row_without_a_label_keeps_its_image(tmp_path: Path) -> None:
    """The undecided `a.jpg` must not get the label of ` a.jpg`, which is no image of the set."""
    path = write(tmp_path, "filename,label\na.jpg,\n a.jpg,left\n b.jpg,right\n")
    assert read_labels(path, {"a.jpg", "b.jpg"}) == {" a.jpg": "left", "b.jpg": "right"}
