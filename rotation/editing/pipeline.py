"""A rotation from values to values: every stage of the method in its order.

labels and images -> records -> poses -> clusters -> latents -> direction -> frames.
The stages pass plain values on, so that each can be used alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch

from rotation.clusters.members import (
    cluster_angles,
    encode_members,
    mean_image_criteria,
    mean_images,
    member_covariates,
    read_members,
    weight_by_appearance,
)
from rotation.clusters.selection import (
    DEFAULT_ATTRIBUTES,
    Criteria,
    Selection,
    candidate_rows,
    count_uncertain,
    select,
    usable_attributes,
)
from rotation.data.celeba import Tables
from rotation.data.crop import Pixels, read_crop
from rotation.data.records import Records, join_records, source_record
from rotation.data.sources import ImageSource, safe_name
from rotation.directions.diagnostics import AngleFit, Examples, angle_fits, examples
from rotation.directions.fit import Fit, fit_direction, fit_method
from rotation.directions.fit_weights import FitMethod
from rotation.editing.method import ClusterImages, EditRequest, EstimatorFactory, TurnPath
from rotation.editing.methods import editing_method
from rotation.errors import SelectionError
from rotation.imaging.metrics import mean_square_error
from rotation.latents.encoders import LatentCodec, Latents
from rotation.latents.store import LatentStore
from rotation.options import ClusterOptions, TurnOptions
from rotation.poses.estimation import Poses
from rotation.poses.source import PoseSource
from rotation.progress import Progress


@dataclass(frozen=True)
class Data:
    """An image set with what is known of it. `source` names the face to turn.

    `probabilities` are those of the labels; only where some are asked for they are needed.
    `estimators` makes what measures the frames' poses in the closed loop. `device` is where
    landmarks are found in crops and frames.
    """

    images: ImageSource
    tables: Tables
    labels: dict[str, str]
    poses: PoseSource
    source: str
    probabilities: Mapping[str, float] = field(default_factory=dict)
    estimators: EstimatorFactory | None = None
    device: torch.device | str = "cpu"


@dataclass(frozen=True)
class Source:
    """The face to turn: its crop (S, S, 3), what is known of it, its light, its yaw."""

    crop: Pixels
    record: Records
    light: str | None
    yaw_deg: float


@dataclass(frozen=True)
class Rotation:
    """A turned head.

    Attributes:
        frames, norms, turn: (K, S, S, 3) and K each, at `TurnOptions.yaws_deg`.
        means, examples, angle_fits: the clusters' mean images, and the others, for each of
            `selection.angles_deg`.
        warped: (K, S, S, 3), what the flow alone makes of the source; None without a flow.
    """

    source: Source
    reconstruction: Pixels
    frames: Pixels
    norms: tuple[float, ...]
    source_norm: float
    turn: TurnPath
    selection: Selection
    fit: Fit
    means: Pixels
    examples: tuple[Examples, ...] = ()
    angle_fits: tuple[AngleFit, ...] = ()
    warped: Pixels | None = None

    @property
    def reconstruction_mse(self) -> float:
        """Mean square error of the source decoded from its own latent, on [0, 1]."""
        return float(mean_square_error(self.source.crop[None], self.reconstruction[None])[0])


def rotate(
    data: Data,
    model: LatentCodec,
    store: LatentStore,
    options: TurnOptions,
    progress: Progress | None = None,
) -> Rotation:
    """Turn the head of `data.source` to each of `options.yaws_deg`.

    Raises `SelectionError` where clusters are too small or the source has no light or pose,
    `DatasetError` where files do not fit together, `ImageError` where the source is no image.
    """
    return turn(data, find_source(data, model.image_size, options), model, store, options, progress)


def find_source(data: Data, size: int, options: TurnOptions) -> Source:
    """The face to turn, from the image set; errors as of `rotate`."""
    name = safe_name(data.source)  # ./a.jpg is a.jpg: else it would be taken for another image
    crop = read_crop(data.images, name, size)
    wanted = options.clusters
    light = source_light(name, data.labels, wanted) if wanted.light_filter else None
    yaw = float(data.poses.find_poses([name]).yaw_deg[0])
    if not np.isfinite(yaw):
        raise SelectionError(
            f"No pose is known of {name}: no face was found, or the file of poses or "
            "landmarks lacks it. Bring its yaw with --poses, or choose another source."
        )
    return Source(crop, source_record(name, light or "center", data.tables), light, yaw)


@dataclass(frozen=True)
class _Clusters:
    """The clusters of a source with all that is known of their members."""

    images: ClusterImages
    latents: Latents
    records: Records
    poses: Poses
    criteria: Criteria


def turn(
    data: Data,
    source: Source,
    model: LatentCodec,
    store: LatentStore,
    options: TurnOptions,
    progress: Progress | None = None,
) -> Rotation:
    """Turn a given face by clusters of the image set; errors as of `rotate`."""
    method = replace(fit_method(options.fit.method), shrink=options.fit.shrink)
    editing = editing_method(options.editing.method)
    rng = np.random.default_rng(options.seed)
    found = _gather(data, source, model, store, options, method, rng, progress)
    clusters, selection = found.images, found.images.selection
    wide = partial(_wide_means, data, source, found, options.seed, progress)
    latents, flow = editing.prepare(clusters, found.latents, wide, data.device)
    covariates = member_covariates(selection.members, found.records, found.poses, source.light)
    fit = fit_direction(selection, latents, method, rng, covariates)
    if flow is not None:
        fit = replace(fit, direction=replace(fit.direction, flow=flow.numbers()))
    request = EditRequest(
        model=model,
        crop=source.crop,
        yaw_deg=source.yaw_deg,
        yaws_deg=options.yaws_deg,
        direction=fit.direction,
        options=options.editing,
        device=data.device,
        member_crops=np.stack(list(clusters.crops.values())),
        estimators=data.estimators,
        seed=options.seed,
        progress=progress,
    )
    edited = editing.edit(request)
    moved = edited.latents
    return Rotation(
        source=source,
        reconstruction=edited.reconstruction,
        frames=edited.frames,
        norms=tuple(float(np.linalg.norm(z)) for z in moved.frames),
        source_norm=float(np.linalg.norm(moved.source)),
        turn=moved.path,
        selection=selection,
        fit=fit,
        means=clusters.means,
        examples=examples(selection, clusters.crops),
        angle_fits=angle_fits(selection, latents, fit.direction),
        warped=moved.warped,
    )


def _gather(
    data: Data,
    source: Source,
    model: LatentCodec,
    store: LatentStore,
    options: TurnOptions,
    method: FitMethod,
    rng: np.random.Generator,
    progress: Progress | None,
) -> _Clusters:
    """Select, read and embed the clusters of a source."""
    records = join_records(
        data.labels, data.images.names(), data.tables, data.probabilities or None
    )
    criteria = _criteria(options.clusters, method, source, records)
    uncertain = count_uncertain(records, criteria)
    records = records.take(candidate_rows(records, criteria))
    poses = data.poses.find_poses(records.filenames, progress)
    angles = cluster_angles(options.yaws_deg)
    selection = select(records, poses, source.record, angles, criteria, rng)
    selection = replace(
        selection, uncertain_count=uncertain
    )  # the records hold the certain ones only
    size = model.image_size
    selection, crops = read_members(data.images, selection, records, size, criteria, progress)
    if options.clusters.similar:
        selection = weight_by_appearance(selection, crops, source.crop)
    latents = encode_members(model, store, selection.members, crops, progress)
    images = ClusterImages(selection, crops, mean_images(selection, crops))
    return _Clusters(images, latents, records, poses, criteria)


def _wide_means(
    data: Data,
    source: Source,
    clusters: _Clusters,
    seed: int,
    progress: Progress | None,
    size: int,
) -> tuple[Selection, Pixels]:
    """See `WideMeans`: where points go depends little on whose they are, and means want many."""
    records, criteria = clusters.records, mean_image_criteria(clusters.criteria)
    angles, rng = clusters.images.selection.angles_deg, np.random.default_rng(seed)
    selection = select(records, clusters.poses, source.record, angles, criteria, rng)
    selection, crops = read_members(data.images, selection, records, size, criteria, progress)
    return selection, mean_images(selection, crops)


def source_light(name: str, labels: Mapping[str, str], options: ClusterOptions) -> str:
    """The light of the source: as asked for, else its label; `SelectionError` without either."""
    if options.light != "auto":
        return options.light
    if name in labels:
        return labels[name]
    raise SelectionError(
        f"{name} has no label, so its light is not known. Say it with "
        "--light left|center|right, label the image, or give --no-light-filter."
    )


def _criteria(
    options: ClusterOptions, method: FitMethod, source: Source, records: Records
) -> Criteria:
    """What is asked of the clusters: less by a method that learns from every image."""
    explicit = options.attributes is not None
    usual = () if method.every_light else DEFAULT_ATTRIBUTES
    wanted = usual if options.attributes is None else options.attributes
    return Criteria(
        light=None if method.every_light else source.light,
        attributes=usable_attributes(wanted, records, source.record, explicit),
        half_width_deg=options.half_width_deg,
        minimum=options.minimum,
        maximum=options.maximum,
        max_half_width_deg=max(options.max_half_width_deg, options.half_width_deg),
        min_probability=options.min_probability,
        same_person=options.same_person,
    )
