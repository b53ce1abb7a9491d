"""Where a pass runs: in this process, or on the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rotation.passes.needs import Needs

T = TypeVar("T")
R = TypeVar("R")

FEW_TASKS = 4
"""Fewer tasks are done in less time than the processes of a cluster take to begin."""


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

    def check(self, needs: Callable[[], Needs]) -> None:
        """Check that passes with these needs can run, before long work that leads to them.

        Raises:
            RotationError: a process lacks something.
        """
        ...


class ThisProcess:
    """Runs the tasks in this process, which has what they need: see `Runner`."""

    def __call__(
        self, worker: Callable[[T], R], tasks: Sequence[T], needs: Callable[[], Needs]
    ) -> Iterator[R]:
        """See `Runner`."""
        return map(worker, tasks)

    def check(self, needs: Callable[[], Needs]) -> None:
        """See `Runner`."""


run_here = ThisProcess()


@dataclass(frozen=True)
class Sparing:
    """A runner that keeps passes of few tasks in this process.

    Attributes:
        runner: runs the others.
    """

    runner: Runner

    def __call__(
        self, worker: Callable[[T], R], tasks: Sequence[T], needs: Callable[[], Needs]
    ) -> Iterator[R]:
        """See `Runner`."""
        runner = run_here if len(tasks) < FEW_TASKS else self.runner
        return runner(worker, tasks, needs)

    def check(self, needs: Callable[[], Needs]) -> None:
        """See `Runner`."""
        self.runner.check(needs)


def open_runner(address: str | None) -> AbstractContextManager[Runner]:
    """The runner for the option `--ray`: None is this process.

    Raises:
        RotationError: Ray is not installed, or the cluster cannot be reached.
    """
    if address is None:
        return nullcontext(run_here)
    from rotation.passes.on_ray import RayCluster  # only who asks for Ray loads it

    return RayCluster(address)
