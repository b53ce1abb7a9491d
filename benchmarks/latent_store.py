"""Time the latent store at CelebA's size, beside dd on the same disk in the same run.

Latents of 3x64x64 in half precision (5 GB at full size) are written through `LatentStore.put`, and
each batch is flushed to disk. The store is opened again, and every row is read back through `get`.
Checksums and a share of the values are compared. Then stores are merged. dd writes and reads the
same number of bytes. All files are deleted afterwards. The disk needs three times the size.

Example:
    python benchmarks/latent_store.py --rows 202599 --folder DIR --json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import _project  # noqa: F401
import numpy as np

from rotation.latents.merge import merge
from rotation.latents.store import LatentStore

SHAPE = (3, 64, 64)
ROW_BYTES = 2 * 3 * 64 * 64
BATCH = 1024


def timed(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def forget(folder: Path) -> None:
    """Ask the system to drop the files' pages, so that reading comes from the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def values_of(start: int, count: int, pool: np.ndarray) -> np.ndarray:
    """Rows that can be recognised: noise whose first value is the row's number."""
    rows = pool[:count].copy()
    rows[:, 0, 0, 0] = np.arange(start, start + count) % 2048
    return rows


def fill(store: LatentStore, rows: int, pool: np.ndarray) -> None:
    for start in range(0, rows, BATCH):
        count = min(BATCH, rows - start)
        store.put([str(i) for i in range(start, start + count)], values_of(start, count, pool))


def check(store: LatentStore, rows: int) -> None:
    for start in range(0, rows, BATCH):
        numbers = range(start, min(start + BATCH, rows))
        found, values = store.get([str(i) for i in numbers])
        if not found.all() or (values[:, 0, 0, 0] != np.array(numbers) % 2048).any():
            raise SystemExit(f"rows from {start} on came back otherwise than they were put")


def dd(folder: Path, size: int) -> tuple[float, float]:
    """Seconds to write (flushed) and to read `size` bytes."""
    path, blocks = folder / "dd", size // 2**20
    write = ["dd", "if=/dev/zero", f"of={path}", "bs=1M", f"count={blocks}", "conv=fsync"]
    written = timed(lambda: subprocess.run(write, check=True, stderr=subprocess.DEVNULL))
    forget(folder)
    read = ["dd", f"if={path}", "of=/dev/null", "bs=1M"]
    back = timed(lambda: subprocess.run(read, check=True, stderr=subprocess.DEVNULL))
    path.unlink()
    return written, back


def run(rows: int, folder: Path) -> dict[str, float]:
    size = rows * ROW_BYTES
    if shutil.disk_usage(folder).free < 3 * size:
        raise SystemExit(f"{folder}: {3 * size >> 30} GiB must be free.")
    pool = np.random.default_rng(0).standard_normal((BATCH, *SHAPE)).astype(np.float16)
    dd_write, dd_read = dd(folder, size)
    store = LatentStore(folder / "a", "benchmark", SHAPE)
    write = timed(lambda: fill(store, rows, pool))
    forget(folder / "a")
    opened = timed(lambda: LatentStore(folder / "a", "benchmark", SHAPE))
    fresh = LatentStore(folder / "a", "benchmark", SHAPE)
    read = timed(lambda: check(fresh, rows))
    merging = timed(lambda: merge([folder / "a"], folder / "b"))
    again = timed(lambda: check(LatentStore(folder / "b", "benchmark", SHAPE), rows))
    seconds = {
        "dd write": dd_write,
        "put": write,
        "dd read": dd_read,
        "get": read,
        "merge": merging,
        "get merged": again,
    }
    rates = {f"{name}, MB/s": size / value / 1e6 for name, value in seconds.items()}
    return {"rows": rows, "bytes": size, "open, s": opened, **rates}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=202_599)
    parser.add_argument("--folder", type=Path, help="On the disk to measure [the system's /tmp].")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        found = run(given.rows, Path(folder))
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name:>20}: {value:,.3f}" if value < 10 else f"{name:>20}: {value:,.0f}")


if __name__ == "__main__":
    main()
