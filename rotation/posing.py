"""Measuring the poses of many images, once: from a landmark file, a CSV, or the detector."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rotation.dataset.celeba import Table, parse_landmarks
from rotation.dataset.sources import ImageSource
from rotation.embedding import Progress, read_image
from rotation.errors import ImageError
from rotation.poses import Poses, append_poses, estimate_poses, read_poses

BATCH = 128
Row = tuple[float, float, float, float]
NO_FACE: Row = (np.nan, np.nan, np.nan, 0.0)


@dataclass(frozen=True)
class PoseBook:
    """Where poses come from: rows known already, and what measures the others.

    `measure` gives the poses of named images; None where nothing more can be measured (the user
    brought a CSV, or the landmark file has all there is). What is measured is added to `cache`.
    """

    known: dict[str, Row]
    measure: Callable[[Sequence[str]], Poses] | None = None
    cache: Path | None = None

    def poses(self, names: Sequence[str], progress: Progress | None = None) -> Poses:
        """The poses of the named images, row by row; NaN and confidence 0 where there is none."""
        missing = [name for name in dict.fromkeys(names) if name not in self.known]
        if self.measure is not None:
            for start in range(0, len(missing), BATCH):
                batch = missing[start : start + BATCH]
                self._learn(batch, self.measure(batch))
                if progress is not None:
                    progress("poses", start + len(batch), len(missing))
        rows = np.array([self.known.get(name, NO_FACE) for name in names]).reshape(-1, 4)
        return Poses(*rows.T)

    def _learn(self, names: Sequence[str], poses: Poses) -> None:
        rows = zip(*(column.tolist() for column in poses.columns), strict=True)
        self.known.update(zip(names, rows, strict=True))
        if self.cache is not None:
            append_poses(self.cache, names, poses)


def book_from_csv(path: Path) -> PoseBook:
    """Poses that the user brings."""
    return PoseBook(read_poses(path))


def book_from_landmarks(landmarks: Table | Path) -> PoseBook:
    """Poses from CelebA's landmark file: no image is opened."""
    table = parse_landmarks(landmarks) if isinstance(landmarks, Path) else landmarks
    poses = estimate_poses(table.values.reshape(-1, 5, 2).astype(np.float64))
    book = PoseBook({})
    book._learn(table.filenames, poses)
    return book


def book_from_detector(source: ImageSource, cache: Path | None, device: Any = "cpu") -> PoseBook:
    """Poses measured by MTCNN on the images, kept in the CSV `cache` from run to run.

    The detector is loaded when the first image needs it.
    """
    detectors: list[Any] = []

    def measure(names: Sequence[str]) -> Poses:
        if not detectors:
            from rotation.landmarks import LandmarkDetector

            detectors.append(LandmarkDetector(device))
        return _measure(source, names, detectors[0])

    known = read_poses(cache, resume=True) if cache is not None and cache.exists() else {}
    return PoseBook(known, measure, cache)


def cache_file(folder: Path, images: Path) -> Path:
    """The poses' cache of one image set within the cache folder."""
    digest = hashlib.sha256(str(images.expanduser().resolve()).encode()).hexdigest()[:12]
    return folder / f"poses-{digest}.csv"


def _measure(source: ImageSource, names: Sequence[str], detector: Any) -> Poses:
    """Poses of the named images; one that cannot be decoded has none."""
    images: list[Image.Image | None] = []
    for name in names:
        try:
            images.append(read_image(source, name))
        except ImageError:
            images.append(None)
    columns = np.tile(np.array(NO_FACE), (len(names), 1))
    readable = [row for row, image in enumerate(images) if image is not None]
    if readable:
        found = detector.poses([images[row] for row in readable])
        columns[readable] = np.stack(found.columns, axis=1)
    return Poses(*columns.T)
