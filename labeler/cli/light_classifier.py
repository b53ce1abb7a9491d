"""The light classifier on files alone: `classifier fit|predict|evaluate`. No database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from labeler.cli.context import processes_option, progress_bar
from labeler.cli.output import write_csv
from labeler.home_files import FEATURES
from labeler.light_classifier.face_features import N_FEATURES
from labeler.light_classifier.features import CROP, Features, kind_of
from labeler.light_classifier.light_direction import light_directions
from labeler.light_classifier.semi_supervised import MAX_POOL, VARIANTS
from labeler.proposals.feature_cache import FeatureCache
from labeler.proposals.feature_extraction import (
    FeatureChunk,
    LandmarkTable,
    extract_crop_features,
    extract_features,
    extract_features_elsewhere,
    extract_variants,
)
from rotation.cli.common import Progress, default_cache, ray_option, rotation_errors_as_messages
from rotation.cli.option_types import ImagesPath, InputPath, OutputFile, OutputFolder
from rotation.data.csv_rows import CellError, Cells, read_keyed_file
from rotation.data.formulas import guard_formula
from rotation.data.image_set import open_images, read_matching_tables
from rotation.data.labels import LABELS
from rotation.data.labels_csv import PROBABILITY_COLUMNS, read_labels, stream_csv
from rotation.passes.running import open_runner
from rotation.remote_paths import ImagePlace

PRECISIONS = (0.95, 0.98, 0.99)
NAMES_SHOWN = 5  # files named in a message about many
DIRECTION_COLUMNS = ("azimuth_deg", "azimuth_spread_deg", "strength", "n_faces")
PROPOSAL_COLUMNS = ("filename", *PROBABILITY_COLUMNS, *DIRECTION_COLUMNS)
EQUAL = 1e-6  # difference of probabilities that are equal but for rounding
SUM_TOLERANCE = 1e-3  # by how much the probabilities of a row may miss 1

images_option = click.option(
    "--images",
    type=ImagesPath(),
    required=True,
    metavar="PATH|URL",
    help="Folder or zip file of images, or the URL of one in an object store (needs "
    "requirements/remote.txt).",
)


@click.group()
def classifier() -> None:
    "Train and use the light classifier on files, without a database."


@classifier.command()
@images_option
@click.option(
    "--labels",
    type=InputPath(),
    required=True,
    metavar="CSV",
    help="CSV file with the columns filename and label.",
)
@click.option(
    "--unlabeled",
    type=ImagesPath(),
    metavar="PATH|URL",
    help="Folder or zip file of images without labels, also used for training. Default: all "
    "images that --labels does not name.",
)
@click.option("--labels-only", is_flag=True, help="Train on labelled images only.")
@click.option(
    "--out",
    required=True,
    type=OutputFolder(),
    metavar="DIR",
    help="Folder of the model. It is created or replaced.",
)
@processes_option
def fit(
    images: ImagePlace,
    labels: Path,
    unlabeled: ImagePlace | None,
    labels_only: bool,
    out: Path,
    processes: int | None,
) -> None:
    """Train a classifier on labelled images and on images without a label.

    A folder is searched with all its subfolders. File names in the CSV file are relative to it.
    Rows with the label left, center or right are used. Rows with unsure, contested or an empty
    label are ignored. So are images in which no face is found; their number is printed.

    If CelebA's list_landmarks_align_celeba.txt lies beside the images, faces need not be searched,
    which is several times faster.

    \b
    Examples:
      python manage.py classifier fit --images faces.zip --labels labels.csv --out model/
      python manage.py classifier fit --images faces/ --labels labels.csv \\
          --unlabeled more_faces/ --out model/
    """
    from labeler.light_classifier.training import train

    if labels_only and unlabeled is not None:
        raise click.UsageError("Give only one of --labels-only and --unlabeled.")
    started = time.perf_counter()
    here = image_names(images)
    table = read_labels(labels, set(here))
    names = _labelled_names(images, here, table)
    landmarks = read_landmarks(images, here)
    read = read_features(images, names, "Reading labelled", processes, landmarks)
    found, features = read.with_face()
    columns = np.array([LABELS.index(table[name]) for name in found])
    if len(set(columns.tolist())) < 2:
        raise click.ClickException("Images of at least two different labels are needed.")
    pool = None
    if not labels_only:
        others = image_names(unlabeled) if unlabeled else [n for n in here if n not in table]
        near = landmarks if unlabeled is None else read_landmarks(unlabeled, others)
        pool = read_pool(unlabeled or images, others, processes, near)
    groups = np.arange(len(found))  # the persons on the images are not known
    trained = train(features, columns, np.ones(len(found)), groups, pool)
    _save(out, trained, columns, 0 if pool is None else pool.shape[1], started)


@classifier.command()
@click.option(
    "--model", type=InputPath(), required=True, metavar="DIR", help="Folder written by `fit`."
)
@images_option
@click.option(
    "--out",
    required=True,
    type=OutputFile(allow_dash=True),
    metavar="CSV",
    help="File to write, or - for standard output.",
)
@processes_option
@ray_option
@click.option(
    "--cache",
    type=OutputFolder(),
    show_default="~/.cache/sidelight",
    help="With --ray only: keeps the features, so that an interrupted run goes on.",
)
def predict(
    model: Path,
    images: ImagePlace,
    out: Path,
    processes: int | None,
    ray: str | None,
    cache: Path | None,
) -> None:
    """Write the probabilities of left, center and right for every image, and the light's azimuth.

    The azimuth is in degrees: 0 is the camera, negative the viewer's left. Images in which no face
    is found get three equal probabilities and n_faces 0. Landmarks are used as by `fit`.

    \b
    Examples:
      python manage.py classifier predict --model model/ --images faces.zip --out proposals.csv
      python manage.py classifier predict --model model/ --images s3://bucket/faces \\
          --out proposals.csv --ray local
    """
    if ray is not None and processes is not None:
        raise click.UsageError("--processes is about this machine: leave it out with --ray.")
    if ray is None and cache is not None:
        raise click.UsageError("--cache keeps features of --ray only: leave it out, or give --ray.")
    from labeler.light_classifier.storage import load_model

    try:
        fitted, _description = load_model(model)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    here = image_names(images)
    crops = len(fitted.odd) == CROP.n_odd  # a model of an earlier version
    landmarks = None if crops else read_landmarks(images, here)
    if ray is None:
        read = read_features(images, here, "Reading", processes, landmarks, crops=crops)
    elif crops:
        raise click.UsageError("--ray needs a model that `classifier fit` of this version wrote.")
    else:
        read = _read_on_ray(images, here, ray, cache or default_cache(), landmarks)
    write_csv(proposal_lines(read, fitted.predict(read.features)), out)


@classifier.command()
@click.option(
    "--proposals", type=InputPath(), required=True, metavar="CSV", help="File written by `predict`."
)
@click.option(
    "--truth",
    type=InputPath(),
    required=True,
    metavar="CSV",
    help="CSV file with the columns filename and label.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(proposals: Path, truth: Path, as_json: bool) -> None:
    """Compare proposals with true labels: accuracy, macro F1, calibration, confusion.

    \b
    Example:
      python manage.py classifier evaluate --proposals proposals.csv --truth truth.csv --json
    """
    from labeler.light_classifier.evaluation import evaluate as figures_of

    found = read_proposals(proposals)
    known = read_labels(truth, found)
    probabilities, columns, missing = match_tables(found, known)
    said = np.ptp(probabilities, axis=1) > EQUAL
    if not said.any():
        raise click.ClickException("All proposals are of images without a face.")
    faceless, probabilities, columns = int((~said).sum()), probabilities[said], columns[said]
    figures = figures_of(probabilities, columns).as_dict()
    figures |= {"labels": list(LABELS), "n_without_proposal": missing}
    figures |= {"n_without_face": faceless}
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
    if faceless:
        click.echo(
            f"{faceless:,} images have three equal probabilities, since no face was found. They "
            "are not counted.",
            err=True,
        )
    if missing:
        click.echo(f"{missing:,} images of {truth} have no proposal and are not counted.", err=True)


def image_names(path: ImagePlace) -> Sequence[str]:
    """Return all image names of a folder or zip file, sorted; logs what of it is not used."""
    with open_images(path) as source:
        return list(source.names())


@dataclass(frozen=True)
class ReadImages:
    """The N images that could be read.

    `features`: (N, F), NaN where no face was found; the other arrays as in `FeatureChunk`.
    """

    names: list[str]
    features: Features
    n_faces: np.ndarray
    yaw_deg: np.ndarray
    contrast: np.ndarray

    def with_face(self) -> tuple[list[str], Features]:
        """Return names and features of the images with a face, and print which have none.

        Raises:
            click.ClickException: none has a face.
        """
        shown = np.asarray(np.isfinite(self.features).all(axis=1))
        lacking = [name for name, has_face in zip(self.names, shown, strict=True) if not has_face]
        if lacking:
            named = ", ".join(lacking[:NAMES_SHOWN]) + (", ..." if lacking[NAMES_SHOWN:] else "")
            click.echo(f"No face was found in {len(lacking):,} images ({named}).", err=True)
        if self.names and not shown.any():
            raise click.ClickException("No face was found in any of the images.")
        kept = [name for name, has_face in zip(self.names, shown, strict=True) if has_face]
        return kept, self.features[shown]


def read_landmarks(path: ImagePlace, names: Sequence[str]) -> LandmarkTable | None:
    """Return CelebA's landmarks, if their file lies beside the images."""
    if not names:
        return None
    table = read_matching_tables(path, names).landmarks
    if table is None:
        return None
    return dict(zip(table.filenames, table.values.tolist(), strict=True))


