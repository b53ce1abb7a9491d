"""Which images stand for a source at each yaw: same light, same rough looks, another person.

Each labelled image counts twice, as it is and mirrored: the mirror swaps `left` and `right` and
negates the yaw. So the cluster of a left-lit source is made of left-lit images and of mirrored
right-lit ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from rotation.errors import SelectionError
from rotation.poses import Poses
from rotation.records import LABELS, MIRRORED_LABEL, UNKNOWN, Records

DEFAULT_ATTRIBUTES = ("Male", "Young", "Eyeglasses", "Smiling")


@dataclass(frozen=True)
class Criteria:
    """What is asked of a cluster.

    `light` is the source's label, None to take every light. `attributes` must equal the source's,
    the most important first. `half_width_deg` is half the width of the yaw window, `minimum` and
    `maximum` bound the size of a cluster.
    """

    light: str | None
    attributes: tuple[str, ...] = DEFAULT_ATTRIBUTES
    half_width_deg: float = 5.0
    minimum: int = 20
    maximum: int = 1000
    max_pitch_deg: float = 25.0
    min_confidence: float = 0.2

    def __post_init__(self) -> None:
        if self.light is not None and self.light not in LABELS:
            raise SelectionError(f"Unknown light {self.light!r}; {', '.join(LABELS)} are allowed.")
        if not 1 <= self.minimum <= self.maximum:
            raise SelectionError(
                f"A cluster needs 1 <= minimum <= maximum; got {self.minimum} and {self.maximum}."
            )


@dataclass(frozen=True)
class Members:
    """Images as used: `rows` (n,) of the records, whether `mirrored`, and the yaw as used."""

    rows: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    yaw_deg: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, which: NDArray[np.generic]) -> Members:
        """The images that an index or a mask picks."""
        return Members(self.rows[which], self.mirrored[which], self.yaw_deg[which])


@dataclass(frozen=True)
class Selection:
    """Clusters at `angles_deg`, the `attributes` they share with the source, and the `dropped`."""

    angles_deg: tuple[float, ...]
    clusters: tuple[Members, ...]
    attributes: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def members(self) -> Members:
        """All clusters in a row."""
        fields = ("rows", "mirrored", "yaw_deg")
        return Members(*(np.concatenate([getattr(c, f) for c in self.clusters]) for f in fields))

    def keep(self, rows: Sequence[int], criteria: Criteria) -> Selection:
        """Only members of these rows; `SelectionError` where a cluster falls below the minimum."""
        kept = tuple(c.take(np.isin(c.rows, list(rows))) for c in self.clusters)
        if any(len(cluster) < criteria.minimum for cluster in kept):
            _refuse(self.angles_deg, kept, criteria, "images that cannot be read left out")
        return replace(self, clusters=kept)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of images per cluster."""
        return tuple(len(cluster) for cluster in self.clusters)


def candidates(records: Records, criteria: Criteria) -> NDArray[np.int64]:
    """Rows whose light fits, as they are or mirrored: those whose pose is worth measuring."""
    if criteria.light is None:
        return np.arange(len(records))
    wanted = {criteria.light, MIRRORED_LABEL[criteria.light]}
    return np.flatnonzero(np.isin(records.labels, list(wanted)))


def usable_attributes(
    names: Sequence[str], records: Records, source: Records, explicit: bool
) -> tuple[str, ...]:
    """The attributes that both files and source tell; the others are abstained from.

    `explicit` names (typed by a person) must exist: `DatasetError` where they do not.
    """
    if explicit:
        for name in names:
            records.attribute(name)
    known = [name for name in names if name in records.attribute_names]
    return tuple(name for name in known if source.attribute(name)[0] != UNKNOWN)


