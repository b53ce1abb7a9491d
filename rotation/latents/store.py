"""Latents on disk, so that an image is embedded once: an append-only, memory-mapped store.

Two files a model: `rows` holds float16 latents one after the other, `index` one entry a row with
the image's key and the row's checksum. A row is written and flushed before its entry, and every
entry carries a checksum of its own, so a crash at any moment leaves at most bytes that no entry
vouches for; the next `put` writes over them. `store.json` says whose latents they are.

`merging.merge` joins stores, of shards or machines, into one whose rows are sorted by key: whoever
made them, in whatever order, the same latents give the same bytes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
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
SETTINGS = "store.json"


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
        _describe(self._folder / SETTINGS, fingerprint, self._shape)
        self._entries = np.empty(0, ENTRY)
        self._positions: dict[bytes, int] = {}
        self._refresh()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def folder(self) -> Path:
        """Where this model's files are, under the folder given."""
        return self._folder

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
        entries = make_entries([_digest(key) for key in keys], rows)
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
        sound = np.asarray(np.isfinite(rows).all(axis=1))
        bad = [key for key, fine in zip(keys, sound.tolist(), strict=True) if not fine]
        if bad:
            raise DatasetError(f"The latents of {', '.join(bad[:5])} hold no usable numbers.")
        return rows

    def _refresh(self) -> None:
        """Read the entries that were added since, up to the first that is damaged."""
        known = len(self._entries)
        new = read_entries(self._index, known)
        if not len(new):
            return
        self._positions.update(zip(entry_keys(new), range(known, known + len(new)), strict=True))
        self._entries = np.concatenate([self._entries, new])

    def _mapped(self) -> NDArray[np.float16]:
        return map_rows(self._rows, self._row_bytes)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def make_entries(digests: Sequence[bytes], rows: NDArray[np.float16]) -> NDArray[np.void]:
    """Index entries (N,) of rows (N, D) under key digests of 32 bytes."""
    entries = np.zeros(len(digests), ENTRY)
    entries["key"] = np.frombuffer(b"".join(digests), "V32")
    entries["row_crc"] = [zlib.crc32(row) for row in rows]
    entries["entry_crc"] = _entry_crcs(entries)
    return entries


def _entry_crcs(entries: NDArray[np.void]) -> NDArray[np.uint32]:
    """Checksum of each entry's first part; never 0 for zeros, so a hole in a file is no entry.

    zlib.crc32 of every entry at once, a byte of all of them at a time: an index of CelebA's size
    is checked in a tenth of the time that a loop over entries takes.
    """
    data = np.frombuffer(entries.tobytes(), np.uint8).reshape(len(entries), ENTRY.itemsize)
    crc = np.full(len(entries), 0xFFFFFFFF, np.uint32)
    for column in data[:, : ENTRY.itemsize - 4].T:
        crc = CRC_TABLE[(crc ^ column) & 0xFF] ^ (crc >> 8)
    return crc ^ np.uint32(0xFFFFFFFF)


def _crc_table() -> NDArray[np.uint32]:
    """The remainders of all bytes by the polynomial of zlib's CRC-32."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, np.uint32(0xEDB88320) ^ (table >> 1), table >> 1)
    return table


CRC_TABLE = _crc_table()


def read_entries(index: Path, known: int = 0) -> NDArray[np.void]:
    """The entries from number `known` on, up to the first that is damaged or cut."""
    with index.open("rb") as file:
        file.seek(known * ENTRY.itemsize)
        data = file.read()
    entries = np.frombuffer(data[: len(data) // ENTRY.itemsize * ENTRY.itemsize], ENTRY)
    sound = _entry_crcs(entries) == entries["entry_crc"]
    return entries if sound.all() else entries[: int(np.argmin(sound))]


def entry_keys(entries: NDArray[np.void]) -> list[bytes]:
    """The digests of the keys, 32 bytes each."""
    joined = np.ascontiguousarray(entries["key"]).tobytes()
    return [joined[start : start + 32] for start in range(0, len(joined), 32)]


def map_rows(path: Path, row_bytes: int) -> NDArray[np.float16]:
    """The whole rows of a file (N, D), memory-mapped, whether an entry vouches for them or not."""
    count = path.stat().st_size // row_bytes
    shape = (count, row_bytes // ROW_TYPE.itemsize)
    return np.memmap(path, ROW_TYPE, "r", shape=shape) if count else np.empty(shape, ROW_TYPE)


def _describe(path: Path, fingerprint: str, shape: tuple[int, ...]) -> None:
    if not path.is_file():
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        text = json.dumps({"fingerprint": fingerprint, "shape": list(shape)}, indent=2)
        partial.write_text(text + "\n", "utf-8")
        os.replace(partial, path)


def _overwrite(path: Path, offset: int, data: bytes) -> None:
    """Make the file end with `data` from `offset` on, and bring it to the disk."""
    with path.open("r+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
