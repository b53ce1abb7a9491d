"""The pipeline of a rotation, in memory: all stages of the method in their order.

labels and images -> records -> poses -> clusters -> latents -> direction -> frames.
Stages exchange plain values, so each can be used alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from PIL import Image

from rotation.clusters.members import (
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
    cluster_angles,
    count_uncertain,
    select,
    usable_attributes,
)
from rotation.data.celeba import Tables
from rotation.data.crop import (
    Box,
    Pixels,
    crop_box,
    has_celeba_shape,
    read_image,
    standard_crop,
)
from rotation.data.image_source import ImageSource, safe_name
from rotation.data.records import Records, join_records, refuse_foreign, source_record
from rotation.directions.diagnostics import AngleFit, Examples, angle_fits, examples
from rotation.directions.fit import Fit, fit_direction, fit_method
from rotation.directions.fit_method import FitMethod
from rotation.editing.method import (
    ClusterImages,
    EditedFrames,
    EditRequest,
    EstimatorFactory,
    TurnPath,
    editing_method,
)
from rotation.errors import SelectionError
from rotation.imaging.metrics import mean_square_error
from rotation.latents.encoders import BatchEncoder, LatentCodec, encode_here
from rotation.latents.store import LatentStore
from rotation.options import ClusterOptions, TurnOptions
from rotation.poses.estimation import MIN_CONFIDENCE, Poses
from rotation.poses.source import PoseSource
from rotation.progress import Progress


@dataclass(frozen=True)
class Data:
    """An image set, what is known of it, and the name of the face to turn.

    Attributes:
        images: the images.
        tables: attributes and identities, as far as they are known.
        labels: the light of each image, by filename.
        poses: gives the pose of each image.
        source: the filename of the face to turn.
        probabilities: the probability of each label, by filename. Needed only if a least
            probability is asked for.
        azimuths: of the light in degrees, by filename. Needed only if members are picked by it.
        estimators: makes the pose estimators of the closed loop; None: MTCNN.
        device: where landmarks are found.
        pool: the filenames of the images that clusters are picked from; None: all with a label.
        photograph: the face to turn, if it is not in the image set. `source` is then a name that no
            image of the set has.
    """

    images: ImageSource
    tables: Tables
    labels: dict[str, str]
    poses: PoseSource
    source: str
    probabilities: Mapping[str, float] = field(default_factory=dict)
    azimuths: Mapping[str, float] = field(default_factory=dict)
    estimators: EstimatorFactory | None = None
    device: torch.device | str = "cpu"
    pool: Collection[str] | None = None
    photograph: Image.Image | None = None

    @property
    def candidates(self) -> dict[str, str]:
        """The labels of the images that clusters are picked from, by filename."""
        if self.pool is None:
            return self.labels
        return {name: label for name, label in self.labels.items() if name in self.pool}


@dataclass(frozen=True)
class Source:
    """The face to turn.

    Attributes:
        crop: its standard crop, (S, S, 3).
        record: what is known of it.
        light: its light; None if the clusters are of every light.
        yaw_deg: its yaw.
        photograph: the whole photograph; only geometry editing needs it.
        box: where the crop lies in the photograph, in pixels; None: at its usual place.
        azimuth_deg: of its light: 0 is the camera, negative the viewer's left. None if members are
            picked by their label.
    """

    crop: Pixels
    record: Records
    light: str | None
    yaw_deg: float
    photograph: Image.Image | None = None
    box: Box | None = None
    azimuth_deg: float | None = None


@dataclass(frozen=True)
class Rotation:
    """The result of a rotation.

    Attributes:
        source: the face.
        reconstruction: the face decoded from its own latent, (S, S, 3).
        frames: frames (K, S, S, 3) at `TurnOptions.yaws_deg`.
        norms: the norm of each frame's latent.
        source_norm: the norm of the source's latent.
        turn: how far each latent was moved.
        selection: the clusters.
        fit: the direction.
        means: the mean image of each cluster, (clusters, S, S, 3).
        examples, angle_fits: for each cluster, member images, and the quality of the fit.
        warped: see `MovedLatents`.
        photographs: see `EditedFrames`.
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
    photographs: Sequence[Pixels] | None = None

    @property
    def reconstruction_mse(self) -> float:
        """Mean squared error of the reconstruction, for pixels in [0, 1]."""
        return float(mean_square_error(self.source.crop[None], self.reconstruction[None])[0])


