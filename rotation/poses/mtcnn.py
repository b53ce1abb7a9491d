"""Five landmarks of the face in an image by MTCNN, and poses estimated from them.

The networks and their weights come with facenet-pytorch. The face of an aligned CelebA image is at
a known place. So only the last network of the cascade (O-Net, 48 x 48 pixels) is evaluated there,
in large batches and twice: first to correct the box, then to read the landmarks. Other images go
through the whole cascade one by one. So do images of CelebA's shape without a face at that place.

Source: K. Zhang et al., *Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks*, arXiv 1604.02878.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name
from facenet_pytorch import MTCNN
from facenet_pytorch.models.mtcnn import ONet
from numpy.typing import NDArray
from PIL import Image

from rotation.data.crop import (
    CELEBA_FACE,
    CELEBA_WIDTH,
    CROP_BOX,
    Box,
    central_square,
    crop_box,
    has_celeba_shape,
)
from rotation.poses.estimation import Poses, estimate_poses, mirror_landmarks

Floats = NDArray[np.float64]

LEAST_SCORE = 0.5
"""The probability of a face at CelebA's place from which an image counts as aligned. Rendered and
real aligned faces mostly have above 0.9, images with their face elsewhere below 0.1."""
SURE_FACE = 0.95
"""The probability from which a face of the cascade counts when faces are counted."""
COMPARABLE_WIDTH = 0.5
"""The share of the largest face's width from which another face counts beside it."""
SIDE = 48
"""Side of O-Net's input in pixels."""
SMALLEST_FACE = 20
"""Shortest side, in pixels, of an image on which the cascade works."""
MOST_PIXELS = 2_000_000
"""The cascade works on images of at most so many pixels. Larger ones are reduced: for 50 megapixels
it would take many gigabytes, and it looks for faces from 20 pixels on."""
_BATCH = {"cpu": 32, "cuda": 2048}
"""Images at a time. A CPU takes 0.4 ms an image with 32 and 0.8 ms with 256, which do not fit into
its cache."""
MOST_FILLED = 128
"""Images at a time at most, where batches are filled up: as many as a pass reads at once."""


