"""Five landmarks per image by MTCNN (facenet-pytorch; the weights are in its wheel). Imports torch.

Aligned CelebA images have their face in a known place, so the last network of the cascade (O-Net,
48x48 pixels) is run on that place alone, in big batches, twice: the first pass corrects the box,
the second reads the landmarks. Other images go through the whole cascade one by one.

K. Zhang et al., *Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks*, arXiv 1604.02878.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.mtcnn import ONet
from numpy.typing import NDArray
from PIL import Image

from rotation.data.crop import CELEBA_HEIGHT, CELEBA_WIDTH, CROP_BOX
from rotation.poses.estimation import Poses, estimate_poses, mirror_landmarks

Floats = NDArray[np.float64]

CELEBA_FACE = (47.5, 68.0, 130.5, 182.0)
"""Left, top, right, bottom of the face in aligned CelebA (178x218): MTCNN's mean box, moved by half
a pixel to the middle, so that a picture and its mirror image are read from the same place."""
SIDE = 48
SMALLEST_FACE = 20  # pixels; the cascade fails on an image with a shorter side
_BATCH = {"cpu": 32, "cuda": 2048}
"""Pictures at a time: on a processor as many as its cache holds (0.4 ms each; 0.8 with 256)."""


class LandmarkDetector:
    """Finds the five landmarks of the largest face of each image."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._onet = ONet().eval().to(self._device)

    @cached_property
    def _cascade(self) -> MTCNN:
        return MTCNN(keep_all=False, device=self._device)

    def poses(self, images: Sequence[Image.Image]) -> Poses:
        """The poses of RGB images; the confidence includes the probability of a face."""
        points, score = self.detect(images)
        return _scaled(estimate_poses(points), score)

    def crop_poses(self, crops: NDArray[np.uint8]) -> Poses:
        """The poses of standard crops (N, S, S, 3), generated ones too."""
        points, score = self.detect_crops(crops)
        return _scaled(estimate_poses(points), score)

    def detect(self, images: Sequence[Image.Image]) -> tuple[Floats, Floats]:
        """Landmarks (N, 5, 2) in pixels of each RGB image, and the probability (N,) of a face.

        NaN and 0 where no face is found.
        """
        points = np.full((len(images), 5, 2), np.nan)
        score = np.zeros(len(images))
        aligned = [i for i, image in enumerate(images) if is_aligned(image)]
        if aligned:
            points[aligned], score[aligned] = self.detect_aligned([images[i] for i in aligned])
        for i in set(range(len(images))) - set(aligned):
            points[i], score[i] = self.detect_anywhere(images[i])
        return points, score

    def detect_aligned(self, images: Sequence[Image.Image]) -> tuple[Floats, Floats]:
        """As `detect`, of aligned CelebA images at any scale: O-Net on the known place."""
        scales = np.array([image.width / CELEBA_WIDTH for image in images])
        return self._read_twice(images, np.array(CELEBA_FACE) * scales[:, None])

    def detect_crops(self, crops: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """As `detect`, of standard crops (N, S, S, 3), generated ones too."""
        images = [Image.fromarray(crop) for crop in crops]
        left, top, right, _ = CROP_BOX
        corner = np.array([left, top, left, top])
        box = (np.array(CELEBA_FACE) - corner) * (crops.shape[1] / (right - left))
        box[[0, 2]] += (crops.shape[2] - box[0] - box[2]) / 2  # to the middle, for the mirror again
        return self._read_twice(images, np.tile(box, (len(images), 1)))

    def detect_anywhere(self, image: Image.Image) -> tuple[Floats, float]:
        """As `detect`, of one image by the whole cascade."""
        if min(image.size) < SMALLEST_FACE:
            return np.full((5, 2), np.nan), 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ragged arrays inside the package
            boxes, scores, points = self._cascade.detect(image, landmarks=True)
        if boxes is None:
            return np.full((5, 2), np.nan), 0.0
        return np.asarray(points[0], dtype=np.float64), float(scores[0])

    def _read_twice(self, images: Sequence[Image.Image], boxes: Floats) -> tuple[Floats, Floats]:
        """Landmarks and scores, averaged over each image and its mirror image.

        So a mirrored image has mirrored landmarks, and half of the network's error is gone.
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
        """Corrected boxes (N, 4), landmarks (N, 5, 2) and scores (N,) of the boxes' contents."""
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
        batch = _BATCH.get(self._device.type, 512)
        parts = [self._onet(part.to(self._device)) for part in inputs.split(batch)]
        shift, points, score = (
            torch.cat(column).cpu().double() for column in zip(*parts, strict=True)
        )
        return shift.numpy(), points.numpy(), score.numpy()


def _scaled(poses: Poses, score: Floats) -> Poses:
    return replace(poses, confidence=poses.confidence * score)


def is_aligned(image: Image.Image) -> bool:
    """Whether an image has the shape of aligned CelebA, at any scale."""
    ratio = image.width * CELEBA_HEIGHT / (image.height * CELEBA_WIDTH)
    return abs(ratio - 1) < 0.01


def _squares(boxes: Floats) -> Floats:
    """Boxes (N, 4) made square about their centres, as O-Net was trained on."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def _patch(image: Image.Image, box: Floats) -> NDArray[np.uint8]:
    """The box of an image at 48x48, black outside of it."""
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
