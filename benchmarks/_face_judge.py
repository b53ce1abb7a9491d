"""A judge of turned faces that nothing in the engine has seen: dlib's landmarks and descriptor.

Yaw is that of a generic head of six points fitted by perspective (OpenCV's `solvePnP`, the focal
length one picture wide), half the difference between a picture's reading and its mirror image's.
Persons are compared by the distance of 128-dimensional descriptors; 0.6 is another person.
Needs requirements-judge.txt.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import dlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[np.uint8]
SIDE = 256  # pixels to which crops are enlarged
MARGIN = 64  # pixels of border repeated around a crop, for the detector
USUAL_BOX = (30, 64, 229, 249)
"""Where dlib finds the face in a standard crop of 256 pixels: the median of 200 of CelebA."""

POINTS = (30, 8, 36, 45, 48, 54)  # nose, chin, outer corners of eyes, corners of the mouth
HEAD = np.array(
    [(0, 0, 0), (0, 330, 65), (-225, -170, 135), (225, -170, 135), (-150, 150, 125),
     (150, 150, 125)], dtype=np.float64,
)  # fmt: skip
"""Those points of a generic head, the camera's axes: right, down, away."""


LEFT_HALF = (*range(9), 30, 29, 28, 27, *range(21, 16, -1))
RIGHT_HALF = (*range(8, 17), *range(26, 21, -1), 27, 28, 29, 30)
"""Outlines of a face's halves: along the jaw or to it, up the nose, along the brow."""


@dataclass(frozen=True)
class Seen:
    """Of N pictures: yaw (N,) in degrees, positive towards the viewer's right; descriptors
    (N, 128); whether dlib's detector found the face by itself (N,); brightness of the left half of
    the face less the right one (N,), its outline and its ridge being the landmarks'."""

    yaw_deg: NDArray[np.float64]
    contrast: NDArray[np.float64]
    descriptors: NDArray[np.float64]
    found: NDArray[np.bool_]


class FaceJudge:
    """Loads dlib's models once."""

    @cached_property
    def _models(self) -> tuple[dlib.shape_predictor, dlib.face_recognition_model_v1]:
        package = importlib.util.find_spec("face_recognition_models")
        home = Path(package.submodule_search_locations[0]) / "models"
        landmarks = dlib.shape_predictor(str(home / "shape_predictor_68_face_landmarks.dat"))
        descriptor = home / "dlib_face_recognition_resnet_model_v1.dat"
        return landmarks, dlib.face_recognition_model_v1(str(descriptor))

    def look(self, crops: Pixels) -> Seen:
        """Judge standard crops (N, S, S, 3) of any side."""
        looks = [self._one(crop) for crop in crops]
        yaws, contrasts, descriptors, found = (
            np.array(column) for column in zip(*looks, strict=True)
        )
        return Seen(yaws, contrasts, descriptors, found)

    def _one(self, crop: Pixels) -> tuple[float, float, NDArray[np.float64], bool]:
        large = Image.fromarray(crop).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture = np.asarray(large).copy()
        found = _detect(picture)
        left, top, right, bottom = found or USUAL_BOX
        landmarks, describe = self._models
        shape = landmarks(picture, dlib.rectangle(left, top, right, bottom))
        mirror = np.ascontiguousarray(picture[:, ::-1])
        turned = dlib.rectangle(SIDE - 1 - right, top, SIDE - 1 - left, bottom)
        yaw = (_yaw(shape) - _yaw(landmarks(mirror, turned))) / 2
        descriptor = np.array(describe.compute_face_descriptor(picture, shape))
        return yaw, _contrast(picture, shape), descriptor, found is not None


def _detect(picture: Pixels) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the largest face."""
    wide = cv2.copyMakeBorder(picture, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REPLICATE)
    boxes = _detector()(wide, 0)
    if not boxes:
        return None
    box = max(boxes, key=lambda found: found.area())
    return box.left() - MARGIN, box.top() - MARGIN, box.right() - MARGIN, box.bottom() - MARGIN


def _detector() -> dlib.fhog_object_detector:
    if not hasattr(_detector, "made"):
        _detector.made = dlib.get_frontal_face_detector()
    return _detector.made


def _contrast(picture: Pixels, shape: dlib.full_object_detection) -> float:
    """Mean brightness, in [0, 1], between the left jaw and brow and the nose, less that right."""
    luma = picture @ np.array([0.299, 0.587, 0.114]) / 255
    sides = []
    for outline in (LEFT_HALF, RIGHT_HALF):
        mask = Image.new("1", (SIDE, SIDE))
        points = [(shape.part(k).x, shape.part(k).y) for k in outline]
        ImageDraw.Draw(mask).polygon(points, fill=1, outline=1)
        sides.append(luma[np.asarray(mask)].mean())
    return float(sides[0] - sides[1])


def _yaw(shape: dlib.full_object_detection) -> float:
    points = np.array([(shape.part(k).x, shape.part(k).y) for k in POINTS], dtype=np.float64)
    camera = np.array([[SIDE, 0, SIDE / 2], [0, SIDE, SIDE / 2], [0, 0, 1]], dtype=np.float64)
    _, turn, _ = cv2.solvePnP(HEAD, points, camera, None, flags=cv2.SOLVEPNP_ITERATIVE)
    ahead = cv2.Rodrigues(turn)[0] @ np.array([0.0, 0.0, -1.0])
    return float(np.degrees(np.arctan2(ahead[0], -ahead[2])))