def rotate(
    data: Data,
    model: LatentCodec,
    store: LatentStore,
    options: TurnOptions,
    progress: Progress | None = None,
) -> Rotation:
    """Turn the head of `data.source` to each of `options.yaws_deg`.

    Raises:
        SelectionError: a cluster is too small, or the source has no known light or pose.
        DatasetError: files do not fit together.
        ImageError: the source cannot be decoded.
    """
    # Labels of another image set are the cause of what else would be found wrong with the source.
    refuse_foreign(data.labels, data.images.names())
    return turn(data, find_source(data, model.image_size, options), model, store, options, progress)


def find_source(data: Data, size: int, options: TurnOptions) -> Source:
    """Read the face to turn from the image set; raises as `rotate`."""
    name = safe_name(data.source)  # ./a.jpg must name the same image as a.jpg
    photograph = data.photograph or read_image(data.images, name)
    light = wanted_light(name, data.labels, options.clusters)
    if data.photograph is not None:
        refuse_unless_one_face(photograph, name, data.device)
    yaw = options.source_yaw_deg
    if yaw is None and data.photograph is not None:
        yaw = photograph_yaw(photograph, name, data.device)
    elif yaw is None:
        yaw = source_yaw(name, data.poses)
    box = find_crop_box(photograph, data.device)
    crop = standard_crop(photograph, size, box)
    record = source_record(name, light or "center", data.tables)
    azimuth = _source_azimuth(data, options.clusters)
    return Source(crop, record, light, yaw, photograph, box, azimuth)


def source_yaw(name: str, poses: PoseSource) -> float:
    """The yaw of the source in degrees.

    Raises:
        SelectionError: its pose is not known, or so doubtful that most likely no face is there.
    """
    pose = poses.find_poses([name])
    yaw, confidence = float(pose.yaw_deg[0]), float(pose.confidence[0])
    if not np.isfinite(yaw):
        raise SelectionError(
            f"No pose is known of {name}: no face was found, or the file of poses or "
            "landmarks lacks it. Give its yaw with --source-yaw, or choose another source."
        )
    if confidence < MIN_CONFIDENCE:
        raise SelectionError(
            f"The pose of {name} is doubtful: its confidence is {confidence:.4f}, and "
            f"{MIN_CONFIDENCE:g} is the least. Most often there is no face in such an image. Give "
            "its yaw with --source-yaw if there is one, or choose another source."
        )
    return yaw


def photograph_yaw(photograph: Image.Image, name: str, device: torch.device | str) -> float:
    """The yaw of the face in a picture that is not in the image set, in degrees.

    Raises:
        SelectionError: there is no face, or it is too doubtful.
    """
    from rotation.poses.mtcnn import LandmarkDetector  # late: loads MTCNN

    pose = LandmarkDetector(device).estimate([photograph])
    yaw, confidence = float(pose.yaw_deg[0]), float(pose.confidence[0])
    if not np.isfinite(yaw) or confidence < MIN_CONFIDENCE:
        raise SelectionError(
            f"No face was found in {name}. Choose a picture that shows a whole face, or give its "
            "yaw with --source-yaw if there is one."
        )
    return yaw


def refuse_unless_one_face(photograph: Image.Image, name: str, device: torch.device | str) -> None:
    """Raise `SelectionError` if a picture shows no face, or several of about the same size.

    A face whose pose is too doubtful is no reason: its yaw can be given.
    """
    from rotation.poses.mtcnn import LEAST_SCORE, LandmarkDetector  # late: loads MTCNN

    detector = LandmarkDetector(device)
    count = detector.count_faces(photograph)
    if count > 1:
        raise SelectionError(
            f"{name} shows {count} faces. Cut the picture so that it shows only the head to turn."
        )
    if count == 0 and detector.detect([photograph])[1][0] < LEAST_SCORE:
        raise SelectionError(
            f"No face was found in {name}. Choose a picture that shows a whole face."
        )


def find_crop_box(photograph: Image.Image, device: torch.device | str) -> Box:
    """The box of the standard crop; the face is looked for where the shape leaves a doubt."""
    if not has_celeba_shape(*photograph.size):
        return crop_box(*photograph.size)
    from rotation.poses.mtcnn import LandmarkDetector  # late: loads MTCNN

    return LandmarkDetector(device).face_crop_box(photograph)


