"""Measure the yaw of faces for which it is not known, by looking for the faces in the images.

The landmark detector needs torch. It runs in a process of its own, which ends with the work, so
that no program of the site keeps the memory of torch. What was measured is kept in the folder
`poses` of the home, so an interrupted measurement continues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import select

from labeler.database.engine import Database
from labeler.errors import Conflict
from labeler.images.datasets import get_dataset
from labeler.images.head_pose import YawReport, store_poses
from labeler.images.process_pool import map_chunks
from labeler.languages.texts import gettext as _
from labeler.models.images import Image
from labeler.private_files import PRIVATE_FOLDER
from rotation.data.image_source import ImageSource
from rotation.data.sources import open_source
from rotation.poses.estimation import PoseRow
from rotation.poses.measuring import PoseWorker
from rotation.poses.pose_cache import PoseCache

FOLDER = "poses"
CHUNK = 64  # images between two reports
_worker: PoseWorker | None = None  # each process of the pool loads it once
Progress = Callable[[int, int], None]


def measure_missing_yaw(
    db: Database, home: Path, dataset_id: int, progress: Progress | None = None
) -> YawReport:
    """Measure and store the yaw of the usable images that have none.

    Parameters:
        home: the home folder, which keeps the measured poses.
        progress: called with (images done, images in all).

    Raises:
        NotFound: there is no such data set.
        Conflict: the yaw of all usable images is known.
        DatasetError: the folder or zip file cannot be opened.
    """
    with db.read() as session:
        path = get_dataset(session, dataset_id).path
        unknown = (Image.dataset_id == dataset_id, Image.status == "ok", Image.yaw_deg.is_(None))
        wanted = select(Image.filename, Image.id).where(*unknown).order_by(Image.filename)
        ids = dict(session.execute(wanted).all())
    if not ids:
        raise Conflict(_("The yaw of all usable images is known already."))
    (home / FOLDER).mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    with open_source(path) as source:
        poses = _measure_all(path, source, _cache_file(home, dataset_id), list(ids), progress)
    return store_poses(db, ids, poses)


def remove_poses(home: Path, dataset_id: int) -> None:
    """Remove the measured poses of a data set that is deleted. Another one may get its number."""
    _cache_file(home, dataset_id).unlink(missing_ok=True)


def _measure_all(
    path: str,
    source: ImageSource,
    cache_file: Path,
    names: Sequence[str],
    progress: Progress | None,
) -> dict[str, PoseRow]:
    cache = PoseCache(cache_file, source)
    cache.drop_replaced(names)
    missing = [name for name in names if name not in cache.poses]
    chunks = [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
    done = len(names) - len(missing)
    poses = dict(cache.poses)
    if progress is not None:
        progress(done, len(names))
    found = map_chunks(path, _measure, chunks, 1, own_process=True) if chunks else ()
    for chunk, rows in zip(chunks, found, strict=True):
        cache.add(chunk, rows)
        poses.update(zip(chunk, rows, strict=True))
        done += len(chunk)
        if progress is not None:
            progress(done, len(names))
    return {name: poses[name] for name in names}


def _measure(source: ImageSource, names: Sequence[str]) -> list[PoseRow]:
    """Measure one chunk, in the process of the detector."""
    global _worker  # noqa: PLW0603  one per process, as `process_pool._source`
    if _worker is None:
        _worker = PoseWorker(source)
    return list(_worker(names).poses)


def _cache_file(home: Path, dataset_id: int) -> Path:
    return home / FOLDER / f"dataset-{dataset_id}.csv"
