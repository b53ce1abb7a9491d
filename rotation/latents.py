"""Latents on disk, so that an image is embedded once: an append-only, memory-mapped store.

Two files a model: `rows` holds float16 latents one after the other, `index` one entry a row with
the image's key and the row's checksum. A row is written and flushed before its entry, and every
entry carries a checksum of its own, so a crash at any moment leaves at most bytes that no entry
vouches for; the next `put` writes over them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rotation.errors import DatasetError

ENTRY = np.dtype([("key", "V32"), ("row_crc", "<u4"), ("entry_crc", "<u4")])
ROW_TYPE = np.dtype("<f2")


class LatentStore:
    """Latents by image key, for one model. Several processes may use one folder at once.

    `folder` is made where missing; `fingerprint` is the model's (`LatentModel.fingerprint`) and
    parts its latents from those of others; `shape` is that of one latent, (C, H, W). Values are
    kept in float16: a rounding of 0.0005 against latents of size one.
    """

    def __init__(self, folder: Path | str, fingerprint: str, shape: Sequence[int]) -> None:
        self._shape = tuple(int(side) for side in shape)
        self._row_bytes = int(np.prod(self._shape)) * ROW_TYPE.itemsize
        sides = "x".join(map(str, self._shape))
        name = hashlib.sha256(f"{fingerprint} {sides}".encode()).hexdigest()[:24]
        self._folder = Path(folder) / name
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in (self._rows, self._index):
            path.touch()
        self._entries = np.empty(0, ENTRY)
        self._positions: dict[bytes, int] = {}
        self._refresh()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, keys: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which keys (N) are stored, bool (N,), and their latents (N, C, H, W), float32.

        Rows of keys not found are zero. A row whose bytes do not match their checksum counts as
        not found.
        """
        self._refresh()
        found = np.zeros(len(keys), dtype=bool)
        values = np.zeros((len(keys), *self._shape), dtype=np.float32)
        rows = self._mapped()
        for place, key in enumerate(keys):
            position = self._positions.get(_digest(key))
            if position is None or position >= len(rows):
                continue
            row = rows[position]
            if zlib.crc32(row) == self._entries["row_crc"][position]:
                found[place] = True
                values[place] = row.reshape(self._shape)
        return found, values

    def put(self, keys: Sequence[str], values: NDArray[np.floating]) -> None:
        """Store latents (N, C, H, W) under keys (N); on return they are on the disk.

        A key stored before gets the new latent. Raises `DatasetError` for another shape, or for
        values that are no numbers or do not fit into float16, or where the disk takes no more.
        """
        rows = self._checked(keys, values)
        entries = _entries([_digest(key) for key in keys], rows)
        try:
            with self._locked():
                self._refresh()
                _overwrite(self._rows, len(self) * self._row_bytes, rows.tobytes())
                _overwrite(self._index, len(self) * ENTRY.itemsize, entries.tobytes())
                self._refresh()
        except OSError as error:
            raise DatasetError(f"{self._folder}: cannot be written ({error.strerror}).") from None

    @property
    def _rows(self) -> Path:
        return self._folder / "rows"

    @property
    def _index(self) -> Path:
        return self._folder / "index"

    def _checked(self, keys: Sequence[str], values: NDArray[np.floating]) -> NDArray[np.float16]:
        if values.shape != (len(keys), *self._shape):
            raise DatasetError(
                f"{len(keys)} latents of shape {self._shape} are needed, not {values.shape}."
            )
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(values, dtype=ROW_TYPE).reshape(len(keys), -1)
        bad = [key for key, row in zip(keys, rows, strict=True) if not np.isfinite(row).all()]
        if bad:
            raise DatasetError(f"The latents of {', '.join(bad[:5])} hold no usable numbers.")
        return rows

    def _refresh(self) -> None:
        """Read the entries that were added since, up to the first that is damaged."""
        known = len(self._entries)
        with self._index.open("rb") as file:
            file.seek(known * ENTRY.itemsize)
            data = file.read()
        new = np.frombuffer(data[: len(data) // ENTRY.itemsize * ENTRY.itemsize], ENTRY)
        sound = _entry_crcs(new) == new["entry_crc"]
        new = new if sound.all() else new[: int(np.argmin(sound))]
        for position, key in enumerate(new["key"], start=known):
            self._positions[key.tobytes()] = position
        self._entries = np.concatenate([self._entries, new])

    def _mapped(self) -> NDArray[np.float16]:
        count = self._rows.stat().st_size // self._row_bytes
        if count == 0:
            return np.empty((0, self._row_bytes // ROW_TYPE.itemsize), ROW_TYPE)
        shape = (count, self._row_bytes // ROW_TYPE.itemsize)
        return np.memmap(self._rows, ROW_TYPE, "r", shape=shape)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _entries(keys: Sequence[bytes], rows: NDArray[np.float16]) -> NDArray[np.void]:
    entries = np.zeros(len(keys), ENTRY)
    for entry, key, row in zip(entries, keys, rows, strict=True):
        entry["key"] = np.void(key)
        entry["row_crc"] = zlib.crc32(row)
    entries["entry_crc"] = _entry_crcs(entries)
    return entries


def _entry_crcs(entries: NDArray[np.void]) -> NDArray[np.uint32]:
    """Checksum of each entry's first part; never 0 for zeros, so a hole in a file is no entry."""
    size = ENTRY.itemsize - 4
    return np.array([zlib.crc32(entry.tobytes()[:size]) for entry in entries], dtype=np.uint32)


def _overwrite(path: Path, offset: int, data: bytes) -> None:
    """Make the file end with `data` from `offset` on, and bring it to the disk."""
    with path.open("r+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
