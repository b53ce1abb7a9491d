"""`rotation turn`: from a photograph on disk to frames, a strip and a report on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rotation.geometry.photograph import TurnedPhotograph, check_yaws, open_photograph
from rotation.imaging.animation import WRITERS, import_av
from rotation.imaging.images import degrees, draw_strip, save_png, save_text
from rotation.output_paths import check_folder
from rotation.progress import Progress

STRIP_HEIGHT = 256
"""Taller frames are reduced to it on the strip."""


def write_preview(
    photograph: Path,
    yaws_deg: Sequence[float],
    out: Path,
    animations: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Turn the head in a photograph, and write frames, strip and `report.json` into `out`.

    Parameters:
        photograph: the file.
        yaws_deg: the target yaws, positive towards the viewer's right.
        animations: names among `rotation.imaging.animation.WRITERS`.

    Returns:
        What `report.json` contains.

    Raises:
        ImageError: the file is no photograph, or its face cannot be measured.
        SelectionError: a yaw is too large.
        MissingExtraError: PyAV is needed and not installed.
    """
    check_yaws(yaws_deg)
    check_folder(out)
    if "mp4" in animations:
        import_av()
    start = time.perf_counter()
    opened = open_photograph(photograph)
    measured = time.perf_counter()
    frames: list[TurnedPhotograph] = []
    for yaw in yaws_deg:
        frames.append(opened.turn_to(yaw))
        save_png(Image.fromarray(frames[-1].pixels), out / f"photograph_{yaw:+06.1f}.png")
        if progress:
            progress("turn", len(frames), len(yaws_deg))
    turned = time.perf_counter()
    pixels = np.stack([np.asarray(opened.image)] + [frame.pixels for frame in frames])
    names = ["photograph"] + [
        degrees(frame.yaw_deg) + (" (doubtful)" if frame.doubt else "") for frame in frames
    ]
    save_png(draw_strip(_reduce(pixels), names, scale=1), out / "strip.png")
    for kind in animations:
        WRITERS[kind](pixels[1:], out / f"turn.{kind}", 0)
    report = {
        "photograph": photograph.name,
        "yaw_deg": round(opened.yaw_deg, 2),
        "face_width": round(opened.head.face_width, 1),
        "frames": [
            {"yaw_deg": f.yaw_deg, "hidden": round(f.hidden, 3), "doubt": f.doubt} for f in frames
        ],
        "seconds": {"measure": measured - start, "turn": turned - measured},
    }
    save_text(json.dumps(report, indent=1) + "\n", out / "report.json")
    return report


def _reduce(pixels: np.ndarray) -> np.ndarray:
    """Frames (N, H, W, 3) at most `STRIP_HEIGHT` pixels high."""
    height, width = pixels.shape[1:3]
    if height <= STRIP_HEIGHT:
        return pixels
    size = (round(width * STRIP_HEIGHT / height), STRIP_HEIGHT)
    return np.stack(
        [np.asarray(Image.fromarray(p).resize(size, Image.Resampling.LANCZOS)) for p in pixels]
    )
