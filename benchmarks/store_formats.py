#!/usr/bin/env python3
"""Compare formats of a store of latents at CelebA's size, beside dd on the same disk.

Rows of 3x64x64 in half precision (5 GB at full size) are appended in batches, each of which is on
the disk before the next one. Then 400 rows drawn at random are read by their keys, as the members
of a cluster are. Then all rows are read once, and the slope of a line over yaw is fitted to them as
a weighted sum, batch by batch. Formats:

    store     what the engine uses (`LatentStore`): rows one after the other, and an index; each
              row is checked by its checksum
    parquet   a file of fixed-size rows and their keys for each batch, in groups of 64 rows
              (pyarrow, no compression)

pyarrow comes with the extra `distributed`. Before each reading the system is asked to forget the
files. Memory is the largest anonymous memory of the process; pages of mapped files are not counted.
The disk needs 16 GB.

Example:
    OMP_NUM_THREADS=1 python benchmarks/store_formats.py --rows 202599 --folder DIR --json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import _project  # noqa: F401
import numpy as np
import torch
from latent_store import BATCH, ROW_BYTES, SHAPE, dd, forget, values_of
from numpy.typing import NDArray

from rotation.latents.store import LatentStore

MEMBERS = 400
DRAWS = 5
ROW_GROUP = 64
Rows = NDArray[np.floating]


class Format(Protocol):
    """A store of rows by key, in a folder."""

    def __init__(self, folder: Path) -> None: ...

    def put(self, keys: Sequence[str], values: Rows) -> None:
        """Append rows (n, C, H, W) and flush them to the disk."""

    def get(self, keys: Sequence[str]) -> Rows:
        """The rows (n, C, H, W) of keys."""

    def batches(self, count: int) -> Iterator[Rows]:
        """All `count` rows in the order of the keys, as (n, D)."""


class Store:
    """The engine's own store."""

    def __init__(self, folder: Path) -> None:
        self._store = LatentStore(folder, "benchmark", SHAPE)

    def put(self, keys: Sequence[str], values: Rows) -> None:
        self._store.put(keys, values)

    def get(self, keys: Sequence[str]) -> Rows:
        found, values = self._store.get(keys)
        assert found.all()
        return values

    def batches(self, count: int) -> Iterator[Rows]:
        for start in range(0, count, BATCH):
            keys = [str(n) for n in range(start, min(start + BATCH, count))]
            yield self.get(keys).reshape(len(keys), -1)


class Parquet:
    """A folder of Parquet files, one for each batch."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._places: dict[str, tuple[Path, int]] = {}
        for path in sorted(folder.glob("*.parquet")):
            self._learn(path)

    def put(self, keys: Sequence[str], values: Rows) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        rows = np.ascontiguousarray(values, np.float16).reshape(len(keys), -1)
        buffer = pa.py_buffer(rows)
        column = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(rows.shape[1] * 2), len(keys), [None, buffer]
        )
        path = self._folder / f"{len(list(self._folder.iterdir())):06d}.parquet"
        table = pa.table({"key": list(keys), "latent": column})
        with path.open("wb") as file:
            parquet.write_table(
                table,
                file,
                row_group_size=ROW_GROUP,
                compression="none",
                use_dictionary=False,
                write_statistics=False,
            )
            file.flush()
            os.fsync(file.fileno())
        self._places.update((key, (path, row)) for row, key in enumerate(keys))

    def get(self, keys: Sequence[str]) -> Rows:
        from pyarrow import parquet

        by_group: dict[tuple[Path, int], list[tuple[int, int]]] = {}
        for place, key in enumerate(keys):
            path, row = self._places[key]
            group, at = divmod(row, ROW_GROUP)
            by_group.setdefault((path, group), []).append((place, at))
        values = np.empty((len(keys), ROW_BYTES // 2), np.float32)
        for (path, group), wanted in by_group.items():
            with parquet.ParquetFile(path) as file:
                rows = _rows_of(file.read_row_group(group, columns=["latent"]))
            for place, at in wanted:
                values[place] = rows[at]
        return values.reshape(len(keys), *SHAPE)

    def batches(self, count: int) -> Iterator[Rows]:
        from pyarrow import parquet

        for path in sorted(self._folder.glob("*.parquet")):
            yield _rows_of(parquet.read_table(path, columns=["latent"]))

    def _learn(self, path: Path) -> None:
        from pyarrow import parquet

        keys = parquet.read_table(path, columns=["key"])["key"].to_pylist()
        self._places.update((key, (path, row)) for row, key in enumerate(keys))


def _rows_of(table: Any) -> Rows:
    """The rows (n, D) of a table in float32, widened by torch as the store's are."""
    column = table["latent"].combine_chunks()
    rows = np.frombuffer(column.buffers()[1], np.float16).reshape(len(column), -1)
    wide: Rows = torch.from_numpy(rows.copy()).float().numpy()
    return wide


