"""Store the yaw of each face, from CelebA's landmarks or from a file of poses.

`Image.yaw_deg` > 0: the face looks towards the viewer's right. All values are computed before the
first one is written, so that votes wait only a short time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.orm import Session

from labeler.database.engine import Database
from labeler.errors import BrokenData, Conflict
from labeler.languages.texts import gettext as _
from labeler.models.images import Image
from rotation.data.image_names import match_keys
from rotation.poses.estimation import PoseRow, estimate_poses, trusted_yaw
from rotation.poses.pose_csv import read_poses

_BATCH = 5_000  # rows per statement
_COORDINATES = 10
_IMAGES = cast(Table, Image.__table__)
# On the table, not on the class: this avoids the mapper while votes wait.
_SET_YAW = (
    update(_IMAGES).where(_IMAGES.c.id == bindparam("image")).values(yaw_deg=bindparam("yaw"))
)


@dataclass(frozen=True, slots=True)
class YawReport:
    """What was stored.

    Attributes:
        stored: number of images that got a yaw.
        faceless: number of images in which no face was found, or whose pose is doubtful.
        missing: number of images of the data set that the source does not contain.
        foreign: names in the file that are not in the data set.
    """

    stored: int
    faceless: int
    missing: int
    foreign: tuple[str, ...] = ()


def measure_yaw(db: Database, dataset_id: int) -> YawReport:
    """Compute and store the yaw of each image that has landmarks.

    Each batch is committed. If this stops in between, it must be run again.

    Raises:
        Conflict: no image has landmarks.
    """
    with db.read() as session:
        rows = session.execute(
            select(Image.id, Image.landmarks).where(Image.dataset_id == dataset_id)
        ).all()
    known = [row for row in rows if row.landmarks and len(row.landmarks) == _COORDINATES]
    if not known:
        raise Conflict(
            _(
                "No image has landmarks, because the file list_landmarks_align_celeba was not in "
                "the same folder as the images. Measure head poses with `python manage.py rotation "
                "poses` and pass the file that it writes."
            )
        )
    yaws = estimate_yaw([row.landmarks for row in known])
    values = dict(zip((row.id for row in known), yaws, strict=True))
    for batch in _batches(values):
        with db.write() as session:
            session.execute(_SET_YAW, batch)
    return _report(values, missing=len(rows) - len(known))


def load_yaw(db: Database, dataset_id: int, path: Path) -> YawReport:
    """Store the yaw of each image from a poses.csv of `manage.py rotation poses`.

    All rows are stored, or none. An image whose row has no yaw, or one of too little confidence,
    loses its yaw. An image that is not in the file keeps it.

    Raises:
        DatasetError: the file cannot be read. The message names the line.
        BrokenData: no name of the file is in the data set.
    """
    read = read_poses(path)
    with db.read() as session:
        ids = _ids_by_name(session, dataset_id)
    report = store_poses(db, ids, match_keys(read, ids))
    if not report.stored + report.faceless:
        foreign = report.foreign[:1]
        raise BrokenData(
            f"{path}: none of its {len(read):,} images is in the data set"
            + (f" ({foreign[0]!r} is not, for one)" if foreign else "")
            + "; choose the data set with --dataset NAME."
        )
    return report


def store_poses(db: Database, ids: Mapping[str, int], poses: Mapping[str, PoseRow]) -> YawReport:
    """Store the yaw of images by their poses, in one transaction.

    Parameters:
        ids: the number of each image of the data set by its name.
        poses: by name. One without a yaw, or of too little confidence, removes the yaw.
    """
    values = {ids[name]: _finite(trusted_yaw(pose)) for name, pose in poses.items() if name in ids}
    foreign = tuple(name for name in poses if name not in ids)
    batches = list(_batches(values))
    with db.write() as session:
        for batch in batches:
            session.execute(_SET_YAW, batch)
    return _report(values, missing=len(ids) - len(values), foreign=foreign)


def estimate_yaw(landmarks: Sequence[Sequence[float]]) -> list[float | None]:
    """Estimate the yaw of N faces in degrees.

    Parameters:
        landmarks: x and y of CelebA's five landmarks, ten numbers per face.

    Returns:
        The yaw of each face; None if all its landmarks are one point.
    """
    points = np.array(landmarks, dtype=np.float64).reshape(-1, _COORDINATES // 2, 2)
    yaws: list[float | None] = []
    for start in range(0, len(points), _BATCH):
        poses = estimate_poses(points[start : start + _BATCH])
        yaws.extend(_finite(yaw) for yaw in poses.yaw_deg.tolist())
    return yaws


def _finite(yaw: float) -> float | None:
    return float(yaw) if np.isfinite(yaw) else None


def _ids_by_name(session: Session, dataset_id: int) -> Mapping[str, int]:
    wanted = select(Image.filename, Image.id).where(Image.dataset_id == dataset_id)
    return dict(session.execute(wanted).all())


def _batches(values: Mapping[int, float | None]) -> Iterator[list[dict[str, float | None]]]:
    """Return the parameters of `_SET_YAW`, in batches."""
    rows = [{"image": image_id, "yaw": yaw} for image_id, yaw in values.items()]
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def _report(
    values: Mapping[int, float | None], missing: int, foreign: tuple[str, ...] = ()
) -> YawReport:
    faceless = sum(yaw is None for yaw in values.values())
    return YawReport(len(values) - faceless, faceless, missing, foreign)
