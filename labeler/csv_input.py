"""Tables that supervisors send: gold questions, and lists of images.

`rotation.data.csv_rows` reads them, as it reads every table about images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from labeler.errors import BrokenData
from labeler.languages.numbers import write_number
from labeler.languages.stored import translate_stored
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext, translate
from rotation.data import csv_text, name_lists
from rotation.data.csv_rows import CellError, Cells, read_keyed
from rotation.data.csv_text import CsvError, Fault, Faults
from rotation.data.labels import LABELS
from rotation.data.labels_csv import parse_label

MAX_EXPLANATION = 300
# What the reader says of a file, in English.
_SAYINGS = (
    # rotation.data.csv_text
    mark("it is no CSV file but %(kind)s. Save it as 'CSV UTF-8'."),
    mark("it has more than %(limit)s MiB"),
    mark("not a CSV file: it is no text in %(encoding)s (%(reason)s). Save it as 'CSV UTF-8'."),
    mark("not a CSV file: a NUL character cannot be text. Save it as 'CSV UTF-8'."),
    mark("not a CSV file: it is partly UTF-8, but not here. Save it as 'CSV UTF-8'."),
    mark(
        "not a CSV file: it is neither UTF-8 nor Windows-1252, in which it has %(word)s. Save it "
        "as 'CSV UTF-8'."
    ),
    mark("%(line)s names no delimiter that can be read"),
    mark("sep=, and sep=; are allowed, also with a tab or a bar"),
    mark(
        "it is not CSV: a cell has more than %(limit)s characters. Most often a quote is opened "
        "and never closed"
    ),
    mark("it is not CSV (%(reason)s). Cells with a quote are quoted, and quotes in them doubled"),
    # rotation.data.csv_rows
    mark("the columns %(one)s and %(other)s are both called %(name)s; keep one of them"),
    mark(
        "%(cell)s stands in column %(number)s, which has no name in the header; quote cells that "
        "contain a delimiter, or name the column"
    ),
    mark("the column %(name)s is missing; found: %(found)s. Needed are %(needed)s"),
    mark("%(name)s stands in line %(line)s already, with other values"),
    mark("Keep one row per image"),
    mark("the filename is empty"),
    mark(
        "%(name)s: leaves the data set, or would on another system; a relative path without '..', "
        "'\\' and drive letter is needed"
    ),
    # rotation.data.labels_csv
    mark("unknown label %(label)s"),
    mark("%(labels)s are allowed, and for an image without a label nothing or one of %(words)s"),
)
_KINDS = (  # of files that are no CSV file
    mark("a Word document, an Excel workbook or a zip file"),
    mark("an old Word document or an old Excel workbook"),
    mark("a PDF document"),
    mark("compressed with gzip; unpack it first"),
)


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
            _(
                "Nothing was imported. No row below the header has one of the labels %(labels)s.",
                labels=", ".join(LABELS),
            )
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
    text = _written(error)
    end = "" if text.endswith(".") else "."
    problem = f"{text[0].upper()}{text[1:]}{end}"
    return BrokenData(_("Nothing was imported. %(problem)s", problem=problem))


def _written(error: CsvError) -> str:
    """Write an error as `CsvError` does, in the language of the moment."""
    told = [_fault_written(one) for one in error.faults]
    if more := error.count - len(told):
        told.append(ngettext("and %(num)s more wrong line", "and %(num)s more wrong lines", more))
    allowed = (translate_stored(one.allowed, _SAYINGS) for one in error.faults if one.allowed)
    return ";\n".join([*told[:-1], ". ".join([told[-1], *dict.fromkeys(allowed)])])


def _fault_written(fault: Fault) -> str:
    message = translate_stored(fault.message, _SAYINGS, {"kind": translate})
    if fault.line and fault.column:
        return _(
            "line %(line)s, column %(column)r: %(message)s",
            line=fault.line,
            column=fault.column,
            message=message,
        )
    return (
        _("line %(line)s: %(message)s", line=fault.line, message=message) if fault.line else message
    )


def _label_and_explanation(cells: Cells) -> tuple[str, str]:
    label, explanation = parse_label(cells), cells.prose("explanation")
    if len(explanation) > MAX_EXPLANATION:
        raise CellError(
            "explanation",
            _("it has %(count)s characters", count=write_number(len(explanation))),
            _("At most %(limit)s are allowed", limit=MAX_EXPLANATION),
        )
    return label, explanation
