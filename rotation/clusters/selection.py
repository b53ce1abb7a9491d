"""Selecting the clusters of a source: images of other people at each yaw, with the same light.

Where the azimuth of the light is known, members may be picked by it instead of by their label. They
also share rough attributes with the source. Each labelled image counts twice, as it is
and mirrored. A mirror swaps `left` and `right` and negates yaw and azimuth. So the clusters of a
left-lit source contain left-lit images and mirrored right-lit ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from rotation.data.labels import LABELS, MIRRORED_LABEL
from rotation.data.records import UNKNOWN, Records
from rotation.errors import DatasetError, SelectionError
from rotation.poses.estimation import MIN_CONFIDENCE, Poses

Floats = NDArray[np.float64]

DEFAULT_ATTRIBUTES = ("Male", "Young", "Eyeglasses", "Smiling")

CLUSTER_STEP_DEG = 10.0
CLUSTER_REACH_DEG = (20.0, 40.0)
"""Bounds, in degrees, of the largest cluster angle. A slope needs a wide range of yaws; beyond 40
degrees faces are rare and landmarks fail."""


@dataclass(frozen=True)
class Criteria:
    """The conditions for the members of a cluster.

    Attributes:
        light: the source's light; None allows every light.
        light_window_deg: how far the azimuth of a member's light may be from the source's. Members
            without an azimuth are picked by their label; None picks all by their label.
        azimuth_deg: of the source's light; needed with `light_window_deg`.
        attributes: names of attributes whose values must equal the source's, most important first.
        half_width_deg: half the width of the yaw window, in degrees.
        minimum, maximum: bounds of a cluster's size.
        max_pitch_deg: largest absolute pitch of a member, in degrees.
        min_confidence: smallest confidence of a member's pose.
        max_half_width_deg: how far the window of a small cluster may grow, in degrees.
        min_probability: smallest probability of a member's label.
        same_person: allow other images of the source's person.

    Raises:
        SelectionError: the light is unknown, or a number is out of its range.
    """

    light: str | None
    attributes: tuple[str, ...] = DEFAULT_ATTRIBUTES
    half_width_deg: float = 5.0
    minimum: int = 20
    maximum: int = 1000
    max_pitch_deg: float = 25.0
    min_confidence: float = MIN_CONFIDENCE
    max_half_width_deg: float = 10.0
    min_probability: float = 0.0
    same_person: bool = False
    light_window_deg: float | None = None
    azimuth_deg: float | None = None

    def __post_init__(self) -> None:
        if self.light is not None and self.light not in LABELS:
            raise SelectionError(f"Unknown light {self.light!r}; {', '.join(LABELS)} are allowed.")
        if not 1 <= self.minimum <= self.maximum:
            raise SelectionError(
                f"A cluster needs 1 <= minimum <= maximum; got {self.minimum} and {self.maximum}."
            )
        if (self.light_window_deg is None) != (self.azimuth_deg is None):
            raise SelectionError("The window of light and the azimuth of the source go together.")
        if not 0 <= self.min_probability <= 1:
            raise SelectionError(
                f"The least probability must be within 0 and 1, not {self.min_probability}."
            )


@dataclass(frozen=True)
class ClusterMembers:
    """The n members of a cluster, some of them mirrored images.

    Attributes:
        rows: (n,), their rows in the records.
        mirrored: (n,), whether a member is the mirror image.
        yaw_deg: (n,), degrees, of the mirror image if `mirrored`.
        weights: (n,), with mean 1 over a selection; None gives every member the same weight.
    """

    rows: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    yaw_deg: Floats
    weights: Floats | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def effective_size(self) -> float:
        """The number of equally weighted images with the same variance: (sum w)^2 / sum w^2."""
        if self.weights is None or not len(self):
            return float(len(self))
        return float(self.weights.sum() ** 2 / np.square(self.weights).sum())

    def take(self, which: NDArray[np.generic]) -> ClusterMembers:
        """The members that an index array or a mask selects."""
        weights = None if self.weights is None else self.weights[which]
        return ClusterMembers(self.rows[which], self.mirrored[which], self.yaw_deg[which], weights)


@dataclass(frozen=True)
class Selection:
    """The clusters of a source.

    Attributes:
        angles_deg: the yaw of each of the K clusters, rising.
        clusters: the members at each angle.
        attributes: names of the attributes that all members share with the source.
        dropped: names of the attributes that had to be dropped.
        half_widths_deg: half the width of each yaw window, as used.
        asked_half_width_deg: half the width of the yaw windows, as asked for.
        uncertain_count: images whose light fits but whose label is not probable enough.
    """

    angles_deg: tuple[float, ...]
    clusters: tuple[ClusterMembers, ...]
    attributes: tuple[str, ...]
    dropped: tuple[str, ...]
    half_widths_deg: tuple[float, ...] = ()
    asked_half_width_deg: float = 0.0
    uncertain_count: int = 0

    @property
    def members(self) -> ClusterMembers:
        """The members of all clusters, one cluster after the other."""
        rows, mirrored, yaws = (
            np.concatenate([getattr(c, name) for c in self.clusters])
            for name in ("rows", "mirrored", "yaw_deg")
        )
        weights = [c.weights for c in self.clusters if c.weights is not None]
        whole = np.concatenate(weights) if len(weights) == len(self.clusters) else None
        return ClusterMembers(rows, mirrored, yaws, whole)

    @property
    def mean_yaws_deg(self) -> tuple[float, ...]:
        """The mean yaw of each cluster. It is nearer to 0 than the angle where faces are rare."""
        return tuple(
            float(np.average(c.yaw_deg, weights=c.weights)) if len(c) else float("nan")
            for c in self.clusters
        )

    @property
    def widening(self) -> tuple[str, ...]:
        """What was relaxed to reach the minimum, in words and in order."""
        dropped = [f"{name} dropped" for name in reversed(self.dropped)]
        widened = [
            f"window at {angle:+g}° widened from ±{self.asked_half_width_deg:g}° to ±{half:g}°"
            for angle, half in zip(self.angles_deg, self.half_widths_deg, strict=False)
            if half > self.asked_half_width_deg
        ]
        return (*dropped, *widened)

    def keep(self, rows: Sequence[int], criteria: Criteria) -> Selection:
        """Keep members of these rows only; `SelectionError` if a cluster is then too small."""
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
    """Covariates of a regression on n members.

    Attributes:
        lights: (n,), of the mirror image if a member is mirrored.
        pitch_deg: (n,), degrees, > 0 looks up.
        source_light: the source's light; None if light plays no part.
    """

    lights: tuple[str, ...]
    pitch_deg: Floats
    source_light: str | None

    @property
    def has_source_light(self) -> NDArray[np.bool_]:
        """Whether each member has the source's light (n,)."""
        if self.source_light is None:
            return np.ones(len(self.lights), dtype=bool)
        return np.array([light == self.source_light for light in self.lights])


