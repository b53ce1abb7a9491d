"""Joining several stores of latents into one with rows sorted by key.

The result depends only on the latents that were stored. The number of shards, their order and
interruptions do not change a byte of it.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rotation.errors import DatasetError
from rotation.file_locks import own_folder
from rotation.latents.store import (
    ENTRY,
    ROW_TYPE,
    SETTINGS,
    entry_keys,
    make_entries,
    map_rows,
    read_entries,
)
from rotation.reading import read_json

AT_ONCE = 512  # rows in memory


@dataclass(frozen=True)
class MergedStore:
    """The merged store of one model.

    Attributes:
        rows: how many rows it has.
        repeated: how many more sound rows the sources had under the same keys.
        damaged: how many rows were damaged and are left out.
    """

    folder: Path
    rows: int
    repeated: int
    damaged: int


def merge(sources: Sequence[Path], out: Path) -> list[MergedStore]:
    """Join stores into new ones under `out`, one for each model, with rows sorted by key.

    If several rows have the same key, the one with the smallest bytes is taken. No process may
    write to the sources meanwhile. Each new store appears complete or not at all.

    Parameters:
        sources: folders as `LatentStore` takes them, each with the stores of one or more models.

    Raises:
        DatasetError: a source holds no store, or `out` holds a store of one of the models.
    """
    found: dict[str, list[Path]] = {}
    for source in sources:
        folders = sorted(path.parent for path in source.glob(f"*/{SETTINGS}"))
        if not folders:
            raise DatasetError(f"{source} holds no store of latents.")
        for folder in folders:
            found.setdefault(folder.name, []).append(folder)
    taken = [name for name in found if (out / name).exists()]
    if taken:
        raise DatasetError(f"{out} holds the store {taken[0]} already; merge into a new folder.")
    try:
        with own_folder(out):
            return [_merge_model(folders, out / name) for name, folders in found.items()]
    except OSError as error:
        raise DatasetError(f"{out}: cannot be written ({error.strerror}).") from None


def _read_shape(path: Path) -> list[int]:
    try:
        return [int(side) for side in read_json(path)["shape"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not the settings of a store of latents ({error!r}).") from None


class _Shards:
    """The rows of several stores of one model, numbered from 0 across the stores."""

    def __init__(self, folders: Sequence[Path]) -> None:
        shape = _read_shape(folders[0] / SETTINGS)
        self._rows = [
            map_rows(folder / "rows", int(np.prod(shape)) * ROW_TYPE.itemsize) for folder in folders
        ]
        indexes = [read_entries(folder / "index") for folder in folders]
        self._places = [(shard, k) for shard, part in enumerate(indexes) for k in range(len(part))]
        self._crcs = np.concatenate([part["row_crc"] for part in indexes])
        self.keys = [key for part in indexes for key in entry_keys(part)]

    def row(self, number: int) -> NDArray[np.float16] | None:
        """A row (D,), or None if it is incomplete or does not match its checksum."""
        shard, k = self._places[number]
        rows = self._rows[shard]
        if k >= len(rows) or zlib.crc32(rows[k]) != self._crcs[number]:
            return None
        return rows[k]


def _merge_model(folders: Sequence[Path], out: Path) -> MergedStore:
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shutil.copy(folders[0] / SETTINGS, partial / SETTINGS)
    counts = _Counts()
    with (partial / "rows").open("wb") as rows, (partial / "index").open("wb") as index:
        for digests, values in _batches(_Shards(folders), counts):
            rows.write(values.tobytes())
            index.write(make_entries(digests, values).tobytes())
        for file in (rows, index):
            file.flush()
            os.fsync(file.fileno())
    kept = (partial / "index").stat().st_size // ENTRY.itemsize
    os.replace(partial, out)
    return MergedStore(out, kept, counts.repeated, counts.damaged)


@dataclass
class _Counts:
    repeated: int = 0
    damaged: int = 0


def _batches(shards: _Shards, counts: _Counts) -> Iterator[tuple[list[bytes], NDArray[np.float16]]]:
    """Key digests and rows (N, D) in the order of the keys, `AT_ONCE` at a time."""
    order = sorted(range(len(shards.keys)), key=shards.keys.__getitem__)
    digests: list[bytes] = []
    values: list[NDArray[np.float16]] = []
    for key, numbers in groupby(order, key=shards.keys.__getitem__):
        rows = [shards.row(number) for number in numbers]
        sound = [row for row in rows if row is not None]
        counts.damaged += len(rows) - len(sound)
        counts.repeated += max(0, len(sound) - 1)
        if sound:
            digests.append(key)
            values.append(sound[0] if len(sound) == 1 else min(sound, key=bytes))
        if len(digests) == AT_ONCE:
            yield digests, np.stack(values)
            digests, values = [], []
    if digests:
        yield digests, np.stack(values)
