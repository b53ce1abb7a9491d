"""Files and folders that only their owner may read.

The database holds password hashes, and the key signs everybody's cookies. Such files are made with
mode 0600 before anything is written to them. Those of earlier versions are tightened.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
_COMPANIONS = ("", "-wal", "-shm")  # SQLite gives new ones the mode of the database


def make_private_file(path: Path) -> None:
    """Create an empty file with mode 0600, unless a file of that name exists.

    A file that cannot be made is left to the program that opens it next, which names the reason.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE))


def sqlite_files(database: Path) -> Iterator[Path]:
    """The files of an SQLite database that exist: the database, its log and its shared memory."""
    for suffix in _COMPANIONS:
        path = Path(f"{database}{suffix}")
        if path.is_file():
            yield path


def excess_rights(path: Path) -> int:
    """The bits of the mode that let others in, 0 for a private file or folder.

    The rights of a group stay if the owner shares with it on purpose: the group may write, and it
    is not the owner's own.
    """
    try:
        found = path.stat()
    except OSError:
        return 0
    mode = stat.S_IMODE(found.st_mode)
    shared = bool(mode & stat.S_IWGRP) and found.st_gid != _own_group(found.st_uid)
    return mode & (stat.S_IRWXO if shared else stat.S_IRWXO | stat.S_IRWXG)


def tighten(path: Path) -> bool:
    """Take the rights of others away. Returns whether the path is private now.

    A folder that all programs share, such as /tmp, is never changed.
    """
    excess = excess_rights(path)
    if not excess:
        return True
    try:
        found = path.stat()
        if found.st_mode & stat.S_ISVTX or path == Path(path.anchor):
            return False
        path.chmod(stat.S_IMODE(found.st_mode) & ~excess)
    except OSError:  # it belongs to somebody else, or the disk is read-only
        return False
    return True


def _own_group(user: int) -> int | None:
    try:
        return pwd.getpwuid(user).pw_gid
    except KeyError:  # a container may run as a user without a name
        return None
