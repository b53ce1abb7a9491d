"""What is stored of a result with its turn, so that it is known after its files are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labeler.errors import BrokenData
from labeler.languages.texts import gettext as _
from labeler.studio.results import MEANS, REPORT_PAGE, STRIP, read_result

FILES = {  # by the name in the summary
    "strip": STRIP,
    "means": MEANS,
    "beside_means": "beside_means.png",
    "report": REPORT_PAGE,
    "gif": "turn.gif",
    "webp": "turn.webp",
    "mp4": "turn.mp4",
}


def is_complete(folder: Path) -> bool:
    """Whether a folder has a whole result: the engine writes the report page last."""
    return (folder / REPORT_PAGE).is_file()


def read_summary(folder: Path, command: str) -> dict[str, Any]:
    """Return the summary of a result as JSON values.

    `frames`: for each angle `yaw_deg`, the `file`, the `doubt` in words or None, and whether the
    angle was `reached` (None: not measured). `files`: the other files by their names in `FILES`;
    what is missing has no entry. `source`: its `yaw_deg` and its `light`, None for any. `fallback`:
    why another way was taken, or None. `command`: repeats it.

    Raises:
        BrokenData: the report or the strip is missing or damaged.
    """
    result = read_result(folder)
    if result is None:
        raise BrokenData(_("The engine's report or its strip is missing or damaged."))
    return {
        "frames": [
            {
                "yaw_deg": one.yaw_deg,
                "file": one.file,
                "doubt": one.doubt or None,
                "reached": one.reached,
            }
            for one in result.frames
        ],
        "files": {what: name for what, name in FILES.items() if name in result.files},
        "source": {"yaw_deg": result.source_yaw_deg, "light": result.light or None},
        "editing": result.editing,
        "fallback": result.fallback or None,
        "command": command,
    }