def read_features(
    path: ImagePlace,
    names: Sequence[str],
    title: str,
    processes: int | None,
    landmarks: LandmarkTable | None,
    crops: bool = False,
) -> ReadImages:
    """Read the features of images, and print which images cannot be read.

    Parameters:
        crops: read fixed crops, for a model of an earlier version.

    Raises:
        click.ClickException: no image can be read.
    """
    if crops:
        read = extract_crop_features(path, names, processes)
    else:
        read = extract_features(path, names, processes, landmarks=landmarks)
    return _join(_with_progress(read, len(names), title), path, names, crops)


def _read_on_ray(
    path: ImagePlace,
    names: Sequence[str],
    address: str,
    cache: Path,
    landmarks: LandmarkTable | None,
) -> ReadImages:
    """Read the features of images on a cluster, and keep them in the cache folder.

    Raises:
        click.ClickException: the cluster cannot be used, the cache cannot be written, or no image
            can be read.
    """
    store = FeatureCache(cache / FEATURES)
    telling = Progress(lines=True)
    with (
        rotation_errors_as_messages(),
        open_runner(address) as runner,
        open_images(path) as source,
        telling as progress,
    ):
        read = extract_features_elsewhere(source, names, runner, store, landmarks)
        return _join(_told_unknown(read, progress, len(names)), path, names)


