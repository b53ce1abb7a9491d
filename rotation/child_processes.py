"""Processes that end when the process that started them has ended, for any reason.

A pool's process waits for its next task. If the pool's owner is killed, nobody tells it to end, so
it watches for that itself. This needs nothing of the system but the number of the parent process.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

LOOK_EVERY_S = 1.0


def end_with_parent(parent: int) -> None:
    """End this process with SIGTERM when its parent process has ended.

    Parameters:
        parent: the number of the parent process. If it has ended already, this process ends too.
    """

    def watch() -> None:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(LOOK_EVERY_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


class SpawnPool(ProcessPoolExecutor):
    """A pool of spawned processes that end with the process that made the pool.

    A forked process would have the threads, locks, connections and CUDA state of its parent in an
    undefined state. Ctrl-C reaches this process only, which ends the others. Tasks that have not
    begun are dropped at the end of a `with` block.

    Parameters:
        processes: their number.
        initializer, initargs: called in each process before its first task.
    """

    def __init__(
        self,
        processes: int,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        super().__init__(processes, _Context(), initializer, initargs)

    def __exit__(self, *_: object) -> None:
        self.shutdown(cancel_futures=True)


class _Process(SpawnProcess):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._maker = os.getpid()

    def start(self) -> None:
        # The new process inherits the mask. So Ctrl-C cannot end it in the middle of its imports.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def run(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_with_parent(self._maker)
        super().run()


class _Context(SpawnContext):
    Process = _Process
