"""Turning a measured head: a warp along the rows with a depth test, and what it could not see.

Under weak perspective, a turn by the angle a about the vertical axis (c, p) moves a point at column
x and depth z along its row only:

    x' = c + (x - c) cos a + (z - p) sin a

Each pixel of the frame is drawn from the nearest surface. Where the source saw that surface so
obliquely that it is stretched, the mirrored other half of the head is drawn if it was seen better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name
from numpy.typing import NDArray
from scipy import ndimage

from rotation.geometry.head import Head
from rotation.geometry.layers import Floats, fill_smoothly, smoothstep
from rotation.geometry.light import (
    change_of_mirror_image,
    estimate_light,
    shading_change,
    surface_normals,
)

_FINE = 2  # columns of the warp for each column of the frame
_SAMPLES = 8  # samples of the surface for each column of the photograph
_STRETCHED = (2.0, 4.0)  # a surface stretched less counts as seen, one stretched more as unseen
_UNSURE = (1.2, 2.0)  # the same of what is nearly as sharp as in the photograph
_LONGEST_STEP = 4  # fine columns between neighbouring samples that are of one surface
_LONGEST_GAP = 4  # fine columns between two samples that may still be one surface
_ALIKE = 0.15  # colours that differ less are of one material
_SOFT = 0.03  # face widths over which an unseen outline is smoothed
_MOST_DETAIL = 0.08  # of 1: larger differences are edges, not texture
_BAND = 128  # rows that are moved at once; they need much memory
_DEPTH_STEP = 1 / 64  # pixels; depths are compared in whole steps


@dataclass(frozen=True)
class TurnedFrame:
    """A turned head.

    Attributes:
        image: (H, W, 3), the whole photograph, 0 to 1.
        alpha: (H, W), the person's share of each pixel.
        seen: (H, W), how well the photograph saw what the person's pixel shows: 1 well, 0 hidden.
        sure: (H, W), 1 where the photograph showed person or background nearly as sharply as the
            frame does, 0 where the frame is stretched, mirrored or filled.
        face: (H, W), the share of each pixel that shows the face.
        changed: (H, W), 0 where the photograph is kept as it is, 1 where it is drawn anew.
    """

    image: Floats
    alpha: Floats
    seen: Floats
    sure: Floats
    face: Floats
    changed: Floats

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The image as uint8."""
        return np.rint(np.clip(self.image, 0, 1) * 255).astype(np.uint8)


@dataclass(frozen=True)
class _Warp:
    """Where each fine pixel (H, W * _FINE) of a frame comes from.

    Attributes:
        column: its column in the photograph.
        stretch: how many pixels of the frame one pixel of the photograph covers here.
        covered: whether any surface is there.
    """

    column: torch.Tensor
    stretch: torch.Tensor
    covered: torch.Tensor


