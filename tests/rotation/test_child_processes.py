"""Processes of a pool: they end with their parent, and Ctrl-C reaches the parent only."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.processes import children_of, is_running, start, wait_for

POOL = """
import signal, time
from rotation.child_processes import SpawnPool
if __name__ == "__main__":
    # A shell starts background commands, such as the tests, with the signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with SpawnPool(2) as pool:
        list(pool.map(time.sleep, [SECONDS] * 2))
"""


def _script(folder: Path, seconds: float) -> str:
    path = folder / "pool.py"
    path.write_text(POOL.replace("SECONDS", str(seconds)))
    return str(path)


def test_the_processes_of_a_killed_pool_end(tmp_path: Path) -> None:
    parent = start(_script(tmp_path, 600))
    wait_for(lambda: len(children_of(parent.pid)) == 3, "two processes and Python's own tracker")
    children = children_of(parent.pid)
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(is_running(each) for each in children), "the end of the processes")
    parent.communicate()


def test_ctrl_c_shows_no_traceback_of_a_child(tmp_path: Path) -> None:
    parent = start(_script(tmp_path, 3))
    wait_for(lambda: len(children_of(parent.pid)) == 3, "two processes and Python's own tracker")
    children = children_of(parent.pid)
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does, in the middle of their imports
    _, said = parent.communicate(timeout=120)
    assert said.count("Traceback") == 1, said  # the parent's own
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert not any(is_running(each) for each in children)
