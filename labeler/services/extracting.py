"""Features of the images of a data set, read in place, on all processors.

The only part of the proposer that touches files. Nothing here imports SQL or scikit-learn, so
that a worker process starts quickly.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeler.classifier.features import Features, light_features
from labeler.classifier.variants import features_with_variants
from labeler.services.pooling import map_chunks
from rotation.dataset.crop import standard_crop
from rotation.dataset.decoding import decode
from rotation.dataset.sources import ImageSource
from rotation.errors import DatasetError

CHUNK = 256  # images a task
FEW = 1024  # as many are done sooner here than it takes to start processes
VARIED_CHUNK, FEW_VARIED = 64, 128  # the same where each picture is varied


@dataclass(frozen=True, slots=True)
class FeatureChunk:
    """Features of some images, in the order asked for.

    `positions` (M,): which of the filenames asked for; `features` (M, N_FEATURES) theirs;
    `unreadable`: why each of the other filenames of the chunk has none.
    """

    positions: list[int]
    features: Features
    unreadable: list[str]


def extract_features(
    path: str, filenames: Sequence[str], processes: int | None = None
) -> Iterator[FeatureChunk]:
    """Light features of the named images of a folder or zip, chunk by chunk, in order.

    An image that cannot be read or decoded is reported in its chunk and does not stop the rest.

    Parameters:
        path: the folder or zip, as `rotation.dataset.open_source` takes it.
        processes: how many to use; default: one a processor.

    Raises:
        DatasetError: the folder or zip itself cannot be opened.
    """
    starts = range(0, len(filenames), CHUNK)
    chunks = [(start, filenames[start : start + CHUNK]) for start in starts]
    processes = processes or os.cpu_count() or 1
    yield from map_chunks(path, _extract, chunks, processes if len(filenames) > FEW else 1)


def extract_variants(
    path: str, filenames: Sequence[str], processes: int | None = None
) -> Iterator[FeatureChunk]:
    """The same with variants of each picture (`classifier.variants`): `features` is
    (1 + VARIANTS, M, N_FEATURES)."""
    starts = range(0, len(filenames), VARIED_CHUNK)
    chunks = [(start, filenames[start : start + VARIED_CHUNK]) for start in starts]
    processes = processes or os.cpu_count() or 1
    yield from map_chunks(path, _vary, chunks, processes if len(filenames) > FEW_VARIED else 1)


def _extract(source: ImageSource, chunk: tuple[int, Sequence[str]]) -> FeatureChunk:
    positions, crops, unreadable = _read(source, chunk)
    return FeatureChunk(positions, light_features(crops), unreadable)


def _vary(source: ImageSource, chunk: tuple[int, Sequence[str]]) -> FeatureChunk:
    positions, crops, unreadable = _read(source, chunk)
    return FeatureChunk(positions, features_with_variants(crops, chunk[0]), unreadable)


def _read(
    source: ImageSource, chunk: tuple[int, Sequence[str]]
) -> tuple[list[int], npt.NDArray[np.uint8], list[str]]:
    start, filenames = chunk
    positions, crops, unreadable = [], [], []
    for position, filename in enumerate(filenames, start):
        try:
            crops.append(standard_crop(decode(source.read(filename), filename)))
        except DatasetError as error:
            unreadable.append(str(error))
        else:
            positions.append(position)
    stacked = np.stack(crops) if crops else np.empty((0, 64, 64, 3), np.uint8)
    return positions, stacked, unreadable
