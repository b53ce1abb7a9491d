"""Hidden parts of turned heads, drawn by a diffusion model.

The standard crop of each frame is inpainted: pixels that the photograph saw are held, the others
are drawn. What is drawn is enlarged and put into the frame with a soft edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name
from numpy.typing import NDArray

from rotation.data.crop import CROP_BOX
from rotation.diffusion.inpainting import InpaintingPlan, inpaint_images
from rotation.diffusion.refiner import MOST_NOISE, Refiner
from rotation.diffusion.schedule import NoiseSchedule
from rotation.faces.face_mesh import FaceMesh
from rotation.geometry.head import Head
from rotation.geometry.layers import fill_smoothly
from rotation.geometry.turning import TurnedFrame

EYES = ((33, 133), (362, 263))
"""The points of the mesh at the corners of each eye."""
_EYE_DISTANCE = 38.0  # pixels in an aligned CelebA image, of a frontal face
_EYE_ROW = 111.0  # in an aligned CelebA image
_PLAN = InpaintingPlan(start=0.7, steps=25, repeats=3)
_PLAN_FROM_GUESS = InpaintingPlan(start=0.5, steps=25, repeats=2)  # of a guess by clusters
_START_OF_REFINING = 0.6  # the start where a refiner draws from a guess
_SEEN = (0.4, 0.8)  # how well a pixel must have been seen to be held
_LINE = 0.05  # of the crop's side; narrower unseen lines are left as they are
_RIM = 0.08  # the width of the brush that widens what is drawn
_FADE = 0.06  # of the crop's side, at its edges
_OVERSAMPLING = 4

Box = tuple[float, float, float]
"""Left, top and side of a square in pixels of the frame."""


@dataclass(frozen=True)
class CropShape:
    """A square around a face, in pixels of an aligned CelebA image of 178 x 218.

    Attributes:
        side: its side.
        above: how far the eyes lie below its top.
    """

    side: float
    above: float


STANDARD_CROP = CropShape(CROP_BOX[2] - CROP_BOX[0], _EYE_ROW - CROP_BOX[1])
"""From hair to chin."""
HEAD_CROP = CropShape(176, 91)
"""The whole head with hair and neck."""


class Model(Protocol):
    """What is needed of a diffusion model; `LatentModel` is one."""

    @property
    def image_size(self) -> int:
        """The side of its images."""

    @property
    def schedule(self) -> NoiseSchedule:
        """Its noise schedule."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def refiner(self) -> Refiner | None:
        """What draws hidden parts in more detail than the model; None: the model itself."""

    def eps(self, x: torch.Tensor, time: int) -> torch.Tensor:
        """The noise in images (N, 3, S, S) at a timestep."""


@dataclass(frozen=True)
class HiddenParts:
    """A crop of a turned frame, and which of its pixels the photograph saw.

    Attributes:
        box: where the crop lies in the frame.
        image: (3, S, S), 0 to 1; unseen pixels are filled from their surroundings.
        known: (1, S, S), 1 for pixels to be held, 0 for pixels to be drawn.
    """

    box: Box
    image: torch.Tensor
    known: torch.Tensor


def draw_hidden(
    frame: TurnedFrame, angle_deg: float, head: Head, model: Model, seed: int = 0
) -> TurnedFrame:
    """The frame with its hidden parts drawn by the model alone, or by its refiner.

    Parameters:
        frame: a turned head, at `angle_deg` from the photograph.
        head: the head as it was measured.
        model: a diffusion model of faces in the standard crop.
        seed: of the noise. With the same noise for all frames, a video does not flicker.
    """
    if model.refiner is None:
        parts = find_hidden(frame, angle_deg, head, model.image_size)
        return join_drawn(frame, parts, draw_parts([parts], model, seed=seed)[0])
    parts = find_hidden(frame, angle_deg, head, model.refiner.image_size, HEAD_CROP)
    yaws_deg = [head.yaw_deg + angle_deg]
    return join_drawn(frame, parts, refine_parts([parts], model.refiner, yaws_deg, seed=seed)[0])


def find_hidden(
    frame: TurnedFrame,
    angle_deg: float,
    head: Head,
    size: int,
    shape: CropShape = STANDARD_CROP,
    sure: bool = False,
) -> HiddenParts:
    """What a model of images of `size` pixels would have to draw in a frame.

    Parameters:
        shape: of the crops that the model draws.
        sure: all that is not sure (`TurnedFrame.sure`): also mirrored, stretched and filled
            parts, not the hidden parts of the person alone. A refiner learns from such pictures.
    """
    box = aligned_crop(head, angle_deg, shape)
    shown = frame.sure if sure else 1 - (1 - frame.seen) * frame.alpha
    seen = cut_crop(shown[..., None], box, size)[None]
    known = ((seen - _SEEN[0]) / (_SEEN[1] - _SEEN[0])).clamp(0, 1)
    # Lines along the outline are left as they are; what is wider is drawn, with a rim.
    line, rim = (2 * round(share * size / 2 - 0.5) + 1 for share in (_LINE, _RIM))
    known = _grow(_grow(known, line), -line - rim + 1)
    return HiddenParts(box, cut_crop(frame.image, box, size), known[0])


