"""Extract features from the images of a data set, on several processors.

This module does not import SQL or scikit-learn, so that a process of the pool starts quickly.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labeler.errors import BrokenData
from labeler.images.process_pool import map_chunks
from labeler.languages.texts import gettext as _
from labeler.light_classifier.crop_features import crop_features
from labeler.light_classifier.face_features import Floats, face_features, half_contrast
from labeler.light_classifier.features import CROP, Features
from labeler.light_classifier.semi_supervised import VARIANTS
from labeler.proposals.feature_cache import N_FACTS, SHAPES, FeatureCache
from rotation.data.crop import standard_crop
from rotation.data.decoding import decode
from rotation.data.image_source import ImageSource
from rotation.errors import DatasetError, StoreError
from rotation.faces.shrinking import Shrunk, shrink_pair
from rotation.passes.needs import Needs
from rotation.passes.running import Runner
from rotation.remote_paths import RemotePath

CHUNK = 64  # images per task
FEW = 192  # with fewer images it is faster not to start processes
BATCH = 16  # photographs that are held in memory at once

LandmarkTable = Mapping[str, Sequence[float]]
"""x and y of CelebA's five landmarks by filename, ten numbers; images may be missing."""

Facts = npt.NDArray[np.float32]

_Chunk = tuple[int, Sequence[str], Floats | None]
"""The first position, the filenames, and their landmarks (M, 5, 2) if any is known."""


@dataclass(frozen=True, slots=True)
class FeatureChunk:
    """Features of some of the images, in the order of the filenames.

    Attributes:
        positions: (M,) positions of the images in the list of filenames.
        features: (M, F), or (1 + VARIANTS, M, F) with variants; NaN where no face was found.
        n_faces: (M,) how many faces were found; the features are of the main one.
        yaw_deg: (M,) of the head, see `FacePair`; NaN without a face.
        contrast: (M,) of the face's halves, see `half_contrast`; NaN without a face.
        unreadable: the reasons why the other images of the chunk have none.
        measured: cache entries that were not in the cache, by the SHA-256 of the file.
    """

    positions: list[int]
    features: Features
    n_faces: list[int]
    yaw_deg: Facts
    contrast: Facts
    unreadable: list[str]
    measured: dict[bytes, Features] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MeasuredChunk:
    """What was measured of a chunk.

    Attributes:
        keys: position and cache key of each image that could be decoded.
        problems: why the others could not, by position.
        entries: cache entries that were not known, by key.
    """

    keys: list[tuple[int, bytes]]
    problems: dict[int, str]
    entries: dict[bytes, Features]


@dataclass(frozen=True, slots=True)
class _Content:
    """The content of a file, and its key in the cache: the SHA-256, with the landmarks if known."""

    position: int
    filename: str
    digest: bytes
    data: bytes


def extract_features(
    path: str | Path | RemotePath,
    filenames: Sequence[str],
    processes: int | None = None,
    cache: FeatureCache | None = None,
    landmarks: LandmarkTable | None = None,
) -> Iterator[FeatureChunk]:
    """Yield the features of images of a folder or zip file, chunk by chunk, in order.

    An image that cannot be read or decoded is reported in its chunk. It does not stop the others.

    Parameters:
        path: the folder or zip file, or one in a store.
        filenames: the images.
        processes: number of processes; default: one per processor.
        cache: features of known files are read from it, and others are stored in it.
        landmarks: save the search for the face where they are known.

    Raises:
        DatasetError: the folder or zip file cannot be opened.
    """
    for chunk in _extract_chunks("plain", path, filenames, processes, cache, landmarks):
        yield replace(chunk, features=chunk.features[:, 0])


@dataclass(frozen=True)
class FeatureWorker:
    """Measures the features of chunks of images in another process: the worker of a pass.

    Attributes:
        source: the images.
        known: the keys in the cache when the pass began. Their images are read, but not measured.
    """

    source: ImageSource
    known: frozenset[bytes]

    def __call__(self, chunk: _Chunk) -> MeasuredChunk:
        """The features of a chunk's images that are not known."""
        return _measure_chunk("plain", self.known.intersection, True, self.source, chunk)


