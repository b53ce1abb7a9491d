"""Where a pass runs: in this process, or on the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

from rotation.passes.needs import Needs

T = TypeVar("T")
R = TypeVar("R")


class Runner(Protocol):
    """Runs the tasks of a pass."""

    def __call__(
        self, worker: Callable[[T], R], tasks: Sequence[T], needs: Callable[[], Needs]
    ) -> Iterator[R]:
        """Yield the result of each task, in the order of the tasks.

        Parameters:
            worker: does a task. It loads its model with its first one. For another process it is
                pickled before that.
            needs: says what other processes need.

        Raises:
            RotationError: a process lacks something, or the work cannot go on.
        """
        ...


def run_here(
    worker: Callable[[T], R], tasks: Sequence[T], needs: Callable[[], Needs]
) -> Iterator[R]:
    """Run the tasks in this process, which has what they need: see `Runner`."""
    return map(worker, tasks)


def open_runner(address: str | None) -> AbstractContextManager[Runner]:
    """The runner for the option `--ray`: None is this process.

    Raises:
        RotationError: Ray is not installed, or the cluster cannot be reached.
    """
    if address is None:
        return nullcontext(run_here)
    from rotation.passes.on_ray import RayCluster  # only who asks for Ray loads it

    return RayCluster(address)
