"""CSV files that supervisors send: gold questions, and lists of images."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from labeler.errors import BrokenData
from rotation.data.csv_rows import CsvError, read_records
from rotation.data.labels import LABELS
from rotation.data.labels_csv import unguard_formula

MAX_EXPLANATION = 300
PROBLEMS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class GoldLine:
    """A line of a file of gold questions. `number` counts from 1, the header."""

    number: int
    filename: str
    label: str
    explanation: str


def read_gold_csv(text: str) -> list[GoldLine]:
    """Read lines `filename,label[,explanation]`. A repeated line counts once.

    Raises:
        BrokenData: lines are wrong, or a column is missing, has no name or stands there twice. The
            message names the first ten lines.
    """
    numbered = list(_rows(text, ("filename", "label")))
    refuse_lines(_problems(numbered))
    lines = {
        row["filename"]: GoldLine(number, row["filename"], row["label"], row["explanation"])
        for number, row in numbered
    }
    if not lines:
        raise BrokenData("The file has no lines below the header.")
    return list(lines.values())


def read_filenames(text: str) -> list[str]:
    """Read a list of images: a CSV file with a column `filename`, or one name per line.

    Names stay as they stand. Who looks them up removes blanks around them where that is needed.

    Raises:
        BrokenData: a CSV file whose columns are wrong, or a file with a NUL character.
    """
    _refuse_nul(text)
    head = text.lstrip("\ufeff").partition("\n")[0]
    if "," in head or head.strip() == "filename":
        return [row["filename"] for _, row in _rows(text, ("filename",)) if row["filename"]]
    return [line for line in re.split(r"[\r\n]", text.lstrip("\ufeff")) if line.strip()]


def refuse_lines(problems: Iterable[tuple[int, str]]) -> None:
    """Refuse an import with problems.

    Parameters:
        problems: (line number, what is wrong).

    Raises:
        BrokenData: there is a problem. The message names the first ten.
    """
    found = list(problems)
    if found:
        shown = "; ".join(f"line {number}: {text}" for number, text in found[:PROBLEMS_SHOWN])
        more = len(found) - PROBLEMS_SHOWN
        rest = f"; and {more:,} more" if more > 0 else ""
        raise BrokenData(f"Nothing was imported. {shown[0].upper()}{shown[1:]}{rest}.")


def _problems(rows: Iterable[tuple[int, dict[str, str]]]) -> Iterator[tuple[int, str]]:
    labels: dict[str, str] = {}
    for number, row in rows:
        name, label = row["filename"], row["label"]
        if not name:
            yield number, "the filename is empty"
        elif label not in LABELS:
            yield number, f"the label {label!r} is not one of {', '.join(LABELS)}"
        elif len(row["explanation"]) > MAX_EXPLANATION:
            yield number, f"the explanation has more than {MAX_EXPLANATION} characters"
        elif labels.setdefault(name, label) != label:
            yield number, f"{name!r} has the label {labels[name]} on an earlier line"


def _refuse_nul(text: str) -> None:
    if "\0" in text:  # PostgreSQL does not store it
        raise BrokenData("The file is not text: it contains a NUL character.")


def _rows(text: str, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a CSV file as (line number, values by column).

    A missing cell is empty. Blanks around values are removed, except around the filename, which
    stays as an export wrote it.
    """
    _refuse_nul(text)
    lines = io.StringIO(text.lstrip("\ufeff"), newline="")
    try:
        for line, cells in read_records(lines, needed):
            values = {name: cells.get(name, "").strip() for name in (*needed, "explanation")}
            values["filename"] = unguard_formula(cells.get("filename", ""))
            yield line, values
    except CsvError as fault:
        raise BrokenData(f"Line {fault.line}: {fault.message}.") from None
