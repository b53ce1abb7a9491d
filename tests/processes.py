"""Real processes in tests: start Python code, wait for its words, find its children."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def start(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    """Start Python with these arguments in a process group of its own; both outputs are pipes."""
    kept = {name: value for name, value in os.environ.items() if "SIDELIGHT" not in name}
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=kept | {"PYTHONPATH": str(ROOT)} | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def children_of(process: int) -> set[int]:
    """The children of a process that have not ended."""
    lines = _ps("pid=,ppid=,stat=")
    found = (line.split()[:3] for line in lines)
    return {int(pid) for pid, parent, state in found if int(parent) == process and state[0] != "Z"}


def is_running(process: int) -> bool:
    """Whether a process exists and has not ended."""
    found = (line.split()[:2] for line in _ps("pid=,stat="))
    return any(int(pid) == process and state[0] != "Z" for pid, state in found)


def _ps(columns: str) -> list[str]:
    done = subprocess.run(["ps", "-A", "-o", columns], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
