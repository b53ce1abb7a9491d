"""Run a function on chunks of a data set, in this process or in several.

This module does not import SQL, so that a process of the pool starts quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from rotation.child_processes import SpawnPool
from rotation.data.image_source import ImageSource
from rotation.data.sources import open_source
from rotation.remote_paths import RemotePath

T = TypeVar("T")
R = TypeVar("R")

_source: ImageSource | None = None  # each process of the pool opens it once


def map_chunks(
    path: str | Path | RemotePath,
    work: Callable[[ImageSource, T], R],
    chunks: Sequence[T],
    processes: int,
    *,
    own_process: bool = False,
) -> Iterator[R]:
    """Return `work(source, chunk)` for each chunk, in order.

    Parameters:
        path: the folder or zip file of the data set, or one in a store.
        work: a function at the top level of a module, so that other processes can import it.
        processes: number of processes; 1 uses this process.
        own_process: do not use this process even then, for example because of torch.

    Raises:
        DatasetError: the folder or zip file cannot be opened.
    """
    # Opened here first, so that a missing data set is reported by this process.
    with open_source(path) as source:
        if processes == 1 and not own_process:
            yield from (work(source, chunk) for chunk in chunks)
            return
        with SpawnPool(processes, _take, (source,)) as pool:
            yield from pool.map(partial(_work_on_opened, work), chunks)


def _take(source: ImageSource) -> None:
    global _source  # noqa: PLW0603  one per process, set by the pool's initialiser
    _source = source  # opened here when it was unpickled


def _work_on_opened(work: Callable[[ImageSource, T], R], chunk: T) -> R:
    assert _source is not None
    return work(_source, chunk)
