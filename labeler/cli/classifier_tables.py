"""The proposals file of the `classifier` commands, out and in again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np

from labeler.domain.labels import LABELS
from rotation.dataset.labels_csv import (
    PROBABILITY_COLUMNS,
    guard_formula,
    read_filename,
    read_rows,
    stream_csv,
)
from rotation.errors import DatasetError

PROPOSAL_COLUMNS = ("filename", *PROBABILITY_COLUMNS)
SUM_TOLERANCE = 1e-3


def read_proposals(path: Path) -> dict[str, list[float]]:
    """Probabilities of left, center, right by filename.

    Raises:
        DatasetError: the file cannot be read, a column is missing, or a row holds no
            probabilities. Names the line.
    """
    found = {}
    for where, row in read_rows(path, PROPOSAL_COLUMNS):
        try:
            values = [float(row[column]) for column in PROBABILITY_COLUMNS]
        except ValueError:
            raise DatasetError(
                f"{where}: {', '.join(PROBABILITY_COLUMNS)} must be three numbers."
            ) from None
        if not (min(values) >= 0 and abs(sum(values) - 1) <= SUM_TOLERANCE):
            raise DatasetError(f"{where}: probabilities must be 0 or more and sum to 1.")
        found[read_filename(row["filename"], where)] = values
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
    """The text of a proposals file; nine digits, so that mirrored rows still agree to 1e-6."""
    rows = (
        [guard_formula(name), *(f"{value:.9f}" for value in row)]
        for name, row in zip(names, probabilities.tolist(), strict=True)
    )
    return stream_csv(PROPOSAL_COLUMNS, rows)
