"""Whether a path can be written, found out before the work that makes its content."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from rotation.errors import DatasetError

ADVICE = "name another"


def check_folder(folder: Path, advice: str = ADVICE) -> None:
    """Check that a folder exists or can be made, and that files can be made in it.

    Nothing is left behind. It is tried, since the rights alone do not tell: a superuser has all
    rights, but cannot write to a read-only disk or to /proc.

    Parameters:
        advice: what to do otherwise.

    Raises:
        DatasetError: it cannot be made or written into.
    """
    _try(folder, folder, advice)


def check_file(path: Path, advice: str = ADVICE) -> None:
    """Check that a file can be written or replaced, with the folders that it needs.

    Parameters:
        advice: what to do otherwise.

    Raises:
        DatasetError: it cannot be written, or it is a folder, pipe or device.
    """
    if os.path.exists(path) and not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe or device"
        raise DatasetError(f"{path}: cannot be written, since it is {what}; {advice}.")
    _try(path, path.parent, advice)
    if len(os.fsencode(path.name)) > 200:  # a temporary name beside it must fit too
        raise DatasetError(f"{path}: cannot be written, since its name is too long; {advice}.")


def _try(path: Path, folder: Path, advice: str) -> None:
    place = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
    if not place.is_dir():
        raise DatasetError(f"{path}: cannot be written, since {place} is not a folder; {advice}.")
    try:
        trial = Path(tempfile.mkdtemp(prefix=".trial-", dir=place))
        try:
            (trial / folder.absolute().relative_to(place.absolute())).mkdir(
                parents=True, exist_ok=True
            )
        finally:
            shutil.rmtree(trial, ignore_errors=True)
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be written, since {place} is no writable folder "
            f"({error.strerror}); {advice}."
        ) from None
