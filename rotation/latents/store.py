"""An append-only store of latents on disk, so that each image is encoded once.

A store has two files for each model. `rows` holds float16 latents one after the other. `index`
holds one entry a row: the image's key and the row's checksum. `store.json` names the model.

A row is written and flushed before its entry, and every entry has a checksum of its own. So a crash
leaves at most some bytes without an entry, and the next `put` writes over them.
`rotation.latents.merge` joins several stores into one.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rotation.errors import DatasetError
from rotation.file_locks import lock_open_file

ENTRY = np.dtype([("key", "V32"), ("row_crc", "<u4"), ("entry_crc", "<u4")])
ROW_TYPE = np.dtype("<f2")
SETTINGS = "store.json"
_CHUNK_BYTES = 2**25  # of rows that are widened to float32 at once


class LatentStore:
    """Latents of one model by image key. Several processes may use one folder at once.

    Values are kept in float16. This rounds latents of size one by at most 0.0005.

    Parameters:
        folder: holds the stores of all models; it is made if it does not exist.
        fingerprint: of the model and encoder; each fingerprint has a store of its own.
        shape: of one latent, (C, H, W).
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
        _write_settings(self._folder / SETTINGS, fingerprint, self._shape)
        self._entries = np.empty(0, ENTRY)
        self._positions: dict[bytes, int] = {}
        self._refresh()

    @classmethod
    def in_cache(cls, cache: Path, fingerprint: str, image_size: int) -> LatentStore:
        """The store of latents (3, S, S) in a cache folder, where S is `image_size`.

        Raises:
            DatasetError: the folder cannot be written.
        """
        try:
            return cls(cache / "latents", fingerprint, (3, image_size, image_size))
        except OSError as error:
            raise DatasetError(f"--cache {cache}: cannot be written ({error.strerror}).") from None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def folder(self) -> Path:
        """The folder of this model's files."""
        return self._folder

    def get(self, keys: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which keys (N) are stored, bool (N,), and their latents (N, C, H, W), float32.

        Latents of keys that are not found are zero. A row that does not match its checksum is
        treated as not found.
        """
        self._refresh()
        found = np.zeros(len(keys), dtype=bool)
        values = np.empty((len(keys), self._row_bytes // ROW_TYPE.itemsize), dtype=np.float32)
        positions = [self._positions.get(key_digest(key)) for key in keys]
        chunk = max(1, _CHUNK_BYTES // self._row_bytes)
        with self._rows.open("rb", buffering=0) as file:
            for start in range(0, len(keys), chunk):
                part = slice(start, start + chunk)
                found[part], halves = self._read(file.fileno(), positions[part])
                # torch widens float16 eight times as fast as numpy.
                torch.from_numpy(values[part]).copy_(torch.from_numpy(halves))
        return found, values.reshape(len(keys), *self._shape)

    def _read(
        self, file: int, positions: Sequence[int | None]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float16]]:
        """Which rows (n,) are there and match their checksums, and the rows (n, D); others are 0.

        Rows that lie one after the other are read at once. The system is told of all of them
        before, so that it can fetch scattered ones in parallel.
        """
        found = np.zeros(len(positions), dtype=bool)
        rows = np.zeros((len(positions), self._row_bytes // ROW_TYPE.itemsize), np.float16)
        runs = _consecutive(positions)
        if hasattr(os, "posix_fadvise"):
            for first, places in runs:
                extent = first * self._row_bytes, len(places) * self._row_bytes
                os.posix_fadvise(file, *extent, os.POSIX_FADV_WILLNEED)
        crcs = self._entries["row_crc"]
        for first, places in runs:
            data = os.pread(file, len(places) * self._row_bytes, first * self._row_bytes)
            whole = len(data) // self._row_bytes  # fewer, if the file was cut off
            read = np.frombuffer(data[: whole * self._row_bytes], ROW_TYPE).reshape(
                -1, rows.shape[1]
            )
            for position, (place, row) in enumerate(zip(places, read, strict=False), start=first):
                if zlib.crc32(row.data) == crcs[position]:
                    found[place], rows[place] = True, row
        return found, rows

    def sound_keys(self) -> frozenset[bytes]:
        """The digests of the keys whose rows are stored and match their checksums."""
        self._refresh()
        rows, crcs = self._mapped(), self._entries["row_crc"]
        return frozenset(
            digest
            for digest, position in self._positions.items()
            if position < len(rows) and zlib.crc32(rows[position]) == crcs[position]
        )

    def put(self, keys: Sequence[str], values: NDArray[np.floating]) -> None:
        """Store latents (N, C, H, W) under keys (N). They are on the disk when this returns.

        A key that is stored already gets the new latent.

        Raises:
            DatasetError: the shape is another one, a value is not finite in float16, or the disk
                cannot be written.
        """
        rows = self._checked(keys, values)
        entries = make_entries([key_digest(key) for key in keys], rows)
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
        bad = [key for key, is_sound in zip(keys, sound.tolist(), strict=True) if not is_sound]
        if bad:
            raise DatasetError(
                f"{len(bad)} of {len(keys)} latents hold numbers that are not finite (NaN or "
                "beyond 65,504). The model does not fit these images, or its weights are damaged."
            )
        return rows

    def _refresh(self) -> None:
        """Read the entries added since the last call, up to the first damaged one."""
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
            lock_open_file(file)
            yield


def key_digest(key: str) -> bytes:
    """The digest (32 bytes) that stands for a key in the index."""
    return hashlib.sha256(key.encode()).digest()


def make_entries(digests: Sequence[bytes], rows: NDArray[np.float16]) -> NDArray[np.void]:
    """Index entries (N,) of rows (N, D), whose keys have these digests of 32 bytes."""
    entries = np.zeros(len(digests), ENTRY)
    entries["key"] = np.frombuffer(b"".join(digests), "V32")
    entries["row_crc"] = [zlib.crc32(row) for row in rows]
    entries["entry_crc"] = _entry_crcs(entries)
    return entries


def _entry_crcs(entries: NDArray[np.void]) -> NDArray[np.uint32]:
    """CRC-32 of each entry (N,) without its last field.

    The checksum of zeros is not 0, so a hole in the file is not taken for an entry. The loop goes
    over bytes instead of entries. This checks an index of CelebA's size ten times as fast as a
    loop over entries with `zlib.crc32`.
    """
    data = np.frombuffer(entries.tobytes(), np.uint8).reshape(len(entries), ENTRY.itemsize)
    crc = np.full(len(entries), 0xFFFFFFFF, np.uint32)
    for column in data[:, : ENTRY.itemsize - 4].T:
        crc = CRC_TABLE[(crc ^ column) & 0xFF] ^ (crc >> 8)
    return crc ^ np.uint32(0xFFFFFFFF)


def _crc_table() -> NDArray[np.uint32]:
    """The CRC-32 of each byte (256,), by the polynomial that zlib uses."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, np.uint32(0xEDB88320) ^ (table >> 1), table >> 1)
    return table


CRC_TABLE = _crc_table()


def read_entries(index: Path, known: int = 0) -> NDArray[np.void]:
    """The entries from number `known` on, up to the first damaged or incomplete one."""
    with index.open("rb") as file:
        file.seek(known * ENTRY.itemsize)
        data = file.read()
    entries = np.frombuffer(data[: len(data) // ENTRY.itemsize * ENTRY.itemsize], ENTRY)
    sound = _entry_crcs(entries) == entries["entry_crc"]
    return entries if sound.all() else entries[: int(np.argmin(sound))]


def entry_keys(entries: NDArray[np.void]) -> list[bytes]:
    """The digests of the entries' keys, 32 bytes each."""
    joined = np.ascontiguousarray(entries["key"]).tobytes()
    return [joined[start : start + 32] for start in range(0, len(joined), 32)]


def map_rows(path: Path, row_bytes: int) -> NDArray[np.float16]:
    """The complete rows (N, D) of a file, memory-mapped, with or without an entry."""
    count = path.stat().st_size // row_bytes
    shape = (count, row_bytes // ROW_TYPE.itemsize)
    return np.memmap(path, ROW_TYPE, "r", shape=shape) if count else np.empty(shape, ROW_TYPE)


def _write_settings(path: Path, fingerprint: str, shape: tuple[int, ...]) -> None:
    if not path.is_file():
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        text = json.dumps({"fingerprint": fingerprint, "shape": list(shape)}, indent=2)
        partial.write_text(text + "\n", "utf-8")
        os.replace(partial, path)


def _consecutive(positions: Sequence[int | None]) -> list[tuple[int, list[int]]]:
    """Runs of positions that follow one another: the first one, and the place of each in the list.

    A position that is asked for twice is in two runs. None is left out.
    """
    runs: list[tuple[int, list[int]]] = []
    known = sorted((at, place) for place, at in enumerate(positions) if at is not None)
    for position, place in known:
        if runs and position == runs[-1][0] + len(runs[-1][1]):
            runs[-1][1].append(place)
        else:
            runs.append((position, [place]))
    return runs


def _overwrite(path: Path, offset: int, data: bytes) -> None:
    """Replace all bytes from `offset` on by `data`, and flush the file to the disk."""
    with path.open("r+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
