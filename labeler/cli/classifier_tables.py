"""The CSV files of the `classifier` commands: labels in, proposals out and in again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import numpy as np

from labeler.domain.labels import LABELS

PROPOSAL_COLUMNS = ("filename", "p_left", "p_center", "p_right")
# What an export or a tool may say of an image that has no label; such rows teach nothing.
NO_LABEL = frozenset({"", "unsure", "boundary", "open", "contested", "none", "nan"})
SUM_TOLERANCE = 1e-3

Row = dict[str, str]


def read_labels(path: str) -> dict[str, str]:
    """Label by filename, in the order of the file; rows without a label are left out.

    Raises:
        click.ClickException: no such file, columns lacking, an unknown label, a name twice with
            different labels, or no label at all.
    """
    found: dict[str, str] = {}
    for line, row in _rows(path, ("filename", "label")):
        name, label = _filename(row), (row["label"] or "").strip().lower()
        if label in NO_LABEL:
            continue
        if label not in LABELS:
            raise click.ClickException(
                f"{path}, line {line}: {row['label']!r} is no label; {', '.join(LABELS)} are."
            )
        if found.setdefault(name, label) != label:
            raise click.ClickException(f"{path}, line {line}: {name} has two different labels.")
    if not found:
        raise click.ClickException(f"{path}: no row has one of the labels {', '.join(LABELS)}.")
    return found


def read_proposals(path: str) -> dict[str, list[float]]:
    """Probabilities of left, center, right by filename.

    Raises:
        click.ClickException: no such file, columns lacking, or a row that is no probabilities.
    """
    found = {}
    for line, row in _rows(path, PROPOSAL_COLUMNS):
        try:
            values = [float(row[column]) for column in PROPOSAL_COLUMNS[1:]]
        except (TypeError, ValueError):
            raise click.ClickException(f"{path}, line {line}: not three numbers.") from None
        if not (min(values) >= 0 and abs(sum(values) - 1) <= SUM_TOLERANCE):
            raise click.ClickException(
                f"{path}, line {line}: probabilities must be 0 or more and sum to 1."
            )
        found[_filename(row)] = values
    return found


def match_tables(
    proposals: dict[str, list[float]], truth: dict[str, str]
) -> tuple[np.ndarray, np.ndarray, int]:
    """(N, 3) probabilities and (N,) labels of the images in both; how many have truth alone.

    Raises:
        click.ClickException: no image is in both.
    """
    names = [name for name in truth if name in proposals]
    if not names:
        raise click.ClickException(
            f"The two files share no filename: the truth has {next(iter(truth))!r}, the proposals "
            f"have {next(iter(proposals), None)!r}."
        )
    probabilities = np.array([proposals[name] for name in names])
    columns = np.array([LABELS.index(truth[name]) for name in names])
    return probabilities, columns, len(truth) - len(names)


def proposal_lines(names: Sequence[str], probabilities: np.ndarray) -> Iterator[str]:
    """The lines of a proposals file; nine digits, so that mirrored rows still agree to 1e-6."""
    yield _line(PROPOSAL_COLUMNS)
    for name, row in zip(names, probabilities.tolist(), strict=True):
        yield _line([name, *(f"{value:.9f}" for value in row)])


def _line(values: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


def _filename(row: Row) -> str:
    from labeler.services.exporting import restore_text

    return restore_text(row["filename"] or "").removeprefix("./")


def _rows(path: str, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """Line number and cells of each row; a byte-order mark and spaces in the header are borne."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except OSError as error:
        raise click.ClickException(f"Cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.ClickException(f"{path}: not UTF-8 text") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
    lacking = [column for column in columns if column not in reader.fieldnames]
    if lacking:
        raise click.ClickException(
            f"{path}: no column {' and no column '.join(lacking)}; there are "
            f"{', '.join(reader.fieldnames) or 'none'}."
        )
    for row in reader:
        yield reader.line_num, row
