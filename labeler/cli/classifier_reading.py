"""Images of a folder or zip to features, with a bar and a word about those that fail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import numpy as np

from labeler.classifier.consistency import MAX_POOL
from labeler.classifier.features import N_FEATURES, Features
from labeler.classifier.variants import VARIANTS
from labeler.cli.bar import progress_bar
from labeler.services.extracting import FeatureChunk, extract_features, extract_variants
from rotation.dataset.sources import open_source

NAMED = 5  # files named in a message about many


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
    read = extract_variants(path, chosen, processes)
    chunks = list(_watched(read, len(chosen), "Reading unlabelled"))
    _report([problem for chunk in chunks for problem in chunk.unreadable])
    empty = np.empty((1 + VARIANTS, 0, N_FEATURES), np.float32)
    return np.concatenate([empty, *(chunk.features for chunk in chunks)], axis=1)


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