class HeadTurner:
    """Draws a head at any yaw."""

    def __init__(self, head: Head) -> None:
        self.head = head
        layers = head.layers
        self._person = _planes(layers.person)
        self._alpha = torch.from_numpy(layers.alpha)[None]
        self._depth = torch.from_numpy(head.depth)[None]
        self._normals = surface_normals(head.depth, head.face_width)
        self._light = estimate_light(head.photograph, head.mesh, self._normals, head.face_width)
        other_half = change_of_mirror_image(self._light, self._normals, head.mesh.across)
        self._on_other_half = torch.from_numpy(other_half)[None]
        slope = np.gradient(ndimage.gaussian_filter(head.depth, 0.8))
        facing = 1 / np.sqrt(1 + slope[0] ** 2 + slope[1] ** 2)
        self._facing = torch.from_numpy(facing.astype(np.float32))[None]
        self._blurred = torch.stack(
            [self._person]
            + [
                _planes(ndimage.gaussian_filter(layers.person, (sigma, 0, 0)))
                for sigma in (1, 2, 4)
            ]
        )

    def turn(self, angle_deg: float, mirror: bool = True, relight: bool = True) -> TurnedFrame:
        """The photograph with the head turned.

        Parameters:
            angle_deg: the angle to turn by, positive towards the viewer's right.
            mirror: draw hidden parts from the other half of the head, where that was seen better.
            relight: leave the lamp where it is; otherwise it turns with the head.
        """
        head = self.head
        if angle_deg == 0:
            none, every = np.zeros_like(head.depth), np.ones_like(head.depth)
            return TurnedFrame(head.photograph, head.layers.alpha, every, every, head.face, none)
        moved, nearness = self._move(angle_deg)
        warp = self._warp(moved, nearness)
        hidden = smoothstep(*_STRETCHED, warp.stretch)
        colours = self._draw(warp, hidden)
        if mirror:
            colours, hidden = self._mirror(warp, colours, hidden)
        if relight:
            colours = colours * self._relight(warp, angle_deg)
        alpha = _sample(self._alpha, warp.column)[0] * warp.covered
        # A stretched outline stays as sharp as it was.
        alpha = ((alpha - 0.5) * warp.stretch.clamp(min=1) + 0.5).clamp(0, 1)
        return self._compose(colours, alpha, hidden, moved, warp)

    def _move(self, angle_deg: float) -> tuple[torch.Tensor, torch.Tensor]:
        """New column and new depth (H, W) of each pixel."""
        head = self.head
        angle = torch.from_numpy(head.turn) * math.radians(angle_deg)
        beside = torch.arange(head.depth.shape[1]) + 0.5 - head.axis[0]
        before = self._depth[0] - head.axis[1]
        column = head.axis[0] + beside * angle.cos() + before * angle.sin()
        return column, before * angle.cos() - beside * angle.sin()

    def _warp(self, column: torch.Tensor, nearness: torch.Tensor) -> _Warp:
        """Invert a move: for each fine pixel, the place in the photograph that is nearest.

        Parameters:
            column, nearness: (H, W), new column and depth of each pixel.
        """
        rows = zip(
            column.split(_BAND), nearness.split(_BAND), self._alpha[0].split(_BAND), strict=True
        )
        bands = [_invert(*band) for band in rows]
        source, covered = (torch.cat(parts) for parts in zip(*bands, strict=True))
        step = torch.gradient(source, dim=1)[0].abs() * _FINE
        stretch = torch.from_numpy(
            ndimage.gaussian_filter((1 / step.clamp(min=0.05)).numpy(), (1.5, 0.5 * _FINE))
        ).clamp(0.3, 12)
        return _Warp(source, stretch.where(covered, 1), covered)

    def _draw(self, warp: _Warp, hidden: torch.Tensor) -> torch.Tensor:
        """The colours (3, H, w) along a warp. Stretched ones are blurred along the columns too.

        Otherwise each row of a stretched surface would become a streak.
        """
        sharp = _sample(self._person, warp.column, "bicubic")
        level = (warp.stretch / _STRETCHED[0]).clamp(min=1).log2().clamp(0, 3)
        smooth = sum(
            _sample(planes, warp.column) * (1 - (level - k).abs()).clamp(min=0)
            for k, planes in enumerate(self._blurred)
        )
        return sharp * (1 - hidden) + smooth * hidden

    def _mirror(
        self, warp: _Warp, colours: torch.Tensor, hidden: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Colours and hidden shares, with the other half of the head where it was seen better.

        The place on the other half is the mirror image of the point in the face's plane of
        symmetry. It counts if a surface is there at that depth, and faces the camera more. Light
        from a side falls on the two halves differently, so the brightness is changed accordingly.
        """
        mesh = self.head.mesh
        normal, middle = (torch.from_numpy(v).float() for v in (mesh.across, mesh.middle))
        rows = torch.arange(len(hidden)) + 0.5
        depth = _sample(self._depth, warp.column)[0]
        point = torch.stack([warp.column, rows[:, None].expand_as(depth), depth], -1) - middle
        other = point - 2 * (point @ normal)[..., None] * normal + middle
        x, y = other[..., 0], other[..., 1]
        off = (_sample(self._depth, x, rows=y)[0] - other[..., 2]).abs() / self.head.face_width
        better = _sample(self._facing, x, rows=y)[0] / _sample(self._facing, warp.column)[0]
        weight = hidden * (1 - smoothstep(0.06, 0.15, off)) * smoothstep(1.3, 2.2, better)
        weight = weight * smoothstep(0.7, 0.95, _sample(self._alpha, x, rows=y)[0])
        weight = torch.from_numpy(ndimage.gaussian_filter(weight.numpy(), (2, 2 * _FINE)))
        drawn = _sample(self._person, x, "bicubic", rows=y)
        drawn = drawn * _sample(self._on_other_half, x, rows=y)
        return colours * (1 - weight) + drawn * weight, hidden * (1 - weight)

    def _relight(self, warp: _Warp, angle_deg: float) -> torch.Tensor:
        """The factor (1, H, w) by which the turn changes the brightness."""
        change = shading_change(self._light, self._normals, self.head.turn, angle_deg)
        return _sample(torch.from_numpy(change)[None], warp.column)

    def _compose(
        self,
        colours: torch.Tensor,
        alpha: torch.Tensor,
        hidden: torch.Tensor,
        moved: torch.Tensor,
        warp: _Warp,
    ) -> TurnedFrame:
        """Put the person over the background, and keep the photograph where nothing has moved."""
        head = self.head
        share = _halve_columns(alpha)
        person = _halve_columns(colours.clamp(0, 1) * alpha) / share.clamp(min=1e-3)
        unseen = _halve_columns(hidden * alpha).numpy()
        sharp = _halve_columns((1 - smoothstep(*_UNSURE, warp.stretch)) * alpha).numpy()
        shows_face = _sample(torch.from_numpy(head.face)[None], warp.column) * alpha
        face = _halve_columns(shows_face)[0].numpy()
        outline = share.numpy()
        # The rows of an unseen outline differ by chance.
        soft = ndimage.gaussian_filter(outline, _SOFT * head.face_width)
        near = ndimage.gaussian_filter(unseen, _SOFT * head.face_width)
        near = np.clip(4 * near, 0, 1)
        known = outline * (1 - unseen)
        outline = outline * (1 - near) + np.clip(3 * soft - 1, 0, 1) * near
        unseen = np.maximum(unseen, 1 - known / np.maximum(outline, 1e-3)).clip(0, 1)
        drawn = _fill_unseen(person.permute(1, 2, 0).numpy(), outline, unseen, face)
        image = drawn * outline[..., None] + (1 - outline[..., None]) * head.layers.background
        changed = self._changed(moved)
        image += (head.photograph - image) * (1 - changed[..., None])
        sure = np.minimum(sharp, outline) + (1 - outline) * (1 - head.layers.filled)
        sure = 1 - changed * (1 - sure)
        return TurnedFrame(image.clip(0, 1), outline, 1 - unseen, sure, face, changed)

    def _changed(self, moved: torch.Tensor) -> Floats:
        """1 near pixels (H, W) of the person that have moved by half a pixel or more, else 0."""
        head = self.head
        columns = np.arange(head.depth.shape[1]) + 0.5
        motion = np.abs(moved.numpy() - columns) * (head.layers.alpha > 0.02)
        near = ndimage.maximum_filter(motion, round(0.1 * head.face_width) * 2 + 1)
        return smoothstep(0, 0.5, ndimage.gaussian_filter(near, 1))


def _invert(
    column: torch.Tensor, nearness: torch.Tensor, alpha: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The column of the photograph that each fine pixel (h, w * _FINE) shows, and what is covered.

    Parameters:
        column, nearness, alpha: (h, w) of some rows: new column, new depth, and the person's share.
    """
    height, width = column.shape
    count = (width - 1) * _SAMPLES + 1
    fine = lambda values: F.interpolate(  # noqa: E731
        values[None], count, mode="linear", align_corners=True
    )[0]
    place, near, opaque = fine(column), fine(nearness), fine(alpha)
    target = (place * _FINE).floor().long()
    to_next = torch.diff(target, dim=1, append=target[:, -1:])
    rank = ((near - near.min()) / _DEPTH_STEP).long() * count + torch.arange(count)
    rank = rank.where(opaque > 0.02, -1)
    winner = torch.full((height, width * _FINE), -1, dtype=torch.long)
    # A stretched surface has no holes through which the one behind would show.
    covers = to_next.abs().clamp(min=1)
    covers = covers.where(covers <= _LONGEST_STEP, 1)
    for step in range(_LONGEST_STEP):
        cell = target + step * to_next.sign()
        drawn = (cell >= 0) & (cell < width * _FINE) & (step < covers)
        winner.scatter_reduce_(1, cell.clamp(0, width * _FINE - 1), rank.where(drawn, -1), "amax")
    hit = winner >= 0
    sample = (winner % count).clamp(min=0)
    centres = (torch.arange(width * _FINE) + 0.5) / _FINE
    slope = torch.gradient(place, dim=1)[0] * _SAMPLES  # frame pixels per photograph pixel
    steep = slope.gather(1, sample)
    correction = (centres - place.gather(1, sample)) / steep.abs().clamp(min=0.25) * steep.sign()
    found = sample / _SAMPLES + 0.5 + correction.clamp(-1, 1)
    return _fill_gaps(found, hit)


def _fill_unseen(person: Floats, alpha: Floats, unseen: Floats, face: Floats) -> Floats:
    """The person's colours (H, W, 3), with unseen pixels drawn from their surroundings."""
    filled = fill_smoothly(person, np.square(alpha * (1 - unseen)))
    person = person + (filled - person) * unseen[..., None]
    return person + _texture(person, alpha, unseen, face)


def _texture(person: Floats, alpha: Floats, unseen: Floats, face: Floats) -> Floats:
    """Fine detail (H, W, 3) for unseen pixels, reflected at the nearest pixel that was seen.

    Detail of the face itself is not used: it would show an eye twice. Nor is that of other colours:
    hair has another texture than skin.
    """
    weight = np.maximum(ndimage.gaussian_filter(alpha, 2), 1e-3)[..., None]
    smooth = ndimage.gaussian_filter(person * alpha[..., None], (2, 2, 0)) / weight
    detail = np.clip(person - smooth, -_MOST_DETAIL, _MOST_DETAIL)
    seen = (unseen < 0.3) & (alpha > 0.8) & (face < 0.5)
    if not seen.any():
        return np.zeros_like(person)
    nearest = ndimage.distance_transform_edt(~seen, return_distances=False, return_indices=True)
    limits = np.array(alpha.shape)[:, None, None] - 1
    row, column = np.clip(2 * nearest - np.indices(alpha.shape), 0, limits)
    off = np.square(smooth[row, column] - person).sum(axis=2) / _ALIKE**2
    return (unseen * np.exp(-off))[..., None] * detail[row, column]


def _fill_gaps(values: torch.Tensor, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values (H, w) with short gaps along the rows filled linearly, and what is covered then."""
    width = values.shape[1]
    places = torch.arange(width).expand_as(values)
    before = torch.cummax(places.where(known, -1), dim=1)[0]
    after = width - 1 - torch.cummax(places.where(known.flip(1), -1), dim=1)[0].flip(1)
    first, last = before.clamp(min=0), after.clamp(max=width - 1)
    low, high = values.gather(1, first), values.gather(1, last)
    share = (places - first) / (last - first).clamp(min=1)
    filled = torch.where(
        before < 0, high, torch.where(after >= width, low, low + (high - low) * share)
    )
    inside = (before >= 0) & (after < width)
    return filled, known | (inside & (after - before <= _LONGEST_GAP * _FINE))


def _sample(
    planes: torch.Tensor,
    columns: torch.Tensor,
    mode: str = "bilinear",
    rows: torch.Tensor | None = None,
) -> torch.Tensor:
    """Planes (C, H, W) read at columns (h, w), and at `rows` or each at its own row."""
    height, width = planes.shape[1:]
    if rows is None:
        rows = (torch.arange(height) + 0.5)[:, None].expand_as(columns)
    grid = torch.stack([columns / width * 2 - 1, rows / height * 2 - 1], dim=-1)
    return F.grid_sample(
        planes[None], grid[None].float(), mode=mode, padding_mode="border", align_corners=False
    )[0]


def _planes(image: Floats) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _halve_columns(values: torch.Tensor) -> torch.Tensor:
    return values.unflatten(-1, (-1, _FINE)).mean(-1)
