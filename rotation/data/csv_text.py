"""Text and rows of tables as programs write them: encodings, line ends and dialects.

UTF-8 is read with and without a byte order mark, UTF-16 and UTF-32 with one. Other text is taken
for Windows-1252, in which spreadsheets on Windows save "CSV" in Western Europe and America. It is
refused if its words are not of such a language. Cells are parted by commas, semicolons, tabs or
bars. The header decides which, and so does a first line `sep=;`.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from rotation.errors import DatasetError
from rotation.reading import open_regular

MAX_BYTES = 256 * 2**20
"""A labels.csv of a million images has about 100 MB."""

FAULTS_SHOWN = 20
DELIMITERS = ",;\t|"
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_SEP_LINE = re.compile(r'"?sep=([^"\r\n]?)"?[ \t,;|]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
# Letters of Windows-1252. Cyrillic fills the places up to ÿ, so × and ÷ are among its letters.
_WORD = re.compile("[A-Za-zƒŠŒŽšœžŸÀ-ÿ]{2,}")
_MARKS = (  # the longer mark first: that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_FILES = (
    (b"PK\x03\x04", "a Word document, an Excel workbook or a zip file"),
    (b"\xd0\xcf\x11\xe0", "an old Word document or an old Excel workbook"),
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
)
_SHOWN = 60  # characters of a cell in a message
_NAMES_SHOWN = 20  # columns in a message
_LOOKED_AT = 1 << 16  # characters that decide about blanks before quotes


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file should be, and a sentence that says how to save it so."""

    name: str
    advice: str


TABLE = Wanted("CSV file", "Save it as 'CSV UTF-8'.")
PLAIN_TEXT = Wanted("text file", "Save it as plain text in UTF-8.")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in a file.

    Parameters:
        line: counted from 1; 0 if it is about the file as a whole.
        message: what is wrong.
        column: the name of the column, if it is about one cell.
        allowed: a sentence that says what is allowed. It is told once for all lines.
    """

    line: int
    message: str
    column: str = ""
    allowed: str = ""

    def __str__(self) -> str:
        place = f", column {self.column!r}" if self.column else ""
        return f"line {self.line}{place}: {self.message}" if self.line else self.message


class CsvError(Exception):
    """A file that cannot be read. The text names the first `FAULTS_SHOWN` wrong lines."""

    def __init__(self, faults: Sequence[Fault], count: int = 0) -> None:
        self.faults = list(faults)[:FAULTS_SHOWN]
        self.count = max(count, len(faults))
        told = [f"{fault}" for fault in self.faults]
        more = self.count - len(told)
        if more:
            told.append(f"and {more:,} more wrong line{'s' if more > 1 else ''}")
        allowed = list(dict.fromkeys(fault.allowed for fault in self.faults if fault.allowed))
        lines = [*told[:-1], ". ".join([told[-1], *allowed])]
        super().__init__(";\n".join(lines))

    def about(self, path: object) -> DatasetError:
        """The error of the engine about the file at `path`."""
        between = ", " if self.faults[0].line else ": "
        text = str(self)
        return DatasetError(f"{path}{between}{text}{'' if text.endswith('.') else '.'}")


class Faults:
    """Collects faults, so that all wrong lines are told at once."""

    def __init__(self) -> None:
        self._shown: list[Fault] = []
        self._count = 0

    def add(self, fault: Fault) -> None:
        self._count += 1
        if len(self._shown) < FAULTS_SHOWN:
            self._shown.append(fault)

    def refuse(self) -> None:
        """Raise `CsvError` if there is a fault."""
        if self._count:
            raise CsvError(self._shown, self._count)


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row. `line` is the file's line on which it begins; a row may lack cells at its end."""

    line: int
    cells: list[str]


def read_text_file(path: str | os.PathLike[str], wanted: Wanted = TABLE) -> str:
    """The text of a file, as `decode` reads it.

    Raises:
        DatasetError: the file cannot be opened, is too large, or is no text.
    """
    try:
        with open_regular(path) as file:
            return decode_file(file, wanted)
    except CsvError as error:
        raise error.about(path) from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None


def decode_file(file: IO[bytes], wanted: Wanted = TABLE) -> str:
    """The text of an open file; `CsvError` as of `decode`, or if it exceeds `MAX_BYTES`."""
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise CsvError([Fault(0, f"it has more than {MAX_BYTES >> 20} MiB")])
    return decode(data, wanted)


def decode(data: bytes, wanted: Wanted = TABLE) -> str:
    """The text of a file without its byte order mark.

    Raises:
        CsvError: it is no text, or its encoding is unknown. The message says how to save it.
    """
    for start, what in _OTHER_FILES:
        if data.startswith(start):
            raise CsvError([Fault(0, f"it is no {wanted.name} but {what}. {wanted.advice}")])
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        text = "" if encoding else _decode_1252(data, error, wanted)
        if not text:
            message = f"it is no text in {error.encoding.upper()} ({error.reason})"
            raise _not_text(0, message, wanted) from None
    refuse_nul(text, wanted)
    return text.removeprefix("\ufeff")  # UTF-16 and UTF-32 keep it, and joined files have two


