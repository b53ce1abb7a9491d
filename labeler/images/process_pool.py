"""Work on the images of a data set chunk by chunk, here or in several processes.

Nothing here imports SQL, so that a process of the pool starts quickly.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

from rotation.data.sources import ImageSource, open_source

T = TypeVar("T")
R = TypeVar("R")

_source: ImageSource | None = None  # of a process of the pool, opened once


def map_chunks(
    path: str, work: Callable[[ImageSource, T], R], chunks: Sequence[T], processes: int
) -> Iterator[R]:
    """`work(source, chunk)` for each chunk, in order.

    Parameters:
        path: the folder or zip, as `rotation.data.sources.open_source` takes it.
        work: a function of a module, since other processes must find it.
        processes: 1: no other process than this.

    Raises:
        DatasetError: the folder or zip cannot be opened.
    """
    # Opened here in any case: a data set that is gone is an error of ours, not of a process.
    with open_source(path) as source:
        if processes == 1:
            yield from (work(source, chunk) for chunk in chunks)
            return
    # Not forked: the caller may have threads, locks and database connections.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _open, (path,)) as pool:
        try:
            yield from pool.map(partial(_work_on_opened, work), chunks)
        finally:
            pool.shutdown(cancel_futures=True)


def _open(path: str) -> None:
    global _source  # noqa: PLW0603  one a process, set by the pool's initialiser
    _source = open_source(path)


def _work_on_opened(work: Callable[[ImageSource, T], R], chunk: T) -> R:
    assert _source is not None
    return work(_source, chunk)
