"""Locks between processes. The system frees them when the process that holds them dies."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rotation.errors import DatasetError

FOLDER_LOCK = ".sidelight-lock"  # in a folder that one command at a time writes into
# What a file system says that has no locks, such as some network file systems.
_HAS_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
log = logging.getLogger(__name__)


class LockHeldError(Exception):
    """Another process holds the lock; the text says which, such as `process 4711 on host`."""


def lock_open_file(file: IO[bytes] | IO[str], wait: bool = True) -> None:
    """Lock an open file until it is closed. Without locks in its file system, warn and go on.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is False.
        OSError: the file cannot be locked.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in _HAS_NO_LOCKS:
            raise
        log.warning(
            "The file system of %s has no locks (%s). Take care that no other process writes "
            "there meanwhile.",
            file.name,
            error.strerror,
        )


@contextmanager
def hold_lock(path: Path, tell_waiting: Callable[[str], object] | None = None) -> Iterator[None]:
    """Hold the lock of a file during the block. The file is made, and removed at the end.

    Parameters:
        path: the lock file. The folder must exist.
        tell_waiting: wait for the lock; called before with the words of `LockHeldError`.

    Raises:
        LockHeldError: another process holds the lock, and `tell_waiting` is None.
        OSError: the file cannot be made or locked.
    """
    file = _take(path, tell_waiting)
    try:
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        file.flush()
        yield
    finally:
        with file, suppress(OSError):  # a lock file that stays does no harm
            if _is_at(file, path):  # else somebody has removed it, and another holds its own
                path.unlink()


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Keep other commands from writing into a folder during the block. It is made if needed.

    Raises:
        DatasetError: another command writes into it, or it cannot be written.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with hold_lock(folder / FOLDER_LOCK):
            yield
    except LockHeldError as held:
        raise DatasetError(
            f"{folder}: another command writes into this folder ({held}). Wait until it has "
            "ended, stop it, or name another folder."
        ) from None
    finally:
        if made:
            with suppress(OSError):
                folder.rmdir()  # nothing was written


def _take(path: Path, tell_waiting: Callable[[str], object] | None) -> IO[bytes]:
    """Open and lock the file that has this path now: its last holder may have removed it."""
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
        try:
            try:
                lock_open_file(file, wait=False)
            except BlockingIOError:
                holder = file.read(200).decode(errors="replace").strip() or "another process"
                if tell_waiting is None:
                    raise LockHeldError(holder) from None
                tell_waiting(holder)
                lock_open_file(file)
            if _is_at(file, path):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
