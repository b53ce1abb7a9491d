"""The layers of a photograph: the person, and the background behind.

Each pixel of a photograph is about alpha * person + (1 - alpha) * background. The layers' colours
are continued to where the photograph does not show them, so that a moved person leaves no trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.floating]
Values = TypeVar("Values", bound=Any)

_LEAST, _MOST = 0.2, 0.8  # the values that count as background and as person
_SOLID = 0.95  # alpha from which a pixel's colour is the person's alone
_BESIDE, _WITHIN = 0.06, 0.02  # face widths beside and within the outline where colours are mixed
_WINDOW = 0.06  # face widths within which the outline follows the colours
_PASSES = 3
_FITTED = 5  # pixels of the radius from which the fit is made on a reduced photograph
_ALIKE = 1e-4  # variance of colours, of 1, that is too small for the outline to follow


@dataclass(frozen=True)
class Layers:
    """The layers of a photograph (H, W).

    Attributes:
        alpha: (H, W), the person's share of each pixel, 0 to 1.
        person: (H, W, 3), the person's colours, continued beyond the outline; 0 to 1.
        background: (H, W, 3), the background's colours, continued behind the person; 0 to 1.
        filled: (H, W), 1 where the background is continued, 0 where the photograph shows it, and
            between them where both are mixed.
    """

    alpha: Floats
    person: Floats
    background: Floats
    filled: Floats


def split_layers(
    photograph: Floats,
    matte: Floats,
    inside: tuple[int, int],
    unit: float,
    reach: Floats | None = None,
) -> Layers:
    """The layers of a photograph (H, W, 3) with values from 0 to 1.

    Parameters:
        matte: (H, W), from 0 to 1, of all the people in the photograph.
        inside: row and column of a pixel of the person. Other people belong to the background.
        unit: the face's width in pixels.
        reach: (H, W), 1 where the person is cut out, 0 where the photograph stays as it is, such as
            far beside the head; None: 1 everywhere.
    """
    alpha = one_person(smoothstep(_LEAST, _MOST, matte), inside)
    alpha = follow_colours(alpha, photograph, max(2, round(_WINDOW * unit)))
    alpha = one_person(alpha, inside)  # colours like the person's lie beside the outline too
    reach = np.ones_like(alpha) if reach is None else reach
    near = ndimage.binary_dilation(alpha * reach > 0.05, iterations=max(3, round(_BESIDE * unit)))
    filled = (near * reach).astype(np.float32)
    background = fill_smoothly(photograph, 1 - filled)
    solid = ndimage.binary_erosion(alpha > _SOLID, iterations=max(1, round(_WITHIN * unit))).astype(
        np.float32
    )
    weight = ndimage.gaussian_filter(solid, 0.7)[..., None] * solid[..., None]
    person = weight * photograph + (1 - weight) * fill_smoothly(photograph, solid)
    return Layers(alpha * reach, person.astype(np.float32), background, filled)


def follow_colours(alpha: Floats, photograph: Floats, radius: int) -> Floats:
    """An alpha (H, W) whose outline follows the edges of the photograph (H, W, 3).

    In each window, alpha is fitted as a linear function of the colours (K. He, J. Sun, X. Tang,
    *Guided image filtering*, ECCV 2010, eq. 19 to 21). In large windows the fit is made on a
    reduced photograph (K. He, J. Sun, *Fast guided filter*, 2015). The fit is sharpened and made
    again, since one fit leaves the outline soft.

    Parameters:
        radius: of the square windows, in pixels.
    """
    step = max(1, radius // _FITTED)
    radius = round(radius / step)

    def mean(values: Floats) -> Floats:
        sizes = (2 * radius + 1,) * 2 + (1,) * (values.ndim - 2)
        return ndimage.uniform_filter(values, sizes, mode="nearest")

    colours = _reduce(photograph, step).astype(np.float64)
    usual = mean(colours)
    spread = mean(colours[..., :, None] * colours[..., None, :])
    spread += _ALIKE * np.eye(3) - usual[..., :, None] * usual[..., None, :]
    inverse = np.linalg.inv(spread)
    share = alpha
    for _ in range(_PASSES):
        inside = _reduce(share[..., None], step).astype(np.float64)
        usual_share = mean(inside)
        joint = mean(colours * inside) - usual * usual_share
        slope = (inverse @ joint[..., None])[..., 0]
        constant = usual_share - (slope * usual).sum(axis=-1, keepdims=True)
        fit = _resize(mean(np.concatenate([slope, constant], axis=-1)), alpha.shape)
        share = smoothstep(_LEAST, _MOST, (fit[..., :3] * photograph).sum(axis=-1) + fit[..., 3])
    return share.astype(np.float32)


def _reduce(image: Floats, step: int) -> Floats:
    """An image (H, W, C) at a `step`th of its size; each pixel is a mean."""
    height, width = image.shape[:2]
    return _resize(image, (max(1, height // step), max(1, width // step)), "area")


def _resize(image: Floats, shape: tuple[int, ...], mode: str = "bilinear") -> Floats:
    """An image (H, W, C) at another size."""
    if image.shape[:2] == shape:
        return image
    planes = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]
    return F.interpolate(planes, shape, mode=mode)[0].permute(1, 2, 0).numpy()


def one_person(alpha: Floats, inside: tuple[int, int]) -> Floats:
    """The alpha (H, W) of the one connected person that holds the pixel `inside`."""
    numbers, _ = ndimage.label(alpha > 0.3)
    number = numbers[inside]
    if number == 0:  # the matte missed the face: better all people than none
        return alpha
    return np.where(ndimage.binary_dilation(numbers == number, iterations=3), alpha, 0)


def fill_smoothly(image: Floats, known: Floats) -> Floats:
    """An image (H, W, C) whose pixels of weight 0 are filled from their surroundings.

    The image is averaged to half its size again and again, and what is unknown is read from the
    next smaller image (S. Gortler et al., *The Lumigraph*, 1996: pull and push).

    Parameters:
        known: (H, W), the weight of each pixel, 0 to 1.
    """
    images, weights = [image * known[..., None]], [known]
    while min(weights[-1].shape) > 1:
        colour, weight = _halve(images[-1]), _halve(weights[-1][..., None])
        gain = np.clip(4 * weight, 0, 1) / np.maximum(weight, 1e-6)
        images.append(colour * gain)
        weights.append((weight * gain)[..., 0])
    filled = images[-1] / np.maximum(weights[-1], 1e-6)[..., None]
    for colour, weight in zip(images[-2::-1], weights[-2::-1], strict=True):
        filled = colour + _enlarge(filled, weight.shape) * (1 - weight[..., None])
    return filled.astype(np.float32)


def smoothstep(low: float, high: float, values: Values) -> Values:
    """0 below `low`, 1 above `high`, smooth between; for arrays and tensors."""
    share = ((values - low) / (high - low)).clip(0, 1)
    return share * share * (3 - 2 * share)


def _halve(image: Floats) -> Floats:
    """An image (H, W, C) at half its size, rounded up; each pixel is the mean of four."""
    height, width = image.shape[:2]
    even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def _enlarge(image: Floats, shape: tuple[int, ...]) -> Floats:
    """An image (h, w, C) at double its size, cut to (H, W, C), by bilinear interpolation."""
    rows = np.clip((np.arange(shape[0]) - 0.5) / 2, 0, len(image) - 1)
    columns = np.clip((np.arange(shape[1]) - 0.5) / 2, 0, image.shape[1] - 1)
    return _between(_between(image, rows).swapaxes(0, 1), columns).swapaxes(0, 1)


def _between(image: Floats, rows: NDArray[np.float64]) -> Floats:
    """The rows of an image at fractional places, by linear interpolation."""
    first = np.minimum(rows.astype(int), max(len(image) - 2, 0))
    share = (rows - first).astype(np.float32)[:, None, None]
    return image[first] * (1 - share) + image[np.minimum(first + 1, len(image) - 1)] * share
