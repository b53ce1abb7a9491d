"""Extract features from the images of a data set, on several processors.

This module does not import SQL or scikit-learn, so that a process of the pool starts quickly.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labeler.images.process_pool import map_chunks
from labeler.light_classifier.augmentation import features_with_variants
from labeler.light_classifier.features import Features, light_features
from labeler.proposals.feature_cache import SHAPES, FeatureCache
from rotation.data.crop import standard_crop
from rotation.data.decoding import decode
from rotation.data.sources import ImageSource
from rotation.errors import DatasetError

CHUNK = 256  # images per task
FEW = 1024  # with fewer images it is faster not to start processes
VARIED_CHUNK, FEW_VARIED = 64, 128  # the same for images with variants

Crop = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FeatureChunk:
    """Features of some of the images, in the order of the filenames.

    Attributes:
        positions: (M,) positions of the images in the list of filenames.
        features: (M, N_FEATURES), or (1 + VARIANTS, M, N_FEATURES) with variants.
        unreadable: the reasons why the other images of the chunk have none.
        measured: features that were not in the cache, by the SHA-256 of the file.
    """

    positions: list[int]
    features: Features
    unreadable: list[str]
    measured: dict[bytes, Features] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Content:
    """The content of a file, and its SHA-256."""

    position: int
    filename: str
    digest: bytes
    data: bytes


def extract_features(
    path: str | Path,
    filenames: Sequence[str],
    processes: int | None = None,
    cache: FeatureCache | None = None,
) -> Iterator[FeatureChunk]:
    """Yield the features of images of a folder or zip file, chunk by chunk, in order.

    An image that cannot be read or decoded is reported in its chunk. It does not stop the others.

    Parameters:
        path: the folder or zip file.
        filenames: the images.
        processes: number of processes; default: one per processor.
        cache: features of known files are read from it, and others are stored in it.

    Raises:
        DatasetError: the folder or zip file cannot be opened.
    """
    yield from _extract_chunks("plain", path, filenames, (CHUNK, FEW), processes, cache)


def extract_variants(
    path: str | Path,
    filenames: Sequence[str],
    processes: int | None = None,
    cache: FeatureCache | None = None,
) -> Iterator[FeatureChunk]:
    """Yield features of images and their variants, as `extract_features` does.

    The variants depend only on the content of the file.
    """
    for chunk in _extract_chunks(
        "varied", path, filenames, (VARIED_CHUNK, FEW_VARIED), processes, cache
    ):
        yield replace(chunk, features=chunk.features.swapaxes(0, 1))


def _extract_chunks(
    kind: str,
    path: str | Path,
    filenames: Sequence[str],
    sizes: tuple[int, int],
    processes: int | None,
    cache: FeatureCache | None,
) -> Iterator[FeatureChunk]:
    size, few = sizes
    chunks = [(start, filenames[start : start + size]) for start in range(0, len(filenames), size)]
    if cache is not None:
        cache.prepare()
    processes = processes or os.cpu_count() or 1
    work = partial(_extract, kind, cache)
    for chunk in map_chunks(path, work, chunks, processes if len(filenames) > few else 1):
        if cache is not None:
            cache.keep(kind, chunk.measured)
        yield chunk


def _extract(
    kind: str, cache: FeatureCache | None, source: ImageSource, chunk: tuple[int, Sequence[str]]
) -> FeatureChunk:
    """Read all files of a chunk, and measure those that are not in the cache."""
    contents, problems = _read(source, chunk)
    known = cache.find(kind, [each.digest for each in contents]) if cache else {}
    measured = _measure(kind, _decode(contents, known, problems))
    known |= measured
    found = [each for each in contents if each.digest in known]
    features = [known[each.digest] for each in found]
    return FeatureChunk(
        [each.position for each in found],
        np.stack(features) if features else np.empty((0, *SHAPES[kind]), np.float32),
        [problems[position] for position in sorted(problems)],
        measured,
    )


def _read(
    source: ImageSource, chunk: tuple[int, Sequence[str]]
) -> tuple[list[_Content], dict[int, str]]:
    """Return the contents of the files, and the problems of unreadable ones by position."""
    start, filenames = chunk
    contents, problems = [], {}
    for position, filename in enumerate(filenames, start):
        try:
            data = source.read(filename)
        except DatasetError as error:
            problems[position] = str(error)
        else:
            contents.append(_Content(position, filename, hashlib.sha256(data).digest(), data))
    return contents, problems


def _decode(
    contents: Sequence[_Content], known: Collection[bytes], problems: dict[int, str]
) -> dict[bytes, Crop]:
    """Return the crops of files that are not in the cache, and add to `problems`."""
    crops: dict[bytes, Crop] = {}
    for each in contents:
        if each.digest not in known and each.digest not in crops:
            try:
                crops[each.digest] = standard_crop(decode(each.data, each.filename))
            except DatasetError as error:
                problems[each.position] = str(error)
    return crops


def _measure(kind: str, crops: dict[bytes, Crop]) -> dict[bytes, Features]:
    if not crops:
        return {}
    stacked = np.stack(list(crops.values()))
    if kind == "plain":
        features = light_features(stacked)
    else:
        numbers = [int.from_bytes(digest[:8]) for digest in crops]
        features = features_with_variants(stacked, numbers).swapaxes(0, 1)
    return dict(zip(crops, features, strict=True))
