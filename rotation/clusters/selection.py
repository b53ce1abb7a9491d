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

from rotation.data.labels import LABELS, MIRRORED_LABEL
from rotation.data.records import UNKNOWN, Records
from rotation.errors import SelectionError
from rotation.poses.estimation import Poses

Floats = NDArray[np.float64]

DEFAULT_ATTRIBUTES = ("Male", "Young", "Eyeglasses", "Smiling")


@dataclass(frozen=True)
class Criteria:
    """What is asked of a cluster.

    `light` is the source's label, None to take every light. `attributes` must equal the source's,
    the most important first. `half_width_deg` is half the width of the yaw window; it may grow to
    `max_half_width_deg` where a cluster is too small. `minimum` and `maximum` bound the size of a
    cluster. Labels less probable than `min_probability` do not count. `same_person` allows other
    pictures of the source's person.
    """

    light: str | None
    attributes: tuple[str, ...] = DEFAULT_ATTRIBUTES
    half_width_deg: float = 5.0
    minimum: int = 20
    maximum: int = 1000
    max_pitch_deg: float = 25.0
    min_confidence: float = 0.2
    max_half_width_deg: float = 10.0
    min_probability: float = 0.0
    same_person: bool = False

    def __post_init__(self) -> None:
        if self.light is not None and self.light not in LABELS:
            raise SelectionError(f"Unknown light {self.light!r}; {', '.join(LABELS)} are allowed.")
        if not 1 <= self.minimum <= self.maximum:
            raise SelectionError(
                f"A cluster needs 1 <= minimum <= maximum; got {self.minimum} and {self.maximum}."
            )
        if not 0 <= self.min_probability <= 1:
            raise SelectionError(
                f"The least probability must be within 0 and 1, not {self.min_probability}."
            )


@dataclass(frozen=True)
class Members:
    """Images as used: `rows` (n,) of the records, whether `mirrored`, and the yaw as used.

    `weights` (n,) say how much each counts, of mean 1 over a selection; None: all the same.
    """

    rows: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    yaw_deg: Floats
    weights: Floats | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def effective_size(self) -> float:
        """How many images of equal weight would average as well: (sum w)^2 / sum w^2."""
        if self.weights is None or not len(self):
            return float(len(self))
        return float(self.weights.sum() ** 2 / np.square(self.weights).sum())

    def take(self, which: NDArray[np.generic]) -> Members:
        """The images that an index or a mask picks."""
        weights = None if self.weights is None else self.weights[which]
        return Members(self.rows[which], self.mirrored[which], self.yaw_deg[which], weights)


@dataclass(frozen=True)
class Selection:
    """Clusters at `angles_deg`, the `attributes` they share with the source, and the `dropped`.

    `half_widths_deg` are those of the yaw windows as used, `asked_half_width_deg` the one asked
    for; `unsure` counts the images whose light fits but whose label is not probable enough.
    """

    angles_deg: tuple[float, ...]
    clusters: tuple[Members, ...]
    attributes: tuple[str, ...]
    dropped: tuple[str, ...]
    half_widths_deg: tuple[float, ...] = ()
    asked_half_width_deg: float = 0.0
    unsure: int = 0

    @property
    def members(self) -> Members:
        """All clusters in a row."""
        rows, mirrored, yaws = (
            np.concatenate([getattr(c, name) for c in self.clusters])
            for name in ("rows", "mirrored", "yaw_deg")
        )
        weights = [c.weights for c in self.clusters if c.weights is not None]
        whole = np.concatenate(weights) if len(weights) == len(self.clusters) else None
        return Members(rows, mirrored, yaws, whole)

    @property
    def mean_yaws_deg(self) -> tuple[float, ...]:
        """The members' mean yaw per cluster: nearer to 0 than the angle where faces thin out."""
        return tuple(
            float(np.average(c.yaw_deg, weights=c.weights)) if len(c) else float("nan")
            for c in self.clusters
        )

    @property
    def widening(self) -> tuple[str, ...]:
        """What was given up to reach the minimum, step by step, in words; empty where nothing."""
        given_up = [f"{name} given up" for name in reversed(self.dropped)]
        wider = [
            f"window at {angle:+g}° widened from ±{self.asked_half_width_deg:g}° to ±{half:g}°"
            for angle, half in zip(self.angles_deg, self.half_widths_deg, strict=False)
            if half > self.asked_half_width_deg
        ]
        return (*given_up, *wider)

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


