"""Every table that people send, in every form in which programs write it.

docs/experiments/file_formats.md lists the kinds.
"""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labeler.cli.light_classifier import read_proposals
from labeler.csv_input import read_filenames, read_gold_csv, read_upload
from labeler.errors import BrokenData
from rotation.data.celeba import LANDMARK_COLUMNS, read_tables
from rotation.data.csv_text import DELIMITERS, MAX_BYTES
from rotation.data.labels_csv import read_labels, read_probabilities
from rotation.errors import DatasetError
from rotation.poses.pose_cache import read_pose_cache
from rotation.poses.pose_csv import read_poses
from rotation.synthetic_heads.dataset import TRUTH, read_truth

Rows = list[list[str]]
NAMES = ["é 1.jpg", " 2.jpg", "'-3.jpg", "d/4, a.jpg"]
READ_NAMES = ["é 1.jpg", " 2.jpg", "-3.jpg", "d/4, a.jpg"]  # the site's apostrophe comes off


@dataclass(frozen=True)
class Entrance:
    """A table: its columns after the filename, a row of values for each name, and its reader."""

    columns: Sequence[str]
    values: Sequence[Sequence[str]]
    read: Callable[[Path], object]
    file: str = "table.csv"
    key: str = "filename"

    def rows(self) -> Rows:
        body = ([name, *cells] for name, cells in zip(NAMES, self.values, strict=True))
        return [[self.key, *self.columns], *body]


def _gold(path: Path) -> object:
    with path.open("rb") as file:
        found = read_gold_csv(read_upload(file))
    return [(line.filename, line.label, line.explanation) for line in found.lines]


def _list(path: Path) -> object:
    with path.open("rb") as file:
        return read_filenames(read_upload(file))


def _table(kind: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        table = getattr(read_tables(path.parent), kind)
        return table.filenames, table.columns, table.values.tolist()

    return read


LABELS = [["left"], ["center"], ["right"], ["left"]]
SHARES = [["0.5", "0.25", "0.25"], ["1", "0", "0"], ["0.25", "0.25", "0.5"], ["0", "0.5", "0.5"]]
ENTRANCES = {
    "labels": Entrance(["label"], LABELS, read_labels),
    "probabilities": Entrance(
        ["label", "p_left", "p_center", "p_right"],
        [[*label, *share] for label, share in zip(LABELS, SHARES, strict=True)],
        read_probabilities,
    ),
    "poses": Entrance(
        ["yaw_deg", "confidence"], [["-30.5", "1"], ["", "0"], ["12", "0.5"], ["3", ""]], read_poses
    ),
    "cache": Entrance(["yaw_deg"], [["-30.5"], [""], ["12"], ["3"]], read_pose_cache),
    "proposals": Entrance(["p_left", "p_center", "p_right"], SHARES, read_proposals),
    "truth": Entrance(["light"], LABELS, lambda path: read_truth(path.parent), TRUTH),
    "gold": Entrance(
        ["label", "explanation"], [[*label, 'è qui; là, "là"'] for label in LABELS], _gold
    ),
    "list": Entrance(["label"], LABELS, _list),
    "attributes": Entrance(
        ["Male", "5_o_Clock"],
        [["1", "-1"], ["-1", "-1"], ["1", "1"], ["-1", "1"]],
        _table("attributes"),
        "list_attr_celeba.csv",
        "image_id",
    ),
    "identities": Entrance(
        ["identity"], [["7"], ["8"], ["9"], ["7"]], _table("identities"), "identity_CelebA.csv"
    ),
    "partitions": Entrance(
        ["partition"],
        [["0"], ["1"], ["2"], ["0"]],
        _table("partitions"),
        "list_eval_partition.csv",
        "image_id",
    ),
    "landmarks": Entrance(
        LANDMARK_COLUMNS,
        [[str(number + row) for number in range(10)] for row in range(4)],
        _table("landmarks"),
        "list_landmarks_align_celeba.csv",
        "image_id",
    ),
}


def write(rows: Iterable[Sequence[str]], sign: str = ",", end: str = "\n", quote: int = 0) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=sign, lineterminator=end, quoting=quote).writerows(rows)
    return file.getvalue()


