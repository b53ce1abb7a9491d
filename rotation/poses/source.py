"""Where the poses of an image set come from: a CSV, a landmark file, or MTCNN on the images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rotation.data.celeba import Table, Tables, parse_landmarks
from rotation.data.image_names import match_keys
from rotation.data.image_set import open_images, read_matching_tables
from rotation.data.image_source import ImageSource
from rotation.errors import DatasetError
from rotation.imaging.images import save_text
from rotation.options import PoseOptions
from rotation.output_paths import check_file
from rotation.passes.running import Runner, run_here
from rotation.poses.estimation import PoseRow, Poses, estimate_poses
from rotation.poses.measuring import MeasuredPoses, PoseWorker, measure_poses
from rotation.poses.pose_cache import PoseCache
from rotation.poses.pose_csv import NO_FACE, format_poses, read_poses
from rotation.progress import Progress
from rotation.reading import real_path
from rotation.remote_paths import ImagePlace, RemotePath


@dataclass(frozen=True)
class PoseSource:
    """Known poses, and a way to measure others.

    Attributes:
        known: the known poses by filename.
        measure: measures named images, batch by batch; None if only known poses can be found.
        cache: keeps measured poses from run to run; None keeps none.
    """

    known: dict[str, PoseRow]
    measure: Callable[[Sequence[str]], Iterator[MeasuredPoses]] | None = None
    cache: PoseCache | None = None

    def find_poses(self, names: Sequence[str], progress: Progress | None = None) -> Poses:
        """The poses of the named images, row by row; NaN with confidence 0 if there is none."""
        if self.cache is not None:
            for name in self.cache.drop_replaced(names):
                del self.known[name]
        missing = [name for name in dict.fromkeys(names) if name not in self.known]
        if self.measure is not None:
            done = 0
            for batch in self.measure(missing):
                self._add(batch)
                done += len(batch.names)
                if progress is not None:
                    progress("poses", done, len(missing))
        rows = np.array([self.known.get(name, NO_FACE) for name in names]).reshape(-1, 4)
        return Poses(*rows.T)

    def only(self, names: Sequence[str]) -> PoseSource:
        """The poses of these images alone, all of them known, for another process."""
        return PoseSource(dict(zip(names, _rows(self.find_poses(names)), strict=True)))

    def _add(self, batch: MeasuredPoses) -> None:
        self.known.update(zip(batch.names, batch.poses, strict=True))
        if self.cache is not None:
            self.cache.add(batch.names, batch.poses, batch.contents)


def open_pose_source(
    options: PoseOptions,
    images: ImageSource,
    tables: Tables,
    cache: Path,
    device: Any,
    runner: Runner = run_here,
) -> PoseSource:
    """The pose source that the options ask for.

    Parameters:
        tables: hold the landmarks that are used by `--landmarks auto`, if there are any.
        cache: the CSV file that keeps what MTCNN measures.
        device: where MTCNN runs.
        runner: where images are measured.

    Raises:
        DatasetError: a file does not exist or cannot be read.
    """
    if options.csv is not None:
        if options.landmarks not in ("auto", "mtcnn"):
            raise DatasetError(
                f"--poses {options.csv} and --landmarks {options.landmarks} exclude each other; "
                "give one of them."
            )
        known = set(images.names())
        poses = match_keys(read_poses(options.csv), known)
        _refuse_foreign(f"--poses {options.csv}", poses, known)
        return PoseSource(poses)
    if options.landmarks not in ("auto", "mtcnn"):
        path = Path(options.landmarks)
        if not path.is_file():
            raise DatasetError(f"--landmarks {path}: no such file; give a file, auto or mtcnn.")
        known = set(images.names())
        landmarks = parse_landmarks(path).match_names(known)
        _refuse_foreign(f"--landmarks {path}", landmarks.filenames, known)
        return poses_from_landmarks(landmarks)
    if options.landmarks == "auto" and tables.landmarks is not None:
        return poses_from_landmarks(tables.landmarks)
    return poses_from_images(images, cache, device, runner)


def poses_from_csv(path: Path) -> PoseSource:
    """The poses of a `poses.csv`."""
    return PoseSource(read_poses(path))


def poses_from_landmarks(landmarks: Table | Path) -> PoseSource:
    """Poses estimated from CelebA's landmark file. No image is opened."""
    table = parse_landmarks(landmarks) if isinstance(landmarks, Path) else landmarks
    poses = estimate_poses(table.values.reshape(-1, 5, 2).astype(np.float64))
    return PoseSource(dict(zip(table.filenames, _rows(poses), strict=True)))


def poses_from_images(
    source: ImageSource, cache: Path | None, device: Any = "cpu", runner: Runner = run_here
) -> PoseSource:
    """Poses measured by MTCNN on the images.

    MTCNN is loaded when the first image is measured. An image that is replaced by another one of
    the same name is measured again.

    Parameters:
        cache: the CSV file that keeps the poses; None keeps none.
        runner: where images are measured.
    """
    measure = partial(measure_poses, PoseWorker(source, device), runner)
    if cache is None:
        return PoseSource({}, measure)
    kept = PoseCache(cache, source)
    return PoseSource(kept.poses, measure, kept)


def write_poses(
    options: PoseOptions,
    images: ImagePlace,
    device: Any,
    out: Path,
    progress: Progress,
    runner: Runner = run_here,
) -> tuple[int, int]:
    """Write the poses of a whole image set to the CSV file `out`.

    Returns:
        The number of images that have a trusted pose, and the number of all images.

    Raises:
        DatasetError: a file cannot be read or written.
    """
    check_file(out)
    with open_images(images) as source:
        names = source.names()
        tables = read_matching_tables(images, names)
        poses = open_pose_source(options, source, tables, out, device, runner)
        found = poses.find_poses(names, progress)
    if poses.cache is None:  # estimated from landmarks; otherwise `out` is the cache
        save_text(format_poses(names, found), out)
    return int(found.is_trusted.sum()), len(names)


def pose_cache_path(folder: Path, images: ImagePlace) -> Path:
    """The cache file of one image set in the cache folder."""
    place = images if isinstance(images, RemotePath) else real_path(images)
    digest = hashlib.sha256(str(place).encode()).hexdigest()[:12]
    return folder / f"poses-{digest}.csv"


def _refuse_foreign(given: str, names: Collection[str], known: Collection[str]) -> None:
    """Raise `DatasetError` if a file is about other images only; it belongs to another set."""
    if names and not any(name in known for name in names):
        raise DatasetError(
            f"{given}: none of its {len(names):,} images is in the image set: it has "
            f"{next(iter(names))!r}, the image set has {min(known)!r}. Give the file that belongs "
            "to --images."
        )


def _rows(poses: Poses) -> list[PoseRow]:
    return list(zip(*(column.tolist() for column in poses.columns), strict=True))
