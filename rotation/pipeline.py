"""A rotation from files to files: every stage of the method in its order.

labels.csv and images -> records -> poses -> clusters -> latents -> direction -> moved latents ->
frames, strip and report. The stages pass plain values on, so that each can be used alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from rotation.clusters import cluster_angles, mean_images, read_members, weigh_by_looks
from rotation.dataset.celeba import Tables
from rotation.dataset.sources import ImageSource, safe_name
from rotation.diagnostics import AngleFit, Examples, angle_fits, examples
from rotation.embedding import (
    Encoder,
    Latents,
    Progress,
    Store,
    decode_pixels,
    embed,
    embed_source,
    read_crop,
)
from rotation.errors import SelectionError
from rotation.fitting import Covariates, Fit, fit_direction
from rotation.images import Pixels
from rotation.metrics import mean_square_error
from rotation.poses import Poses
from rotation.posing import PoseBook
from rotation.postprocess import give_back_colours
from rotation.records import MIRRORED_LABEL, Records, join_records, source_record
from rotation.selection import (
    DEFAULT_ATTRIBUTES,
    Criteria,
    Members,
    Selection,
    candidates,
    count_unsure,
    select,
    usable_attributes,
)
from rotation.turning import MemberPictures, Turn, close_loop, find_turn, turn_latent

if TYPE_CHECKING:
    from rotation.pose_readers import PoseReaders


@dataclass(frozen=True)
class Data:
    """An image set with what is known of it. `source` names the face to turn.

    `probabilities` are those of the labels; only where some are asked for they are needed.
    `readers` make what reads the frames' poses, of images of a given side and seed: only the
    closed loop asks for it.
    """

    images: ImageSource
    tables: Tables
    labels: dict[str, str]
    poses: PoseBook
    source: str
    probabilities: Mapping[str, float] = field(default_factory=dict)
    readers: Callable[[int, int, Progress | None], PoseReaders] | None = None


@dataclass(frozen=True)
class Options:
    """How to turn a head. Angles in degrees, positive towards the viewer's right.

    `light` overrides the source's label (`auto`: read it from the labels); `light_filter` False
    takes clusters of every light. `attributes` None takes those of `DEFAULT_ATTRIBUTES` that
    the files tell. `gain` multiplies the displacement; None finds, for each frame, the step that
    turns as far as asked, by the landmarks of trial frames (`rotation.calibration`).
    `closed_loop` corrects each frame along the source's own gradient instead
    (`rotation.closed_loop`); `gain` plays no part then.
    `similar` gives members that look like the source more weight (`rotation.similarity`). The
    other choices about clusters are those of `selection.Criteria`.
    """

    yaws_deg: tuple[float, ...]
    light: str = "auto"
    light_filter: bool = True
    attributes: tuple[str, ...] | None = None
    minimum: int = 20
    maximum: int = 300
    half_width_deg: float = 5.0
    max_half_width_deg: float = 10.0
    min_probability: float = 0.0
    same_person: bool = False
    similar: bool = False
    method: str = "samples"
    shrink: bool = False
    keep_norm: bool = True
    gain: float | None = None
    closed_loop: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Source:
    """The face to turn: its crop (S, S, 3), what is known of it, its light, its yaw."""

    crop: Pixels
    record: Records
    light: str | None
    yaw_deg: float


@dataclass(frozen=True)
class Rotation:
    """A turned head. `frames` (K, S, S, 3), `norms` and `turn` go with `Options.yaws_deg`, `means`
    (the clusters' mean images), `examples` and `angle_fits` with `selection.angles_deg`."""

    source: Source
    reconstruction: Pixels
    frames: Pixels
    norms: tuple[float, ...]
    source_norm: float
    turn: Turn
    selection: Selection
    fit: Fit
    means: Pixels
    examples: tuple[Examples, ...] = ()
    angle_fits: tuple[AngleFit, ...] = ()

    @property
    def reconstruction_mse(self) -> float:
        """Mean square error of the source decoded from its own latent, on [0, 1]."""
        return float(mean_square_error(self.source.crop[None], self.reconstruction[None])[0])


def rotate(
    data: Data, model: Encoder, store: Store, options: Options, progress: Progress | None = None
) -> Rotation:
    """Turn the head of `data.source` to each of `options.yaws_deg`.

    Raises `SelectionError` where clusters are too small or the source has no light or pose,
    `DatasetError` where files do not fit together, `ImageError` where the source is no image.
    """
    return turn(data, find_source(data, model.image_size, options), model, store, options, progress)


def find_source(data: Data, size: int, options: Options) -> Source:
    """The face to turn, from the image set; errors as of `rotate`."""
    name = safe_name(data.source)  # ./a.jpg is a.jpg: else it would be taken for another image
    crop = read_crop(data.images, name, size)
    light = source_light(name, data.labels, options) if options.light_filter else None
    yaw = float(data.poses.poses([name]).yaw_deg[0])
    if not np.isfinite(yaw):
        raise SelectionError(
            f"No pose is known of {name}: no face was found, or the file of poses or "
            "landmarks lacks it. Bring its yaw with --poses, or choose another source."
        )
    return Source(crop, source_record(name, light or "center", data.tables), light, yaw)


def turn(
    data: Data, source: Source, model: Encoder, store: Store, options: Options,
    progress: Progress | None = None,
) -> Rotation:  # fmt: skip
    """Turn a given face by clusters of the image set; errors as of `rotate`."""
    rng = np.random.default_rng(options.seed)
    records = join_records(
        data.labels, data.images.names(), data.tables, data.probabilities or None
    )
    pooled = options.method == "regression"  # takes every light and adjusts for it
    criteria = _criteria(options, None if pooled else source.light, records, source.record)
    unsure = count_unsure(records, criteria)
    records = records.take(candidates(records, criteria))
    poses = data.poses.poses(records.filenames, progress)
    angles = cluster_angles(options.yaws_deg)
    selection = select(records, poses, source.record, angles, criteria, rng)
    selection = replace(selection, unsure=unsure)  # the records hold the sure ones only
    size = model.image_size
    selection, crops = read_members(data.images, selection, records, size, criteria, progress)
    if options.similar:
        selection = weigh_by_looks(selection, crops, source.crop)
    latents = embed_members(model, store, selection.members, crops, progress)
    covariates = describe_members(selection.members, records, poses, source.light)
    fit = fit_direction(selection, latents, options.method, options.shrink, rng, covariates)
    members = MemberPictures(selection, crops, mean_images(selection, crops))
    readers = _readers(data, size, options, progress) if options.closed_loop else None
    result = _render(model, source, members, fit, options, readers)
    return replace(
        result,
        examples=examples(selection, crops),
        angle_fits=angle_fits(selection, latents, fit.direction),
    )


def _readers(
    data: Data, size: int, options: Options, progress: Progress | None
) -> PoseReaders:  # fmt: skip
    if data.readers is not None:
        return data.readers(size, options.seed, progress)
    from rotation.pose_readers import by_landmarks  # late: loads MTCNN

    return by_landmarks(options.seed)


def _render(
    model: Encoder, source: Source, members: MemberPictures, fit: Fit, options: Options,
    readers: PoseReaders | None,
) -> Rotation:  # fmt: skip
    """The frames: the source's latent moved and decoded; with `readers`, in the closed loop."""
    latent, yaws = embed_source(model, source.crop), options.yaws_deg
    if readers is not None:
        moved, turn = close_loop(
            model, latent, source.yaw_deg, yaws, fit.direction, members, readers, options.seed
        )
    else:
        gain, keep = options.gain, options.keep_norm
        turn = find_turn(model, latent, fit.direction, source.yaw_deg, yaws, gain, keep)
        moved = turn_latent(latent, fit.direction, source.yaw_deg, turn.path_deg, keep)
    again = decode_pixels(model, latent[None])
    frames = decode_pixels(model, moved)
    return Rotation(
        source=source,
        reconstruction=give_back_colours(again, again[0], source.crop)[0],
        frames=give_back_colours(frames, again[0], source.crop),
        norms=tuple(float(np.linalg.norm(z)) for z in moved),
        source_norm=float(np.linalg.norm(latent)),
        turn=turn,
        selection=members.selection,
        fit=fit,
        means=members.means,
    )


def source_light(name: str, labels: Mapping[str, str], options: Options) -> str:
    """The light of the source: as asked for, else its label; `SelectionError` without either."""
    if options.light != "auto":
        return options.light
    if name in labels:
        return labels[name]
    raise SelectionError(
        f"{name} has no label, so its light is not known. Say it with "
        "--light left|center|right, label the image, or give --no-light-filter."
    )


def _criteria(options: Options, light: str | None, records: Records, person: Records) -> Criteria:
    explicit = options.attributes is not None
    usual = () if options.method == "regression" else DEFAULT_ATTRIBUTES
    wanted = usual if options.attributes is None else options.attributes
    return Criteria(
        light=light,
        attributes=usable_attributes(wanted, records, person, explicit),
        half_width_deg=options.half_width_deg,
        minimum=options.minimum,
        maximum=options.maximum,
        max_half_width_deg=max(options.max_half_width_deg, options.half_width_deg),
        min_probability=options.min_probability,
        same_person=options.same_person,
    )


def embed_members(
    model: Encoder, store: Store, members: Members, crops: dict[int, Pixels],
    progress: Progress | None,
) -> Latents:  # fmt: skip
    """Latents (n, C, H, W) of the members as used.

    A mirrored member's latent is the flip of the plain one's: z(flip x) = flip z holds for a
    generator trained with mirrors, and halves the embedding.
    """
    rows = list(crops)
    latents = embed(model, store, np.stack([crops[row] for row in rows]), progress)
    place = {row: k for k, row in enumerate(rows)}
    used = latents[[place[row] for row in members.rows.tolist()]]
    used[members.mirrored] = used[members.mirrored][..., ::-1]
    return used


def describe_members(
    members: Members, records: Records, poses: Poses, light: str | None
) -> Covariates:
    """Light and pitch of the members as used: a mirror swaps the sides and keeps the pitch."""
    labels = records.labels[members.rows].tolist()
    lights = [
        MIRRORED_LABEL[label] if flipped else label
        for label, flipped in zip(labels, members.mirrored.tolist(), strict=True)
    ]
    return Covariates(tuple(lights), poses.pitch_deg[members.rows], light)
