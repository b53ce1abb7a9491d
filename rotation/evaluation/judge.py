"""What a turned head shows, read off by true renders: the judge shares nothing with the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotation.data.crop import Pixels
from rotation.evaluation.ground_truth import PITCH_STEPS_DEG, TrueRenders, class_of
from rotation.imaging.metrics import mean_square_error, nearest, psnr, structural_similarity, vertex

SIDE_YAWS_DEG = (-30.0, 30.0)
"""Where the person is asked for: as far as the paper turns."""

PITCH_YAWS_DEG = (-30.0, 0.0, 30.0)
LIGHT_EVERY_DEG = 10.0


@dataclass(frozen=True)
class Judgement:
    """One source, turned; rows go with the yaws asked for, angles in degrees.

    Attributes:
        light: the source's class.
        reached_deg: yaw of the nearest true render, over the truth's grid and a parabola.
        psnr_db, similarity: against the true render at the yaw *asked for*; similarity is SSIM.
        light_kept: at every tenth degree, whether the nearest render over lamps has the class.
        identity_kept: at +-30, whether the true render is nearer than all of the gallery's.
        pitch_leak: change of pitch per degree of yaw over -30, 0, 30; NaN where not all asked.
        bound_db: PSNR of the source's own reconstruction.
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
    """What is judged: frames (K, S, S, 3), and the source decoded from its latent (S, S, 3)."""

    frames: Pixels
    reconstruction: Pixels


def judge_all(
    truth: TrueRenders, yaws_deg: Sequence[float], crop: Pixels, turned: Mapping[str, JudgedFrames]
) -> dict[str, Judgement]:
    """The judgements on one source, crop (S, S, 3), as each variant has turned it."""
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
    """Judge the frames (K, S, S, 3) of one source at K yaws.

    `reconstruction` and `crop` (S, S, 3) are the source decoded from its latent and as given.
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
    return vertex(truth.grid_deg, _errors(frame, truth.grid))


def _errors(frame: Pixels, references: Pixels) -> NDArray[np.float64]:
    return mean_square_error(references, np.broadcast_to(frame, references.shape))


def _on_grid(truth: TrueRenders, yaw_deg: float) -> float:
    """The grid's yaw next to one: renders made for it serve all variants."""
    return float(truth.grid_deg[np.abs(truth.grid_deg - yaw_deg).argmin()])


def _light_kept(truth: TrueRenders, frame: Pixels, yaw_deg: float) -> bool:
    lit, classes = truth.lit(_on_grid(truth, yaw_deg))
    return classes[int(nearest(frame[None], lit)[0])] == class_of(truth.head)


def _identity_kept(truth: TrueRenders, frame: Pixels, yaw_deg: float) -> bool:
    """Whether no other person, in the very same scene at the yaw asked for, is nearer."""
    own = truth.turned([yaw_deg])
    others = truth.gallery(yaw_deg)
    return int(nearest(frame[None], np.concatenate([own, others]))[0]) == 0


def _pitch_leak(truth: TrueRenders, shown: Sequence[tuple[Pixels, float]]) -> float:
    """Least squares slope of the pitch shown on the yaw shown."""
    if len(shown) < len(PITCH_YAWS_DEG):
        return float("nan")
    pitches = [
        vertex(PITCH_STEPS_DEG, _errors(f, truth.nodding(_on_grid(truth, y)))) for f, y in shown
    ]
    yaws = np.array([yaw for _, yaw in shown])
    if np.ptp(yaws) < 1.0:
        return float("nan")
    return float(np.polyfit(yaws, pitches, 1)[0])
