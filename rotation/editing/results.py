"""Where along its path a source turns: by a given gain, by trial frames, or by the closed loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from rotation.directions.direction import Direction
from rotation.directions.flow import Flow, fit_flow
from rotation.editing.linear_path import trajectory
from rotation.editing.step_calibration import Calibration, calibrate, fit_clock, trial_steps
from rotation.embedding import Encoder, Latents, Progress, decode_pixels
from rotation.images import Pixels, from_pixels, to_pixels
from rotation.selection import Members, Selection

if TYPE_CHECKING:
    from rotation.editing.pose_readers import PoseReaders

CLOCK_HEADS = 32
CLOCK_TRIALS_DEG = tuple(float(yaw) for yaw in range(-45, 46, 5))
LEAST_SCALE = 0.5  # a reader that sees less than half of a turn sees no faces


@dataclass(frozen=True)
class Turn:
    """Where on the path each frame lies (`path_deg`), and whether the yaw asked for is reached.

    `reached` is None where nothing was measured: a gain was given, or no landmarks can be read.
    `measured_deg` are the yaws that the closed loop measured, `readers` says by what.
    """

    path_deg: tuple[float, ...]
    reached: tuple[bool, ...] | None
    measured_deg: tuple[float, ...] | None = None
    readers: str | None = None


@dataclass(frozen=True)
class Turned:
    """A source's `latent` (C, H, W) and the frames' (K, C, H, W), `moved`; the `frames`
    (K, S, S, 3), the source turned by nothing, `again`, and what its flow alone shows, `carried`,
    where it was carried."""

    latent: Latents
    moved: Latents
    frames: Pixels
    again: Pixels
    carried: Pixels | None = None


@dataclass(frozen=True)
class MemberPictures:
    """A selection with the crops (S, S, 3) of its members by row, and its clusters' means."""

    selection: Selection
    crops: dict[int, Pixels]
    means: Pixels


def fit_flow_of(selection: Selection, means: Pixels) -> Flow:
    """The flow between the mean pictures (K, S, S, 3) of clusters; empty ones are left out."""
    filled = [k for k, size in enumerate(selection.sizes) if size]
    yaws = [selection.mean_yaws_deg[k] for k in filled]
    sizes = [selection.clusters[k].effective_size for k in filled]
    return fit_flow(means[filled], yaws, sizes)


def set_clock(flow: Flow, selection: Selection, crops: dict[int, Pixels]) -> Flow:
    """The flow with a clock, so that heads turn as far as asked: see `calibration.fit_clock`.

    Members of the cluster next to the front, `CLOCK_HEADS` at most, are carried to
    `CLOCK_TRIALS_DEG` and read by their landmarks. The same reader reads members where they are,
    so that its own scale cancels. The flow as it is where nothing can be read.
    """
    from rotation.landmarks import LandmarkDetector  # late: loads MTCNN

    filled = [k for k, size in enumerate(selection.sizes) if size]
    frontal = min(filled, key=lambda k: abs(selection.angles_deg[k]))
    known = [_some(selection.clusters[k], CLOCK_HEADS) for k in filled]
    pictures = np.concatenate([_pictures(members, crops) for members in known])
    yaws = np.concatenate([members.yaw_deg for members in known])
    detector = LandmarkDetector()
    seen = detector.crop_poses(pictures).yaw_deg
    good = np.isfinite(seen)
    scale = float(seen[good] @ yaws[good]) / max(float(yaws[good] @ yaws[good]), 1e-9)
    if scale < LEAST_SCALE:
        return flow
    heads = _some(selection.clusters[frontal], CLOCK_HEADS)
    wide = torch.from_numpy(from_pixels(_pictures(heads, crops)))
    start, means = heads.yaw_deg.tolist(), []
    for yaw in CLOCK_TRIALS_DEG:
        carried = flow.carry(wide, start, [yaw] * len(heads)).clamp(0, 1)
        read = detector.crop_poses(to_pixels(carried.numpy())).yaw_deg
        means.append(read[np.isfinite(read)].mean() if np.isfinite(read).any() else np.nan)
    reach = max(abs(selection.mean_yaws_deg[k]) for k in filled)
    clock = fit_clock(np.array(CLOCK_TRIALS_DEG), np.array(means) / scale, reach)
    return flow if clock is None else replace(flow, clock=torch.tensor([clock]))


