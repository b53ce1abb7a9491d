"""Pairs that the refiner learns from: photographs, and what a turn forth and back makes of them.

A pair is a stack of `PLANES` planes: the photograph (3), the returned photograph (3), what of it is
known (1, 0 to 255), and the yaw of the head (1, one value).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from rotation.child_processes import SpawnPool
from rotation.data.crop import Pixels, read_image
from rotation.data.image_set import open_images, read_matching_tables
from rotation.data.sources import open_source
from rotation.diffusion.refiner import PLANES
from rotation.errors import DatasetError, ImageError
from rotation.reading import read_bytes, real_path
from rotation.training.images import Images, open_array, preparing, store_array

LOG = logging.getLogger(__name__)
MOST_DEG = 35.0
"""Heads are turned forth by no more than this, and to no larger yaw."""
LEAST_DEG = 10.0
"""... and by no less than this: small turns hide nothing."""
_CHUNK = 16  # photographs per task of the pool


@dataclass(frozen=True)
class _Task:
    source: Path
    names: tuple[str, ...]
    size: int
    seed: int


def return_pairs(
    sources: Sequence[Path],
    cache: Path,
    size: int,
    count: int,
    left_out: Collection[str] = (),
    seed: int = 0,
    workers: int = 0,
) -> Images:
    """About `count` pairs (N, 8, S, S), the same number of each source; kept in `cache`.

    Photographs without a face that can be measured are left out.

    Parameters:
        sources: folders or zips of photographs. Pictures in folders are of one person a folder,
            unless the set has a table of identities.
        left_out: names of images that are never used.
        seed: of the choice of photographs and angles.
        workers: processes; 0: one for each processor.

    Raises:
        DatasetError: no pair can be made.
    """
    told = [str(real_path(source)) for source in sources]
    contents = [_contents(source) for source in sources]
    wanted = json.dumps([told, contents, size, count, sorted(left_out), seed])
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:16]
    path, listing = cache / f"pairs-{digest}.npy", cache / f"pairs-{digest}.json"
    with preparing(path):
        if not (path.is_file() and listing.is_file()):
            maker = _Maker(sources, size, count, frozenset(left_out), seed, workers)
            store_array(path, (count, PLANES, size, size), maker)
            if not maker.people:
                path.unlink()
                raise DatasetError(
                    f"{', '.join(told)}: no photograph has a face that can be measured."
                )
            listing.write_text(json.dumps(maker.people), "utf-8")
        people = np.array(json.loads(listing.read_text("utf-8")), dtype=np.int64)
        return Images(open_array(path), people)


def read_names(path: Path) -> list[str]:
    """The names of images in a text file, one a line; else `DatasetError`."""
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path} is no UTF-8 text with a name on each line.") from None
    return [line.strip() for line in lines if line.strip()]


def _contents(source: Path) -> str:
    """What tells that images of a source were added, removed or replaced."""
    with open_images(source) as images:
        found = {name: images.fingerprint(name) for name in images.names()}
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


class _Maker:
    """Iterates over parts (n, 8, S, S) of the pairs; afterwards `people` has a number for each."""

    def __init__(
        self,
        sources: Sequence[Path],
        size: int,
        count: int,
        left_out: frozenset[str],
        seed: int,
        workers: int,
    ) -> None:
        self.people: list[int] = []
        self._workers = workers or os.cpu_count() or 1
        self._tasks: list[_Task] = []
        self._person: dict[tuple[Path, str], int] = {}
        numbers: dict[str, int] = {}
        nowhere = set(left_out)
        for source in sources:
            with open_images(source) as images:
                names = images.names()
            nowhere -= set(names)
            shares = -(-count // len(sources))
            drawn = _draw([name for name in names if name not in left_out], seed, shares)
            for name, person in zip(drawn, _people(source, drawn), strict=True):
                self._person[source, name] = numbers.setdefault(person, len(numbers))
            parts = [tuple(drawn[k : k + _CHUNK]) for k in range(0, len(drawn), _CHUNK)]
            self._tasks += [_Task(source, part, size, seed) for part in parts]
        if nowhere:
            LOG.warning(
                "Note: %d of %d names to leave out are in none of the sets, such as %r.",
                len(nowhere),
                len(left_out),
                min(nowhere),
            )

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        with SpawnPool(self._workers, _use_one_thread) as pool:
            found = pool.map(_make_pairs, self._tasks)
            bar = tqdm(found, total=len(self._tasks), desc="turning forth and back")
            for task, (names, pairs) in zip(self._tasks, bar, strict=True):
                self.people += [self._person[task.source, name] for name in names]
                yield pairs


def _draw(names: Sequence[str], seed: int, count: int) -> list[str]:
    return sorted(names, key=lambda name: _hash(seed, name))[:count]


def _people(source: Path, names: Sequence[str]) -> list[str]:
    """A key for the person in each image: by the table, else by folder, else each its own.

    A single folder for all images is no person.
    """
    table = read_matching_tables(source, names).identities
    if table is not None:
        rows = [table.index.get(name, -1) for name in names]
        return [
            f"{source}:{table.values[row, 0]}" if row >= 0 else f"{source}:{name}"
            for row, name in zip(rows, names, strict=True)
        ]
    folders = [name.rpartition("/")[0] for name in names]
    is_sorted = len(set(folders)) > 1
    return [
        f"{source}:{folder if folder and is_sorted else name}"
        for folder, name in zip(folders, names, strict=True)
    ]


def _use_one_thread() -> None:
    torch.set_num_threads(1)


def _make_pairs(task: _Task) -> tuple[list[str], NDArray[np.uint8]]:
    """The names of the photographs that could be measured, and their pairs (n, 8, S, S)."""
    from rotation.geometry.return_trip import measure_for_return, return_crops

    read = list(_read(task))
    names, pairs = [], []
    heads = measure_for_return([pixels for _, pixels in read], task.size)
    for (name, _), head in zip(read, heads, strict=True):
        if head is None:
            continue
        share = int(_hash(task.seed, f"angle {name}")[:12], 16) / 16**12
        truth, parts = return_crops(head, draw_angle(head.yaw_deg, share), task.size)
        yaw = torch.full_like(parts.known, encode_yaw(head.yaw_deg))
        planes = torch.cat([truth, parts.image, parts.known, yaw])
        pairs.append((planes.clamp(0, 1) * 255).round().byte().numpy())
        names.append(name)
    empty = np.empty((0, PLANES, task.size, task.size), np.uint8)
    return names, np.stack(pairs) if pairs else empty


def _read(task: _Task) -> Iterator[tuple[str, Pixels]]:
    with open_source(task.source) as images:
        for name in task.names:
            try:
                yield name, np.asarray(read_image(images, name).convert("RGB"))
            except ImageError as error:
                LOG.warning("%s is left out: %s", name, error)


def draw_angle(yaw_deg: float, share: float) -> float:
    """The angle to turn a head forth by, from a share in [0, 1) of those that are possible.

    Heads are turned by 45 degrees at most (`return_trip.MAX_SOURCE_YAW_DEG`), so some are.
    """
    low, high = (edge - yaw_deg for edge in (-MOST_DEG, MOST_DEG))
    low, high = max(low, -MOST_DEG), min(high, MOST_DEG)
    left, right = max(0.0, -LEAST_DEG - low), max(0.0, high - LEAST_DEG)
    place = share * (left + right)
    return low + place if place < left else LEAST_DEG + place - left


def encode_yaw(yaw_deg: float) -> float:
    """A yaw as a value of a plane, from 0 (-90 degrees) to 1 (90 degrees)."""
    return min(max(yaw_deg / 180 + 0.5, 0.0), 1.0)


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
