"""Turning the head in a whole photograph of any size.

The head is measured in a window around the face. A very large window is reduced first, so that
memory and time are bounded; only the changed pixels are then enlarged and put back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from rotation.data.crop import CELEBA_FACE, CELEBA_WIDTH, Box, Pixels, has_celeba_shape
from rotation.data.decoding import decode
from rotation.errors import ImageError, SelectionError
from rotation.geometry.drawing import Model, draw_hidden
from rotation.geometry.head import Head, measure_head
from rotation.geometry.turning import HeadTurner, TurnedFrame
from rotation.poses.mtcnn import LandmarkDetector
from rotation.reading import read_bytes

MAX_YAW_DEG = 60.0
"""Yaws beyond it are refused: the other half of the face would have to be invented."""
MAX_SOURCE_YAW_DEG = 50.0
"""A source turned further shows too little of the other half of its face to be measured."""
MAX_TURN_DEG = 45.0
"""Frames turned further than this are marked as doubtful."""
MAX_HIDDEN = 0.25
"""Frames of which a larger share of the face was hidden in the source are marked as doubtful."""
MAX_FACE_WIDTH = 512
"""Wider faces are reduced to so many pixels before they are turned."""
_MARGINS = (1.4, 1.3, 1.4, 1.4)  # of the window around the face: left, top, right, bottom
LEAST_FACE = 24  # pixels


@dataclass(frozen=True)
class TurnedPhotograph:
    """A photograph with the head turned.

    Attributes:
        yaw_deg: the yaw asked for.
        pixels: (H, W, 3), the whole photograph.
        hidden: the share of the visible face that the source did not show, 0 to 1.
        doubt: why the frame may not be good, in words; None if nothing speaks against it.
    """

    yaw_deg: float
    pixels: Pixels
    hidden: float
    doubt: str | None = None


class Photograph:
    """A photograph with one head that can be turned."""

    def __init__(self, image: Image.Image, face: Box | None = None, relight: bool = True) -> None:
        """Measure the head.

        Parameters:
            image: the photograph.
            face: left, top, right, bottom of the face in pixels; None: the largest face is taken.
            relight: whether the light stays where it is while the head turns. Otherwise it turns
                with the head.

        Raises:
            ImageError: no face is found, or it is too small or too far turned.
        """
        self.image = image.convert("RGB")
        self._relight = relight
        box = face or find_face(self.image)
        if box[2] - box[0] < LEAST_FACE:
            raise ImageError(
                f"The face is only {box[2] - box[0]:.0f} pixels wide; {LEAST_FACE} are the least."
            )
        self._window = face_window(box, self.image.size)
        left, top, right, bottom = self._window
        scale = min(1.0, MAX_FACE_WIDTH / (box[2] - box[0]))
        size = (round((right - left) * scale), round((bottom - top) * scale))
        view = self.image.crop(self._window)
        if scale < 1:
            view = view.resize(size, Image.Resampling.LANCZOS)
        relative = [(v - o) * scale for v, o in zip(box, (left, top, left, top), strict=True)]
        self.head: Head = measure_head(np.array(view), (*relative,))  # type: ignore[arg-type]
        if abs(self.head.yaw_deg) > MAX_SOURCE_YAW_DEG:
            raise ImageError(
                f"The head is turned by {self.head.yaw_deg:.0f} degrees; heads within "
                f"{MAX_SOURCE_YAW_DEG:.0f} degrees can be measured. Choose another photograph."
            )
        self._turner = HeadTurner(self.head)

    @property
    def yaw_deg(self) -> float:
        """The yaw of the head in the photograph, positive towards the viewer's right."""
        return self.head.yaw_deg

    def turn_to(
        self, yaw_deg: float, model: Model | None = None, seed: int = 0
    ) -> TurnedPhotograph:
        """The photograph with the head at a yaw.

        Parameters:
            yaw_deg: positive towards the viewer's right.
            model: a diffusion model that draws hidden parts; None: they are filled from their
                surroundings.
            seed: of the model's noise.

        Raises:
            SelectionError: the yaw is beyond `MAX_YAW_DEG`.
        """
        check_yaws([yaw_deg])
        angle = yaw_deg - self.yaw_deg
        frame = self.turn_by(angle)
        hidden = self.hidden_share(frame)
        if model is not None:
            frame = draw_hidden(frame, angle, self.head, model, seed)
        return TurnedPhotograph(yaw_deg, self.paste(frame), hidden, self.doubt(yaw_deg, hidden))

    def turn_by(self, angle_deg: float, relight: bool | None = None) -> TurnedFrame:
        """The window around the head, turned by an angle; see `HeadTurner.turn`.

        `relight` None is what the photograph was opened with.
        """
        relight = self._relight if relight is None else relight
        return self._turner.turn(angle_deg, relight=relight)

    def paste(self, turned: TurnedFrame) -> Pixels:
        """The whole photograph (H, W, 3) with a turned window in its place."""
        left, top, right, bottom = self._window
        whole = np.array(self.image)
        size = (right - left, bottom - top)
        view, frame, changed = whole[top:bottom, left:right], turned.pixels, turned.changed
        if frame.shape[:2] != view.shape[:2]:
            frame = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
            mask = Image.fromarray(np.rint(changed * 255).astype(np.uint8))
            changed = np.asarray(mask.resize(size, Image.Resampling.BILINEAR), np.float32) / 255
        share = changed[..., None]
        view[:] = np.rint(share * frame + (1 - share) * view).astype(np.uint8)
        return whole

    @staticmethod
    def hidden_share(turned: TurnedFrame) -> float:
        """The share of the turned face's pixels that the source did not show, 0 to 1."""
        face = turned.face
        return float((face * (1 - turned.seen)).sum() / max(float(face.sum()), 1e-6))

    def doubt(self, yaw_deg: float, hidden: float) -> str | None:
        """Why a frame may not be good, in words; None if nothing speaks against it.

        Parameters:
            yaw_deg: the yaw of the frame.
            hidden: its `hidden_share`.
        """
        angle = abs(yaw_deg - self.yaw_deg)
        if angle > MAX_TURN_DEG:
            return f"turned by {angle:.0f} degrees; up to {MAX_TURN_DEG:.0f} turn out well"
        if hidden > MAX_HIDDEN:
            return f"{hidden:.0%} of the face was hidden in the photograph"
        return None


