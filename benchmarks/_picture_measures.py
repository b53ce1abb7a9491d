"""Measures of turned frames at the photograph's own size: sharpness, return, truth and flicker."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import (
    binary_erosion,
    binary_opening,
    gaussian_filter,
    map_coordinates,
    sobel,
    zoom,
)
from scipy.spatial import ConvexHull

from rotation.data.crop import Pixels
from rotation.imaging.metrics import LUMA
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.parameters import Head
from rotation.synthetic_heads.renderer import render_view, visible_triangles

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
INSIDE = 0.85  # share of the face's outline within which sharpness is measured: no rim
HEAD = (1.45, 1.6)  # a head's width and height in those of its face
REACH = (0.15, 0.02)  # how far a true render may be shifted, in shares of the width


def face_mask(points: Floats, shape: tuple[int, int], scale: float = 1.0) -> Mask:
    """The hull (H, W) of a face's points (n, 2) in pixels, scaled about its middle."""
    hull = points[ConvexHull(points).vertices]
    hull = hull.mean(axis=0) + scale * (hull - hull.mean(axis=0))
    mask = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in hull], fill=1)
    return np.asarray(mask)


def head_mask(points: Floats, shape: tuple[int, int]) -> Mask:
    """An ellipse (H, W) about face and hair, from a face's points (n, 2) in pixels."""
    low, high = points.min(axis=0), points.max(axis=0)
    width, height = (high - low) * HEAD
    x = np.arange(shape[1]) + 0.5 - (low + high)[0] / 2
    y = np.arange(shape[0]) + 0.5 - (high[1] + 0.05 * height - height / 2)  # up from the chin
    return np.square(x / (width / 2))[None] + np.square(y / (height / 2))[:, None] <= 1


def gradient_energy(pixels: Pixels, mask: Mask) -> float:
    """Mean square of the gradient of the brightness of a picture (H, W, 3) within a mask."""
    luma = pixels @ LUMA / 255
    energy = np.square(sobel(luma, axis=0) / 8) + np.square(sobel(luma, axis=1) / 8)
    return float(energy[binary_erosion(mask)].mean())


def masked_psnr(first: Pixels, second: Pixels, mask: Mask) -> float:
    """PSNR in dB of two pictures (H, W, 3) within a mask, at most 100; NaN if it is empty."""
    if not mask.any():
        return float("nan")
    error = np.square((first[mask].astype(np.float64) - second[mask]) / 255).mean()
    return float(-10 * np.log10(max(error, 1e-10)))


def best_shift(frame: Pixels, truth: Pixels, mask: Mask) -> tuple[int, int]:
    """The shift (rows, columns) of a frame (H, W, 3) that brings it nearest to the truth in a mask.

    Where a turned head stands in the picture is free: the axis of the turn is a convention.
    """
    width = frame.shape[1]
    across, down = (round(share * width) for share in REACH)
    shifts = [(r, c) for r in range(-down, down + 1) for c in range(-across, across + 1)]
    return max(shifts, key=lambda s: masked_psnr(shifted(frame, s), truth, mask))


def shifted(frame: Pixels, shift: tuple[int, int]) -> Pixels:
    """A frame (H, W, 3) moved by whole rows and columns; its edges are repeated."""
    rows, columns = (
        np.clip(np.arange(n) - s, 0, n - 1) for n, s in zip(frame.shape, shift, strict=False)
    )
    return frame[rows][:, columns]


def rendered_source(head: Head) -> Pixels:
    """A rendered head as an aligned photograph, (218, 178, 3)."""
    return render_view([head], CELEBA_VIEW)[0]


def rendered_truth(head: Head, yaw_deg: float) -> tuple[Pixels, Mask, Mask]:
    """The true picture (218, 178, 3) of a head at a yaw; where the head is; what is newly visible.

    Newly visible are surfaces of the head that the source's picture does not show: triangles of
    which no point is in it, or was beyond its edge.
    """
    turned = replace(head, yaw_deg=yaw_deg)
    picture = rendered_source(turned)
    fine = CELEBA_VIEW.enlarged(4)
    before, after = visible_triangles(head, fine), visible_triangles(turned, CELEBA_VIEW)
    seen = np.zeros(max(before.max(), after.max()) + 2, dtype=bool)
    seen[before] = True  # -1, the background, is the last one
    shown = after >= 0
    new = shown & ~seen[after]
    return picture, shown, binary_opening(new, iterations=1)


def flicker(frames: Pixels, mask: Mask) -> float:
    """Mean residual, in grey levels of 255, between neighbouring frames (K, H, W, 3) after warping.

    Each frame is warped to the next by dense motion; within a mask (H, W).
    """
    luma = frames @ LUMA
    residuals = [
        np.abs(after - _warp(before, _motion(before, after)))[mask].mean()
        for before, after in pairwise(luma)
    ]
    return float(np.mean(residuals))


def _motion(before: Floats, after: Floats, levels: int = 3, rounds: int = 4) -> Floats:
    """Motion (2, H, W) in pixels, rows and columns, by Lucas and Kanade from coarse to fine.

    `before` at the pixel less its motion is `after` at the pixel.
    """
    motion = np.zeros((2, *(-(-n // 2 ** (levels - 1)) for n in before.shape)))
    for level in reversed(range(levels)):
        a, b = (
            gaussian_filter(x, 0.6 * 2**level)[:: 2**level, :: 2**level] for x in (before, after)
        )
        if motion.shape[1:] != a.shape:
            factors = [n / m for n, m in zip(a.shape, motion.shape[1:], strict=True)]
            motion = np.stack([2 * zoom(part, factors, order=1) for part in motion])
        for _ in range(rounds):
            warped = _warp(a, motion)
            down, across = np.gradient((warped + b) / 2)
            change = b - warped
            rr, rc, cc, rt, ct = (
                gaussian_filter(x, 2.0)
                for x in (down**2, down * across, across**2, down * change, across * change)
            )
            rr, cc = rr + 1.0, cc + 1.0  # flat places stand still
            scale = rr * cc - rc**2
            motion = motion - np.stack([(cc * rt - rc * ct) / scale, (rr * ct - rc * rt) / scale])
            motion = np.clip(motion, -6, 6)
    return motion


def _warp(image: Floats, motion: Floats) -> Floats:
    places = np.indices(image.shape) - motion
    return map_coordinates(image, places, order=1, mode="nearest")