def extract_features_elsewhere(
    source: ImageSource,
    filenames: Sequence[str],
    runner: Runner,
    cache: FeatureCache,
    landmarks: LandmarkTable | None = None,
) -> Iterator[FeatureChunk]:
    """Yield features as `extract_features` does, measured by the processes of a cluster.

    The other processes read all images, and measure those that are not in the cache. These are
    stored in it as they come, so an interrupted run goes on from there.

    Raises:
        DatasetError: the cache cannot be read or written.
    """
    with _faults_of(cache):
        cache.prepare()
        worker = FeatureWorker(source, cache.digests("plain"))
    chunks = [
        (start, names, _landmarks_of(names, landmarks)) for start, names in _chunks(filenames)
    ]
    needs = partial(Needs.of, source, packages=("rotation", "labeler"))
    for chunk, measured in zip(chunks, runner(worker, chunks, needs), strict=True):
        with _faults_of(cache):
            cache.keep("plain", measured.entries)
            known = {digest for _position, digest in measured.keys} - measured.entries.keys()
            entries = cache.find("plain", list(known))
        if len(entries) < len(known):  # someone has deleted the cache meanwhile
            found = _extract("plain", None, False, source, chunk)
        else:
            found = _join("plain", measured, entries | measured.entries)
        yield replace(found, features=found.features[:, 0])


