"""Extract features from the images of a data set, on several processors.

This module does not import SQL or scikit-learn, so that a process of the pool starts quickly.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
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
from rotation.data.sources import ImageSource
from rotation.errors import DatasetError
from rotation.faces.shrinking import Shrunk, shrink_pair
from rotation.passes.needs import Needs
from rotation.passes.running import Runner

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
class _Content:
    """The content of a file, and its key in the cache: the SHA-256, with the landmarks if known."""

    position: int
    filename: str
    digest: bytes
    data: bytes


def extract_features(
    path: str | Path,
    filenames: Sequence[str],
    processes: int | None = None,
    cache: FeatureCache | None = None,
    landmarks: LandmarkTable | None = None,
) -> Iterator[FeatureChunk]:
    """Yield the features of images of a folder or zip file, chunk by chunk, in order.

    An image that cannot be read or decoded is reported in its chunk. It does not stop the others.

    Parameters:
        path: the folder or zip file.
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
    """Measures the features of chunks of images in another process: the worker of a pass."""

    source: ImageSource

    def __call__(self, chunk: _Chunk) -> FeatureChunk:
        """The features of a chunk's images."""
        return _extract("plain", None, True, self.source, chunk)


def extract_features_elsewhere(
    source: ImageSource,
    filenames: Sequence[str],
    runner: Runner,
    cache: FeatureCache,
    landmarks: LandmarkTable | None = None,
) -> Iterator[FeatureChunk]:
    """Yield features as `extract_features` does, measured by the processes of a cluster.

    Chunks whose features are all in the cache are not measured. The others are stored in it as
    they come, so an interrupted run goes on from there.
    """
    cache.prepare()
    chunks = [
        (start, names, _landmarks_of(names, landmarks)) for start, names in _chunks(filenames)
    ]
    begun = not cache.is_empty("plain")  # else no file has to be read here
    known = [begun and _is_known(source, chunk, cache) for chunk in chunks]
    missing = [chunk for chunk, is_known in zip(chunks, known, strict=True) if not is_known]
    needs = partial(Needs.of, source, packages=("rotation", "labeler"))
    measured = runner(FeatureWorker(source), missing, needs)
    for chunk, is_known in zip(chunks, known, strict=True):
        if is_known:
            found = _extract("plain", cache, False, source, chunk)
        else:
            found = next(measured)
            cache.keep("plain", found.measured)
        yield replace(found, features=found.features[:, 0])


def _is_known(source: ImageSource, chunk: _Chunk, cache: FeatureCache) -> bool:
    """Whether the features of all files of a chunk are in the cache."""
    start, filenames, landmarks = chunk
    contents, _problems = _read(source, (start, filenames))
    if landmarks is not None:
        contents = [_with_landmarks(each, landmarks, start) for each in contents]
    digests = {each.digest for each in contents}
    return len(cache.find("plain", list(digests))) == len(digests)


def extract_variants(
    path: str | Path,
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
    path: str | Path, filenames: Sequence[str], processes: int | None = None
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
    path: str | Path,
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
    start, filenames, landmarks = chunk
    read, problems = _read(source, (start, filenames))
    contents = read if landmarks is None else [_with_landmarks(c, landmarks, start) for c in read]
    entries = cache.find(kind, [each.digest for each in contents]) if cache else {}
    measured: dict[bytes, Features] = {}
    waiting: dict[bytes, tuple[Shrunk, Floats]] = {}
    unknown = np.full((5, 2), np.nan)
    for each in contents:
        if each.digest in entries or each.digest in measured or each.digest in waiting:
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
    entries |= measured
    found = [each for each in contents if each.digest in entries]
    rows = [entries[each.digest] for each in found]
    table = np.stack(rows) if rows else np.empty((0, *SHAPES[kind]), np.float32)
    return FeatureChunk(
        [each.position for each in found],
        table[:, :, N_FACTS:],
        table[:, 0, 0].astype(int).tolist(),
        table[:, 0, 1],
        table[:, 0, 2],
        [problems[position] for position in sorted(problems)],
        measured,
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
    for position, filename in enumerate(filenames, start):
        try:
            data = source.read(filename)
        except DatasetError as error:
            problems[position] = str(error)
        else:
            contents.append(_Content(position, filename, hashlib.sha256(data).digest(), data))
    return contents, problems
