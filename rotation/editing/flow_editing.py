"""A turn in two parts: the picture carried along a flow, and what that leaves to the latents.

A line in latent space moves all heads alike: it knows where noses go on average, and fades a
head's own eyes out in one place and the average's in at another. Where the points of this head go
is geometry, and the flow between the clusters' mean pictures tells it (`rotation.directions.flow`). What flow
cannot tell - the ear and cheek that turn into view, light that stays while the face turns
under it - is still how latents change, and the same lines are fitted to that remainder:

    z(yaw) = E(carry(source, yaw)) + path(yaw) - path(source's yaw),
    path fitted to E(member) - carry(mean E of the frontal members, member's yaw)

Smooth latents are local, so that a mean latent is carried as a picture is. The frames' fine detail,
which embedding loses, is given back from the carried picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rotation.directions.direction import Direction
from rotation.directions.flow import Flow
from rotation.editing.linear_path import move
from rotation.editing.results import Turned
from rotation.embedding import Encoder, Latents, decode_pixels
from rotation.images import Pixels, from_pixels, to_pixels
from rotation.postprocess import give_back_colours
from rotation.selection import Selection

CARRIED_GAIN = 0.5
"""How much of the others' mean remainder a head gets: with more the light stays better, with less
the person does (docs/real-faces.md has both)."""

DETAIL = 0.5


def leave_remainder(latents: Latents, selection: Selection, flow: Flow) -> Latents:
    """Latents (n, C, H, W) of the members as used, less what the flow makes of the frontal ones."""
    parts = np.cumsum((0, *selection.sizes))
    filled = [k for k, size in enumerate(selection.sizes) if size]
    frontal = min(filled, key=lambda k: abs(selection.angles_deg[k]))
    weights = selection.clusters[frontal].weights
    centroid = np.average(latents[parts[frontal] : parts[frontal + 1]], axis=0, weights=weights)
    # Whole degrees: a hundred pictures are carried, however many members there are.
    yaws, which = np.unique(np.rint(selection.members.yaw_deg), return_inverse=True)
    start = [selection.mean_yaws_deg[frontal]] * len(yaws)
    middle = torch.from_numpy(centroid.astype(np.float32))[None].expand(len(yaws), -1, -1, -1)
    carried = flow.carry(middle, start, yaws.tolist()).numpy()
    return np.asarray(latents - carried[which.reshape(-1)], dtype=np.float32)


def turn_carried(
    model: Encoder, crop: Pixels, direction: Direction, from_deg: float, to_deg: Sequence[float],
    path_deg: Sequence[float], detail: float = DETAIL,
) -> Turned:  # fmt: skip
    """A source (S, S, 3) at yaw `from_deg` carried to each of `to_deg`, its latents to `path_deg`.

    `detail` is the share of what embedding the carried picture loses that is given back: 0 leaves
    the frame to the model, 1 changes the carried picture only as the latents change. Each carried
    latent has its own norm, and what is added is small: no norm is kept.
    """
    if direction.flow is None:
        raise ValueError("The direction goes with no flow.")
    flow, count = Flow.of(direction.flow), len(to_deg)
    picture = torch.from_numpy(from_pixels(crop[None]))
    wide = picture.expand(count, -1, -1, -1)
    carried = flow.carry(wide, [from_deg] * count, to_deg).clamp(0, 1)
    latents = model.encode(torch.cat([picture, carried])).numpy()
    moved = np.stack([
        move(z.reshape(-1), direction, from_deg, place, keep_norm=False).reshape(z.shape)
        for z, place in zip(latents[1:], path_deg, strict=True)
    ])  # fmt: skip
    plain = decode_pixels(model, np.concatenate([latents, moved]))
    shown = give_back_colours(plain, plain[0], crop) / 255.0
    pictures = np.concatenate([crop[None], to_pixels(carried.numpy())])
    lost = detail * (pictures / 255.0 - shown[: count + 1])
    frames = np.concatenate([shown[:1], shown[count + 1 :]]) + lost
    frames = np.rint(frames.clip(0, 1) * 255).astype(np.uint8)
    return Turned(latents[0], moved, frames[1:], frames[0], pictures[1:])