def _some(members: Members, most: int) -> Members:
    """At most so many members, evenly taken."""
    chosen = np.unique(np.linspace(0, len(members) - 1, min(most, len(members))).round())
    return members.take(chosen.astype(np.intp))


def _pictures(members: Members, crops: dict[int, Pixels]) -> Pixels:
    """The crops (n, S, S, 3) of members, mirrored ones mirrored."""
    found = np.stack([crops[row] for row in members.rows.tolist()])
    found[members.mirrored] = found[members.mirrored][:, :, ::-1]
    return found


def along_path(yaw: float, yaws_deg: Sequence[float], gain: float) -> tuple[float, ...]:
    """Where on the path from `yaw` the yaws asked for lie, at so many times the slope."""
    return tuple((yaw + gain * (np.array(yaws_deg) - yaw)).tolist())


def turn_latent(
    source: Latents,
    direction: Direction,
    from_deg: float,
    to_deg: Sequence[float],
    keep_norm: bool,
) -> Latents:
    """Latents (K, C, H, W) of a source (C, H, W) at `from_deg` turned to each of `to_deg`."""
    moved = trajectory(source.reshape(-1), direction, from_deg, to_deg, keep_norm)
    return moved.reshape(-1, *source.shape)


def choose_readers(
    make: Callable[[int, int, Progress | None], PoseReaders] | None, size: int, seed: int,
    progress: Progress | None,
) -> PoseReaders:  # fmt: skip
    """What reads frames of this size: of the image set's own making, else landmarks."""
    if make is not None:
        return make(size, seed, progress)
    from rotation.editing.pose_readers import by_landmarks  # late: loads MTCNN

    return by_landmarks(seed)


def close_loop(
    model: Encoder, latent: Latents, yaw: float, yaws_deg: Sequence[float], direction: Direction,
    members: MemberPictures, readers: PoseReaders, seed: int,
) -> tuple[Latents, Turn]:  # fmt: skip
    """Latents (K, C, H, W) corrected until frames show the yaws asked for, and what they show."""
    # Late: only this way of turning needs them.
    from rotation.directions.principal_components import principal_components
    from rotation.editing.closed_loop import ClosedLoop, Loop

    loop, crops = Loop(), np.stack(list(members.crops.values()))
    turner = ClosedLoop(
        model.decode_with_gradient, readers.read, readers.measure, latent, yaw, direction,
        principal_components(crops, loop.components, seed), loop,
    )  # fmt: skip
    turned = turner.turn(yaws_deg)
    reached = np.abs(turned.measured_deg - np.array(yaws_deg)) <= loop.tolerance_deg
    measured = tuple(turned.measured_deg.tolist())
    return turned.latents, Turn(tuple(yaws_deg), tuple(reached.tolist()), measured, readers.about)


def find_turn(
    model: Encoder, latent: Latents, direction: Direction, yaw: float,
    yaws_deg: Sequence[float], gain: float | None, keep_norm: bool,
) -> Turn:  # fmt: skip
    """The path yaws that show the yaws asked for, by trial frames (`gain` None) or by a gain."""
    wanted = np.array(yaws_deg) - yaw
    if gain is None:
        calibration = _calibrate(model, latent, direction, yaw, keep_norm)
        if calibration is not None:
            steps, reached = calibration.steps(wanted)
            return Turn(tuple((yaw + steps).tolist()), tuple(reached.tolist()))
    return Turn(along_path(yaw, yaws_deg, 1.0 if gain is None else gain), None)


def _calibrate(
    model: Encoder, latent: Latents, direction: Direction, yaw: float, keep_norm: bool
) -> Calibration | None:
    """Decode trial steps and read their yaws."""
    from rotation.landmarks import LandmarkDetector  # late: loads MTCNN

    steps = trial_steps()
    trials = turn_latent(latent, direction, yaw, (yaw + steps).tolist(), keep_norm)
    read = LandmarkDetector().crop_poses(decode_pixels(model, trials))
    return calibrate(steps.tolist(), read.yaw_deg, read.confidence)
