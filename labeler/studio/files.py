"""The files of turns in the home folder, in the folder `studio/ID`.

`source.EXT` is an uploaded source, `inputs` what the engine read, packed, and `result` what it
wrote. Each attempt writes to a folder `work-TOKEN` of its own, which is marked as a cache and
removed at the end. So an attempt that goes on after it has lost its job harms no other.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from labeler.errors import StorageFull
from labeler.home_files import CACHE_TAG, STUDIO
from labeler.languages.texts import gettext as _
from labeler.models.studio import HeadTurn
from labeler.private_files import PRIVATE_FOLDER, make_private_file

RESULT, SOURCE, INPUTS, WORK = "result", "source", "inputs", "work"
PART = ".part"  # of an upload that is being written
_PACKED = "packed"
_CACHE_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55\n"


def turn_folder(home: Path, turn_id: int) -> Path:
    """Return the folder of a turn, which may not exist."""
    return home / STUDIO / str(turn_id)


def result_folder(home: Path, turn: HeadTurn) -> Path:
    """Return the folder with the result: the output of `rotation run`, as it is.

    It exists once the turn is finished, unless somebody has removed it by hand.
    """
    return turn_folder(home, turn.id) / RESULT


def work_folder(home: Path, turn_id: int) -> Path:
    """Return the path of a folder for one attempt; no other attempt has it."""
    return turn_folder(home, turn_id) / f"{WORK}-{secrets.token_hex(8)}"


def begin_work(work: Path) -> None:
    """Make the folder of an attempt."""
    work.mkdir(mode=PRIVATE_FOLDER, parents=True)
    (work / CACHE_TAG).write_text(_CACHE_SIGNATURE, encoding="ascii")


def remove_work(work: Path) -> None:
    """Remove the folder of an attempt; nothing happens if there is none."""
    shutil.rmtree(work, ignore_errors=True)


def list_works(home: Path, turn_id: int) -> list[Path]:
    """The folders of all attempts at a turn that are there."""
    return list(turn_folder(home, turn_id).glob(f"{WORK}-*"))


def pack_inputs(work: Path) -> None:
    """Pack what the engine has read, in the folder of the attempt."""
    packed = work / _PACKED
    packed.mkdir(mode=PRIVATE_FOLDER)
    for path in sorted((work / INPUTS).glob("*.csv")):
        with path.open("rb") as plain, gzip.open(packed / f"{path.name}.gz", "wb") as target:
            shutil.copyfileobj(plain, target)


def publish(home: Path, turn: HeadTurn, work: Path) -> None:
    """Rename the inputs and the result of an attempt to their places. The result comes last.

    The caller has called `pack_inputs`, so nothing is written here that a full disk would cut off.

    Raises:
        OSError: among others, another attempt has published its result meanwhile.
    """
    inputs = turn_folder(home, turn.id) / INPUTS
    shutil.rmtree(inputs, ignore_errors=True)
    (work / _PACKED).rename(inputs)
    (work / RESULT).rename(result_folder(home, turn))


def keep_upload(home: Path, data: bytes, suffix: str) -> Path:
    """Write an uploaded picture to a file that `adopt_upload` gives to a turn.

    Raises:
        StorageFull: the disk is full.
    """
    folder = home / STUDIO
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    path = folder / f"{secrets.token_hex(8)}{suffix}{PART}"
    make_private_file(path)
    try:
        path.write_bytes(data)
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageFull(
            _(
                "The disk of the site is full, so the picture was not stored. Free some space on "
                "the server."
            )
        ) from None
    return path


def adopt_upload(home: Path, turn_id: int, upload: Path) -> Path:
    """Make an upload the source of a turn; returns its new path.

    A source that is there belongs to a turn of this number that was never stored. It is removed.
    """
    remove_source(home, turn_id)
    folder = turn_folder(home, turn_id)
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    return upload.rename(folder / f"{SOURCE}{Path(upload.stem).suffix}")


def source_file(home: Path, turn_id: int) -> Path | None:
    """Return the uploaded source of a turn; None if there is none, or no longer."""
    return next(iter(turn_folder(home, turn_id).glob(f"{SOURCE}.*")), None)


def list_turns(home: Path) -> Iterator[int]:
    """The numbers of the turns that have a folder."""
    for path in (home / STUDIO).glob("*"):
        if path.name.isdecimal() and path.is_dir():
            yield int(path.name)


def list_unfinished_uploads(home: Path) -> list[Path]:
    """The uploads that no turn has adopted yet."""
    return list((home / STUDIO).glob(f"*{PART}"))


def is_older(path: Path, seconds: float) -> bool:
    """Whether a file or folder was last changed before that time; False if it is gone."""
    try:
        return time.time() - path.stat().st_mtime > seconds
    except FileNotFoundError:
        return False


def remove_source(home: Path, turn_id: int) -> None:
    """Remove the uploaded source; nothing happens if there is none."""
    path = source_file(home, turn_id)
    if path is not None:
        path.unlink(missing_ok=True)


def remove_files(home: Path, turn_id: int) -> None:
    """Remove all files of a turn; nothing happens if there are none."""
    shutil.rmtree(turn_folder(home, turn_id), ignore_errors=True)


def remove_if_empty(home: Path, turn_id: int) -> None:
    """Remove the folder of a turn if nothing is in it."""
    with contextlib.suppress(OSError):
        turn_folder(home, turn_id).rmdir()
