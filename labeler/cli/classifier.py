"""The light classifier on files alone: `classifier fit|predict|evaluate`. No database."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from labeler.cli.classifier_reading import NAMED, image_names, read_features, read_pool
from labeler.cli.classifier_tables import (
    match_tables,
    proposal_lines,
    read_proposals,
)
from labeler.cli.labels import write_csv
from labeler.domain.labels import LABELS
from rotation.dataset.labels_csv import read_labels

PRECISIONS = (0.95, 0.98, 0.99)


def processes_option(command: Any) -> Any:
    """`--processes N`."""
    return click.option(
        "--processes",
        type=click.IntRange(1, 64),
        help="Processes that read images. Default: one per processor.",
    )(command)


@click.group()
def classifier() -> None:
    "Train and use the light classifier on files, without a database."


@classifier.command()
@click.option("--images", required=True, metavar="PATH", help="Folder or zip file of images.")
@click.option(
    "--labels", required=True, metavar="CSV", help="CSV file with the columns filename and label."
)
@click.option(
    "--unlabeled",
    metavar="PATH",
    help="Folder or zip file of images without labels, also used for training. Default: all "
    "images that --labels does not name.",
)
@click.option("--labels-only", is_flag=True, help="Train on labelled images only.")
@click.option(
    "--out", required=True, metavar="DIR", help="Folder of the model. It is created or replaced."
)
@processes_option
def fit(
    images: str, labels: str, unlabeled: str | None, labels_only: bool, out: str,
    processes: int | None,
) -> None:  # fmt: skip
    """Train a classifier on labelled images and on images without a label.

    A folder is searched with all its subfolders. File names in the CSV file are relative to it.
    Rows with the label left, center or right are used. Rows with unsure, contested or an empty
    label are ignored.

    \b
    Examples:
      python manage.py classifier fit --images faces.zip --labels labels.csv --out model/
      python manage.py classifier fit --images faces/ --labels labels.csv \\
          --unlabeled more_faces/ --out model/
    """
    from labeler.classifier.training import train

    if labels_only and unlabeled is not None:
        raise click.UsageError("Give only one of --labels-only and --unlabeled.")
    started = time.perf_counter()
    table = read_labels(Path(labels))
    names = _labelled_names(images, table)
    found, features = read_features(images, names, "Reading labelled", processes)
    columns = np.array([LABELS.index(table[name]) for name in found])
    if len(set(columns.tolist())) < 2:
        raise click.ClickException("Images of at least two different labels are needed.")
    pool = None
    if not labels_only:
        pool = read_pool(images, unlabeled, set(table), processes)
    groups = np.arange(len(found))  # who is on the pictures is not known here
    trained = train(features, columns, np.ones(len(found)), groups, pool)
    _save(out, trained, columns, 0 if pool is None else pool.shape[1], started)


@classifier.command()
@click.option("--model", required=True, metavar="DIR", help="Folder written by `fit`.")
@click.option("--images", required=True, metavar="PATH", help="Folder or zip file of images.")
@click.option(
    "--out", required=True, metavar="CSV", help="File to write, or - for standard output."
)
@processes_option
def predict(model: str, images: str, out: str, processes: int | None) -> None:
    """Write the probabilities of left, center and right for every image.

    \b
    Example:
      python manage.py classifier predict --model model/ --images faces.zip --out proposals.csv
    """
    from labeler.classifier.storing import load_model

    try:
        fitted, _description = load_model(Path(model).expanduser())
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    names, features = read_features(images, image_names(images), "Reading", processes)
    write_csv(proposal_lines(names, fitted.predict(features)), out)


@classifier.command()
@click.option("--proposals", required=True, metavar="CSV", help="File written by `predict`.")
@click.option(
    "--truth", required=True, metavar="CSV", help="CSV file with the columns filename and label."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(proposals: str, truth: str, as_json: bool) -> None:
    """Compare proposals with true labels: accuracy, macro F1, calibration, confusion.

    \b
    Example:
      python manage.py classifier evaluate --proposals proposals.csv --truth truth.csv --json
    """
    from labeler.classifier.evaluation import evaluate as figures_of

    found, known = read_proposals(Path(proposals)), read_labels(Path(truth))
    probabilities, columns, missing = match_tables(found, known)
    figures = figures_of(probabilities, columns).as_dict()
    figures |= {"labels": list(LABELS), "n_without_proposal": missing}
    if as_json:
        click.echo(json.dumps(figures, indent=2))
        return
    click.echo(
        f"{figures['n']:,} images: accuracy {figures['accuracy']:.2%}, macro F1 "
        f"{figures['macro_f1']:.4f}, calibration error {figures['ece']:.4f}"
    )
    for label, row in zip(LABELS, figures["confusion"], strict=True):
        given = ", ".join(f"{n:,} {name}" for n, name in zip(row, LABELS, strict=True))
        click.echo(f"  {label}: proposed {given}")
    if missing:
        click.echo(f"{missing:,} images of {truth} have no proposal and are not counted.", err=True)


def _labelled_names(images: str, table: dict[str, str]) -> list[str]:
    """The labelled images that are there; a word about those that are not."""
    there = set(image_names(images))
    names = [name for name in table if name in there]
    lacking = [name for name in table if name not in there]
    if not names:
        raise click.ClickException(
            f"None of the {len(table):,} labelled images is in {images}. Filenames must be "
            f"relative to it: the CSV has {next(iter(table))!r}, there is {min(there)!r}."
        )
    if lacking:
        shown = ", ".join(lacking[:NAMED]) + (", ..." if len(lacking) > NAMED else "")
        click.echo(f"Not in {images}, left out: {len(lacking):,} images ({shown})", err=True)
    return names


def _save(out: str, trained: Any, columns: np.ndarray, n_unlabeled: int, started: float) -> None:
    from labeler.classifier.evaluation import evaluate as figures_of
    from labeler.classifier.storing import save_model
    from labeler.classifier.training import threshold_of

    held_out = trained.held_out
    figures = None if held_out is None else figures_of(held_out, columns).as_dict()
    description = {
        "labels": list(LABELS),
        "n_labelled": len(columns),
        "n_unlabelled": n_unlabeled,
        "temperature": trained.temperature,
        "cross_validation": figures,
        "thresholds": {str(p): threshold_of(trained, columns, p) for p in PRECISIONS},
    }
    try:
        save_model(Path(out).expanduser(), trained.model, description)
    except OSError as error:
        raise click.ClickException(f"Cannot write {out}: {error.strerror}") from None
    click.echo(
        f"{out}: learned from {len(columns):,} labels and {n_unlabeled:,} images without one in "
        f"{time.perf_counter() - started:.1f} s"
    )
    if figures is not None:
        click.echo(
            f"on labels left out: accuracy {figures['accuracy']:.1%}, calibration error "
            f"{figures['ece']:.3f}, temperature {trained.temperature:.2f}"
        )