@contextmanager
def _faults_of(cache: FeatureCache) -> Iterator[None]:
    """Name the cache as the cause of what the system says.

    Raises:
        DatasetError: the cache cannot be read or written.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise DatasetError(f"--cache {cache.path.parent}: cannot be written ({error}).") from None


def extract_variants(
    path: str | Path | RemotePath,
    filenames: Sequence[str],
    processes: int | None = None,
    cache: FeatureCache | None = None,
    landmarks: LandmarkTable | None = None,
) -> Iterator[FeatureChunk]:
    """Yield features of images and their variants, as `extract_features` does.

    The variants depend only on the content of the file and on its landmarks.
    """
    for chunk in _extract_chunks("varied", path, filenames, processes, cache, landmarks):
        yield replace(chunk, features=chunk.features.swapaxes(0, 1))


def extract_crop_features(
    path: str | Path | RemotePath, filenames: Sequence[str], processes: int | None = None
) -> Iterator[FeatureChunk]:
    """Yield the features of fixed crops, which models of earlier versions need.

    They are not kept in the cache.
    """
    chunks = _chunks(filenames)
    workers = (processes or os.cpu_count() or 1) if len(filenames) > FEW else 1
    yield from map_chunks(path, _extract_crops, chunks, workers)


def _chunks(filenames: Sequence[str]) -> list[tuple[int, Sequence[str]]]:
    starts = range(0, len(filenames), CHUNK)
    return [(start, filenames[start : start + CHUNK]) for start in starts]


def _extract_chunks(
    kind: str,
    path: str | Path | RemotePath,
    filenames: Sequence[str],
    processes: int | None,
    cache: FeatureCache | None,
    landmarks: LandmarkTable | None,
) -> Iterator[FeatureChunk]:
    chunks = [
        (start, names, _landmarks_of(names, landmarks)) for start, names in _chunks(filenames)
    ]
    if cache is not None:
        cache.prepare()
    workers = (processes or os.cpu_count() or 1) if len(filenames) > FEW else 1
    for chunk in map_chunks(path, partial(_extract, kind, cache, workers > 1), chunks, workers):
        if cache is not None:
            cache.keep(kind, chunk.measured)
        yield chunk


def _landmarks_of(names: Sequence[str], table: LandmarkTable | None) -> Floats | None:
    """The landmarks (M, 5, 2) of images, NaN where they are unknown; None if all are unknown."""
    if not table:
        return None
    unknown = (np.nan,) * 10
    rows = [table.get(name) or unknown for name in names]
    return np.array([row if len(row) == 10 else unknown for row in rows], float).reshape(-1, 5, 2)


def _extract(
    kind: str, cache: FeatureCache | None, alone: bool, source: ImageSource, chunk: _Chunk
) -> FeatureChunk:
    """Read all files of a chunk, and measure those that are not in the cache.

    Parameters:
        alone: this process has one processor for itself, so networks use one thread.
    """
    entries: dict[bytes, Features] = {}

    def find(digests: list[bytes]) -> Iterable[bytes]:
        if cache is not None:
            entries.update(cache.find(kind, digests))
        return entries

    measured = _measure_chunk(kind, find, alone, source, chunk)
    return _join(kind, measured, entries | measured.entries)


def _measure_chunk(
    kind: str,
    find_known: Callable[[list[bytes]], Iterable[bytes]],
    alone: bool,
    source: ImageSource,
    chunk: _Chunk,
) -> MeasuredChunk:
    """Read all files of a chunk, and measure those whose keys are not known."""
    start, filenames, landmarks = chunk
    read, problems = _read(source, (start, filenames))
    contents = read if landmarks is None else [_with_landmarks(c, landmarks, start) for c in read]
    there = set(find_known([each.digest for each in contents]))
    measured: dict[bytes, Features] = {}
    waiting: dict[bytes, tuple[Shrunk, Floats]] = {}
    unknown = np.full((5, 2), np.nan)
    for each in contents:
        if each.digest in there or each.digest in measured or each.digest in waiting:
            continue
        try:
            photograph = shrink_pair(decode(each.data, each.filename))
        except DatasetError as error:
            problems[each.position] = str(error)
            continue
        known = unknown if landmarks is None else landmarks[each.position - start]
        waiting[each.digest] = (photograph, known)
        if len(waiting) == BATCH:
            measured |= _measure(kind, waiting, alone)
            waiting = {}
    measured |= _measure(kind, waiting, alone)
    keys = [(each.position, each.digest) for each in contents if each.position not in problems]
    return MeasuredChunk(keys, problems, measured)


def _join(kind: str, chunk: MeasuredChunk, entries: Mapping[bytes, Features]) -> FeatureChunk:
    """The features of all images of a chunk that could be decoded."""
    rows = [entries[digest] for _position, digest in chunk.keys]
    table = np.stack(rows) if rows else np.empty((0, *SHAPES[kind]), np.float32)
    return FeatureChunk(
        [position for position, _digest in chunk.keys],
        table[:, :, N_FACTS:],
        table[:, 0, 0].astype(int).tolist(),
        table[:, 0, 1],
        table[:, 0, 2],
        [chunk.problems[position] for position in sorted(chunk.problems)],
        chunk.entries,
    )


def _with_landmarks(content: _Content, landmarks: Floats, start: int) -> _Content:
    """The content with a key of its landmarks too, so that other landmarks are measured anew."""
    known = landmarks[content.position - start]
    if not np.isfinite(known).all():
        return content
    return replace(content, digest=hashlib.sha256(content.digest + known.tobytes()).digest())


def _measure(
    kind: str, photographs: Mapping[bytes, tuple[Shrunk, Floats]], alone: bool
) -> dict[bytes, Features]:
    """Return the cache entries of photographs, by digest.

    Raises:
        BrokenData: the networks that look for faces need torch, which is not installed.
    """
    if not photographs:
        return {}
    # Only a process that looks for faces loads torch: the site and its commands start without.
    try:
        from rotation.faces.face_pairs import find_shrunk_pairs, read_pair, read_variant
        from rotation.faces.layer_graph import use_one_thread
    except ModuleNotFoundError as error:
        raise BrokenData(
            _(
                "Looking for faces needs the library %(name)s. Install the rotation engine's "
                "libraries too: pip install 'sidelight[rotation]'.",
                name=error.name,
            )
        ) from None
    if alone:
        use_one_thread()
    images, landmarks = zip(*photographs.values(), strict=True)
    pairs = find_shrunk_pairs(images, np.stack(landmarks))
    seen = [read_pair(pair) for pair in pairs]
    rows = [face_features(seen)]
    if kind == "varied":
        rngs = [np.random.default_rng((0, int.from_bytes(digest[:8]))) for digest in photographs]
        for _variant in range(VARIANTS):
            varied = [read_variant(pair, rng) for pair, rng in zip(pairs, rngs, strict=True)]
            rows.append(face_features(varied))
    features = np.stack(rows, axis=1)
    facts = np.array(
        [
            (pair.n_faces, pair.yaw_deg, half_contrast(shown))
            for pair, shown in zip(pairs, seen, strict=True)
        ],
        np.float32,
    )
    beside = np.broadcast_to(facts[:, None], (*features.shape[:2], N_FACTS))
    entries = np.concatenate([beside, features], axis=2)
    return dict(zip(photographs, entries, strict=True))


def _extract_crops(source: ImageSource, chunk: tuple[int, Sequence[str]]) -> FeatureChunk:
    contents, problems = _read(source, chunk)
    positions, crops = [], []
    for each in contents:
        try:
            crops.append(standard_crop(decode(each.data, each.filename)))
            positions.append(each.position)
        except DatasetError as error:
            problems[each.position] = str(error)
    features = np.empty((0, CROP.n_features), np.float32)
    if crops:
        features = crop_features(np.stack(crops))
    unreadable = [problems[position] for position in sorted(problems)]
    unknown = np.full(len(positions), np.nan, np.float32)
    return FeatureChunk(positions, features, [1] * len(positions), unknown, unknown, unreadable)


def _read(
    source: ImageSource, chunk: tuple[int, Sequence[str]]
) -> tuple[list[_Content], dict[int, str]]:
    """Return the contents of the files, and the problems of unreadable ones by position."""
    start, filenames = chunk
    contents, problems = [], {}
    source.read_ahead(filenames)
    for position, filename in enumerate(filenames, start):
        try:
            data = source.read(filename)
        except StoreError:  # no image of it can be read any more
            raise
        except DatasetError as error:
            problems[position] = str(error)
        else:
            contents.append(_Content(position, filename, hashlib.sha256(data).digest(), data))
    return contents, problems
