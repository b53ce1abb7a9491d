"""A data set of synthetic heads in CelebA's file formats, with the ground truth beside it.

img_align_celeba/000001.jpg ...     178 x 218, JPEG quality 95
list_attr_celeba.txt, identity_CelebA.txt, list_landmarks_align_celeba.txt,
list_eval_partition.txt             as CelebA writes them
truth.csv                           pose and light of every image
synthetic.json                      the request that made the data set; written last
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from rotation.data.build_once import IMAGE_FOLDER, LANDMARK_NAMES, build_once
from rotation.data.csv_rows import read_keyed_file
from rotation.data.labels_csv import parse_label
from rotation.errors import DatasetError
from rotation.synthetic_heads.attributes import attributes
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.marks import landmarks_in_view
from rotation.synthetic_heads.parameters import Head, light_class
from rotation.synthetic_heads.renderer import render_view
from rotation.synthetic_heads.sampling import pose_head, sample_identity, sample_scene

# Identities of the demo data set, which no training set and no benchmark uses.
DEMO_IDENTITY = 2_000_000
YAW_LIMIT = 40.0
TRUTH = "truth.csv"
"""A folder with this file holds rendered heads."""

TRUTH_COLUMNS = (
    "filename",
    "identity",
    "yaw_deg",
    "pitch_deg",
    "roll_deg",
    "light_azimuth_deg",
    "light_elevation_deg",
    "light_strength",
    "light",
)
_RECIPE, _VERSION = "synthetic.json", 1
_QUALITY = 95
_DATASET = 4

CountProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a data set; ``person`` counts from 1 within the set."""

    filename: str
    person: int
    head: Head


def write_dataset(
    folder: str | os.PathLike[str],
    n_images: int = 480,
    n_identities: int | None = None,
    seed: int = 0,
    progress: CountProgress | None = None,
) -> Path:
    """Write a data set of rendered heads. An equal data set in the folder is left as it is.

    The folder appears complete or not at all.

    Parameters:
        folder: the folder to write.
        n_images: the number of images.
        n_identities: the number of persons; None: one for four images.
        seed: the seed of the scenes.
        progress: called with the images done and their total.

    Returns:
        The folder.

    Raises:
        DatasetError: the counts are not possible, or the folder holds something else or cannot be
            made.
    """
    persons = max(1, n_images // 4) if n_identities is None else n_identities
    if not 1 <= persons <= n_images or seed < 0:
        raise DatasetError(
            f"A data set needs 1 <= identities <= images and a seed >= 0; got {n_images} images, "
            f"{persons} identities, seed {seed}."
        )
    target = Path(folder)
    recipe = {"version": _VERSION, "images": n_images, "identities": persons, "seed": seed}

    def write(partial: Path) -> None:
        _write(partial, plan_dataset(n_images, persons, seed), progress)

    return build_once(target, _RECIPE, recipe, write)


def plan_dataset(n_images: int, n_identities: int, seed: int) -> list[Entry]:
    """Plan each image: its person, pose and light. The images of a person spread over yaw."""
    entries = []
    for k in range(n_images):
        person, turn = k % n_identities, k // n_identities
        turns = (n_images - person - 1) // n_identities + 1
        rng = np.random.default_rng((_DATASET, seed, person))
        slots = (rng.permutation(turns) + rng.random(turns)) / turns
        scene = sample_scene(int(rng.integers(2**62, size=turns)[turn]))
        yaw_deg = round(float(YAW_LIMIT * (2 * slots[turn] - 1)), 3)
        head = pose_head(sample_identity(DEMO_IDENTITY + person), replace(scene, yaw_deg=yaw_deg))
        entries.append(Entry(f"{k + 1:06d}.jpg", person + 1, head))
    return entries


def _write(folder: Path, entries: Sequence[Entry], progress: CountProgress | None) -> None:
    images = folder / IMAGE_FOLDER
    images.mkdir()
    for done, entry in enumerate(entries, start=1):
        image = render_view([entry.head], CELEBA_VIEW)[0]
        Image.fromarray(image).save(images / entry.filename, quality=_QUALITY, subsampling=0)
        if progress is not None:
            progress(done, len(entries))
    _write_lines(folder / "list_attr_celeba.txt", _attribute_lines(entries))
    _write_lines(folder / "identity_CelebA.txt", (f"{e.filename} {e.person}" for e in entries))
    _write_lines(folder / "list_landmarks_align_celeba.txt", _landmark_lines(entries))
    _write_lines(
        folder / "list_eval_partition.txt", (f"{e.filename} {_partition(e)}" for e in entries)
    )
    _write_truth(folder / TRUTH, entries)


def _write_lines(path: Path, lines: Iterator[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii", newline="\n")


def _attribute_lines(entries: Sequence[Entry]) -> Iterator[str]:
    rows = [attributes(entry.head) for entry in entries]
    yield str(len(entries))
    yield " ".join(rows[0])
    for entry, row in zip(entries, rows, strict=True):
        yield f"{entry.filename} " + " ".join(" 1" if held else "-1" for held in row.values())


def _landmark_lines(entries: Sequence[Entry]) -> Iterator[str]:
    yield str(len(entries))
    yield LANDMARK_NAMES
    points = landmarks_in_view([entry.head for entry in entries], CELEBA_VIEW)
    for entry, row in zip(entries, np.rint(points - 0.5).astype(int), strict=True):
        yield f"{entry.filename} " + " ".join(f"{value:3d}" for value in row.ravel())


def _partition(entry: Entry) -> int:
    """0 train, 1 validation, 2 test; about 80 / 10 / 10 % of the persons."""
    return {8: 1, 9: 2}.get((entry.person - 1) % 10, 0)


def _write_truth(path: Path, entries: Sequence[Entry]) -> None:
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(TRUTH_COLUMNS)
        for entry in entries:
            head = entry.head
            numbers = [f"{getattr(head, name):.3f}" for name in TRUTH_COLUMNS[2:-1]]
            light = light_class(head.light_azimuth_deg)
            writer.writerow([entry.filename, entry.person, *numbers, light])


def read_truth(folder: Path) -> dict[str, str]:
    """The light of each image by filename, without images on the boundary of two classes.

    Raises:
        DatasetError: see `read_keyed_file`, or a light is unknown.
    """
    lights = read_keyed_file(
        folder / TRUTH, ("light",), lambda cells: parse_label(cells, column="light")
    )
    return {name: light for name, light in lights.items() if light}
