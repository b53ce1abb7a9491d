"""Run a function on chunks of a data set, in this process or in several.

This module does not import SQL, so that a process of the pool starts quickly.
"""

from __future__ import annotations

import pickle  # nosec B403  # between a process and those that it starts
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from rotation.child_processes import SpawnPool
from rotation.data.image_source import ImageSource
from rotation.data.sources import open_source
from rotation.remote_paths import RemotePath

T = TypeVar("T")
R = TypeVar("R")

_packed = b""  # what a process of the pool opens


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
        with SpawnPool(processes, _take, (pickle.dumps(source),)) as pool:
            yield from pool.map(partial(_work_on_opened, work), chunks)


def _take(packed: bytes) -> None:
    global _packed  # noqa: PLW0603  one per process, set by the pool's initialiser
    _packed = packed


@cache
def _open() -> ImageSource:
    """The source of this process.

    It is opened by the first task and not by the pool's initialiser, whose errors nobody gets.
    """
    source: ImageSource = pickle.loads(_packed)  # nosec B301  # from the process that started this
    return source


def _work_on_opened(work: Callable[[ImageSource, T], R], chunk: T) -> R:
    return work(_open(), chunk)
