"""The bundled faces as a data set in CelebA's own file formats.

img_align_celeba/000001.jpg ...     192 x 192, the 64 x 64 faces enlarged threefold
list_landmarks_align_celeba.txt     found by MTCNN on the faces, as CelebA writes them
list_attr_celeba.txt                four attributes, estimated by a network
sampled.json                        the request that made the data set; written last

`faces.zip` holds one PNG for each face. Its `faces.csv` has the seed of each face's noise, and the
landmarks in pixels of the 64 x 64 face. `benchmarks/demo_faces.py` made it;
docs/experiments/real-faces.md describes how. `benchmarks/demo_attributes.py` made
`attributes.csv`: a row for each face, 1 if it has the attribute, else -1.
"""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from rotation.data.build_once import IMAGE_FOLDER, LANDMARK_NAMES, build_once
from rotation.data.decoding import decode
from rotation.errors import DatasetError

FACES = Path(__file__).parent / "faces.zip"
TABLE = "faces.csv"
ATTRIBUTES = Path(__file__).parent / "attributes.csv"
ENLARGED = 3  # so that landmarks in whole pixels still determine yaw to a degree
ATTRIBUTE_FILE = "list_attr_celeba.txt"
_RECIPE, _VERSION = "sampled.json", 1
_QUALITY = 95

Progress = Callable[[int, int], None]


def count_faces() -> int:
    """The number of bundled faces."""
    with zipfile.ZipFile(FACES) as faces:
        return len(faces.namelist()) - 1


def write_faces(
    folder: str | os.PathLike[str], n_images: int | None = None, progress: Progress | None = None
) -> Path:
    """Write the first ``n_images`` faces (None: all); an equal data set is left as it is.

    The folder appears complete or not at all. One that was written without attributes gets them.
    ``progress`` is called with the images done and their total.

    Returns:
        The folder.

    Raises:
        DatasetError: there are fewer faces, or the folder holds something else or cannot be made.
    """
    known = count_faces()
    wanted = known if n_images is None else n_images
    if not 1 <= wanted <= known:
        raise DatasetError(
            f"{wanted} faces were asked for; 1 to {known} are there. Rendered heads can be made in "
            "any number: python manage.py demo --rendered --images 2000"
        )
    recipe = _recipe(wanted)
    built = build_once(Path(folder), _RECIPE, recipe, lambda part: _write(part, wanted, progress))
    add_attributes(built)
    return built


def count_written(folder: str | os.PathLike[str]) -> int:
    """The number of faces of a folder that `write_faces` has made; 0 for any other folder."""
    try:
        made = json.loads((Path(folder) / _RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    images = made.get("images") if isinstance(made, dict) else None
    return images if isinstance(images, int) and made == _recipe(images) else 0


def add_attributes(folder: str | os.PathLike[str]) -> None:
    """Give attributes to faces that were written before there were any. Other folders stay."""
    images = count_written(folder)
    if images and not (Path(folder) / ATTRIBUTE_FILE).is_file():
        _write_attributes(Path(folder), images)


def _recipe(images: int) -> dict[str, int]:
    return {"version": _VERSION, "images": images}


def _write(folder: Path, wanted: int, progress: Progress | None) -> None:
    (folder / IMAGE_FOLDER).mkdir()
    lines = [str(wanted), LANDMARK_NAMES]
    with zipfile.ZipFile(FACES) as faces:
        table = csv.reader(io.StringIO(faces.read(TABLE).decode("ascii")))
        next(table)
        for done, (name, _, *numbers) in zip(range(1, wanted + 1), table, strict=False):
            filename = f"{done:06d}.jpg"
            face = decode(faces.read(name), name)
            size = (face.width * ENLARGED, face.height * ENLARGED)
            large = face.resize(size, Image.Resampling.BICUBIC)
            large.save(folder / IMAGE_FOLDER / filename, quality=_QUALITY, subsampling=0)
            points = np.rint(np.array(numbers, dtype=float) * ENLARGED - 0.5).astype(int)
            lines.append(f"{filename} " + " ".join(f"{value:3d}" for value in points))
            if progress is not None:
                progress(done, wanted)
    text = "".join(f"{line}\n" for line in lines)
    (folder / "list_landmarks_align_celeba.txt").write_text(text, "ascii", newline="\n")
    _write_attributes(folder, wanted)


def _write_attributes(folder: Path, wanted: int) -> None:
    """Write the attributes of the first faces; the file appears complete or not at all."""
    with ATTRIBUTES.open(encoding="ascii", newline="") as file:
        names, *rows = csv.reader(file)
    lines = [str(wanted), " ".join(names)]
    for number, row in enumerate(rows[:wanted], start=1):
        lines.append(f"{number:06d}.jpg " + " ".join(f"{int(value):2d}" for value in row))
    part = folder / f".{ATTRIBUTE_FILE}"
    part.write_text("".join(f"{line}\n" for line in lines), "ascii", newline="\n")
    part.replace(folder / ATTRIBUTE_FILE)
