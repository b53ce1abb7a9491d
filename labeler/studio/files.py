"""The files of turns in the home folder: `studio/ID/source.EXT` and `studio/ID/result/`."""

from __future__ import annotations

import shutil
from pathlib import Path

from labeler.home_files import STUDIO
from labeler.models.studio import HeadTurn

RESULT, SOURCE = "result", "source"


def turn_folder(home: Path, turn_id: int) -> Path:
    """Return the folder of a turn, which may not exist."""
    return home / STUDIO / str(turn_id)


def result_folder(home: Path, turn: HeadTurn) -> Path:
    """Return the folder with the result: the output of `rotation run`, as it is.

    It exists once the turn is finished, unless somebody has removed it by hand.
    """
    return turn_folder(home, turn.id) / RESULT


def source_file(home: Path, turn_id: int) -> Path | None:
    """Return the uploaded source of a turn; None if there is none, or no longer."""
    return next(iter(turn_folder(home, turn_id).glob(f"{SOURCE}.*")), None)


def remove_source(home: Path, turn_id: int) -> None:
    """Remove the uploaded source; nothing happens if there is none."""
    path = source_file(home, turn_id)
    if path is not None:
        path.unlink(missing_ok=True)


def remove_files(home: Path, turn_id: int) -> None:
    """Remove all files of a turn; nothing happens if there are none."""
    shutil.rmtree(turn_folder(home, turn_id), ignore_errors=True)