def open_photograph(path: Path, relight: bool = True) -> Photograph:
    """The photograph in a file; raises `ImageError` as `Photograph` does, naming the file."""
    try:
        return Photograph(decode(read_bytes(path), str(path)), relight=relight)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def check_yaws(yaws_deg: Sequence[float]) -> None:
    """Raise `SelectionError` if a yaw is beyond `MAX_YAW_DEG`."""
    beyond = [yaw for yaw in yaws_deg if abs(yaw) > MAX_YAW_DEG]
    if beyond:
        raise SelectionError(
            f"A yaw of {beyond[0]:g} degrees is too far; -{MAX_YAW_DEG:g} to {MAX_YAW_DEG:g} "
            "are allowed."
        )


def find_face(image: Image.Image) -> Box:
    """Left, top, right, bottom of the largest face in a photograph, about.

    The face of an aligned CelebA image is at a known place. Elsewhere MTCNN looks for it.

    Raises:
        ImageError: there is no face.
    """
    detector = LandmarkDetector()
    if has_celeba_shape(*image.size) and not detector.is_elsewhere(image):
        left, top, right, bottom = (v * image.width / CELEBA_WIDTH for v in CELEBA_FACE)
        return left, top, right, bottom
    points, score = detector.detect_by_cascade(image)
    if score == 0:
        raise ImageError("No face was found in the photograph.")
    middle = points.mean(axis=0)
    half = 1.1 * float(np.ptp(points, axis=0).max())
    return middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half


def face_window(face: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a photograph of a size around a face: the whole head, neck and shoulders."""
    left, top, right, bottom = face
    width, height = right - left, bottom - top
    wide = (left - _MARGINS[0] * width, top - _MARGINS[1] * height)
    far = (right + _MARGINS[2] * width, bottom + _MARGINS[3] * height)
    return (
        max(0, int(wide[0])),
        max(0, int(wide[1])),
        min(size[0], round(far[0])),
        min(size[1], round(far[1])),
    )
