"""Where along its path a source turns: by a given gain, by trial frames, or by the closed loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rotation.calibration import Calibration, calibrate, trial_steps
from rotation.directions import Direction
from rotation.embedding import Encoder, Latents, Progress, decode_pixels
from rotation.flow import Flow, fit_flow
from rotation.images import Pixels
from rotation.selection import Selection
from rotation.trajectory import trajectory

if TYPE_CHECKING:
    from rotation.pose_readers import PoseReaders


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
    from rotation.pose_readers import by_landmarks  # late: loads MTCNN

    return by_landmarks(seed)


def close_loop(
    model: Encoder, latent: Latents, yaw: float, yaws_deg: Sequence[float], direction: Direction,
    members: MemberPictures, readers: PoseReaders, seed: int,
) -> tuple[Latents, Turn]:  # fmt: skip
    """Latents (K, C, H, W) corrected until frames show the yaws asked for, and what they show."""
    # Late: only this way of turning needs them.
    from rotation.closed_loop import ClosedLoop, Loop
    from rotation.subspace import principal_components

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
