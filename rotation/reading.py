"""Read files and JSON that other people made.

A file may be a pipe or a device that never ends, and JSON may be nested so deeply that Python's
stack ends. Both are refused with the errors that every reader expects: `OSError` and `ValueError`.
"""

from __future__ import annotations

import errno
import io
import json
import os
import pwd
import stat
from pathlib import Path
from typing import Any

from rotation.errors import DatasetError

# Pipes that a shell opened for the command, such as `gold import /dev/stdin`: they have a writer.
_OPEN_PIPES = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a file for reading; only a regular file is ever read.

    Opening a pipe would wait for a writer, and opening a device may do anything. So the file is
    opened without waiting, and then asked what it is.

    Raises:
        OSError: the file cannot be opened, or it is a folder, pipe, socket or device.
    """
    if os.fspath(path).startswith(_OPEN_PIPES):
        return open(path, "rb")
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "a pipe, socket or device, not a file", str(path))
        return os.fdopen(file, "rb")
    except BaseException:
        os.close(file)
        raise


def read_bytes(path: str | os.PathLike[str], most: int | None = None) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: see `open_regular`, or it has more than `most` bytes.
    """
    with open_regular(path) as file:
        if most is None:
            return file.read()
        found = file.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return found


def read_text(path: str | os.PathLike[str], encoding: str = "utf-8") -> str:
    """The text of a regular file.

    Raises:
        OSError: see `open_regular`.
        UnicodeDecodeError: it is not text in this encoding.
    """
    return read_bytes(path).decode(encoding)


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, or it is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def read_json(path: str | os.PathLike[str], most: int | None = None) -> Any:
    """The value in a JSON file in UTF-8, of at most `most` bytes.

    Raises:
        OSError: see `open_regular`.
        ValueError: it is not JSON in UTF-8, or it is nested too deeply.
    """
    return parse_json(read_bytes(path, most).decode("utf-8"))


def user_path(text: str | os.PathLike[str]) -> Path:
    """The path that a user wrote: a `~` at its start is the home folder.

    Options, arguments and settings are read by this, once. So `./~` is a file of that name, and
    functions below take paths as they are.

    Raises:
        DatasetError: it begins with `~`, and no home folder is known.
    """
    written = os.fspath(text)
    first, slash, rest = written.partition("/")
    if first != "~":
        return Path(os.path.expanduser(written))  # ~ada, if there is such a user
    home = home_folder()
    if home is None:
        raise DatasetError(
            f"{written}: no home folder is known for ~. Write the whole path, or set HOME."
        )
    return home / rest.lstrip("/") if slash else home


def home_folder() -> Path | None:
    """The home folder of the user, None if neither HOME nor the system names one."""
    if os.environ.get("HOME"):
        return Path(os.environ["HOME"])
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a container may run as a user without a name
        return None


def real_path(path: str | os.PathLike[str]) -> Path:
    """The absolute path without links. A link that leads in a circle stays as it is."""
    return Path(os.path.realpath(path))
