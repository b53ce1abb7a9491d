"""Images of a folder or zip to features, with a bar and a word about those that fail."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import numpy as np

from labeler.classifier.consistency import MAX_POOL
from labeler.classifier.features import N_FEATURES, Features
from labeler.classifier.variants import VARIANTS, features_with_variants
from labeler.cli.bar import progress_bar
from labeler.services.extracting import FeatureChunk, extract_features
from labeler.services.pooling import map_chunks
from rotation.dataset.crop import standard_crop
from rotation.dataset.decoding import decode
from rotation.dataset.sources import ImageSource, open_source
from rotation.errors import DatasetError

NAMED = 5  # files named in a message about many
CHUNK = 64
FEW = 128  # as many are done sooner here than it takes to start processes


def image_names(path: str) -> Sequence[str]:
    """All image names of a folder or zip, sorted."""
    with open_source(Path(path)) as source:
        return list(source.names())


def read_features(
    path: str, names: Sequence[str], title: str, processes: int | None
) -> tuple[list[str], Features]:
    """The readable ones of the named images and their (N, N_FEATURES); a word about the others.

    Raises:
        click.ClickException: none of them can be read.
    """
    chunks = list(_watched(extract_features(path, names, processes), len(names), title))
    found = [names[position] for chunk in chunks for position in chunk.positions]
    _report([problem for chunk in chunks for problem in chunk.unreadable])
    if names and not found:
        raise click.ClickException(f"None of the {len(names):,} images in {path} can be read.")
    empty = np.empty((0, N_FEATURES), np.float32)
    return found, np.concatenate([empty, *(chunk.features for chunk in chunks)])


def read_pool(
    images: str, unlabeled: str | None, labelled: set[str], processes: int | None
) -> Features:
    """(1 + VARIANTS, M, N_FEATURES) of images without a label, see `fit_with_unlabeled`.

    At most `MAX_POOL`, drawn with a fixed seed from `unlabeled`, or else from those of `images`
    that are not among `labelled`.
    """
    path = unlabeled or images
    names = [name for name in image_names(path) if unlabeled or name not in labelled]
    order = np.random.default_rng(0).permutation(len(names))[:MAX_POOL]
    chosen = [names[index] for index in sorted(order)]
    starts = range(0, len(chosen), CHUNK)
    tasks = [(start, chosen[start : start + CHUNK]) for start in starts]
    workers = (processes or os.cpu_count() or 1) if len(chosen) > FEW else 1
    read = map_chunks(path, read_variants, tasks, workers)
    chunks = list(_watched(read, len(chosen), "Reading unlabelled"))
    _report([problem for chunk in chunks for problem in chunk.unreadable])
    empty = np.empty((1 + VARIANTS, 0, N_FEATURES), np.float32)
    return np.concatenate([empty, *(chunk.features for chunk in chunks)], axis=1)


def read_variants(source: ImageSource, task: tuple[int, Sequence[str]]) -> FeatureChunk:
    """The pictures of one task with their variants; (1 + VARIANTS, M, N_FEATURES)."""
    start, names = task
    positions, crops, unreadable = [], [], []
    for position, name in enumerate(names, start):
        try:
            crops.append(standard_crop(decode(source.read(name), name)))
        except DatasetError as error:
            unreadable.append(str(error))
        else:
            positions.append(position)
    stacked = np.stack(crops) if crops else np.empty((0, 64, 64, 3), np.uint8)
    return FeatureChunk(positions, features_with_variants(stacked, start), unreadable)


def _watched(chunks: Iterable[FeatureChunk], total: int, title: str) -> Iterable[FeatureChunk]:
    done = 0
    with progress_bar(title) as report:
        for chunk in chunks:
            done += len(chunk.positions) + len(chunk.unreadable)
            report(done, total)
            yield chunk


def _report(problems: Sequence[str]) -> None:
    for problem in problems[:NAMED]:
        click.echo(f"Left out: {problem}", err=True)
    if len(problems) > NAMED:
        click.echo(f"Left out: {len(problems) - NAMED:,} more", err=True)
