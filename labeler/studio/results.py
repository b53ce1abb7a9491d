"""The result of a turn, as the files of its folder tell: `report.json` and the images beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labeler.errors import NotFound
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from rotation.reading import open_regular, read_json

MAX_REPORT_BYTES = 16 * 1024**2
STRIP, REPORT, MEANS = "strip.png", "report.json", "cluster_means.png"
REPORT_PAGE = "report.html"
REPORTS = frozenset({REPORT, REPORT_PAGE})
"""They tell the label of the source, and where the site keeps its files."""

MIME = {
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "html": "text/html",
    "json": "application/json",
}
_KNOWN = re.compile(
    r"(photograph|frame)_[+-]\d{3}\.\d\.png|(strip|grid|cluster_means|beside_means)\.png"
    r"|turn\.(gif|webp|mp4)|report\.(html|json)"
)
_GONE = mark("This file is not there. It may have been removed from the folder of the result.")


@dataclass(frozen=True, slots=True)
class TurnedFrame:
    """One frame of a result.

    `file`: the whole photograph if the strip shows those, else the standard crop. `doubt`: why it
    may not be good, "" if nothing speaks against it. `reached`: whether the yaw was reached, None
    if it was not measured.
    """

    yaw_deg: float
    file: str
    doubt: str
    reached: bool | None


@dataclass(frozen=True, slots=True)
class ClusterSize:
    """A cluster: its angle, number of images, their mean yaw and half width, in degrees."""

    angle_deg: float
    images: int
    mean_yaw_deg: float
    half_width_deg: float


@dataclass(frozen=True, slots=True)
class TurnResult:
    """A complete result.

    `source_yaw_deg`: of the source as measured. `light`: of the clusters, "" for any.
    `given_up`: what was dropped or widened to fill the clusters, in words. `fallback`: why another
    editing method turned the head than was asked for, "" if none did. `tiles`: how many frames the
    strip has; the first one is the source. `files`: the names of the known files that are there.
    """

    frames: tuple[TurnedFrame, ...]
    clusters: tuple[ClusterSize, ...]
    source_yaw_deg: float
    light: str
    attributes: tuple[str, ...]
    given_up: tuple[str, ...]
    editing: str
    fallback: str
    command: str
    tiles: int
    files: frozenset[str]

    @property
    def middle(self) -> int:
        """Return the place of the frame that is in the middle by its yaw."""
        places = sorted(range(len(self.frames)), key=lambda place: self.frames[place].yaw_deg)
        return places[len(places) // 2]


def read_result(folder: Path) -> TurnResult | None:
    """Read the result in a folder; None if the folder, its report or its strip is gone or damaged.

    Parameters:
        folder: of `labeler.studio.files.result_folder`.
    """
    files = frozenset(known_files(folder))
    try:
        report = read_json(folder / REPORT, MAX_REPORT_BYTES)
        return _describe(report, files) if STRIP in files else None
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def known_files(folder: Path, *, reports: bool = True) -> list[str]:
    """Return the names of the files that a run writes for people, sorted. Links are left out.

    Parameters:
        reports: include `REPORTS`.
    """
    try:
        entries = list(folder.iterdir())
    except OSError:
        return []
    found = sorted(one.name for one in entries if is_known(one.name) and _is_plain(one))
    return [name for name in found if reports or name not in REPORTS]


def is_known(name: str) -> bool:
    """Whether a run writes a file of this name for people."""
    return _KNOWN.fullmatch(name) is not None


def find_file(folder: Path, name: str) -> Path:
    """Return the path of a known file.

    Raises:
        NotFound: the name is not known, or the file is not there.
    """
    path = folder / name
    if not is_known(name) or not _is_plain(path):
        raise NotFound(_(_GONE))
    return path


def _is_plain(path: Path) -> bool:
    try:
        return path.is_file() and not path.is_symlink()
    except (OSError, ValueError):
        return False


def read_file(path: Path) -> Iterator[bytes]:
    """Read a file in pieces.

    Raises:
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        while piece := file.read(1 << 16):
            yield piece


def _describe(report: Mapping[str, Any], files: frozenset[str]) -> TurnResult:
    clusters, turn = report["clusters"], report["turn"]
    whole = turn.get("hidden") is not None and not turn.get("fallback")
    frames = tuple(_frames(report, "photograph" if whole else "frame"))
    sizes = tuple(_clusters(clusters))
    if not frames or not sizes:
        raise ValueError("the report names no frame or no cluster")
    return TurnResult(
        frames,
        sizes,
        float(report["source"]["yaw_deg"]),
        report["source"]["light"] or "",
        tuple(clusters["attributes"]),
        tuple(clusters["widening"]),
        report["editing"],
        turn.get("fallback") or "",
        report.get("command", ""),
        len(frames) + (1 if whole else 2),  # else the decoded source stands beside the source
        files,
    )


def _frames(report: Mapping[str, Any], kind: str) -> Iterator[TurnedFrame]:
    yaws = report["yaws_deg"]
    nothing = [None] * len(yaws)
    doubts = report["turn"].get("doubts") or nothing
    reached = report["turn"].get("reached") or nothing
    for yaw, doubt, one in zip(yaws, doubts, reached, strict=True):
        yield TurnedFrame(float(yaw), f"{kind}_{yaw:+06.1f}.png", doubt or "", one)


def _clusters(told: Mapping[str, Any]) -> Iterator[ClusterSize]:
    columns = ("angles_deg", "sizes", "mean_yaws_deg", "half_widths_deg")
    for angle, size, mean, half in zip(*(told[name] for name in columns), strict=True):
        yield ClusterSize(float(angle), int(size), float(mean), float(half))
