"""Measuring the poses of many images, once: from a landmark file, a CSV, or the detector."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rotation.data.celeba import Table, parse_landmarks
from rotation.data.crop import read_image
from rotation.data.sources import ImageSource
from rotation.errors import DatasetError, ImageError
from rotation.poses.estimation import Poses, Row, estimate_poses
from rotation.poses.pose_csv import (
    Measured,
    append_measured,
    read_measured,
    read_poses,
    revise_measured,
)
from rotation.progress import Progress

BATCH = 128
NO_FACE: Row = (np.nan, np.nan, np.nan, 0.0)


class PoseCache:
    """Poses kept in a CSV from run to run, each with the fingerprint of its image.

    A row without one, from a file of before there were any, is trusted once: it takes the
    fingerprint that its image has when the row is first asked for.

    Parameters:
        path: the CSV; made when the first pose is added. source: the images.
    """

    def __init__(self, path: Path, source: ImageSource) -> None:
        self._path, self._source = path, source
        self._rows = read_measured(path)
        self._current: dict[str, str] = {}

    @property
    def poses(self) -> dict[str, Row]:
        """The poses by filename."""
        return {name: row.pose for name, row in self._rows.items()}

    def drop_replaced(self, names: Iterable[str]) -> list[str]:
        """Forget the poses of those images that have been replaced since, and name them."""
        present = [
            name for name in dict.fromkeys(names) if name in self._rows and self._content(name)
        ]
        kept = {name: self._rows[name].content for name in present}
        replaced = [name for name in present if kept[name] not in ("", self._content(name))]
        unknown = {name: self._content(name) for name in present if not kept[name]}
        if not (replaced or unknown):
            return []

        def revise(rows: dict[str, Measured]) -> None:
            for name in replaced:
                # Another process may have measured the new image already.
                if name in rows and rows[name].content == kept[name]:
                    del rows[name]
            for name, content in unknown.items():
                if name in rows and not rows[name].content:
                    rows[name] = Measured(rows[name].pose, content)

        revise_measured(self._path, revise)
        revise(self._rows)
        return replaced

    def add(self, names: Sequence[str], poses: Iterable[Row]) -> None:
        """Keep the poses of images."""
        rows = {
            name: Measured(pose, self._content(name))
            for name, pose in zip(names, poses, strict=True)
        }
        append_measured(self._path, rows)
        self._rows |= rows

    def _content(self, name: str) -> str:
        """The fingerprint that the image has in this run; '' where it is not in the set."""
        if name not in self._current:
            try:
                self._current[name] = self._source.fingerprint(name)
            except DatasetError:
                self._current[name] = ""
        return self._current[name]


@dataclass(frozen=True)
class PoseSource:
    """Where poses come from: rows known already, and what measures the others.

    `measure` gives the poses of named images; None where nothing more can be measured (the user
    brought a CSV, or the landmark file has all there is). What is measured is added to `cache`.
    """

    known: dict[str, Row]
    measure: Callable[[Sequence[str]], Poses] | None = None
    cache: PoseCache | None = None

    def poses(self, names: Sequence[str], progress: Progress | None = None) -> Poses:
        """The poses of the named images, row by row; NaN and confidence 0 where there is none."""
        if self.cache is not None:
            for name in self.cache.drop_replaced(names):
                del self.known[name]
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
        rows = list(zip(*(column.tolist() for column in poses.columns), strict=True))
        self.known.update(zip(names, rows, strict=True))
        if self.cache is not None:
            self.cache.add(names, rows)


def from_csv(path: Path) -> PoseSource:
    """Poses that the user brings."""
    return PoseSource(read_poses(path))


def from_landmarks(landmarks: Table | Path) -> PoseSource:
    """Poses from CelebA's landmark file: no image is opened."""
    table = parse_landmarks(landmarks) if isinstance(landmarks, Path) else landmarks
    poses = estimate_poses(table.values.reshape(-1, 5, 2).astype(np.float64))
    book = PoseSource({})
    book._learn(table.filenames, poses)
    return book


def from_detector(source: ImageSource, cache: Path | None, device: Any = "cpu") -> PoseSource:
    """Poses measured by MTCNN on the images, kept in the CSV `cache` from run to run.

    An image that has been replaced by another of the same name is measured anew. The
    detector is loaded when the first image needs it.
    """
    detectors: list[Any] = []

    def measure(names: Sequence[str]) -> Poses:
        if not detectors:
            from rotation.poses.mtcnn import LandmarkDetector

            detectors.append(LandmarkDetector(device))
        return _measure(source, names, detectors[0])

    if cache is None:
        return PoseSource({}, measure)
    kept = PoseCache(cache, source)
    return PoseSource(kept.poses, measure, kept)


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
