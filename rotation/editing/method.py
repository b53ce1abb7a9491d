"""What an editing method is, and the registry of editing methods.

An editing method moves the latent of a face along a direction and decodes frames. A new one is a
module with a subclass of `EditingMethod`, and one line in `EDITING_METHODS`.

The commands read the registry for `--help`. So this module imports nothing heavy at its top, and a
method's own module is imported when it is used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rotation.errors import SelectionError
from rotation.options import AUTO, EditingOptions, Gain
from rotation.progress import Progress

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from rotation.clusters.selection import Selection
    from rotation.data.crop import Pixels
    from rotation.directions.direction import Direction
    from rotation.directions.flow import Flow
    from rotation.editing.pose_estimators import PoseEstimators
    from rotation.latents.encoders import LatentCodec, Latents

EASY_GAIN = 1.5
"""Turns photographs as far as asked, in the median (docs/experiments/real-faces.md)."""

EstimatorFactory = Callable[[int, int, Progress | None], "PoseEstimators"]
"""Makes pose estimators from the side of the images, a seed, and a progress callback."""

RelaxedMeans = Callable[[int], "tuple[Selection, Pixels]"]
"""Selects larger clusters, of any attributes, and returns them with their mean images.

The argument is the side S of the images; the means are (K, S, S, 3).
"""


@dataclass(frozen=True)
class ClusterImages:
    """The images of the clusters.

    Attributes:
        selection: the clusters.
        crops: the crops (S, S, 3) of their members, by row.
        means: the mean images (K, S, S, 3) of the clusters.
    """

    selection: Selection
    crops: dict[int, Pixels]
    means: Pixels


@dataclass(frozen=True)
class EditRequest:
    """One face to turn, and all that an editing method may need.

    Attributes:
        model: encodes images and decodes latents.
        crop: the face (S, S, 3), uint8.
        yaw_deg: the yaw of the face.
        yaws_deg: the target yaws.
        direction: the direction to follow.
        options: how to edit.
        device: where landmarks are found in frames.
        latent: the latent of the face (3, S, S); None: `model` encodes it.
        photograph: the whole photograph that the crop is part of; only geometry editing needs it.
        member_crops: images (n, S, S, 3) of the clusters. Only the closed loop needs them.
        estimators: makes the pose estimators of the closed loop; None: MTCNN.
        seed: the seed of random steps.
        progress: called as work goes on.
    """

    model: LatentCodec
    crop: Pixels
    yaw_deg: float
    yaws_deg: Sequence[float]
    direction: Direction
    options: EditingOptions
    device: torch.device | str
    latent: Latents | None = None
    photograph: Image.Image | None = None
    member_crops: Pixels | None = None
    estimators: EstimatorFactory | None = None
    seed: int = 0
    progress: Progress | None = None

    def source_latent(self) -> Latents:
        """The latent of the face, (3, S, S)."""
        from rotation.latents.encoders import encode_source_crop  # late: loads torch

        return encode_source_crop(self.model, self.crop) if self.latent is None else self.latent


@dataclass(frozen=True)
class TurnPath:
    """How far each of K frames was moved. The field names are the keys of `turn` in report.json.

    Attributes:
        path_deg: the place of each frame on the path, in degrees of the direction.
        reached: whether each target yaw was reached. None if nothing was measured: the gain was
            given, or no landmarks were found.
        measured_deg: the yaws that the closed loop measured.
        readers: the pose estimators of the closed loop, in words.
        hidden: the share of the visible face that the photograph did not show; geometry only.
        doubts: why a frame may not be good, in words, or None; geometry only.
        mesh_yaw_deg: the yaw that the face mesh shows in the photograph; geometry only.
        refined: whether the model's refiner drew hidden parts; geometry only.
        fallback: why geometry could not turn the head, so that flow editing did.
    """

    path_deg: tuple[float, ...]
    reached: tuple[bool, ...] | None
    measured_deg: tuple[float, ...] | None = None
    readers: str | None = None
    hidden: tuple[float, ...] | None = None
    doubts: tuple[str | None, ...] | None = None
    mesh_yaw_deg: float | None = None
    refined: bool | None = None
    fallback: str | None = None


@dataclass(frozen=True)
class MovedLatents:
    """The moved latents of a face.

    Attributes:
        source: the latent of the face, (3, S, S).
        frames: the latents at the target yaws, (K, 3, S, S).
        path: how far each was moved.
        warped: the face warped along the flow alone, or turned by geometry alone, (K, S, S, 3);
            None with the other methods.
        warped_latents: the latents of `warped`, (K, 3, S, S).
    """

    source: Latents
    frames: Latents
    path: TurnPath
    warped: Pixels | None = None
    warped_latents: Latents | None = None


@dataclass(frozen=True)
class EditedFrames:
    """The decoded result.

    Attributes:
        frames: (K, S, S, 3), uint8.
        reconstruction: the face decoded from its own latent, (S, S, 3).
        latents: the latents that were decoded.
        photographs: the whole photographs with the head turned, each (H, W, 3); geometry only.
    """

    frames: Pixels
    reconstruction: Pixels
    latents: MovedLatents
    photographs: Sequence[Pixels] | None = None


class EditingMethod(ABC):
    """Turns a face along a direction: `move` moves its latent, `show` decodes frames.

    Attributes:
        needs_members: whether a request must hold images of the clusters and pose estimators.
    """

    needs_members: ClassVar[bool] = False

    def choose_gain(self, gain: Gain | None, easily_edited: bool = False) -> Gain:
        """The gain that was asked for, or the default of this method.

        Parameters:
            gain: a factor, `AUTO`, or None for the default.
            easily_edited: whether the encoder is one of `EASILY_EDITED`.

        Raises:
            SelectionError: the method cannot take this gain.
        """
        if gain is not None:
            return gain
        return EASY_GAIN if easily_edited else AUTO

    def prepare(
        self,
        clusters: ClusterImages,
        latents: Latents,
        relaxed_means: RelaxedMeans,
        device: torch.device | str,
    ) -> tuple[Latents, Flow | None]:
        """Prepare what the direction is fitted to.

        Parameters:
            clusters: the images of the clusters.
            latents: (n, C, H, W), of their members.
            relaxed_means: mean images of larger clusters, made when called.
            device: where landmarks are found.

        Returns:
            The latents (n, C, H, W) to fit the direction to, and the flow that belongs to it.
        """
        return latents, None

    @abstractmethod
    def move(self, request: EditRequest) -> MovedLatents:
        """Move the latent of the face to each target yaw."""

    def show(self, request: EditRequest, moved: MovedLatents) -> EditedFrames:
        """Decode frames, and restore the colours that encoding the face has lost."""
        from rotation.imaging.colours import restore_colours
        from rotation.latents.encoders import decode_pixels  # late: loads torch

        reconstruction = decode_pixels(request.model, moved.source[None])
        frames, shown = (
            restore_colours(images, reconstruction[0], request.crop)
            for images in (decode_pixels(request.model, moved.frames), reconstruction)
        )
        return EditedFrames(frames, shown[0], moved)

    def edit(self, request: EditRequest) -> EditedFrames:
        """Turn the face: move its latent and decode frames."""
        return self.show(request, self.move(request))


def along_path(yaw: float, yaws_deg: Sequence[float], gain: float) -> tuple[float, ...]:
    """The places on the path from `yaw` to the target yaws, with displacements times `gain`."""
    return tuple((yaw + gain * (np.array(yaws_deg) - yaw)).tolist())


@dataclass(frozen=True)
class RegisteredMethod:
    """An editing method in the registry.

    Attributes:
        place: where its class is defined, as `module:class`.
        description: what it does, for `--help`.
    """

    place: str
    description: str


EDITING_METHODS = {
    "line": RegisteredMethod(
        "rotation.editing.linear_path:LinearEditing", "move the latent along the linear direction"
    ),
    "flow": RegisteredMethod(
        "rotation.editing.flow_editing:FlowEditing",
        "warp the image along the flow between the clusters' means; the line does the rest",
    ),
    "geometry": RegisteredMethod(
        "rotation.editing.geometry_editing:GeometryEditing",
        "turn the head in the whole photograph; clusters and model draw what was hidden",
    ),
    "closed-loop": RegisteredMethod(
        "rotation.editing.closed_loop:ClosedLoopEditing",
        "measure each frame's yaw and correct it by the head's gradient",
    ),
}


def editing_method(name: str) -> EditingMethod:
    """The editing method called `name`; raises `SelectionError` for an unknown name."""
    if name not in EDITING_METHODS:
        known = ", ".join(EDITING_METHODS)
        raise SelectionError(f"There is no editing method {name!r}; {known} are allowed.")
    module, _, attribute = EDITING_METHODS[name].place.partition(":")
    method: EditingMethod = getattr(import_module(module), attribute)()
    return method
