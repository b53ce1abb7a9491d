"""The pictures of a result as pages show them: small enough to look at, whatever the photograph.

Photographs of up to `LARGE_PIXELS` are shown as they are. Of larger ones, and of the source, whose
own file may be gone, the job writes small copies into the folder `shown` of the result. They are
cut from the strip once: to decode a whole strip for each picture would take too much memory.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from labeler.errors import BrokenData, NotFound
from labeler.languages.texts import gettext as _
from labeler.studio.results import MEANS, STRIP, TurnResult, find_file, read_result

SOURCE = 0
"""The number of the source among the pictures; frames follow in the order of their yaw."""

LARGE_PIXELS = 1_000_000
SHOWN = "shown"
SHOWN_HEIGHT = 512
"""The largest height of a small copy, in pixels."""
SHOWN_TILE = 124
"""Width of a frame of the strip on pages, in pixels."""


def show_picture(folder: Path, result: TurnResult, number: int) -> Path | bytes:
    """Return a picture of a result: the path of its PNG file, or the bytes of a smaller PNG.

    Parameters:
        number: `SOURCE`, or 1 for the first frame and so on.

    A result without small copies is cut from its strip.

    Raises:
        NotFound: there is no such picture, or its files are gone or damaged.
    """
    if not SOURCE <= number <= len(result.frames):
        raise NotFound(_("This result has no picture %(number)s.", number=number))
    if number != SOURCE:
        path = find_file(folder, result.frames[number - 1].file)
        if _is_small(path):
            return path
    copy = folder / SHOWN / f"{number}.png"
    if copy.is_file():
        return copy
    return _cut(find_file(folder, STRIP), result.tiles, _place(result, number))


def write_copies(folder: Path) -> None:
    """Write the small copies of a result that `show_picture` shows.

    Raises:
        BrokenData: the result is damaged.
        OSError: the disk is full, for example.
    """
    from PIL import Image  # late: most pages need no Pillow

    from rotation.imaging.images import cut_strip  # late: NumPy

    result = read_result(folder)
    if result is None:
        raise BrokenData(_("The result of the engine is damaged."))
    large = [
        number
        for number, frame in enumerate(result.frames, SOURCE + 1)
        if not _is_small(folder / frame.file)
    ]
    (folder / SHOWN).mkdir()
    try:
        with Image.open(folder / STRIP) as strip:
            for number in (SOURCE, *large):
                tile = cut_strip(strip, result.tiles, _place(result, number)).convert("RGB")
                height = min(tile.height, SHOWN_HEIGHT)
                small = tile.resize((max(1, round(tile.width * height / tile.height)), height))
                small.save(folder / SHOWN / f"{number}.png")
    except (ValueError, Image.DecompressionBombError):
        raise BrokenData(
            _("The strip of this result is too wide. Choose fewer angles or a smaller size.")
        ) from None


def _place(result: TurnResult, number: int) -> int:
    """The place of a picture in the strip."""
    return 0 if number == SOURCE else result.tiles - len(result.frames) + number - 1


def show_mean(folder: Path, result: TurnResult, number: int) -> bytes:
    """Return the mean face of a cluster as a PNG; the clusters are counted from 0.

    Raises:
        NotFound: there is no such cluster, or the sheet of the mean faces is gone or damaged.
    """
    if not 0 <= number < len(result.clusters):
        raise NotFound(_("This result has no cluster %(number)s.", number=number))
    return _cut(find_file(folder, MEANS), len(result.clusters), number)


@dataclass(frozen=True, slots=True)
class PictureSizes:
    """Width and height in pixels: of the strip and of each picture, as they are shown.

    The strip is shown so small that a source and seven frames fit beside each other.
    """

    strip: tuple[int, int]
    picture: tuple[int, int]


def measure_pictures(folder: Path, result: TurnResult) -> PictureSizes | None:
    """Return the sizes of the pictures of a result; None if its strip is gone or damaged."""
    from PIL import Image

    from rotation.imaging.images import strip_frame_size

    try:
        with Image.open(find_file(folder, STRIP)) as strip:
            picture = strip_frame_size(strip.size, result.tiles)
            width = min(strip.width, result.tiles * SHOWN_TILE)
            shown = width, round(strip.height * width / strip.width)
            return PictureSizes(shown, picture)
    except (OSError, ValueError, NotFound, Image.DecompressionBombError):
        return None


def _is_small(path: Path) -> bool:
    from PIL import Image  # late: most pages need no Pillow

    try:
        with Image.open(path) as picture:  # reads the header alone
            return picture.width * picture.height <= LARGE_PIXELS
    except (OSError, ValueError, Image.DecompressionBombError):
        raise NotFound(_("%(name)s is damaged.", name=path.name)) from None


def _cut(sheet: Path, tiles: int, tile: int) -> bytes:
    from PIL import Image

    from rotation.imaging.images import cut_strip  # late: NumPy

    try:
        with Image.open(sheet) as strip:
            picture = cut_strip(strip, tiles, tile).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        raise NotFound(_("%(name)s is damaged.", name=sheet.name)) from None
    target = io.BytesIO()
    picture.save(target, "PNG")
    return target.getvalue()