class LandmarkDetector:
    """Detects the five landmarks of the largest face in each image.

    Landmarks are (N, 5, 2) in pixels, in the order of `rotation.poses.estimation`. Scores (N,) are
    probabilities of a face. Without a face they are NaN and 0.

    Parameters:
        fill_batches: give O-Net batches of one size only, of which the last is filled up. So an
            image's last bits do not depend on how many images are measured with it: kernels differ
            between sizes of batches. On a CPU a single image takes as long as 32, some 50 ms more.
    """

    def __init__(self, device: torch.device | str = "cpu", fill_batches: bool = False) -> None:
        self._device, self._fill_batches = torch.device(device), fill_batches
        self._onet = ONet().eval().to(self._device)

    @cached_property
    def _cascade(self) -> MTCNN:
        return MTCNN(keep_all=False, device=self._device)

    def estimate(self, images: Sequence[Image.Image]) -> Poses:
        """The poses of RGB images. The confidence includes the probability of a face."""
        points, score = self.detect(images)
        return _scale_confidence(estimate_poses(points), score)

    def estimate_crops(self, crops: NDArray[np.uint8]) -> Poses:
        """The poses of standard crops (N, S, S, 3) of photographs or of generated frames."""
        points, score = self.detect_crops(crops)
        return _scale_confidence(estimate_poses(points), score)

    def detect(self, images: Sequence[Image.Image]) -> tuple[Floats, Floats]:
        """Landmarks (N, 5, 2) and scores (N,) of RGB images."""
        points, score, _ = self._detect(images)
        return points, score

    def face_crop_box(self, image: Image.Image) -> Box:
        """The standard crop's box, by the place of the face and not by the image's shape alone.

        An image of CelebA's shape with a face elsewhere is cropped like any other photograph.
        """
        if has_celeba_shape(*image.size) and self.is_elsewhere(image):
            return central_square(*image.size)
        return crop_box(*image.size)

    def is_elsewhere(self, image: Image.Image) -> bool:
        """Whether an image has no face at CelebA's place, but one at another place."""
        _, _, aligned = self._detect([image])
        return not aligned[0]

    def _detect(self, images: Sequence[Image.Image]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Landmarks, scores, and whether each was read at the place of aligned CelebA images."""
        points = np.full((len(images), 5, 2), np.nan)
        score = np.zeros(len(images))
        aligned = np.array([has_celeba_shape(*image.size) for image in images], dtype=bool)
        rows = np.flatnonzero(aligned).tolist()
        if rows:
            points[rows], score[rows] = self.detect_aligned([images[row] for row in rows])
        for row in np.flatnonzero(~aligned | (score < LEAST_SCORE)).tolist():
            found, found_score = self.detect_by_cascade(images[row])
            if found_score > score[row] or not aligned[row]:
                points[row], score[row], aligned[row] = found, found_score, False
        return points, score, aligned

    def detect_aligned(self, images: Sequence[Image.Image]) -> tuple[Floats, Floats]:
        """The same for aligned CelebA images at any scale, by O-Net at the known place."""
        scales = np.array([image.width / CELEBA_WIDTH for image in images])
        return self._read_mirrored(images, np.array(CELEBA_FACE) * scales[:, None])

    def detect_crops(self, crops: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """The same for standard crops (N, S, S, 3)."""
        images = [Image.fromarray(crop) for crop in crops]
        left, top, right, _ = CROP_BOX
        corner = np.array([left, top, left, top])
        box = (np.array(CELEBA_FACE) - corner) * (crops.shape[1] / (right - left))
        box[[0, 2]] += (
            crops.shape[2] - box[0] - box[2]
        ) / 2  # to the middle: mirror images are read alike
        return self._read_mirrored(images, np.tile(box, (len(images), 1)))

    def detect_by_cascade(self, image: Image.Image) -> tuple[Floats, float]:
        """Landmarks (5, 2) and score of one image by the whole cascade."""
        if min(image.size) < SMALLEST_FACE:
            return np.full((5, 2), np.nan), 0.0
        small = _reduce(image)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # facenet-pytorch makes ragged arrays
            boxes, scores, points = self._cascade.detect(small, landmarks=True)
        if boxes is None:
            return np.full((5, 2), np.nan), 0.0
        scale = np.divide(image.size, small.size)
        return np.asarray(points[0], dtype=np.float64) * scale, float(scores[0])

    def count_faces(self, image: Image.Image) -> int:
        """How many faces an image shows that are sure and not much smaller than the largest."""
        if min(image.size) < SMALLEST_FACE:
            return 0
        small = _reduce(image)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # facenet-pytorch makes ragged arrays
            boxes, scores = MTCNN(keep_all=True, device=self._device).detect(small)
        if boxes is None:
            return 0
        widths = boxes[scores >= SURE_FACE][:, [0, 2]] @ (-1, 1)
        return int((widths >= COMPARABLE_WIDTH * widths.max(initial=0)).sum())

    def _read_mirrored(self, images: Sequence[Image.Image], boxes: Floats) -> tuple[Floats, Floats]:
        """Landmarks and scores, averaged over each image and its mirror image.

        So a mirrored image has exactly mirrored landmarks. This also halves the network's error.
        """
        widths = np.array([image.width for image in images], dtype=np.float64)
        flips = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in images]
        left, top, right, bottom = boxes.T
        flipped_boxes = np.stack([widths - right, top, widths - left, bottom], axis=1)
        seen, score = self._read_corrected(images, boxes)
        mirrored, mirrored_score = self._read_corrected(flips, flipped_boxes)
        back = mirror_landmarks(mirrored) + np.stack([widths, np.zeros_like(widths)], 1)[:, None]
        return (seen + back) / 2, (score + mirrored_score) / 2

    def _read_corrected(
        self, images: Sequence[Image.Image], boxes: Floats
    ) -> tuple[Floats, Floats]:
        corrected, _, _ = self._read(images, _squares(boxes))
        _, points, score = self._read(images, _squares(corrected))
        return points, score

    def _read(self, images: Sequence[Image.Image], boxes: Floats) -> tuple[Floats, Floats, Floats]:
        """Corrected boxes (N, 4), landmarks (N, 5, 2) and scores (N,) of what is in the boxes."""
        patches = np.stack([_patch(image, box) for image, box in zip(images, boxes, strict=True)])
        inputs = torch.from_numpy(patches).permute(0, 3, 1, 2).float()
        shift, relative, score = self._run((inputs - 127.5) / 128)
        corner, side = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
        points = (
            np.stack([relative[:, :5], relative[:, 5:]], axis=2) * side[:, None] + corner[:, None]
        )
        corrected = boxes + shift * np.concatenate([side, side], axis=1)
        return corrected, points, score[:, 1]

    @torch.inference_mode()
    def _run(self, inputs: torch.Tensor) -> tuple[Floats, Floats, Floats]:
        batch, count = _BATCH.get(self._device.type, 512), len(inputs)
        if self._fill_batches:
            batch = min(batch, MOST_FILLED)
            inputs = F.pad(inputs, (0, 0, 0, 0, 0, 0, 0, -count % batch))
        parts = [self._onet(part.to(self._device)) for part in inputs.split(batch)]
        shift, points, score = (
            torch.cat(column)[:count].cpu().double() for column in zip(*parts, strict=True)
        )
        return shift.numpy(), points.numpy(), score.numpy()


def _reduce(image: Image.Image) -> Image.Image:
    """The image, with at most `MOST_PIXELS` pixels."""
    factor = (MOST_PIXELS / (image.width * image.height)) ** 0.5
    if factor >= 1:
        return image
    size = max(1, int(image.width * factor)), max(1, int(image.height * factor))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


def _scale_confidence(poses: Poses, score: Floats) -> Poses:
    return replace(poses, confidence=poses.confidence * score)


def _squares(boxes: Floats) -> Floats:
    """Boxes (N, 4) extended to squares about their centres, as O-Net expects them."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _patch(image: Image.Image, box: Floats) -> NDArray[np.uint8]:
    """The contents of a box at 48 x 48 pixels, black outside of the image."""
    left, top, right, bottom = (float(edge) for edge in box)
    inside = left >= 0 and top >= 0 and right <= image.width and bottom <= image.height
    if inside:
        small = image.resize((SIDE, SIDE), Image.Resampling.BOX, box=(left, top, right, bottom))
    else:
        data = ((right - left) / SIDE, 0, left, 0, (bottom - top) / SIDE, top)
        small = image.transform(
            (SIDE, SIDE), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR
        )
    return np.asarray(small, dtype=np.uint8)