@dataclass(frozen=True)
class SourceGroup:
    """Sources that can share their clusters: their light and their attributes are the same.

    Attributes:
        records: what is known of the n sources.
        light: their light; None if the clusters are of every light.
        crop: the crop (S, S, 3) of a single source, to which members may have to be similar.
        azimuth_deg: of a single source's light; None if members are picked by their label.
    """

    records: Records
    light: str | None
    crop: Pixels | None = None
    azimuth_deg: float | None = None


@dataclass(frozen=True)
class FittedDirection:
    """What the sources of a group share.

    The members' crops are not kept: many directions fit into memory, and go to other processes.

    Attributes:
        selection: the clusters.
        means: their mean images, (clusters, S, S, 3).
        examples: for each cluster, member images.
        fit: the direction that was fitted to them.
        angle_fits: the quality of the fit at each cluster.
        member_crops: the crops (n, S, S, 3) of the members, if the editing method needs them.
    """

    selection: Selection
    means: Pixels
    examples: tuple[Examples, ...]
    fit: Fit
    angle_fits: tuple[AngleFit, ...]
    member_crops: Pixels | None = None


@dataclass(frozen=True)
class _Clusters:
    """The clusters of a group of sources, and what is known of their members."""

    images: ClusterImages
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
    """Turn a given face by clusters of the image set; raises as `rotate`."""
    group = SourceGroup(source.record, source.light, source.crop, source.azimuth_deg)
    fitted = fit_group(data, group, model, store, options, progress)
    return turn_along(data, source, fitted, model, options, progress)


def fit_group(
    data: Data,
    group: SourceGroup,
    model: LatentCodec,
    store: LatentStore,
    options: TurnOptions,
    progress: Progress | None = None,
    encode: BatchEncoder | None = None,
) -> FittedDirection:
    """Select the clusters of a group of sources, and fit the direction to them.

    Images of the sources' persons are in no cluster.

    Parameters:
        encode: encodes members that are not in the store; None: `model`.

    Raises:
        SelectionError: a cluster is too small.
        DatasetError: files do not fit together.
    """
    method = replace(fit_method(options.fit.method), shrink=options.fit.shrink)
    editing = editing_method(options.editing.method)
    rng = np.random.default_rng(options.seed)
    selected = _select(data, group, model.image_size, options, method, rng, progress)
    clusters, selection = selected.images, selected.images.selection
    encode = encode_here(model.encode) if encode is None else encode
    latents = encode_members(encode, store, selection.members, clusters.crops, progress)
    relaxed = partial(_relaxed_means, data, group, selected, options.seed, progress)
    latents, flow = editing.prepare(clusters, latents, relaxed, data.device)
    covariates = member_covariates(selection.members, selected.records, selected.poses, group.light)
    fit = fit_direction(selection, latents, method, rng, covariates)
    if flow is not None:
        fit = replace(fit, direction=replace(fit.direction, flow=flow.numbers()))
    crops = clusters.crops
    return FittedDirection(
        selection=selection,
        means=clusters.means,
        examples=examples(selection, crops),
        fit=fit,
        angle_fits=angle_fits(selection, latents, fit.direction),
        member_crops=np.stack(list(crops.values())) if editing.needs_members else None,
    )


def turn_along(
    data: Data,
    source: Source,
    fitted: FittedDirection,
    model: LatentCodec,
    options: TurnOptions,
    progress: Progress | None = None,
) -> Rotation:
    """Turn a given face along a direction that was fitted to clusters of its group."""
    editing = editing_method(options.editing.method)
    request = EditRequest(
        model=model,
        crop=source.crop,
        yaw_deg=source.yaw_deg,
        yaws_deg=options.yaws_deg,
        direction=fitted.fit.direction,
        options=options.editing,
        device=data.device,
        photograph=source.photograph,
        member_crops=fitted.member_crops,
        estimators=data.estimators,
        seed=options.seed,
        progress=progress,
    )
    return _result(source, fitted, editing.edit(request))