def _join(
    read: Iterable[FeatureChunk], path: ImagePlace, names: Sequence[str], crops: bool = False
) -> ReadImages:
    """Join the chunks of images, and print which images cannot be read.

    Raises:
        click.ClickException: no image can be read.
    """
    chunks = list(read)
    found = [names[position] for chunk in chunks for position in chunk.positions]
    _report_left_out([problem for chunk in chunks for problem in chunk.unreadable])
    if names and not found:
        raise click.ClickException(f"None of the {len(names):,} images in {path} can be read.")
    empty = np.empty((0, CROP.n_features if crops else N_FEATURES), np.float32)
    facts = [
        np.concatenate([np.empty(0), *(getattr(chunk, name) for chunk in chunks)])
        for name in ("n_faces", "yaw_deg", "contrast")
    ]
    return ReadImages(found, np.concatenate([empty, *(c.features for c in chunks)]), *facts)


def read_pool(
    path: ImagePlace, names: Sequence[str], processes: int | None, landmarks: LandmarkTable | None
) -> Features:
    """Read the features of images without a label and with a face, for `fit_with_unlabeled`.

    At most `MAX_POOL` images are drawn, with a fixed seed.

    Parameters:
        path: the folder or zip file to draw from.
        names: its images without a label.

    Returns:
        (1 + VARIANTS, M, N_FEATURES).
    """
    order = np.random.default_rng(0).permutation(len(names))[:MAX_POOL]
    chosen = [names[index] for index in sorted(order)]
    read = extract_variants(path, chosen, processes, landmarks=landmarks)
    chunks = list(_with_progress(read, len(chosen), "Reading unlabelled"))
    _report_left_out([problem for chunk in chunks for problem in chunk.unreadable])
    empty = np.empty((1 + VARIANTS, 0, N_FEATURES), np.float32)
    pool = np.concatenate([empty, *(chunk.features for chunk in chunks)], axis=1)
    return pool[:, np.isfinite(pool).all(axis=(0, 2))]