def european(rows: Rows) -> Rows:
    """Numbers with a decimal comma, as spreadsheets write them together with semicolons."""
    return [[re.sub(r"^(-?\d+)\.(\d+)$", r"\1,\2", cell) for cell in row] for row in rows]


def indexed(rows: Rows, name: str) -> Rows:
    return [[name, *rows[0]], *([str(i), *row] for i, row in enumerate(rows[1:]))]


def padded(rows: Rows) -> Rows:
    """Blanks around all cells but the filenames, and in the header."""
    header, *body = [[f" {cell}\t" for cell in row] for row in rows]
    return [header, *([name, *row[1:]] for (name, *_), row in zip(rows[1:], body, strict=True))]


def capitals(rows: Rows) -> Rows:
    """The words of labels, and the names of those columns that are looked up by name."""
    header = [name if name in ("Male", "5_o_Clock") else name.upper() for name in rows[0]]
    words = [[row[0], *(c.title() if [c] in LABELS else c for c in row[1:])] for row in rows[1:]]
    return [header, *words]


def trailing(rows: Rows, count: int) -> Rows:
    return [[*row, *[""] * count] for row in rows]


def scattered(rows: Rows) -> Rows:
    """Rows of nothing but delimiters and blanks, as cleared cells leave them."""
    empty = [""] * len(rows[0])
    return [empty, rows[0], [], rows[1], [" "] * (len(empty) + 2), *rows[2:], empty, empty]


