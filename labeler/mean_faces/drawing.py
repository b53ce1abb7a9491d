"""Draw the mean faces as one figure: lights from top to bottom, poses from left to right.

Sizes are in pixels at scale 1. The background is white and text is outside of the faces, so that
the figure can be printed. Pillow's own font exists on every machine. It has no minus sign, so
hyphens are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from labeler.errors import InvalidInput
from labeler.mean_faces.statistics import Floats, MeanFaces
from rotation.data.labels import LABELS

FACE = 192  # three times the 64 pixels of a crop
ACROSS, DOWN = 76, 78  # room between faces for the MSE and the captions
LEFT, TOP, EDGE = 92, 66, 24
CAPTION = 22
FOOT, FOOT_LINE = 26, 19
HEADING, NORMAL = 17, 14
GROUND, INK, SOFT, EMPTY, FRAME = "#ffffff", "#1c1c1c", "#595959", "#ececea", "#8a8a8a"
ARROW_HEAD = 4
MAX_SCALE = 4
_NAMES_OF_THREE = ("Left pose", "Central pose", "Right pose")
_NAMES_OF_LIGHTS = {"left": "Left\nlight", "center": "Central\nlight", "right": "Right\nlight"}
_REASONS = {
    "no_yaw": "whose yaw is not known",
    "beyond_the_poses": "turned too far for these poses",
    "unreadable": "that cannot be read",
}
_NOTE = (
    "Values of pixels in [0, 1]. var: variance of a pixel over the images; mse: squared difference "
    "of two mean faces; both averaged over pixels and colours."
)


def render_mean_faces(faces: MeanFaces, scale: int = 1) -> Image.Image:
    """Draw the figure as an RGB image.

    Parameters:
        scale: factor of all lengths, also of the text.

    Raises:
        InvalidInput: the scale is not 1 to 4.
    """
    if not 1 <= scale <= MAX_SCALE:
        raise InvalidInput(f"The scale is {scale}; 1 to {MAX_SCALE} is possible.")
    sheet = _Sheet.blank(faces, scale)
    _draw_headings(sheet, faces)
    _draw_cells(sheet, faces)
    _draw_differences(sheet, faces)
    _draw_foot(sheet, faces)
    return sheet.image


@dataclass(frozen=True)
class _Sheet:
    """An image with drawing functions, in pixels at scale 1."""

    image: Image.Image
    pen: ImageDraw.ImageDraw
    scale: int

    @classmethod
    def blank(cls, faces: MeanFaces, scale: int) -> _Sheet:
        width, height = _size(faces)
        image = Image.new("RGB", (width * scale, height * scale), GROUND)
        return cls(image, ImageDraw.Draw(image), scale)

    def write(self, x: float, y: float, text: str, anchor: str, **style: Any) -> None:
        """Write text. `style` can have a `size` and a `fill`."""
        font = _font(style.get("size", NORMAL), self.scale)
        place = (x * self.scale, y * self.scale)
        options: dict[str, Any] = {"fill": style.get("fill", INK), "font": font, "anchor": anchor}
        if "\n" in text:
            options["spacing"] = 5 * self.scale
        self.pen.text(place, text, **options)

    def line(self, *points: tuple[float, float]) -> None:
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        self.pen.line(scaled, fill=INK, width=self.scale)

    def box(self, x: float, y: float, fill: str | None) -> None:
        """Draw the frame around a face."""
        left, top = x * self.scale - 1, y * self.scale - 1
        side = FACE * self.scale + 1
        self.pen.rectangle((left, top, left + side, top + side), fill=fill, outline=FRAME)

    def paste(self, x: int, y: int, face: Floats) -> None:
        """Draw a mean face (S, S, 3) in [0, 1], enlarged with bicubic interpolation."""
        side = FACE * self.scale
        pixels = np.rint(face * 255).astype(np.uint8)
        tile = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
        self.image.paste(tile, (x * self.scale, y * self.scale))

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a horizontal or vertical line with an arrow head at both ends."""
        self.line(start, end)
        along = (0, 1) if start[0] == end[0] else (1, 0)
        for (x, y), turn in ((start, ARROW_HEAD), (end, -ARROW_HEAD)):
            dx, dy = along[0] * turn, along[1] * turn
            self.line((x + dx + dy, y + dy + dx), (x, y), (x + dx - dy, y + dy - dx))


