"""A data set of synthetic heads in CelebA's own file formats, with the truth beside it.

img_align_celeba/000001.jpg ...     178 x 218, JPEG quality 95
list_attr_celeba.txt, identity_CelebA.txt, list_landmarks_align_celeba.txt,
list_eval_partition.txt             as CelebA writes them
truth.csv                           pose and light of every picture
synthetic.json                      what was asked for; written last
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from rotation.data.build_once import IMAGE_FOLDER, LANDMARK_NAMES, build_once
from rotation.data.labels import LABELS
from rotation.errors import DatasetError
from rotation.synthetic_heads.attributes import attributes
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.marks import landmarks_in_view
from rotation.synthetic_heads.parameters import Head, light_class
from rotation.synthetic_heads.renderer import render_view
from rotation.synthetic_heads.sampling import pose_head, sample_identity, sample_scene

if TYPE_CHECKING:
    pass


# Persons of the demo data set: in no training set and no benchmark.
DEMO_IDENTITY = 2_000_000
YAW_LIMIT = 40.0
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
    """One picture of a data set; ``person`` counts from 1 within the set."""

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
    """Write ``n_images`` pictures of ``n_identities`` persons (by default one person for four).

    The folder appears complete or not at all; if the same data set is there already, nothing is
    done. ``progress`` is called with (pictures done, pictures in all). Returns the folder.

    Raises ``DatasetError`` where the counts make no sense, the folder holds something else or
    cannot be made.
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
    """Who is on which picture, how posed and lit; a person's pictures spread over the yaws."""
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
        picture = render_view([entry.head], CELEBA_VIEW)[0]
        Image.fromarray(picture).save(images / entry.filename, quality=_QUALITY, subsampling=0)
        if progress is not None:
            progress(done, len(entries))
    _write_lines(folder / "list_attr_celeba.txt", _attribute_lines(entries))
    _write_lines(folder / "identity_CelebA.txt", (f"{e.filename} {e.person}" for e in entries))
    _write_lines(folder / "list_landmarks_align_celeba.txt", _landmark_lines(entries))
    _write_lines(
        folder / "list_eval_partition.txt", (f"{e.filename} {_partition(e)}" for e in entries)
    )
    _write_truth(folder / "truth.csv", entries)


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
    """0 train, 1 validation, 2 test: whole persons, about 80 / 10 / 10 %."""
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


TRUTH = "truth.csv"  # beside rendered heads alone


def read_truth(folder: Path) -> dict[str, str]:
    """Filename -> light of a synthetic data set, less those on the boundary of two classes."""
    with (folder / TRUTH).open(encoding="ascii", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["filename"]: row["light"] for row in rows if row["light"] in LABELS}
