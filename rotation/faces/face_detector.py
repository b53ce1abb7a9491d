"""Boxes of faces in photographs, by BlazeFace.

The network sees the whole photograph at 128 x 128 pixels and expects faces that do not fill it. So
each photograph is also shown smaller, in the middle of a grey square.

Source: V. Bazarevsky et al., *BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs*,
2019. The weights are bundled (`networks/face-detector`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name
from numpy.typing import NDArray

from rotation.faces.even_contrast import GREY, even_contrast
from rotation.faces.face_mesh import Square
from rotation.faces.layer_graph import load_network, run_network

Floats = NDArray[np.float64]

SHARES = (1.0, 0.7, 0.5)
"""The photograph's longer side, as shares of the network's square."""
_LEAST_LOGIT = 0.0  # of a face: probability one half
_OVERLAP = 0.3  # of two boxes (intersection over union) that show the same face
_LAYERS = ((16, 2), (8, 6))  # cells per side of the network's grids, and anchors in each cell
_WIDER = 1.3  # the square of the mesh's first round, in widths of the detected box


@dataclass(frozen=True)
class Detection:
    """A face that was detected.

    Attributes:
        square: around the face, upright as the eyes are; in pixels of the photograph.
        score: the network's logit.
    """

    square: Square
    score: float


def detect_faces(photographs: Sequence[torch.Tensor]) -> list[list[Detection]]:
    """The faces in each photograph (3, H, W) from 0 to 1, the surest first; maybe none."""
    size = load_network("face-detector").size[0]
    shown = [_letterbox(each, share, size) for each in photographs for share in SHARES]
    inputs = torch.stack(shown) * 2 - 1
    logits, numbers = run_network("face-detector", inputs)
    logits, numbers = (torch.stack(x.split(len(SHARES))) for x in _by_size(logits, numbers))
    found = []
    for each, scores, boxes in zip(photographs, logits.numpy(), numbers.numpy(), strict=True):
        longest = max(each.shape[1:])
        candidates = [
            detection
            for share, row, table in zip(SHARES, scores, boxes, strict=True)
            for detection in _decode(row, table, each, longest / share, size)
        ]
        found.append(_distinct(candidates))
    return found


def _by_size(*outputs: torch.Tensor) -> list[torch.Tensor]:
    """The outputs with the logits (N, 896) first and the boxes' numbers (N, 896, 16) second."""
    logits, numbers = sorted(outputs, key=lambda output: output.shape[2])
    return [logits[:, :, 0], numbers]


def _letterbox(photograph: torch.Tensor, share: float, size: int) -> torch.Tensor:
    """The photograph (3, H, W) in the middle of a square (3, size, size), with even contrast."""
    height, width = photograph.shape[1:]
    scale = size * share / max(height, width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    small = F.interpolate(photograph[None], inner, mode="bilinear", antialias=True)
    small = even_contrast(small, torch.ones_like(small[:, :1]))
    top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
    room = (left, size - inner[1] - left, top, size - inner[0] - top)
    return F.pad(small, room, value=GREY)[0]


def _decode(
    logits: NDArray[np.float32],
    numbers: NDArray[np.float32],
    photograph: torch.Tensor,
    side: float,
    size: int,
) -> list[Detection]:
    """The faces of one square that the network saw; `side` is its side in photograph's pixels."""
    height, width = photograph.shape[1:]
    sure = np.flatnonzero(logits > _LEAST_LOGIT)
    points = numbers[sure].astype(np.float64).reshape(len(sure), 8, 2) / size
    anchors = _anchors()[sure]
    corner = np.array([width - side, height - side]) / 2
    middles = (points[:, 0] + anchors) * side + corner
    eyes = points[:, 3] - points[:, 2]
    return [
        Detection(
            Square(x, y, _WIDER * side * float(sides.max()), math.atan2(dy, dx)), float(score)
        )
        for (x, y), sides, (dx, dy), score in zip(
            middles, points[:, 1], eyes, logits[sure], strict=True
        )
    ]


def _distinct(candidates: list[Detection]) -> list[Detection]:
    """The surest detection of each face, the surest first."""
    kept: list[Detection] = []
    for each in sorted(candidates, key=lambda d: (-d.score, d.square.x)):
        if all(_overlap(each.square, other.square) < _OVERLAP for other in kept):
            kept.append(each)
    return kept


def _overlap(one: Square, two: Square) -> float:
    """Intersection over union of two squares, as if they were upright."""
    half = (one.side + two.side) / 2
    small = min(one.side, two.side)
    across = min(max(half - abs(one.x - two.x), 0), small)
    down = min(max(half - abs(one.y - two.y), 0), small)
    shared = across * down
    return shared / (one.side**2 + two.side**2 - shared)


@cache
def _anchors() -> Floats:
    """The middles (896, 2) of the anchors, as shares of the network's square."""
    rows = []
    for cells, each in _LAYERS:
        steps = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        rows.append(np.repeat(grid, each, axis=0))
    return np.concatenate(rows)
