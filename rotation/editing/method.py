"""What every editing method is asked for, and what it gives: latents moved, then frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from rotation.clusters.selection import Selection
from rotation.data.crop import Pixels
from rotation.directions.direction import Direction
from rotation.imaging.colours import restore_colours
from rotation.latents.encoders import LatentCodec, Latents, decode_pixels, encode_source_crop
from rotation.options import AUTO, EditingOptions, Gain
from rotation.progress import Progress

if TYPE_CHECKING:
    from rotation.directions.flow import Flow
    from rotation.editing.pose_estimators import PoseEstimators

SMOOTH_GAIN = 1.5
"""Takes smoothly embedded photographs as far as asked, in the median
(docs/experiments/real-faces.md)."""

EstimatorFactory = Callable[[int, int, Progress | None], "PoseEstimators"]
"""Pose estimators for images of a given side, whose random views have a given seed."""

WideMeans = Callable[[int], tuple[Selection, Pixels]]
"""Clusters of any attributes and their mean images (K, S, S, 3), for a given side S."""


@dataclass(frozen=True)
class ClusterImages:
    """A selection with the crops (S, S, 3) of its members by row, and its clusters' means."""

    selection: Selection
    crops: dict[int, Pixels]
    means: Pixels


@dataclass(frozen=True)
class EditRequest:
    """One face to turn.

    Attributes:
        model: encodes and decodes.
        crop, yaw_deg: the face (S, S, 3), and the yaw it shows.
        yaws_deg: the yaws to show.
        direction: what to follow.
        device: where landmarks are found in frames.
        latent: the face's own (3, S, S); None: `model` encodes it.
        member_crops: images (n, S, S, 3) of the clusters, which only the closed loop needs.
        estimators: what measures the yaw of frames there; None: MTCNN.
        seed: of what is random in a method.
    """

    model: LatentCodec
    crop: Pixels
    yaw_deg: float
    yaws_deg: Sequence[float]
    direction: Direction
    options: EditingOptions
    device: torch.device | str
    latent: Latents | None = None
    member_crops: Pixels | None = None
    estimators: EstimatorFactory | None = None
    seed: int = 0
    progress: Progress | None = None

    def source_latent(self) -> Latents:
        """The face's latent (3, S, S)."""
        return encode_source_crop(self.model, self.crop) if self.latent is None else self.latent


@dataclass(frozen=True)
class TurnPath:
    """Where on the path each frame lies (`path_deg`), and whether the yaw asked for is reached.

    `reached` is None where nothing was measured: a gain was given, or no landmarks can be read.
    `measured_deg` are the yaws that the closed loop measured, `readers` says by what.
    """

    path_deg: tuple[float, ...]
    reached: tuple[bool, ...] | None
    measured_deg: tuple[float, ...] | None = None
    readers: str | None = None


@dataclass(frozen=True)
class MovedLatents:
    """The latents of a face that was turned.

    Attributes:
        source: of the face itself, (3, S, S).
        frames: (K, 3, S, S), at the yaws asked for.
        path: how far each was moved.
        warped, warped_latents: by flow editing, what the flow alone makes of the face,
            (K, S, S, 3), and the latents of that.
    """

    source: Latents
    frames: Latents
    path: TurnPath
    warped: Pixels | None = None
    warped_latents: Latents | None = None


@dataclass(frozen=True)
class EditedFrames:
    """Frames (K, S, S, 3), the source decoded from its own latent (S, S, 3), and the latents."""

    frames: Pixels
    reconstruction: Pixels
    latents: MovedLatents


class EditingMethod(ABC):
    """A way to turn a face along a direction: `move` its latent, `show` frames."""

    def choose_gain(self, gain: Gain | None, smooth: bool = False) -> Gain:
        """The gain to take: the one asked for, else the usual one of this method.

        `smooth` says that the face is embedded smoothly. Raises `SelectionError` for a gain
        that the method cannot take.
        """
        if gain is not None:
            return gain
        return SMOOTH_GAIN if smooth else AUTO

    def prepare(
        self,
        clusters: ClusterImages,
        latents: Latents,
        wide: WideMeans,
        device: torch.device | str,
    ) -> tuple[Latents, Flow | None]:
        """The latents (n, C, H, W) to fit the direction to, and the flow that goes with it."""
        return latents, None

    @abstractmethod
    def move(self, request: EditRequest) -> MovedLatents:
        """Move the face's latent to each of the yaws asked for."""

    def show(self, request: EditRequest, moved: MovedLatents) -> EditedFrames:
        """Decode, and give back the colours that embedding the face has lost."""
        again = decode_pixels(request.model, moved.source[None])
        frames = decode_pixels(request.model, moved.frames)
        frames, again = (restore_colours(each, again[0], request.crop) for each in (frames, again))
        return EditedFrames(frames, again[0], moved)

    def edit(self, request: EditRequest) -> EditedFrames:
        """Turn the face."""
        return self.show(request, self.move(request))


def along_path(yaw: float, yaws_deg: Sequence[float], gain: float) -> tuple[float, ...]:
    """Where on the path from `yaw` the yaws asked for lie, at so many times the slope."""
    return tuple((yaw + gain * (np.array(yaws_deg) - yaw)).tolist())