def draw_parts(
    parts: Sequence[HiddenParts],
    model: Model,
    guesses: torch.Tensor | None = None,
    seed: int = 0,
) -> torch.Tensor:
    """The crops (N, 3, S, S), 0 to 1, with their hidden parts drawn.

    Parameters:
        parts: of N frames of one photograph.
        model: a diffusion model of faces in the standard crop.
        guesses: (N, 3, S, S), 0 to 1: what may be hidden; None: fill from the surroundings.
        seed: of the noise, which is the same for all frames.
    """
    known = torch.stack([one.known for one in parts])
    images = torch.stack([one.image for one in parts])
    if guesses is not None:
        images = known * images + (1 - known) * fit_colours(guesses, parts)
    plan = _PLAN if guesses is None else _PLAN_FROM_GUESS
    return inpaint_images(
        lambda _: model.eps, images, known, model.schedule, plan, model.device, seed
    )


def refine_parts(
    parts: Sequence[HiddenParts],
    refiner: Refiner,
    yaws_deg: Sequence[float],
    guesses: torch.Tensor | None = None,
    seed: int = 0,
) -> torch.Tensor:
    """The crops (N, 3, S, S), 0 to 1, with their hidden parts drawn by a refiner.

    Parameters:
        parts: of N frames of one photograph, in `HEAD_CROP`.
        refiner: draws them.
        yaws_deg: of the heads in the frames.
        guesses: (N, 3, S, S), 0 to 1: what may be there; None: what geometry has put there.
        seed: of the noise, which is the same for all frames.
    """
    known = torch.stack([one.known for one in parts])
    images = torch.stack([one.image for one in parts])
    start = MOST_NOISE if guesses is None else _START_OF_REFINING
    return refiner.draw(images, known, torch.tensor(yaws_deg), guesses, start, seed)


def fit_colours(guesses: torch.Tensor, parts: Sequence[HiddenParts]) -> torch.Tensor:
    """Guesses (N, 3, S, S) whose colours go over smoothly into those of the known pixels."""
    fitted = []
    for guess, one in zip(guesses, parts, strict=True):
        off = (one.image - guess).permute(1, 2, 0).numpy()
        filled = fill_smoothly(off, one.known[0].numpy())
        fitted.append(guess + torch.from_numpy(filled).permute(2, 0, 1))
    return torch.stack(fitted).clamp(0, 1)


def aligned_crop(head: Head, angle_deg: float, shape: CropShape = STANDARD_CROP) -> Box:
    """The crop of a head turned by an angle, placed by the eyes as in aligned CelebA images."""
    points = head.mesh.points
    left, right = (points[list(corners)].mean(axis=0) for corners in EYES)
    middle = (left + right) / 2
    side = crop_side(head.mesh, shape)
    angle = math.radians(angle_deg)
    across, depth = middle[0] - head.axis[0], middle[2] - head.axis[1]
    column = head.axis[0] + across * math.cos(angle) + depth * math.sin(angle)
    above = shape.above / shape.side * side
    return float(column) - side / 2, float(middle[1]) - above, side


def crop_side(mesh: FaceMesh, shape: CropShape) -> float:
    """The side of a crop in pixels of the photograph."""
    left, right = (mesh.points[list(corners)].mean(axis=0) for corners in EYES)
    return float(np.linalg.norm(right - left)) / _EYE_DISTANCE * shape.side


def cut_crop(image: NDArray[np.floating], box: Box, size: int) -> torch.Tensor:
    """The square of an image (H, W, C) as (C, size, size), averaged over pixels."""
    height, width = image.shape[:2]
    left, top, side = box
    count = size * _OVERSAMPLING
    places = (torch.arange(count) + 0.5) / count * side
    columns, rows = (places + left) / width * 2 - 1, (places + top) / height * 2 - 1
    grid = torch.stack([columns.expand(count, -1), rows[:, None].expand(-1, count)], dim=-1)
    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float()
    fine = F.grid_sample(planes, grid[None].float(), padding_mode="border", align_corners=False)
    return F.avg_pool2d(fine, _OVERSAMPLING)[0]


def _grow(known: torch.Tensor, brush: int) -> torch.Tensor:
    """Masks (N, 1, S, S) widened by a square brush of odd width, or narrowed by one below 0."""
    sign = 1 if brush > 0 else -1
    return sign * F.max_pool2d(sign * known, abs(brush), stride=1, padding=abs(brush) // 2)


def join_drawn(frame: TurnedFrame, parts: HiddenParts, drawn: torch.Tensor) -> TurnedFrame:
    """A frame with the crop (3, S, S), 0 to 1, where its pixels were hidden.

    What is drawn fades out towards the edges of the crop, and where the frame was not changed.
    """
    height, width = frame.image.shape[:2]
    size = drawn.shape[1]
    left, top, side = parts.box
    edge = torch.linspace(0, 1, size)
    fade = (torch.minimum(edge, 1 - edge) / _FADE).clamp(0, 1)
    weight = (1 - parts.known) * fade * fade[:, None]
    columns = (torch.arange(width) + 0.5 - left) / side * 2 - 1
    rows = (torch.arange(height) + 0.5 - top) / side * 2 - 1
    grid = torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width)], dim=-1)
    share, image = (
        F.grid_sample(
            planes[None], grid[None].float(), mode=mode, padding_mode=rim, align_corners=False
        )[0]
        .permute(1, 2, 0)
        .numpy()
        for planes, mode, rim in ((weight, "bilinear", "zeros"), (drawn, "bicubic", "border"))
    )
    person = share * frame.changed[..., None]
    joined = (frame.image + (image - frame.image) * person).clip(0, 1)
    return replace(frame, image=joined.astype(np.float32))