def read_proposals(path: Path) -> dict[str, list[float]]:
    """Read the probabilities of left, center and right, by filename.

    Raises:
        DatasetError: the file cannot be read, a column is missing, or rows have no
            probabilities. The message names the lines.
    """
    return read_keyed_file(path, PROBABILITY_COLUMNS, _probabilities)


def match_tables(
    proposals: dict[str, list[float]], truth: dict[str, str]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Match proposals with true labels by filename.

    Returns:
        Probabilities (N, 3), labels (N,), and the number of labels without a proposal.

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


def proposal_lines(read: ReadImages, probabilities: np.ndarray) -> Iterator[str]:
    """Write proposals as CSV text. Nine digits keep mirrored rows equal to 1e-6."""
    rows = (
        [guard_formula(name), *(f"{value:.9f}" for value in row), *direction]
        for name, row, direction in zip(
            read.names, probabilities.tolist(), _directions(read), strict=True
        )
    )
    return stream_csv(PROPOSAL_COLUMNS, rows)


def _directions(read: ReadImages) -> Iterator[tuple[str, ...]]:
    """Yield the texts of `DIRECTION_COLUMNS` by image; empty where nothing is known."""
    if kind_of(read.features) is CROP:
        yield from (("", "", "", "") for _ in read.names)
        return
    found = light_directions(read.features, read.yaw_deg)
    columns = (found.azimuth_deg, found.spread_deg, np.abs(read.contrast))
    for *values, faces in zip(*columns, read.n_faces, strict=True):
        azimuth, spread, strength = ("" if np.isnan(v) else f"{v:.3f}" for v in values)
        yield azimuth, spread, strength, f"{faces:.0f}"


def _probabilities(cells: Cells) -> list[float]:
    values = [cells.number(column, 0, 1) for column in PROBABILITY_COLUMNS]
    known = [value for value in values if value is not None]
    if len(known) < len(values) or abs(sum(known) - 1) > SUM_TOLERANCE:
        given = ", ".join("nothing" if value is None else f"{value:g}" for value in values)
        raise CellError(
            PROBABILITY_COLUMNS[0],
            f"left, center and right have {given}",
            "Three numbers that sum to 1 are needed",
        )
    return known


def _labelled_names(images: ImagePlace, here: Sequence[str], table: dict[str, str]) -> list[str]:
    """Return the labelled images that exist, and print the names of the others."""
    there = set(here)
    names = [name for name in table if name in there]
    lacking = [name for name in table if name not in there]
    if not names:
        raise click.ClickException(
            f"None of the {len(table):,} labelled images is in {images}. Filenames must be "
            f"relative to it: the CSV has {next(iter(table))!r}, there is {min(there)!r}."
        )
    if lacking:
        shown = ", ".join(lacking[:NAMES_SHOWN]) + (", ..." if len(lacking) > NAMES_SHOWN else "")
        click.echo(f"Not in {images}, left out: {len(lacking):,} images ({shown})", err=True)
    return names


def _save(out: Path, trained: Any, columns: np.ndarray, n_unlabeled: int, started: float) -> None:
    from labeler.light_classifier.evaluation import evaluate as figures_of
    from labeler.light_classifier.storage import save_model
    from labeler.light_classifier.training import threshold_of

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
        save_model(out, trained.model, description)
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


def _with_progress(
    chunks: Iterable[FeatureChunk], total: int, title: str
) -> Iterable[FeatureChunk]:
    with progress_bar(title) as report:
        yield from _told(chunks, report, total)


def _told(
    chunks: Iterable[FeatureChunk], report: Callable[[int, int], None], total: int
) -> Iterable[FeatureChunk]:
    done = 0
    for chunk in chunks:
        done += len(chunk.positions) + len(chunk.unreadable)
        report(done, total)
        yield chunk


def _told_unknown(
    chunks: Iterable[FeatureChunk], progress: Progress, total: int
) -> Iterable[FeatureChunk]:
    """Report the progress of the images that were not in the cache, since only they take long."""
    done = 0
    for chunk in chunks:
        new = len(chunk.measured) + len(chunk.unreadable)
        done += new
        total -= len(chunk.positions) + len(chunk.unreadable) - new
        progress("features", done, total)
        yield chunk


def _report_left_out(problems: Sequence[str]) -> None:
    for problem in problems[:NAMES_SHOWN]:
        click.echo(f"Left out: {problem}", err=True)
    if len(problems) > NAMES_SHOWN:
        click.echo(f"Left out: {len(problems) - NAMES_SHOWN:,} more", err=True)