FORMATS: dict[str, type[Format]] = {"store": Store, "parquet": Parquet}


def write(kind: type[Format], folder: Path, count: int) -> dict[str, float]:
    """Append all rows; seconds and bytes."""
    pool = np.random.default_rng(0).standard_normal((BATCH, *SHAPE)).astype(np.float16)
    store = kind(folder)
    began = time.perf_counter()
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        store.put([str(start + n) for n in range(size)], values_of(start, size, pool))
    seconds = time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"seconds": seconds, "bytes": size}


def members(kind: type[Format], folder: Path, count: int) -> dict[str, float]:
    """Open, and read rows drawn at random; median seconds of one draw."""
    rng = np.random.default_rng(1)
    began = time.perf_counter()
    store = kind(folder)
    opened = time.perf_counter() - began
    spent = []
    for _ in range(DRAWS):
        forget(folder)
        numbers = rng.choice(count, min(MEMBERS, count), replace=False)
        began = time.perf_counter()
        values = store.get([str(n) for n in numbers])
        spent.append(time.perf_counter() - began)
        assert (values[:, 0, 0, 0] == numbers % 2048).all()
    return {"open": opened, "seconds": float(np.median(spent))}


def fit(kind: type[Format], folder: Path, count: int) -> dict[str, float]:
    """Fit the slope of each coordinate over yaw to all rows, read once."""
    yaw = np.random.default_rng(2).uniform(-40, 40, count)
    weights = ((yaw - yaw.mean()) / np.square(yaw - yaw.mean()).sum()).astype(np.float32)
    store = kind(folder)
    forget(folder)
    began = time.perf_counter()
    slope, done = np.zeros(ROW_BYTES // 2), 0
    for rows in store.batches(count):
        slope += weights[done : done + len(rows)] @ rows
        done += len(rows)
    assert done == count
    return {"seconds": time.perf_counter() - began, "slope": float(np.linalg.norm(slope))}


Step = Callable[[type[Format], Path, int], dict[str, float]]
STEPS: dict[str, Step] = {"write": write, "members": members, "fit": fit}


def in_process(step: str, name: str, folder: Path, count: int) -> dict[str, float]:
    """One step in a process of its own, with its largest anonymous memory in bytes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_watched, (step, name, folder, count))


def _watched(step: str, name: str, folder: Path, count: int) -> dict[str, float]:
    largest, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            status = Path("/proc/self/status").read_text(encoding="utf-8")
            line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
            largest[0] = max(largest[0], int(line.split()[1]) * 1024)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        found = STEPS[step](FORMATS[name], folder / name, count)
    finally:
        ended.set()
        watcher.join()
    return found | {"memory": largest[0]}


def main() -> None:
    """Measure the formats and print a table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=202_599)
    parser.add_argument("--folder", type=Path, help="On the disk to measure [the system's /tmp].")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    size = given.rows * ROW_BYTES
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place)
        if shutil.disk_usage(folder).free < 3 * size:
            raise SystemExit(f"{folder}: {3 * size >> 30} GiB must be free.")
        written, read = dd(folder, size)
        report: dict = {"rows": given.rows, "dd": {"write": written, "read": read}}
        for name in given.formats.split(","):
            report[name] = {step: in_process(step, name, folder, given.rows) for step in STEPS}
    if given.json:
        print(json.dumps(report, indent=2))
        return
    print(f"dd: write {size / written / 1e6:,.0f} MB/s, read {size / read / 1e6:,.0f} MB/s")
    for name in given.formats.split(","):
        one = report[name]
        print(
            f"{name}: write {size / one['write']['seconds'] / 1e6:,.0f} MB/s, "
            f"{one['write']['bytes'] / 1e9:.2f} GB, {MEMBERS} members "
            f"{one['members']['seconds'] * 1000:,.0f} ms, fit "
            f"{size / one['fit']['seconds'] / 1e6:,.0f} MB/s "
            f"({read / one['fit']['seconds']:.2f} of dd), memory "
            f"{max(step['memory'] for step in one.values()) / 1e6:,.0f} MB"
        )


if __name__ == "__main__":
    main()
