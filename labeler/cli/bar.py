"""A progress bar for the functions that report (done, total)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(label: str, unit: str = " images") -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, with the time left; silent where that is no terminal."""
    with tqdm(desc=label, unit=unit, disable=None) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