FORMS: dict[str, Callable[[Rows], bytes]] = {
    "semicolon": lambda rows: write(european(rows), ";").encode(),
    "tab": lambda rows: write(rows, "\t").encode(),
    "bar": lambda rows: write(rows, "|").encode(),
    "sep": lambda rows: b"sep=;\r\n" + write(rows, ";", "\r\n").encode(),
    "sep-tab": lambda rows: b'"SEP=\t"\r\n' + write(rows, "\t", "\r\n").encode(),
    "sep-wrong": lambda rows: b"sep=;\n" + write(rows).encode(),
    "spreadsheet": lambda rows: write(european(rows), ";", "\r\n").encode("utf-8-sig"),
    "carriage-return": lambda rows: write(rows, end="\r").encode(),
    "windows-1252": lambda rows: write(rows, ";", "\r\n").encode("windows-1252"),
    "utf-16": lambda rows: write(rows, "\t", "\r\n").encode("utf-16"),
    "utf-16-be": lambda rows: b"\xfe\xff" + write(rows).encode("utf-16-be"),
    "utf-8-two-marks": lambda rows: ("\ufeff\ufeff" + write(rows)).encode(),
    "quotes": lambda rows: write(rows, quote=csv.QUOTE_ALL).encode(),
    "blanks": lambda rows: write(rows, quote=csv.QUOTE_ALL).replace('","', '", "').encode(),
    "blanks-in-cells": lambda rows: write(padded(rows)).encode(),
    "capitals": lambda rows: write(capitals(rows)).encode(),
    "empty-rows": lambda rows: write(scattered(rows)).encode(),
    "empty-columns": lambda rows: write(trailing(rows, 3), ";").encode(),
    "pandas-index": lambda rows: write(indexed(rows, "")).encode(),
    "rows-twice": lambda rows: write([*rows, *rows[1:]]).encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_every_entrance_reads_every_form(tmp_path: Path, entrance: str, form: str) -> None:
    table = ENTRANCES[entrance]
    path = tmp_path / table.file
    path.write_bytes(write(table.rows()).encode())
    plain = table.read(path)
    path.write_bytes(FORMS[form](table.rows()))
    assert table.read(path) == plain
    assert names_in(plain) == READ_NAMES


def names_in(found: Any) -> list[str]:
    """The filenames of a table, of a dictionary, or of a list of names or of tuples."""
    names = found[0] if isinstance(found, tuple) else found
    return [one[0] if isinstance(one, tuple) else one for one in names]


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_columns_that_are_refused(tmp_path: Path, entrance: str) -> None:
    """Two columns of one name, no name for a column that is needed, and values without a name."""
    table = ENTRANCES[entrance]
    header, *body = table.rows()
    wide = [[*row, row[-1]] for row in body]
    is_table = table.key == "image_id" or entrance == "identities"  # its names are places
    cases = {
        write([[*header, header[-1]], *wide]): "are both called",
        write([[*header, ""], *wide]): f"stands in column {len(header) + 1}, which has no name",
        write([["", *header[1:]], *body]): "the column 'filename' is missing; found: (no name)",
    }
    for text, message in cases.items():
        if is_table and "is missing" in message:
            continue
        assert message in refusal(table, tmp_path, text.encode())


def refusal(table: Entrance, folder: Path, data: bytes) -> str:
    """The message with which an entrance refuses a file."""
    path = folder / table.file
    path.write_bytes(data)
    with pytest.raises((DatasetError, BrokenData)) as caught:
        table.read(path)
    return str(caught.value)


# The program's own cache is read without a last line that a crash has cut short.
@pytest.mark.parametrize("entrance", [one for one in ENTRANCES if one != "cache"])
def test_what_is_no_text_is_refused(tmp_path: Path, entrance: str) -> None:
    """The message says what the file is, or on which line, and how to save it."""
    table = ENTRANCES[entrance]
    plain = write(table.rows())
    cases = {
        b"PK\x03\x04" + bytes(40): "an Excel workbook or a zip file",
        b"\xd0\xcf\x11\xe0" + bytes(40): "an old Excel workbook",
        b"\x1f\x8b\x08" + bytes(40): "compressed with gzip; unpack it first",
        plain.encode() + b"\0\n": "ine 6: not a CSV file: a NUL character",
        plain.encode() + b"\xe8,x\n": "ine 6: not a CSV file: it is partly UTF-8",
        plain.encode("utf-16") + b"x": "no text in UTF-16",
        b"\x81\n" + plain.encode("windows-1252"): "no text in UTF-8",
    }
    for data, message in cases.items():
        said = refusal(table, tmp_path, data)
        assert message in said
        assert "Save it as 'CSV UTF-8'" in said


@pytest.mark.parametrize(
    ("encoding", "word"),
    [("cp1251", "слева"), ("koi8-r", "слева"), ("cp1253", "αριστερά"), ("cp1255", "שמאל")],
)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_another_code_page_is_refused(
    tmp_path: Path, entrance: str, encoding: str, word: str
) -> None:
    """Read as Windows-1252 it would give names and explanations that nobody has written."""
    table = ENTRANCES[entrance]
    header, *body = table.rows()
    rows = [header, *([f"{word} {number}.jpg", *row[1:]] for number, row in enumerate(body))]
    text = write(rows, ";", "\r\n").replace("è qui; là", word).replace("là", word)
    said = refusal(table, tmp_path, text.encode(encoding))
    assert "ine 2: not a CSV file: it is neither UTF-8 nor Windows-1252" in said
    assert "Save it as 'CSV UTF-8'." in said


@pytest.mark.parametrize(
    "note", ["É", "à", "été", "là", "Über Größe", "20×30 «è»", "Çà et là, déjà", "naïve façade"]
)
def test_western_accents_are_read(note: str) -> None:
    data = f'filename,label,explanation\na.jpg,left,"{note}"\n'.encode("windows-1252")
    assert [line.explanation for line in read_gold_csv(read_upload(io.BytesIO(data))).lines] == [
        note
    ]


@pytest.mark.parametrize("word", ["None", "nan", "N/A"])
def test_an_explanation_may_be_any_word(word: str) -> None:
    text = f"filename,label,explanation\na.jpg,left, {word} \nb.jpg,left,\nc.jpg,left\n"
    assert [line.explanation for line in read_gold_csv(text).lines] == [word, "", ""]


@pytest.mark.parametrize("line", ["sep= ", "sep=", '"sep=x"', "SEP=:", "sep= ,,,"])
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_sep_with_another_delimiter_is_refused(tmp_path: Path, entrance: str, line: str) -> None:
    table = ENTRANCES[entrance]
    said = refusal(table, tmp_path, f"{line}\n{write(table.rows())}".encode())
    assert "ine 1: " in said
    assert "names no delimiter that can be read" in said
    assert "sep=, and sep=; are allowed" in said


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_a_quote_that_is_never_closed(tmp_path: Path, entrance: str) -> None:
    table = ENTRANCES[entrance]
    text = write([*table.rows(), ['a"b.jpg']]).replace('"a""b.jpg"', '"a') + "x\n" * 100_000
    said = refusal(table, tmp_path, text.encode())
    assert "ine 6: it is not CSV: a cell has more than 131,072 characters" in said
    assert len(said) < 600


@pytest.mark.parametrize("entrance", ["labels", "poses", "proposals", "gold", "partitions"])
def test_all_wrong_lines_are_told_up_to_twenty(tmp_path: Path, entrance: str) -> None:
    table = ENTRANCES[entrance]
    header = table.rows()[0]
    wrong = [[f"{number}.jpg", *["?" * 200] * (len(header) - 1)] for number in range(2, 32)]
    said = refusal(table, tmp_path, write([header, *wrong]).encode())
    assert [int(one) for one in re.findall(r"ine (\d+), column '", said)] == [*range(2, 22)]
    assert "and 10 more wrong lines" in said
    assert said.count("allowed") + said.count("needed") <= 1
    assert len(said) < 3500


@pytest.mark.parametrize("entrance", [one for one in ENTRANCES if one not in ("list", "cache")])
def test_rows_that_differ_about_an_image(tmp_path: Path, entrance: str) -> None:
    table = ENTRANCES[entrance]
    header, first, second, *_ = table.rows()
    said = refusal(table, tmp_path, write([header, first, [first[0], *second[1:]]]).encode())
    assert "ine 3" in said
    assert "stands in line 2 already" in said


WITHOUT_LABEL = ["", "nan", "NaN", "<NA>", "None", "unsure", " Unsure ", "skip", "skipped", "open"]


@pytest.mark.parametrize("word", [*WITHOUT_LABEL, "contested", "boundary", "null", "N/A"])
def test_words_for_no_label(tmp_path: Path, word: str) -> None:
    rows = [["filename", "label"], ["a.jpg", word], ["b.jpg", " Left "]]
    path = tmp_path / "labels.csv"
    path.write_text(write(rows), "utf-8")
    assert read_labels(path) == {"b.jpg": "left"}
    assert read_gold_csv(write(rows)).without_label == 1
    assert names_in(_gold(path)) == ["b.jpg"]


def test_a_row_that_ends_early_has_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("filename,label,yaw_deg\na.jpg\nb.jpg,left\nc.jpg,left,3\n")
    assert read_labels(path) == {"b.jpg": "left", "c.jpg": "left"}
    assert {name: pose[3] for name, pose in read_poses(path).items()} == {
        "a.jpg": 0,
        "b.jpg": 0,
        "c.jpg": 1,
    }
    assert names_in(_gold(path)) == ["b.jpg", "c.jpg"]


@pytest.mark.parametrize(
    "text",
    [
        "2\nMale Young\na.jpg -1  1\nb.jpg  1 -1\n",
        "2\r\nMale\tYoung\r\na.jpg\t-1\t1\r\n\r\nb.jpg\t1\t-1\r\n",
        "image_id Male Young\ra.jpg -1 1\rb.jpg 1 -1\r",
        '"image_id","Male","Young"\n"a.jpg","-1","1"\n"b.jpg","1","-1"\n',
        "image_id, Male, Young\na.jpg, -1, 1\nb.jpg, 1, -1\n",
        "Unnamed: 0,image_id,Male,Young\n0,a.jpg,-1.0,1\n1,b.jpg,1.0,-1\n",
        ",image_id,Male,Young\n0,a.jpg,-1,1\n1,b.jpg,1,-1\n",
        ",Male,Young\na.jpg,-1,1\nb.jpg,1,-1\n",
        "Male;Young;FILENAME\n-1;1,0;a.jpg\n1;-1,0;b.jpg\n",
        "sep=\t\npicture\tMale\tYoung\na.jpg\t-1\t1\nb.jpg\t1\t-1\n",
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".csv"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_attributes_in_every_form(tmp_path: Path, text: str, suffix: str, encoding: str) -> None:
    (tmp_path / f"list_attr_celeba{suffix}").write_bytes(text.encode(encoding))
    table = read_tables(tmp_path).attributes
    assert table is not None
    assert (table.filenames, table.columns) == (("a.jpg", "b.jpg"), ("Male", "Young"))
    assert table.values.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg 1\nb.jpg 2\n",
        "a.jpg,1\nb.jpg,2\n",
        "a.jpg;1,0\nb.jpg;2,0\n",
        "0,a.jpg,1\n1,b.jpg,2\n",
        ",0\na.jpg,1\nb.jpg,2\n",
        "image_id,other,Partition\na.jpg,x,1\nb.jpg,,2\n",
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_partitions_with_and_without_a_header(tmp_path: Path, text: str, suffix: str) -> None:
    (tmp_path / f"list_eval_partition{suffix}").write_text(text)
    table = read_tables(tmp_path).partitions
    assert table is not None
    assert (table.filenames, table.values.ravel().tolist()) == (("a.jpg", "b.jpg"), [1, 2])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.jpg\r\n\r\n b.jpg\r\n;;\n", ["a.jpg", " b.jpg"]),
        ("a, b.jpg\nc;d.jpg\n", ["a, b.jpg", "c;d.jpg"]),
        ("FileName\n'-a.jpg\n", ["-a.jpg"]),
        ("sep=;\nid;filename\n1;a.jpg\n", ["a.jpg"]),
        ("id\tfilename\t\n1\ta.jpg\t\n", ["a.jpg"]),
    ],
)
def test_lists_of_images(text: str, names: list[str]) -> None:
    assert read_filenames(text) == names


@pytest.mark.parametrize("text", ["name,label\na.jpg,left\n", "name;label\na.jpg;left\n"])
def test_a_list_without_the_column(text: str) -> None:
    with pytest.raises(BrokenData, match="the column 'filename' is missing; found: name, label"):
        read_filenames(text)


class Endless(io.RawIOBase):
    """A file that never ends."""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert 0 < size <= MAX_BYTES + 1
        return b"," * size


def test_a_file_that_never_ends() -> None:
    with pytest.raises(BrokenData, match="more than 256 MiB"):
        read_upload(Endless())


def test_odd_files_end_soon(tmp_path: Path) -> None:
    """A line of very many delimiters, and very many rows that are all wrong."""
    table = ENTRANCES["labels"]
    assert "is missing; found" in refusal(table, tmp_path, b"x" + b"," * 50_000)
    rows = "".join(f"{number}.jpg,top\n" for number in range(2_000))
    said = refusal(table, tmp_path, f"filename,label\n{rows}".encode())
    assert "and 1,980 more wrong lines" in said
    for sign in (" ", *DELIMITERS):  # 64 K blanks took 20 seconds where a blank was the delimiter
        started = time.process_time()
        text = f"sep={sign}\nfilename{sign}{' ' * 70_000}x\na.jpg{sign}left\n"
        assert "Needed are" in refusal(table, tmp_path, text.encode()) or sign == " "
        assert time.process_time() - started < 2