def cluster_angles(yaws_deg: Sequence[float]) -> tuple[float, ...]:
    """The yaws of the clusters in degrees: multiples of 10, symmetric, up to the yaws asked for."""
    low, high = CLUSTER_REACH_DEG
    largest = np.clip(max(abs(yaw) for yaw in yaws_deg), low, high)
    count = int(np.ceil(largest / CLUSTER_STEP_DEG))
    return tuple(CLUSTER_STEP_DEG * k for k in range(-count, count + 1))


def candidate_rows(records: Records, criteria: Criteria) -> NDArray[np.int64]:
    """Rows whose light fits, as they are or mirrored. Only their poses have to be measured."""
    return np.flatnonzero(_has_light(records, criteria) & _is_certain(records, criteria))


def count_uncertain(records: Records, criteria: Criteria) -> int:
    """How many rows have a light that fits but a label that is not probable enough."""
    return int((_has_light(records, criteria) & ~_is_certain(records, criteria)).sum())


def _has_light(records: Records, criteria: Criteria) -> NDArray[np.bool_]:
    plain, mirrored = _lit_alike(records, criteria)
    return plain | mirrored


def _lit_alike(records: Records, criteria: Criteria) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each image, and each mirror image, is lit as the source: two arrays (N,)."""
    if criteria.light is None:
        every = np.ones(len(records), dtype=bool)
        return every, every
    labels, azimuths = records.labels, records.azimuth_deg
    alike = labels == criteria.light, labels == MIRRORED_LABEL[criteria.light]
    source, window = criteria.azimuth_deg, criteria.light_window_deg
    if source is None or window is None or azimuths is None:
        return alike
    plain, mirrored = (
        np.where(
            np.isnan(azimuths),
            by_label,
            _angle_between(sign * azimuths, source) <= window,
        )
        for by_label, sign in zip(alike, (1, -1), strict=True)
    )
    return plain, mirrored


def _angle_between(one_deg: Floats, other_deg: float) -> Floats:
    """The angle between directions, 0 to 180 degrees."""
    return np.abs((one_deg - other_deg + 180) % 360 - 180)


def _is_certain(records: Records, criteria: Criteria) -> NDArray[np.bool_]:
    """Whether each label is probable enough (N,). Labels do not matter without a light filter.

    A mirror swaps p_left and p_right too, so the mirrored label is equally probable. A label of
    unknown probability fails if a probability is asked for.
    """
    if criteria.light is None or criteria.min_probability == 0:
        return np.ones(len(records), dtype=bool)
    if records.probability is None:
        raise SelectionError("No probabilities are known, so none can be asked of the labels.")
    return np.nan_to_num(records.probability, nan=-1.0) >= criteria.min_probability


def usable_attributes(
    names: Sequence[str], records: Records, source: Records, explicit: bool
) -> tuple[str, ...]:
    """Those of the attributes that the files have and whose value is known for the source.

    Raises:
        DatasetError: `explicit` says that the user gave the names, and one does not exist or its
            value is not known of the source.
    """
    if explicit:
        for name in names:
            records.attribute(name)
            if source.attribute(name)[0] == UNKNOWN:
                raise DatasetError(
                    f"The attribute {name!r} of {source.filenames[0]} is not known: "
                    "list_attr_celeba has no row for it. Give --attributes none, or add the row."
                )
    known = [name for name in names if name in records.attribute_names]
    return tuple(name for name in known if source.attribute(name)[0] != UNKNOWN)


def select(
    records: Records,
    poses: Poses,
    source: Records,
    angles_deg: Sequence[float],
    criteria: Criteria,
    rng: np.random.Generator,
) -> Selection:
    """Select the clusters of a source, or of sources with the same light and attributes.

    While a cluster is below the minimum, the last attribute is dropped. Once no attribute is left,
    the windows of the clusters that are too small are widened in steps of one degree.
    `Selection.widening` reports both. Clusters above the maximum are subsampled at random.

    Parameters:
        records: the N labelled images.
        poses: their poses, row by row; images without a yaw (NaN) are left out.
        source: the record of the source, or those of several. Their images are left out, and so are
            their persons unless `criteria.same_person` is set. The attributes are the first one's.
        angles_deg: the yaw of each cluster in degrees, rising.

    Raises:
        SelectionError: a cluster is too small even without attributes and with the widest window.
    """
    pool = _eligible_members(records, poses, source, criteria)
    alike, kept = _match_attributes(pool, records, source, angles_deg, criteria)
    widths = [_sufficient_half_width(alike, angle, criteria) for angle in angles_deg]
    clusters = [_in_window(alike, *pair) for pair in zip(angles_deg, widths, strict=True)]
    if any(len(cluster) < criteria.minimum for cluster in clusters):
        state = "all attributes dropped already"
        if max(widths) > criteria.half_width_deg:
            state += f", windows widened to ±{max(widths):g}°"
        _refuse(angles_deg, clusters, criteria, state)
    return Selection(
        angles_deg=tuple(float(angle) for angle in angles_deg),
        clusters=tuple(_subsample(cluster, criteria.maximum, rng) for cluster in clusters),
        attributes=criteria.attributes[:kept],
        dropped=criteria.attributes[kept:],
        half_widths_deg=tuple(widths),
        asked_half_width_deg=criteria.half_width_deg,
        uncertain_count=count_uncertain(records, criteria),
    )


def _eligible_members(
    records: Records, poses: Poses, source: Records, criteria: Criteria
) -> ClusterMembers:
    """All images and mirror images with the right light and a reliable pose."""
    usable = np.isfinite(poses.yaw_deg) & (poses.confidence >= criteria.min_confidence)
    usable &= np.abs(np.nan_to_num(poses.pitch_deg)) <= criteria.max_pitch_deg
    sources = set(source.filenames)
    usable &= np.array([name not in sources for name in records.filenames], dtype=bool)
    usable &= _is_certain(records, criteria)
    if not criteria.same_person:
        persons = source.identities[source.identities != UNKNOWN]
        usable &= ~np.isin(records.identities, persons)
    plain, flipped = (np.flatnonzero(usable & alike) for alike in _lit_alike(records, criteria))
    yaw = poses.yaw_deg
    return ClusterMembers(
        rows=np.concatenate([plain, flipped]),
        mirrored=np.repeat([False, True], [len(plain), len(flipped)]),
        yaw_deg=np.concatenate([yaw[plain], -yaw[flipped]]),
    )


def _match_attributes(
    pool: ClusterMembers,
    records: Records,
    source: Records,
    angles_deg: Sequence[float],
    criteria: Criteria,
) -> tuple[ClusterMembers, int]:
    """The members that share the source's attributes, and how many attributes are kept for it."""
    for kept in range(len(criteria.attributes), 0, -1):
        alike = pool.take(_alike(records, source, criteria.attributes[:kept])[pool.rows])
        clusters = [_in_window(alike, angle, criteria.half_width_deg) for angle in angles_deg]
        if all(len(cluster) >= criteria.minimum for cluster in clusters):
            return alike, kept
    return pool, 0


