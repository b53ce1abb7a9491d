"""Training images, rendered or real, as one uint8 array on disk; and the held-out split."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from rotation.child_processes import SpawnPool
from rotation.data.crop import read_crop
from rotation.data.image_set import open_images, read_matching_tables
from rotation.data.image_source import ImageSource
from rotation.data.sources import open_source
from rotation.errors import DatasetError, ImageError
from rotation.file_locks import hold_lock
from rotation.reading import read_json, real_path

LOG = logging.getLogger(__name__)
CHUNK = 100  # images per task of the pool


@dataclass(frozen=True)
class Images:
    """`pixels` uint8 (N, C, S, S), memory-mapped; `people` (N,) int64, -1 where not known."""

    pixels: torch.Tensor
    people: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Split:
    """Rising row numbers to train on, and held out; no person is in both."""

    train: NDArray[np.int64]
    held_out: NDArray[np.int64]


def split_rows(people: NDArray[np.int64], holdout: int, seed: int, last: bool = False) -> Split:
    """Hold out people drawn at random, with all their images, until `holdout` images are reached.

    Parameters:
        people: the person of each image, (N,). Each image of an unknown person (-1) counts as a
            person of its own.
        holdout: the least number of images to hold out.
        seed: seed of the random choice.
        last: hold out the last `holdout` images instead. Other images of their people are in
            neither part. Use it for a run that starts from a model trained on the first images.

    Raises:
        DatasetError: too few images are left to train on.
    """
    count = len(people)
    if not 0 <= holdout < count:
        raise DatasetError(
            f"{count} images are too few to hold out {holdout} and train on others. "
            "Give a smaller --holdout."
        )
    alone = people.max(initial=0) + 1 + np.arange(count)
    _, person = np.unique(np.where(people < 0, alone, people), return_inverse=True)
    if last:
        return _split_last(person, count - holdout)
    order = np.random.default_rng(seed).permutation(person.max() + 1)
    sizes = np.bincount(person)[order]
    kept_aside = order[: np.searchsorted(np.cumsum(sizes), holdout) + 1] if holdout else order[:0]
    aside = np.isin(person, kept_aside)
    if aside.all():
        raise DatasetError("Holding out whole people leaves none to train on; lower --holdout.")
    return Split(np.flatnonzero(~aside), np.flatnonzero(aside))


def _split_last(person: NDArray[np.int64], first: int) -> Split:
    rows = np.arange(len(person))
    train = rows[:first][~np.isin(person[:first], person[first:])]
    if not len(train):
        raise DatasetError("Everyone is also among the last images; lower --holdout.")
    return Split(train, rows[first:])


def batch_rows(rows: NDArray[np.int64], size: int, step: int, seed: int) -> NDArray[np.int64]:
    """The rows of batch number `step`. Each epoch takes all rows once, in its own random order.

    The result depends on the arguments alone, so a resumed run needs no stored position.
    """
    first = step * size
    epochs = range(first // len(rows), (first + size - 1) // len(rows) + 1)
    orders = [np.random.default_rng((seed, epoch)).permutation(rows) for epoch in epochs]
    start = first - epochs[0] * len(rows)
    return np.concatenate(orders)[start : start + size]


def synthetic_images(count: int, cache: Path, size: int = 64, workers: int = 0) -> Images:
    """`count` rendered heads, identities 0 onwards, one image each; kept in `cache`."""
    path = cache / f"synthetic-{count}-{size}.npy"
    with preparing(path):
        if not path.is_file():
            parts = _render(count, size, workers or os.cpu_count() or 1)
            store_array(path, (count, size, size, 3), parts)
        return _open(path, np.arange(count, dtype=np.int64))


def folder_images(source: Path, cache: Path, size: int = 64) -> Images:
    """The standard crops of a folder or zip of images (CelebA as distributed, or any other).

    Crops are kept in `cache`, and updated for new and changed images. A file that cannot be decoded
    is left out and logged by name.

    Raises:
        DatasetError: no image can be decoded.
    """
    digest = hashlib.sha256(str(real_path(source)).encode()).hexdigest()[:16]
    path = cache / f"crops-{digest}-{size}.npy"
    with open_images(source) as images, preparing(path):
        kept = _refresh_crops(images, path, size)
        if not kept:
            count = len(images.names())
            raise DatasetError(f"{source}: none of the {count} images can be decoded.")
        return _open(path, _people(source, kept))


@contextmanager
def preparing(path: Path) -> Iterator[None]:
    """Let one process at a time prepare the images in a file; the next one finds them there."""

    def tell(holder: str) -> None:
        LOG.warning("Waiting until %s has prepared the images in %s.", holder, path)

    path.parent.mkdir(parents=True, exist_ok=True)
    with hold_lock(path.with_suffix(".lock"), tell):
        yield


def _refresh_crops(images: ImageSource, path: Path, size: int) -> list[str]:
    """Update the crops in the file `path`; returns the names of its rows."""
    names = images.names()
    found = tqdm(names, desc="checking", unit="image", delay=2)
    contents = {name: images.fingerprint(name) for name in found}
    before, kept = _read_listing(path)
    if contents == before:
        return kept
    old = np.load(path, mmap_mode="r") if kept else ()
    same = {
        name: crop
        for name, crop in zip(kept, old, strict=True)
        if contents.get(name) == before[name]
    }
    crops = _Crops(images, names, size, same)
    listing = _listing(path)
    listing.unlink(missing_ok=True)  # removed first, so that it never describes other rows
    store_array(path, (len(names), size, size, 3), crops)
    listing.write_text(json.dumps({"contents": contents, "rows": crops.read}), "utf-8")
    return crops.read


def _listing(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_listing(path: Path) -> tuple[dict[str, str], list[str]]:
    """Fingerprints by name, and the names of the rows; empty without a complete file."""
    if not path.is_file():
        return {}, []
    try:
        listing = read_json(_listing(path))
        return listing["contents"], listing["rows"]
    except (OSError, ValueError, TypeError, LookupError):
        return {}, []


def last_crops(source: Path, count: int, size: int = 64) -> torch.Tensor:
    """The crops of the last `count` readable images of a folder or zip, (N, 3, S, S) in [0, 1].

    Raises:
        DatasetError: no image can be decoded.
    """
    with open_source(source) as images:
        crops = list(islice(_Crops(images, images.names()[::-1], size), count))
    if not crops:
        raise DatasetError(f"{source}: no image can be decoded.")
    return torch.from_numpy(np.concatenate(crops[::-1])).permute(0, 3, 1, 2).float() / 255


class _Crops:
    """Iterates over the crops of readable images; afterwards `read` holds their names.

    `known` are crops of images that need not be read again.
    """

    def __init__(
        self,
        source: ImageSource,
        names: Sequence[str],
        size: int,
        known: Mapping[str, NDArray[np.uint8]] | None = None,
    ) -> None:
        self._source, self._names, self._size = source, names, size
        self._known = known or {}
        self.read: list[str] = []

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        self.read = []
        for name in tqdm(self._names, desc="cropping", unit="image", delay=2):
            try:
                crop = self._crop(name)
            except ImageError as error:
                LOG.warning("%s is left out: %s", name, error)
                continue
            self.read.append(name)
            yield crop[None]

    def _crop(self, name: str) -> NDArray[np.uint8]:
        known = self._known.get(name)
        return read_crop(self._source, name, self._size) if known is None else known


def _people(source: Path, names: Sequence[str]) -> NDArray[np.int64]:
    table = read_matching_tables(source, names).identities
    if table is None:
        return np.full(len(names), -1, dtype=np.int64)
    rows = [table.index.get(name, -1) for name in names]
    return np.array([table.values[row, 0] if row >= 0 else -1 for row in rows], dtype=np.int64)


def _render(count: int, size: int, workers: int) -> Iterator[NDArray[np.uint8]]:
    starts = range(0, count, CHUNK)
    tasks = [(start, min(CHUNK, count - start), size) for start in starts]
    with SpawnPool(workers) as pool:
        yield from tqdm(
            pool.map(_render_chunk, tasks), total=len(tasks), desc="rendering", unit_scale=CHUNK
        )


def _render_chunk(task: tuple[int, int, int]) -> NDArray[np.uint8]:
    from rotation.synthetic_heads.renderer import render
    from rotation.synthetic_heads.sampling import pose_head, sample_identity, sample_scene

    start, count, size = task
    people = range(start, start + count)
    # Person k has scene k, so heads do not depend on the count or on the chunks.
    return render([pose_head(sample_identity(k), sample_scene(k)) for k in people], size)


def store_array(path: Path, shape: tuple[int, ...], parts: Iterable[NDArray[np.uint8]]) -> None:
    """Write parts (n, ...), one after another, as one uint8 array; it appears when complete.

    Parameters:
        shape: of the array; the number of rows is corrected at the end.
    """
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        _write_header(file, shape)
        written = 0
        for part in parts:
            file.write(np.ascontiguousarray(part).tobytes())
            written += len(part)
        file.seek(0)
        _write_header(file, (written, *shape[1:]))
    os.replace(partial, path)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the npy header, padded so that the number of rows can be corrected later."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _open(path: Path, people: NDArray[np.int64]) -> Images:
    return Images(open_array(path).permute(0, 3, 1, 2), people)


def open_array(path: Path) -> torch.Tensor:
    """An array of `store_array`, memory-mapped."""
    return torch.from_numpy(np.load(path, mmap_mode="c"))