@dataclass(frozen=True)
class Covariates:
    """What a regression adjusts for.

    Attributes:
        lights, pitch_deg: (n,) of the members as used.
        source_light: the light of the source; None: every light alike.
    """

    lights: tuple[str, ...]
    pitch_deg: Floats
    source_light: str | None

    @property
    def lit(self) -> NDArray[np.bool_]:
        """Members under the source's light (n,)."""
        if self.source_light is None:
            return np.ones(len(self.lights), dtype=bool)
        return np.array([light == self.source_light for light in self.lights])


def candidates(records: Records, criteria: Criteria) -> NDArray[np.int64]:
    """Rows whose light fits, as they are or mirrored: those whose pose is worth measuring."""
    return np.flatnonzero(_lit(records, criteria) & _sure(records, criteria))


def count_unsure(records: Records, criteria: Criteria) -> int:
    """How many rows' light would fit, were their label more probable."""
    return int((_lit(records, criteria) & ~_sure(records, criteria)).sum())


def _lit(records: Records, criteria: Criteria) -> NDArray[np.bool_]:
    if criteria.light is None:
        return np.ones(len(records), dtype=bool)
    return np.isin(records.labels, [criteria.light, MIRRORED_LABEL[criteria.light]])


def _sure(records: Records, criteria: Criteria) -> NDArray[np.bool_]:
    """(N,) whether the label is probable enough; without the light filter no label counts.

    A mirrored image's label is as probable as the label it is read from, since a mirror swaps
    p_left and p_right too. A label of unknown probability is not sure where that is asked.
    """
    if criteria.light is None or criteria.min_probability == 0:
        return np.ones(len(records), dtype=bool)
    if records.probability is None:
        raise SelectionError("No probabilities are known, so none can be asked of the labels.")
    return np.nan_to_num(records.probability, nan=-1.0) >= criteria.min_probability


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
    of the source: neither that image nor (unless `same_person`) its person is ever taken. Where a
    cluster is below the minimum, attributes are given up from the last one on until all suffice;
    if they do not even then, the windows of the clusters that are still too small are widened by
    a degree at a time. `Selection.widening` tells each step.

    Raises `SelectionError` where even light alone and the widest window leave a cluster too small.
    """
    pool = _pool(records, poses, source, criteria)
    for kept in range(len(criteria.attributes), -1, -1):
        alike = pool.take(_alike(records, source, criteria.attributes[:kept])[pool.rows])
        clusters = [_window(alike, angle, criteria.half_width_deg) for angle in angles_deg]
        if all(len(cluster) >= criteria.minimum for cluster in clusters):
            break
    widths = [_wide_enough(alike, angle, criteria) for angle in angles_deg]
    clusters = [_window(alike, *pair) for pair in zip(angles_deg, widths, strict=True)]
    if any(len(cluster) < criteria.minimum for cluster in clusters):
        state = "all attributes given up already"
        if max(widths) > criteria.half_width_deg:
            state += f", windows widened to ±{max(widths):g}°"
        _refuse(angles_deg, clusters, criteria, state)
    return Selection(
        angles_deg=tuple(float(angle) for angle in angles_deg),
        clusters=tuple(_thin(cluster, criteria.maximum, rng) for cluster in clusters),
        attributes=criteria.attributes[:kept],
        dropped=criteria.attributes[kept:],
        half_widths_deg=tuple(widths),
        asked_half_width_deg=criteria.half_width_deg,
        unsure=count_unsure(records, criteria),
    )


def _pool(records: Records, poses: Poses, source: Records, criteria: Criteria) -> Members:
    """All images and mirror images with the right light and a pose to trust."""
    usable = np.isfinite(poses.yaw_deg) & (poses.confidence >= criteria.min_confidence)
    usable &= np.abs(np.nan_to_num(poses.pitch_deg)) <= criteria.max_pitch_deg
    usable &= np.array([name != source.filenames[0] for name in records.filenames], dtype=bool)
    usable &= _sure(records, criteria)
    if source.identities[0] != UNKNOWN and not criteria.same_person:
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


def _window(pool: Members, angle_deg: float, half_width_deg: float) -> Members:
    return pool.take(np.abs(pool.yaw_deg - angle_deg) <= half_width_deg)


def _wide_enough(pool: Members, angle_deg: float, criteria: Criteria) -> float:
    """The least half width, in degrees above the one asked for, that holds enough members."""
    half = criteria.half_width_deg
    while (
        half < criteria.max_half_width_deg
        and len(_window(pool, angle_deg, half)) < criteria.minimum
    ):
        half = min(half + 1, criteria.max_half_width_deg)
    return half


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
        "a wider --window or --max-window, a smaller --min-cluster, or --no-light-filter."
    )
