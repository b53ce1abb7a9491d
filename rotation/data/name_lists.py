"""Lists of images: a table with a column `filename`, or one name per line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotation.data import csv_text
from rotation.data.csv_rows import FILENAME, has_columns, read_keyed
from rotation.data.csv_text import DELIMITERS, CsvError, Fault
from rotation.data.file_names import is_image_name


def read_names(text: str) -> list[str]:
    """Read the names of a list, in its order.

    Names stay as they stand. Who looks them up calls `image_names.match_names`.

    Raises:
        CsvError: it is a table, but its columns are wrong or names are impossible.
    """
    lines = [_without_empty_end(line.rstrip("\r\n")) for line in csv_text.lines_of(text)]
    names = [line for line in lines if line.strip()]
    csv_text.refuse_nul(text)
    return list(read_keyed(text, (), lambda cells: None)) if _is_table(text, names) else names


def read_names_file(path: Path) -> list[str]:
    """Read the list at `path` as `read_names` does.

    Raises:
        DatasetError: the file cannot be read, is wrong, or names no image. The message names it.
    """
    try:
        names = read_names(csv_text.read_text_file(path))
        if not names:
            raise CsvError([Fault(0, "it names no image; write one filename per line")])
    except CsvError as error:
        raise error.about(path) from None
    return names


def _without_empty_end(line: str) -> str:
    """A line of a list without the delimiters at its end, which spreadsheets leave."""
    cut = line.rstrip(f"{DELIMITERS} \t")
    return cut if line.rstrip(" \t") != cut else line


def _is_table(text: str, names: Sequence[str]) -> bool:
    """Whether a list is a table with a header. A list without one begins with an image."""
    header = csv_text.first_row(text, lambda cells: has_columns(cells, (FILENAME,)))
    if has_columns(header, (FILENAME,)):
        return True
    return len(header) > 1 and not is_image_name(names[0].strip())
