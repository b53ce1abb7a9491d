"""Geometry editing: geometry moves what the photograph shows, clusters and model draw the rest.

The head in the whole photograph is turned (`rotation.geometry`). The standard crop of each turned
frame is encoded, and its latent is moved by the remainder of `flow_editing`: what parts that turn
into view look like at that yaw, under the light of the clusters,

    z(yaw) = E(crop of the turned head) + path(yaw) - path(source's yaw)

The decoded latent is a guess of the hidden pixels. Sampling with the seen pixels held makes them
fit (`rotation.geometry.drawing`). If the model has a refiner, the guess is put into the frame, and
the refiner draws the whole head from there, in more detail. What was drawn goes back into the
photograph.

The turn starts at the yaw that the face mesh shows, also where another yaw of the source is known.
A photograph whose face cannot be measured is turned by `flow_editing` instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import torch
from PIL import Image

from rotation.data.crop import Pixels
from rotation.diffusion.latent_model import LatentModel
from rotation.editing.flow_editing import FLOW_GAIN, FlowEditing, flow_of, move_remainders
from rotation.editing.method import (
    EditedFrames,
    EditRequest,
    MovedLatents,
    TurnPath,
    along_path,
)
from rotation.errors import ImageError
from rotation.geometry.drawing import (
    HEAD_CROP,
    HiddenParts,
    cut_crop,
    draw_parts,
    find_hidden,
    fit_colours,
    join_drawn,
    refine_parts,
)
from rotation.geometry.photograph import Photograph
from rotation.geometry.turning import TurnedFrame
from rotation.imaging.colours import restore_colours
from rotation.imaging.images import from_pixels, to_pixels
from rotation.latents.encoders import decode_pixels
from rotation.options import Gain

HIDDEN_GAIN = 1.0
"""Default gain of the guess for hidden parts."""

SMALLEST_SIDE = 178
"""A crop without its photograph is enlarged to this side, so that the face can be measured."""


@dataclass(frozen=True, kw_only=True)
class TurnedLatents(MovedLatents):
    """The moved latents of the crops of a turned head.

    Attributes:
        photograph: the measured head.
        parts: of each frame, its crop and which of its pixels are hidden.
    """

    photograph: Photograph
    parts: tuple[HiddenParts, ...]


@dataclass(frozen=True)
class TurnedPhotographs(Sequence[Pixels]):
    """Whole photographs (H, W, 3), one for each of K frames, each made when it is asked for.

    A photograph may have many megapixels, so only what the model drew is kept.
    """

    photograph: Photograph
    yaws_deg: tuple[float, ...]
    parts: tuple[HiddenParts, ...]
    drawn: torch.Tensor

    def __len__(self) -> int:
        return len(self.yaws_deg)

    @overload
    def __getitem__(self, number: int) -> Pixels: ...

    @overload
    def __getitem__(self, number: slice) -> list[Pixels]: ...

    def __getitem__(self, number: int | slice) -> Pixels | list[Pixels]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        return self.photograph.paste(self.frame(number))

    def frame(self, number: int) -> TurnedFrame:
        """The window around the head in one of the photographs."""
        frame = self.photograph.turn_by(self.yaws_deg[number] - self.photograph.yaw_deg)
        return join_drawn(frame, self.parts[number], self.drawn[number])


class GeometryEditing(FlowEditing):
    """Turns the head in the photograph, and lets clusters and model draw what was hidden."""

    def choose_gain(self, gain: Gain | None, easily_edited: bool = False) -> Gain:
        """See `EditingMethod`. Hidden parts get the whole path, since seen ones are held."""
        return super().choose_gain(HIDDEN_GAIN if gain is None else gain, easily_edited)

    def move(self, request: EditRequest) -> MovedLatents:
        """See `EditingMethod`. Falls back to `FlowEditing` if the face cannot be measured."""
        flow_of(request.direction)  # the remainder of a line would turn the head twice
        gain = float(self.choose_gain(request.options.gain))
        try:
            photograph = _measure(request)
        except ImageError as error:
            # The gain counts in that of the method: 1 is the flow's own usual one.
            usual = replace(request.options, gain=FLOW_GAIN * gain / HIDDEN_GAIN)
            along_flow = super().move(replace(request, options=usual))
            return replace(along_flow, path=replace(along_flow.path, fallback=str(error)))
        start = photograph.yaw_deg
        places = along_path(start, request.yaws_deg, gain)
        parts, path = _turn(photograph, request.yaws_deg, request.model.image_size, places)
        path = replace(path, refined=request.model.denoiser.refiner is not None)
        images = torch.stack([one.image for one in parts])
        source = torch.from_numpy(from_pixels(request.crop[None]))
        latents = request.model.encode(torch.cat([source, images])).numpy()
        moved = move_remainders(request.direction, latents[1:], start, places)
        return TurnedLatents(
            latents[0],
            moved,
            path,
            to_pixels(images.numpy()),
            latents[1:],
            photograph=photograph,
            parts=parts,
        )

    def show(self, request: EditRequest, moved: MovedLatents) -> EditedFrames:
        """See `EditingMethod`. The frames are the standard crops of the turned photographs."""
        if not isinstance(moved, TurnedLatents):
            return super().show(request, moved)
        assert moved.warped is not None
        assert moved.warped_latents is not None
        count = len(moved.frames)
        latents = np.concatenate([moved.source[None], moved.warped_latents, moved.frames])
        plain = decode_pixels(request.model, latents)
        shown = restore_colours(plain, plain[0], request.crop)
        change = shown[count + 1 :].astype(np.float32) - shown[1 : count + 1]
        guesses = torch.from_numpy((moved.warped + change).clip(0, 255) / 255)
        drawing = _Drawing(
            moved.photograph, tuple(request.yaws_deg), request.model.denoiser, request.seed
        )
        frames, photographs = drawing.draw(moved.parts, guesses.permute(0, 3, 1, 2).float())
        return EditedFrames(to_pixels(frames.numpy()), shown[0], moved, photographs)


@dataclass(frozen=True)
class _Drawing:
    """What draws the hidden parts of the frames of one photograph."""

    photograph: Photograph
    yaws_deg: tuple[float, ...]
    model: LatentModel
    seed: int

    def draw(
        self, parts: tuple[HiddenParts, ...], guesses: torch.Tensor
    ) -> tuple[torch.Tensor, TurnedPhotographs]:
        """The standard crops (K, 3, S, S), 0 to 1, and the whole photographs.

        Parameters:
            parts: of each frame, its standard crop and which of its pixels are hidden.
            guesses: (K, 3, S, S), 0 to 1: what these may look like.
        """
        refiner = self.model.refiner
        if refiner is None:
            drawn = draw_parts(parts, self.model, guesses, self.seed)
            return drawn, TurnedPhotographs(self.photograph, self.yaws_deg, parts, drawn)
        fitted = fit_colours(guesses, parts)
        heads, starts = [], []
        for yaw, part, guess in zip(self.yaws_deg, parts, fitted, strict=True):
            angle = yaw - self.photograph.yaw_deg
            frame = self.photograph.turn_by(angle)
            side = refiner.image_size
            heads.append(find_hidden(frame, angle, self.photograph.head, side, HEAD_CROP))
            starts.append(cut_crop(join_drawn(frame, part, guess).image, heads[-1].box, side))
        drawn = refine_parts(heads, refiner, self.yaws_deg, torch.stack(starts), self.seed)
        whole = TurnedPhotographs(self.photograph, self.yaws_deg, tuple(heads), drawn)
        size = guesses.shape[-1]
        crops = [
            cut_crop(whole.frame(number).image, part.box, size) for number, part in enumerate(parts)
        ]
        return torch.stack(crops), whole


def _turn(
    photograph: Photograph, yaws_deg: Sequence[float], size: int, places: tuple[float, ...]
) -> tuple[tuple[HiddenParts, ...], TurnPath]:
    """The hidden parts of each frame in crops of `size` pixels, and what is to be told of it."""
    parts, hidden, doubts = [], [], []
    for yaw in yaws_deg:
        angle = yaw - photograph.yaw_deg
        frame = photograph.turn_by(angle)
        parts.append(find_hidden(frame, angle, photograph.head, size))
        hidden.append(photograph.hidden_share(frame))
        doubts.append(photograph.doubt(yaw, hidden[-1]))
    path = TurnPath(
        places,
        None,
        hidden=tuple(hidden),
        doubts=tuple(doubts),
        mesh_yaw_deg=photograph.yaw_deg,
    )
    return tuple(parts), path


def _measure(request: EditRequest) -> Photograph:
    """The head in the photograph of a request, or in its crop if there is no photograph."""
    relight = request.options.relight
    if request.photograph is not None:
        return Photograph(request.photograph, relight=relight)
    crop = Image.fromarray(request.crop)
    if crop.width < SMALLEST_SIDE:
        crop = crop.resize((SMALLEST_SIDE, SMALLEST_SIDE), Image.Resampling.BICUBIC)
    edge = crop.width / 8
    face = (edge, edge, crop.width - edge, crop.width - edge)
    return Photograph(crop, face, relight)