def select(
    records: Records, poses: Poses, source: Records, angles_deg: Sequence[float],
    criteria: Criteria, rng: np.random.Generator,
) -> Selection:  # fmt: skip
    """Clusters for one source at each angle (degrees, rising).

    `poses` go with `records`, row by row; NaN yaws are passed over. `source` is the one record
    of the source: neither that image nor its person is ever taken. Where a cluster is below the
    minimum, attributes are dropped from the last one on until all suffice.

    Raises `SelectionError` where even light alone leaves a cluster too small.
    """
    pool = _pool(records, poses, source, criteria)
    for kept in range(len(criteria.attributes), -1, -1):
        names = criteria.attributes[:kept]
        alike = pool.take(_alike(records, source, names)[pool.rows])
        clusters = [_window(alike, angle, criteria) for angle in angles_deg]
        if all(len(cluster) >= criteria.minimum for cluster in clusters):
            break
    else:
        _refuse(angles_deg, clusters, criteria, "all attributes given up already")
    return Selection(
        angles_deg=tuple(float(angle) for angle in angles_deg),
        clusters=tuple(_thin(cluster, criteria.maximum, rng) for cluster in clusters),
        attributes=names,
        dropped=criteria.attributes[kept:],
    )


def _pool(records: Records, poses: Poses, source: Records, criteria: Criteria) -> Members:
    """All images and mirror images with the right light and a pose to trust."""
    usable = np.isfinite(poses.yaw_deg) & (poses.confidence >= criteria.min_confidence)
    usable &= np.abs(np.nan_to_num(poses.pitch_deg)) <= criteria.max_pitch_deg
    usable &= np.array([name != source.filenames[0] for name in records.filenames], dtype=bool)
    if source.identities[0] != UNKNOWN:
        usable &= records.identities != source.identities[0]
    plain = flipped = np.flatnonzero(usable)
    if criteria.light is not None:
        plain = np.flatnonzero(usable & (records.labels == criteria.light))
        flipped = np.flatnonzero(usable & (records.labels == MIRRORED_LABEL[criteria.light]))
    yaw = poses.yaw_deg
    return Members(
        rows=np.concatenate([plain, flipped]),
        mirrored=np.repeat([False, True], [len(plain), len(flipped)]),
        yaw_deg=np.concatenate([yaw[plain], -yaw[flipped]]),
    )


def _alike(records: Records, source: Records, names: Sequence[str]) -> NDArray[np.bool_]:
    """(N,) whether the named attributes equal the source's; an unknown value does not."""
    alike = np.ones(len(records), dtype=bool)
    for name in names:
        alike &= records.attribute(name) == source.attribute(name)[0]
    return alike


def _window(pool: Members, angle_deg: float, criteria: Criteria) -> Members:
    return pool.take(np.abs(pool.yaw_deg - angle_deg) <= criteria.half_width_deg)


def _thin(cluster: Members, maximum: int, rng: np.random.Generator) -> Members:
    if len(cluster) <= maximum:
        return cluster
    return cluster.take(np.sort(rng.choice(len(cluster), maximum, replace=False)))


def _refuse(
    angles_deg: Sequence[float], clusters: Sequence[Members], criteria: Criteria, state: str
) -> NoReturn:
    sizes = {angle: len(cluster) for angle, cluster in zip(angles_deg, clusters, strict=True)}
    raise SelectionError(too_small(sizes, criteria, state))


def too_small(sizes: Mapping[float, int], criteria: Criteria, state: str) -> str:
    """The message for clusters below the minimum: which, how many, how many needed, what helps."""
    small = [(angle, size) for angle, size in sizes.items() if size < criteria.minimum]
    found = "; ".join(f"at yaw {angle:+g}°: {size} found" for angle, size in small)
    light = f"light {criteria.light!r}" if criteria.light else "any light"
    return (
        f"Too few images with {light}, {found}, {criteria.minimum} needed ({state}). "
        "What would help: label more images, a narrower --yaw range, "
        "a wider --window, a smaller --min-cluster, or --no-light-filter."
    )
