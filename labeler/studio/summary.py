"""What the pages show of a result: read once from the folder of `rotation run`, then stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labeler.errors import BrokenData
from labeler.languages.texts import gettext as _
from rotation.reading import read_json

REPORT = "report.json"
ANIMATIONS = ("gif", "webp", "mp4")
EXTRAS = {  # by the name in the summary
    "strip": "strip.png",
    "means": "cluster_means.png",
    "beside_means": "beside_means.png",
    "report": "report.html",
}


def is_complete(folder: Path) -> bool:
    """Whether a folder has a whole result: the engine writes the report page last."""
    return (folder / EXTRAS["report"]).is_file()


def read_summary(folder: Path, command: str) -> dict[str, Any]:
    """Return the summary of a result as JSON values.

    `frames`: for each angle `yaw_deg`, the `file`, the `doubt` in words or None, and whether the
    angle was `reached` (None: not measured). `files`: the other files by what they are: `strip`,
    `means`, `beside_means`, `report`, `gif`, `webp`, `mp4`; what is missing has no entry.
    `clusters`: `angles_deg`, `sizes`, `attributes`, `attributes_dropped`, `widening`.
    `source`: `name`, `yaw_deg`, `light`. `fallback`: why another way was taken, or None.
    `command`: repeats it.

    Raises:
        BrokenData: the report is missing or damaged.
    """
    try:
        report = read_json(folder / REPORT)
        clusters, turn = report["clusters"], report["turn"]
        return {
            "frames": _frames(folder, report["yaws_deg"], turn),
            "files": _files(folder),
            "clusters": {
                name: clusters[name]
                for name in ("angles_deg", "sizes", "attributes", "attributes_dropped", "widening")
            },
            "source": {name: report["source"][name] for name in ("name", "yaw_deg", "light")},
            "editing": report["editing"],
            "fallback": turn["fallback"],
            "seconds": round(sum(report["seconds"].values()), 1),
            "command": command,
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenData(
            _("The engine's report cannot be read: %(problem)s", problem=error)
        ) from None


def _frames(folder: Path, yaws_deg: list[float], turn: dict[str, Any]) -> list[dict[str, Any]]:
    doubts = turn["doubts"] or [None] * len(yaws_deg)
    reached = turn["reached"] or [None] * len(yaws_deg)
    return [
        {"yaw_deg": yaw, "file": _frame_file(folder, yaw), "doubt": doubt, "reached": there}
        for yaw, doubt, there in zip(yaws_deg, doubts, reached, strict=True)
    ]


def _frame_file(folder: Path, yaw_deg: float) -> str:
    """The whole photograph of a frame, if there is one, else its crop."""
    names = [f"{kind}_{yaw_deg:+06.1f}.png" for kind in ("photograph", "frame")]
    return next((name for name in names if (folder / name).is_file()), names[-1])


def _files(folder: Path) -> dict[str, str]:
    named = {**EXTRAS, **{kind: f"turn.{kind}" for kind in ANIMATIONS}}
    return {what: name for what, name in named.items() if (folder / name).is_file()}
