"""Tables that supervisors send: gold questions, and lists of images.

`rotation.data.csv_rows` reads them, as it reads every table about images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from labeler.errors import BrokenData
from rotation.data import csv_text, name_lists
from rotation.data.csv_rows import CellError, Cells, read_keyed
from rotation.data.csv_text import CsvError, Fault, Faults
from rotation.data.labels import LABELS
from rotation.data.labels_csv import parse_label

MAX_EXPLANATION = 300


@dataclass(frozen=True, slots=True)
class GoldLine:
    """A line of a file of gold questions. `number` counts from 1, the header."""

    number: int
    filename: str
    label: str
    explanation: str


@dataclass(frozen=True, slots=True)
class GoldFile:
    """The gold questions of a file. `without_label`: rows whose image has no label."""

    lines: list[GoldLine]
    without_label: int = 0


def read_upload(file: IO[bytes]) -> str:
    """The text of a table, whatever its encoding (`csv_text.decode`).

    Raises:
        BrokenData: it is no text. The message says how to save it.
    """
    try:
        return csv_text.decode_file(file)
    except CsvError as error:
        raise _broken(error) from None


def read_gold_csv(text: str) -> GoldFile:
    """Read the columns `filename`, `label` and optionally `explanation`.

    A repeated row counts once. Rows without a label, such as those of images that an export
    calls open, are passed over.

    Raises:
        BrokenData: a column is missing or stands there twice, rows are wrong, or no row has a
            label. The message names up to twenty lines.
    """
    try:
        csv_text.refuse_nul(text)
        found = read_keyed(text, ("label",), _label_and_explanation)
    except CsvError as error:
        raise _broken(error) from None
    lines = [
        GoldLine(entry.line, name, *entry.value) for name, entry in found.items() if entry.value[0]
    ]
    if not lines:
        raise BrokenData(
            "Nothing was imported. No row below the header has one of the labels "
            f"{', '.join(LABELS)}."
        )
    return GoldFile(lines, len(found) - len(lines))


def read_filenames(text: str) -> list[str]:
    """Read a list of images: a table with a column `filename`, or one name per line.

    Names stay as they stand. Who looks them up calls `match_names`.

    Raises:
        BrokenData: it is a table, but its columns are wrong or names are impossible.
    """
    try:
        return name_lists.read_names(text)
    except CsvError as error:
        raise _broken(error) from None


def refuse_lines(faults: Sequence[Fault]) -> None:
    """Refuse an import with faults.

    Raises:
        BrokenData: there is a fault. The message names the first twenty.
    """
    found = Faults()
    for fault in faults:
        found.add(fault)
    try:
        found.refuse()
    except CsvError as error:
        raise _broken(error) from None


def _broken(error: CsvError) -> BrokenData:
    text = str(error)
    end = "" if text.endswith(".") else "."
    return BrokenData(f"Nothing was imported. {text[0].upper()}{text[1:]}{end}")


def _label_and_explanation(cells: Cells) -> tuple[str, str]:
    label, explanation = parse_label(cells), cells.prose("explanation")
    if len(explanation) > MAX_EXPLANATION:
        raise CellError(
            "explanation",
            f"it has {len(explanation):,} characters",
            f"At most {MAX_EXPLANATION} are allowed",
        )
    return label, explanation