def _alike(records: Records, source: Records, names: Sequence[str]) -> NDArray[np.bool_]:
    """Whether the named attributes equal the source's (N,). Unknown values do not."""
    alike = np.ones(len(records), dtype=bool)
    for name in names:
        alike &= records.attribute(name) == source.attribute(name)[0]
    return alike


def _in_window(pool: ClusterMembers, angle_deg: float, half_width_deg: float) -> ClusterMembers:
    return pool.take(np.abs(pool.yaw_deg - angle_deg) <= half_width_deg)


def _sufficient_half_width(pool: ClusterMembers, angle_deg: float, criteria: Criteria) -> float:
    """The smallest half width that holds enough members, in whole degrees above the asked one."""
    half = criteria.half_width_deg
    while (
        half < criteria.max_half_width_deg
        and len(_in_window(pool, angle_deg, half)) < criteria.minimum
    ):
        half = min(half + 1, criteria.max_half_width_deg)
    return half


def _subsample(cluster: ClusterMembers, maximum: int, rng: np.random.Generator) -> ClusterMembers:
    if len(cluster) <= maximum:
        return cluster
    return cluster.take(np.sort(rng.choice(len(cluster), maximum, replace=False)))


def _refuse(
    angles_deg: Sequence[float], clusters: Sequence[ClusterMembers], criteria: Criteria, state: str
) -> NoReturn:
    sizes = {angle: len(cluster) for angle, cluster in zip(angles_deg, clusters, strict=True)}
    raise SelectionError(too_small_message(sizes, criteria, state))


def too_small_message(sizes: Mapping[float, int], criteria: Criteria, state: str) -> str:
    """The message for clusters below the minimum: their sizes, the minimum and what would help."""
    small = [(angle, size) for angle, size in sizes.items() if size < criteria.minimum]
    found = "; ".join(f"at yaw {angle:+g}°: {size} found" for angle, size in small)
    light = f"light {criteria.light!r}" if criteria.light else "any light"
    if criteria.light_window_deg is not None:
        light = f"light within {criteria.light_window_deg:g}° of {criteria.azimuth_deg:+g}°"
    surer = "a lower --min-probability, " if criteria.min_probability else ""
    surer += "a wider --light-window, " if criteria.light_window_deg is not None else ""
    return (
        f"Too few images with {light}, {found}, {criteria.minimum} needed ({state}). "
        "What would help: label more images, a narrower --yaw range, "
        f"{surer}a wider --window or --max-window, a smaller --min-cluster, or --no-light-filter."
    )
