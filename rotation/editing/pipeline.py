"""A rotation from files to files: every stage of the method in its order.

labels.csv and images -> records -> poses -> clusters -> latents -> direction -> moved latents ->
frames, strip and report. The stages pass plain values on, so that each can be used alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from rotation.clusters import (
    cluster_angles,
    describe_members,
    embed_members,
    mean_images,
    read_members,
    weigh_by_looks,
    wide_means,
)
from rotation.dataset.celeba import Tables
from rotation.dataset.sources import ImageSource, safe_name
from rotation.directions.diagnostics import AngleFit, Examples, angle_fits, examples
from rotation.directions.fit import Fit, fit_direction
from rotation.editing.flow_editing import CARRIED_GAIN, DETAIL, leave_remainder, turn_carried
from rotation.editing.results import (
    MemberPictures,
    Turn,
    Turned,
    along_path,
    choose_readers,
    close_loop,
    find_turn,
    fit_flow_of,
    set_clock,
    turn_latent,
)
from rotation.embedding import (
    Encoder,
    Progress,
    Store,
    decode_pixels,
    embed_source,
    read_crop,
)
from rotation.errors import SelectionError
from rotation.images import Pixels
from rotation.metrics import mean_square_error
from rotation.posing import PoseBook
from rotation.postprocess import give_back_colours
from rotation.records import Records, join_records, source_record
from rotation.selection import (
    DEFAULT_ATTRIBUTES,
    Criteria,
    Selection,
    candidates,
    count_unsure,
    select,
    usable_attributes,
)

if TYPE_CHECKING:
    from rotation.editing.pose_readers import PoseReaders


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
    turns as far as asked, by the landmarks of trial frames (`rotation.editing.step_calibration`); with `carry`
    it is `CARRIED_GAIN`.
    `closed_loop` corrects each frame along the source's own gradient instead
    (`rotation.editing.closed_loop`); `gain` plays no part then. `carry` carries the picture along the
    clusters' flow and leaves the rest to the latents (`rotation.editing.flow_editing`), which `gain`
    multiplies; `detail` is the share of the carried picture's detail that is given back.
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
    carry: bool = False
    detail: float = DETAIL
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
    (the clusters' mean images), `examples` and `angle_fits` with `selection.angles_deg`.
    `carried` (K, S, S, 3) is what the flow alone makes of the source, where it was carried."""

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
    carried: Pixels | None = None

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
    members = MemberPictures(selection, crops, mean_images(selection, crops))
    flow = None
    if options.carry:
        person, seed = source.record, options.seed
        flow = fit_flow_of(
            *wide_means(data.images, records, poses, person, angles, criteria, seed, progress)
        )
        flow = set_clock(flow, selection, crops)
        latents = leave_remainder(latents, selection, flow)
    fit = fit_direction(selection, latents, options.method, options.shrink, rng, covariates)
    if flow is not None:
        fit = replace(fit, direction=replace(fit.direction, flow=flow.numbers()))
    readers = None
    if options.closed_loop:
        readers = choose_readers(data.readers, size, options.seed, progress)
    result = _render(model, source, members, fit, options, readers)
    return replace(
        result,
        examples=examples(selection, crops),
        angle_fits=angle_fits(selection, latents, fit.direction),
    )


def _render(
    model: Encoder, source: Source, members: MemberPictures, fit: Fit, options: Options,
    readers: PoseReaders | None,
) -> Rotation:  # fmt: skip
    """The frames: carried, or the source's latent moved; with `readers`, in the closed loop."""
    yaws, keep, direction = options.yaws_deg, options.keep_norm, fit.direction
    if direction.flow is not None:
        gain = CARRIED_GAIN if options.gain is None else options.gain
        path = along_path(source.yaw_deg, yaws, gain)
        start = source.yaw_deg
        result = turn_carried(model, source.crop, direction, start, yaws, path, options.detail)
        return _rotation(source, members, fit, result, Turn(path, None))
    latent = embed_source(model, source.crop)
    if readers is not None:
        moved, turn = close_loop(
            model, latent, source.yaw_deg, yaws, direction, members, readers, options.seed
        )
    else:
        turn = find_turn(model, latent, direction, source.yaw_deg, yaws, options.gain, keep)
        moved = turn_latent(latent, direction, source.yaw_deg, turn.path_deg, keep)
    again, frames = decode_pixels(model, latent[None]), decode_pixels(model, moved)
    frames, again = (give_back_colours(each, again[0], source.crop) for each in (frames, again))
    return _rotation(source, members, fit, Turned(latent, moved, frames, again[0]), turn)


def _rotation(
    source: Source, members: MemberPictures, fit: Fit, result: Turned, turn: Turn
) -> Rotation:
    return Rotation(
        source=source,
        reconstruction=result.again,
        frames=result.frames,
        norms=tuple(float(np.linalg.norm(z)) for z in result.moved),
        source_norm=float(np.linalg.norm(result.latent)),
        turn=turn,
        selection=members.selection,
        fit=fit,
        means=members.means,
        carried=result.carried,
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