def _font(size: int, scale: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size * scale)


def _size(faces: MeanFaces) -> tuple[int, int]:
    width = LEFT + faces.n_poses * (FACE + ACROSS) - ACROSS + EDGE
    body = TOP + len(LABELS) * (CAPTION + FACE + DOWN) - DOWN
    return width, body + FOOT + len(_foot_lines(faces, width)) * FOOT_LINE + EDGE // 2


def _corner(light: int, pose: int) -> tuple[int, int]:
    """Return the upper left corner of a face."""
    return LEFT + pose * (FACE + ACROSS), TOP + CAPTION + light * (CAPTION + FACE + DOWN)


def _draw_headings(sheet: _Sheet, faces: MeanFaces) -> None:
    for pose in range(faces.n_poses):
        middle = _corner(0, pose)[0] + FACE / 2
        low, high = faces.edges[pose : pose + 2]
        span = f"{low + 0.0:g}° to {high + 0.0:g}°"  # + 0.0 removes a minus zero
        if faces.n_poses == len(_NAMES_OF_THREE):
            sheet.write(middle, 22, _NAMES_OF_THREE[pose], "mm", size=HEADING)
            sheet.write(middle, 44, span, "mm", fill=SOFT)
        else:
            sheet.write(middle, 40, span, "mm", size=HEADING)
    for light, label in enumerate(LABELS):
        y = _corner(light, 0)[1] + FACE / 2
        sheet.write(EDGE, y, _NAMES_OF_LIGHTS[label], "lm", size=HEADING)


def _draw_cells(sheet: _Sheet, faces: MeanFaces) -> None:
    means, variances = faces.means, faces.variances
    for light, pose in np.ndindex(faces.counts.shape):
        x, y = _corner(light, pose)
        count = int(faces.counts[light, pose])
        sheet.box(x, y, EMPTY)
        if count == 0:
            sheet.write(x + FACE / 2, y + FACE / 2, "no images", "mm", fill=SOFT)
            continue
        sheet.paste(x, y, means[light, pose])
        if count > 1:  # one image has no variance
            sheet.write(x, y - 7, f"var {variances[light, pose]:.3f}", "ls")
        sheet.write(x + FACE, y - 7, f"n = {count:,}", "rs", fill=SOFT)


def _draw_differences(sheet: _Sheet, faces: MeanFaces) -> None:
    """Draw an arrow between neighbours, unless one of them is empty."""
    for (light, pose), mse in np.ndenumerate(faces.mse_across):
        if not np.isnan(mse):
            x, y = _corner(light, pose)
            start, middle = x + FACE, y + FACE / 2
            sheet.arrow((start + 4, middle), (start + ACROSS - 4, middle))
            sheet.write(start + ACROSS / 2, middle - 9, f"{mse:.4f}", "ms")
            sheet.write(start + ACROSS / 2, middle + 9, "mse", "mt", fill=SOFT)
    for (light, pose), mse in np.ndenumerate(faces.mse_down):
        if not np.isnan(mse):
            x, y = _corner(light, pose)
            middle, start = x + FACE / 2, y + FACE
            sheet.arrow((middle, start + 4), (middle, start + DOWN - 4))
            sheet.write(middle - 9, start + DOWN / 2, "mse", "rm", fill=SOFT)
            sheet.write(middle + 9, start + DOWN / 2, f"{mse:.4f}", "lm")


def _draw_foot(sheet: _Sheet, faces: MeanFaces) -> None:
    width, _ = _size(faces)
    y = _corner(len(LABELS) - 1, 0)[1] + FACE + FOOT
    for number, line in enumerate(_foot_lines(faces, width)):
        sheet.write(EDGE, y + number * FOOT_LINE, line, "lt", fill=SOFT)


def _foot_lines(faces: MeanFaces, width: int) -> list[str]:
    mirrored = ", each also mirrored" if faces.mirrored else ""
    counted = f"{faces.n_images:,} images{mirrored}."
    reasons = [f"{n:,} {_REASONS[reason]}" for reason, n in faces.left_out.items() if n]
    left_out = f" Left out: {', '.join(reasons)}." if reasons else ""
    return _wrap(f"{counted}{left_out} {_NOTE}", width - 2 * EDGE)


def _wrap(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` pixels, between words."""
    font, lines = _font(NORMAL, 1), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
