"""Run a command of the engine as a child process: its progress, its messages, and its end.

The engine needs torch, which no process of the site loads. It tells its progress by lines of JSON
on standard error (`--progress-json`), and why it failed by a line that begins with `Error: `.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import labeler
from labeler.errors import BrokenData, StorageFull
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark

LOOK_EVERY_S = 0.2
END_WITHIN_S = 3.0  # after SIGTERM, then it is killed
KEPT_LINES = 40  # of what the engine wrote last, for the message
FULL = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
ERROR = "Error: "
STAGES = {  # the engine's names of its stages, for people
    "poses": mark("measuring poses"),
    "read": mark("reading pictures"),
    "embed": mark("computing latents"),
    "encode": mark("computing latents"),
}
Report = Callable[[str, int, int], None]
_SOURCES = Path(labeler.__file__).resolve().parents[1]
log = logging.getLogger(__name__)


def run_engine(words: Sequence[str], folder: Path, report: Report) -> None:
    """Run a command of the engine to its end.

    Parameters:
        words: the words after `manage.py`.
        folder: the working folder, to which relative paths of `words` refer.
        report: called with (stage, done, total); called several times a second, also between
            two reports of the engine. If it raises, the engine is ended.

    Raises:
        BrokenData: the engine cannot do it; the message is the engine's.
        StorageFull: the disk is full.
        RuntimeError: the engine was killed, for example for want of memory. Trying again may help.
    """
    command = [sys.executable, "-P", "-m", "labeler.cli.engine", str(os.getpid())]
    command += [*words, "--progress-json"]
    log.info("The engine begins.")
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # so that its own processes end with it, and Ctrl+C passes it by
    )
    told = _Told()
    readers = [
        threading.Thread(target=told.read, args=(pipe,), daemon=True)
        for pipe in (process.stdout, process.stderr)
    ]
    for reader in readers:
        reader.start()
    try:
        while process.poll() is None:
            report(*told.progress)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_EVERY_S)
    finally:
        _end(process)
        for reader in readers:
            reader.join(END_WITHIN_S)
    _raise_failure(process.returncode, told.lines)


class _Told:
    """What the engine has told: its last progress, and its last lines."""

    def __init__(self) -> None:
        self.progress = (mark("starting the engine"), 0, 0)
        self.lines: list[str] = []

    def read(self, pipe: IO[str] | None) -> None:
        """Read a pipe to its end."""
        assert pipe is not None
        with pipe:
            for line in pipe:
                if not self._is_progress(line):
                    self._keep(line.rstrip())

    def _is_progress(self, line: str) -> bool:
        if not line.startswith("{"):
            return False
        try:
            told = json.loads(line)
            stage, done, total = str(told["stage"]), int(told["done"]), int(told["total"])
        except (ValueError, KeyError, TypeError):
            return False
        self.progress = (STAGES.get(stage, stage), done, total)
        return True

    def _keep(self, line: str) -> None:
        if line:
            log.info("engine: %s", line)
            self.lines = [*self.lines, line][-KEPT_LINES:]


def _end(process: subprocess.Popen[str]) -> None:
    """End the engine with all its processes, if it has not ended."""
    for number, patience_s in ((signal.SIGTERM, END_WITHIN_S), (signal.SIGKILL, None)):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)


def _raise_failure(status: int, lines: Sequence[str]) -> None:
    if status == 0:
        return
    if any(words in line for words in FULL for line in lines):
        raise StorageFull(
            _(
                "The disk of the site is full. Nothing of this turn was stored. Free some space on "
                "the server, then try again."
            )
        )
    if status < 0:
        raise RuntimeError(
            f"the engine was ended by signal {-status}; the memory of the server may be too small"
        )
    last = next((at for at, line in enumerate(lines) if line.startswith(ERROR)), None)
    if last is None:
        said = lines[-1] if lines else f"it ended with status {status} and told no reason"
        raise BrokenData(f"The engine has failed: {said}")
    raise BrokenData(" ".join(lines[last:]).removeprefix(ERROR))


def _environment() -> dict[str, str]:
    """The environment of the engine. In a checkout it adds the folder of the sources."""
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(_SOURCES), *([known] if known else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