def _result(source: Source, fitted: FittedDirection, edited: EditedFrames) -> Rotation:
    moved = edited.latents
    return Rotation(
        source=source,
        reconstruction=edited.reconstruction,
        frames=edited.frames,
        norms=tuple(float(np.linalg.norm(z)) for z in moved.frames),
        source_norm=float(np.linalg.norm(moved.source)),
        turn=moved.path,
        selection=fitted.selection,
        fit=fitted.fit,
        means=fitted.means,
        examples=fitted.examples,
        angle_fits=fitted.angle_fits,
        warped=moved.warped,
        photographs=edited.photographs,
    )


def _select(
    data: Data,
    group: SourceGroup,
    size: int,
    options: TurnOptions,
    method: FitMethod,
    rng: np.random.Generator,
    progress: Progress | None,
) -> _Clusters:
    """Select the clusters of a group, and read their images with crops of side `size`."""
    records = join_records(
        data.candidates,
        data.images.names(),
        data.tables,
        data.probabilities or None,
        data.azimuths or None,
    )
    criteria = _criteria(options.clusters, method, group, records)
    uncertain = count_uncertain(records, criteria)
    records = records.take(candidate_rows(records, criteria))
    poses = data.poses.find_poses(records.filenames, progress)
    angles = cluster_angles(options.yaws_deg)
    selection = select(records, poses, group.records, angles, criteria, rng)
    # The records no longer hold uncertain images.
    selection = replace(selection, uncertain_count=uncertain)
    selection, crops = read_members(data.images, selection, records, size, criteria, progress)
    if options.clusters.similar and group.crop is not None:
        selection = weight_by_appearance(selection, crops, group.crop)
    images = ClusterImages(selection, crops, mean_images(selection, crops))
    return _Clusters(images, records, poses, criteria)


def _relaxed_means(
    data: Data,
    group: SourceGroup,
    clusters: _Clusters,
    seed: int,
    progress: Progress | None,
    size: int,
) -> tuple[Selection, Pixels]:
    """See `RelaxedMeans`. The motion of points hardly depends on attributes."""
    records, criteria = clusters.records, mean_image_criteria(clusters.criteria)
    angles, rng = clusters.images.selection.angles_deg, np.random.default_rng(seed)
    selection = select(records, clusters.poses, group.records, angles, criteria, rng)
    selection, crops = read_members(data.images, selection, records, size, criteria, progress)
    return selection, mean_images(selection, crops)


def wanted_light(name: str, labels: Mapping[str, str], options: ClusterOptions) -> str | None:
    """The light of a source's clusters, None if they are of every light; raises `source_light`."""
    return source_light(name, labels, options) if options.light_filter else None


def source_light(name: str, labels: Mapping[str, str], options: ClusterOptions) -> str:
    """The light asked for, or the label of the source; `SelectionError` without either."""
    if options.light != "auto":
        return options.light
    if name in labels:
        return labels[name]
    raise SelectionError(
        f"{name} has no label, so its light is not known. Say it with "
        "--light left|center|right, label the image, or give --no-light-filter."
    )


def _source_azimuth(data: Data, options: ClusterOptions) -> float | None:
    """The azimuth of the source's light in degrees; None if members are picked by their label.

    Raises:
        SelectionError: it is not known.
    """
    if options.light_window_deg is None:
        return None
    if options.azimuth_deg is not None:
        return options.azimuth_deg
    if data.source in data.azimuths:
        return data.azimuths[data.source]
    raise SelectionError(
        f"The azimuth of the light of {data.source} is not in the file. Say it with "
        "--light-azimuth DEGREES, or leave out --light-window to pick members by their label."
    )


def _criteria(
    options: ClusterOptions, method: FitMethod, group: SourceGroup, records: Records
) -> Criteria:
    """The criteria of the clusters. A method that learns from every light asks for less."""
    explicit = options.attributes is not None
    usual = () if method.every_light else DEFAULT_ATTRIBUTES
    wanted = usual if options.attributes is None else options.attributes
    return Criteria(
        light=None if method.every_light else group.light,
        azimuth_deg=group.azimuth_deg,
        light_window_deg=options.light_window_deg,
        attributes=usable_attributes(wanted, records, group.records, explicit),
        half_width_deg=options.half_width_deg,
        minimum=options.minimum,
        maximum=options.maximum,
        max_half_width_deg=max(options.max_half_width_deg, options.half_width_deg),
        min_probability=options.min_probability,
        same_person=options.same_person,
    )