def refuse_nul(text: str, wanted: Wanted = TABLE) -> None:
    """Raise `CsvError` if the text has a NUL character, which databases do not store."""
    if "\0" in text:
        line = _line_after(text[: text.index("\0")])
        raise _not_text(line, "a NUL character cannot be text", wanted)


def parse_rows(text: str, fits: Callable[[list[str]], bool]) -> Iterator[CsvRow]:
    """The rows of a table that have a value, the header among them.

    Rows of nothing but delimiters and blanks are passed over: spreadsheets leave them where cells
    were cleared. Quotes are read as the `csv` module reads them.

    Parameters:
        fits: whether a first row is right. The first delimiter whose first row is right is taken,
            otherwise the one that gives the most cells.

    Raises:
        CsvError: the quotes do not fit, a cell is too long, or `sep=` names another delimiter.
    """
    said = _SEP_LINE.match(text)
    start = said.end() if said else 0
    if said and (said.group(1) or " ") not in DELIMITERS:
        message = f"{shown(said.group().strip())} names no delimiter that can be read"
        allowed = "sep=, and sep=; are allowed, also with a tab or a bar"
        raise CsvError([Fault(1, message, "", allowed)])
    order = dict.fromkeys([*(said.group(1) if said else ""), *DELIMITERS])
    first = {each: _cells(_rows(text, start, each)) for each in order}
    fitting = [each for each, cells in first.items() if fits(cells)]
    delimiter = fitting[0] if fitting else max(first, key=lambda each: len(first[each]))
    return _rows(text, start, delimiter)


def first_row(text: str, fits: Callable[[list[str]], bool]) -> list[str]:
    """The cells of the first row of `parse_rows`; none if there is no such row."""
    return _cells(parse_rows(text, fits))


def lines_of(text: str, start: int = 0) -> Iterator[str]:
    """The lines with their ends. Only CR, LF and both of them end a line."""
    return (match.group() for match in _LINE.finditer(text, start))


def shown(cell: str) -> str:
    """A cell in a message, in quotes and cut to a length that can be read."""
    return repr(cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}…")


def shown_names(names: Iterable[str]) -> str:
    """Names of columns in a message."""
    told = [name[:_SHOWN] or "(no name)" for name in names]
    more = [f"and {len(told) - _NAMES_SHOWN:,} more"] if len(told) > _NAMES_SHOWN else []
    return ", ".join([*told[:_NAMES_SHOWN], *more]) or "nothing"


def _not_text(line: int, message: str, wanted: Wanted) -> CsvError:
    return CsvError([Fault(line, f"not a {wanted.name}: {message}. {wanted.advice}")])


def _decode_1252(data: bytes, error: UnicodeDecodeError, wanted: Wanted) -> str:
    """Text in Windows-1252; '' if it has bytes without a meaning there.

    Raises:
        CsvError: it is UTF-8 that was damaged at one place, or text in another encoding.
    """
    if not data.decode("utf-8", "ignore").isascii():
        line = _line_after(data[: error.start].decode("utf-8"))
        raise _not_text(line, "it is partly UTF-8, but not here", wanted)
    try:
        text = data.decode("windows-1252")
    except UnicodeDecodeError:
        return ""
    _refuse_foreign(text, wanted)
    return text


def _refuse_foreign(text: str, wanted: Wanted) -> None:
    """Raise `CsvError` if text that was read as Windows-1252 has another encoding.

    Western words have accents among letters of ASCII. Russian, Greek or Hebrew words in a code
    page of their own are whole words of other letters. Words of one letter, such as `è`, tell
    nothing.
    """
    first: re.Match[str] | None = None
    foreign = western = 0
    for match in _WORD.finditer(text):
        word = match.group()
        if word.isascii():
            continue
        if re.search("[A-Za-z]", word):
            western += len(word)
        else:
            foreign += len(word)
            first = first or match
    if first and foreign > western:
        line = _line_after(text[: first.start()])
        message = f"it is neither UTF-8 nor Windows-1252, in which it has {shown(first.group())}"
        raise _not_text(line, message, wanted)


def _line_after(text: str) -> int:
    """The line of the character that follows."""
    return sum(1 for _ in lines_of(text + "x"))


def _cells(rows: Iterator[CsvRow]) -> list[str]:
    """The cells of the first row; none if there is none, or if it cannot be read."""
    try:
        return next((row.cells for row in rows), [])
    except CsvError:
        return []


def _rows(text: str, start: int, delimiter: str) -> Iterator[CsvRow]:
    # `a.jpg, "left"`: a quote after a blank opens a cell only if blanks are skipped. Programs that
    # write so do it everywhere, so the beginning of the text tells.
    sign = re.escape(delimiter)
    blank = re.search(f'{sign} ++"(?=[^"\\r\\n{sign}])', text[:_LOOKED_AT])
    reader = csv.reader(
        lines_of(text, start), delimiter=delimiter, skipinitialspace=bool(blank), strict=True
    )
    skipped = 1 if start else 0
    line = 1 + skipped
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield CsvRow(line, cells)
            line = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise CsvError([Fault(line, _explain(error))]) from None


def _explain(error: csv.Error) -> str:
    if "field limit" in str(error):
        return (
            f"it is not CSV: a cell has more than {csv.field_size_limit():,} characters. Most "
            "often a quote is opened and never closed"
        )
    return f"it is not CSV ({error}). Cells with a quote are quoted, and quotes in them doubled"
