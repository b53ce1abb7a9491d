"""The judge: measures frames by comparing them with true renders, independently of the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotation.data.crop import Pixels
from rotation.evaluation.ground_truth import PITCH_STEPS_DEG, TrueRenders, class_of
from rotation.imaging.metrics import (
    mean_square_error,
    nearest,
    parabola_minimum,
    psnr,
    structural_similarity,
)

SIDE_YAWS_DEG = (-30.0, 30.0)
"""The yaws at which identity is tested: the largest of the paper."""

PITCH_YAWS_DEG = (-30.0, 0.0, 30.0)
LIGHT_EVERY_DEG = 10.0


@dataclass(frozen=True)
class Judgement:
    """The measures of one turned source. Lists follow the target yaws; angles are in degrees.

    Attributes:
        light: the light class of the source.
        reached_deg: the yaw of each frame: that of the nearest true render, refined by a parabola.
        psnr_db: PSNR of each frame against the true render at the *target* yaw.
        similarity: SSIM of each frame against the same.
        light_kept: for target yaws that are multiples of 10, whether the nearest render over
            lamps has the light class of the source.
        identity_kept: at +-30, whether the true render is nearer than all renders of others.
        pitch_leak: change of pitch per degree of yaw over -30, 0, 30; NaN if one is not a target.
        bound_db: PSNR of the source's reconstruction.
    """

    light: str
    reached_deg: list[float]
    psnr_db: list[float]
    similarity: list[float]
    light_kept: list[bool]
    identity_kept: list[bool]
    pitch_leak: float
    bound_db: float


@dataclass(frozen=True)
class JudgedFrames:
    """Frames (K, S, S, 3), and the source decoded from its own latent (S, S, 3)."""

    frames: Pixels
    reconstruction: Pixels


def judge_all(
    truth: TrueRenders, yaws_deg: Sequence[float], crop: Pixels, turned: Mapping[str, JudgedFrames]
) -> dict[str, Judgement]:
    """Judge one source, crop (S, S, 3), as turned by each variant; see `judge`."""
    return {
        name: judge(truth, one.frames, yaws_deg, one.reconstruction, crop)
        for name, one in turned.items()
    }


def judge(
    truth: TrueRenders,
    frames: Pixels,
    yaws_deg: Sequence[float],
    reconstruction: Pixels,
    crop: Pixels,
) -> Judgement:
    """Judge the frames of one source.

    Parameters:
        truth: the true renders of the source.
        frames: (K, S, S, 3), uint8.
        yaws_deg: the K target yaws.
        reconstruction: the source decoded from its own latent, (S, S, 3).
        crop: the source, (S, S, 3).
    """
    reached = [yaw_shown(truth, frame) for frame in frames]
    true = truth.turned(yaws_deg)
    shown = dict(zip(yaws_deg, zip(frames, reached, strict=True), strict=True))
    sides = [yaw for yaw in SIDE_YAWS_DEG if yaw in shown]
    return Judgement(
        light=class_of(truth.head),
        reached_deg=reached,
        psnr_db=psnr(frames, true).tolist(),
        similarity=structural_similarity(frames, true).tolist(),
        light_kept=[
            _light_kept(truth, frame, at)
            for yaw, (frame, at) in shown.items()
            if yaw % LIGHT_EVERY_DEG == 0
        ],
        identity_kept=[_identity_kept(truth, shown[yaw][0], yaw) for yaw in sides],
        pitch_leak=_pitch_leak(truth, [shown[yaw] for yaw in PITCH_YAWS_DEG if yaw in shown]),
        bound_db=float(psnr(crop[None], reconstruction[None])[0]),
    )


def yaw_shown(truth: TrueRenders, frame: Pixels) -> float:
    """The yaw of the true render nearest to a frame (S, S, 3)."""
    return parabola_minimum(truth.grid_deg, _errors(frame, truth.grid))


def _errors(frame: Pixels, references: Pixels) -> NDArray[np.float64]:
    return mean_square_error(references, np.broadcast_to(frame, references.shape))


def _on_grid(truth: TrueRenders, yaw_deg: float) -> float:
    """The nearest yaw of the grid, so that all variants share its renders."""
    return float(truth.grid_deg[np.abs(truth.grid_deg - yaw_deg).argmin()])


def _light_kept(truth: TrueRenders, frame: Pixels, yaw_deg: float) -> bool:
    lit, classes = truth.lit(_on_grid(truth, yaw_deg))
    return classes[int(nearest(frame[None], lit)[0])] == class_of(truth.head)


def _identity_kept(truth: TrueRenders, frame: Pixels, yaw_deg: float) -> bool:
    """Whether the true render is nearer than that of every other person in the same scene."""
    own = truth.turned([yaw_deg])
    others = truth.gallery(yaw_deg)
    return int(nearest(frame[None], np.concatenate([own, others]))[0]) == 0


def _pitch_leak(truth: TrueRenders, shown: Sequence[tuple[Pixels, float]]) -> float:
    """The least squares slope of shown pitch over shown yaw."""
    if len(shown) < len(PITCH_YAWS_DEG):
        return float("nan")
    pitches = [
        parabola_minimum(PITCH_STEPS_DEG, _errors(f, truth.nodding(_on_grid(truth, y))))
        for f, y in shown
    ]
    yaws = np.array([yaw for _, yaw in shown])
    if np.ptp(yaws) < 1.0:
        return float("nan")
    return float(np.polyfit(yaws, pitches, 1)[0])
