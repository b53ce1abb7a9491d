"""Features of the images of a data set, read in place, on all processors.

The only part of the proposer that touches files. Nothing here imports SQL or scikit-learn, so
that a worker process starts quickly.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from labeler.classifier.features import Features, light_features
from rotation.dataset.crop import standard_crop
from rotation.dataset.decoding import decode
from rotation.dataset.sources import ImageSource, open_source
from rotation.errors import DatasetError

CHUNK = 256  # images a task
FEW = 1024  # as many are done sooner here than it takes to start processes

_source: ImageSource | None = None  # of a worker process, opened once


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
    chunks = [filenames[start : start + CHUNK] for start in starts]
    processes = processes or os.cpu_count() or 1
    # Opened here in any case: a data set that is gone is an error of ours, not of a worker's.
    with open_source(path) as source:
        if processes == 1 or len(filenames) <= FEW:
            yield from map(_extract, repeat(source), chunks, starts)
            return
    # Not forked: this may run in a thread of a process that holds locks and database connections.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _open, (path,)) as pool:
        try:
            yield from pool.map(_extract_opened, chunks, starts)
        finally:
            pool.shutdown(cancel_futures=True)


def _open(path: str) -> None:
    global _source  # noqa: PLW0603  one a process, set by the pool's initialiser
    _source = open_source(path)


def _extract_opened(filenames: Sequence[str], start: int) -> FeatureChunk:
    assert _source is not None
    return _extract(_source, filenames, start)


def _extract(source: ImageSource, filenames: Sequence[str], start: int) -> FeatureChunk:
    positions, crops, unreadable = [], [], []
    for position, filename in enumerate(filenames, start):
        try:
            crops.append(standard_crop(decode(source.read(filename), filename)))
        except DatasetError as error:
            unreadable.append(str(error))
        else:
            positions.append(position)
    stacked = np.stack(crops) if crops else np.empty((0, 64, 64, 3), np.uint8)
    return FeatureChunk(positions, light_features(stacked), unreadable)
