"""`rotation turn`: from a photograph on disk to frames, a strip and a report on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rotation.data.crop import Pixels
from rotation.diffusion.devices import bf16_is_faster, choose_device
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.model_folder import find_model
from rotation.geometry.photograph import (
    Photograph,
    TurnedPhotograph,
    check_yaws,
    open_photograph,
)
from rotation.imaging.animation import WRITERS, import_av
from rotation.imaging.images import (
    at_height,
    caption,
    draw_strip,
    photograph_path,
    save_png,
    save_text,
    shown_height,
)
from rotation.options import ModelOptions
from rotation.output_paths import check_folder
from rotation.progress import Progress

MODEL = "celeba-64"
"""The bundled model that draws hidden parts."""


def write_preview(
    photograph: Path,
    yaws_deg: Sequence[float],
    out: Path,
    animations: Sequence[str] = (),
    model: ModelOptions | None = None,
    progress: Progress | None = None,
    relight: bool = True,
) -> dict[str, Any]:
    """Turn the head in a photograph, and write frames, strip and `report.json` into `out`.

    Parameters:
        photograph: the file.
        yaws_deg: the target yaws, positive towards the viewer's right.
        animations: names among `rotation.imaging.animation.WRITERS`.
        model: the diffusion model that draws hidden parts; None: their surroundings fill them.
        relight: whether the light stays where it is while the head turns. Otherwise it turns with
            the head.

    Returns:
        What `report.json` contains.

    Raises:
        ImageError: the file is no photograph, or its face cannot be measured.
        SelectionError: a yaw is too large.
        ModelError: the model cannot be used.
        MissingExtraError: PyAV is needed and not installed.
    """
    check_yaws(yaws_deg)
    check_folder(out)
    if "mp4" in animations:
        import_av()
    drawing = _load_model(model) if model else None
    opened = open_photograph(photograph, relight)
    height = shown_height(opened.image.height)
    tiles, names = [at_height(np.asarray(opened.image), height)], ["photograph"]
    report = _describe(photograph, opened, drawing) | {"relight": relight, "frames": []}
    for yaw in yaws_deg:
        frame, told = _write_frame(opened, yaw, drawing, out)
        tiles.append(at_height(frame.pixels, height))
        names.append(caption(yaw, frame.doubt))
        report["frames"].append(told)
        if progress:
            progress("turn", len(tiles) - 1, len(yaws_deg))
    _write_overviews(np.stack(tiles), names, animations, out)
    save_text(json.dumps(report, indent=1) + "\n", out / "report.json")
    return report


def _describe(photograph: Path, opened: Photograph, drawing: LatentModel | None) -> dict[str, Any]:
    """What the report tells of the photograph and the model."""
    return {
        "photograph": photograph.name,
        "yaw_deg": round(opened.yaw_deg, 2),
        "face_width": round(opened.head.face_width, 1),
        "model": drawing.name if drawing else None,
        "refined": drawing is not None and drawing.refiner is not None,
    }


def _write_frame(
    photograph: Photograph, yaw_deg: float, model: LatentModel | None, out: Path
) -> tuple[TurnedPhotograph, dict[str, Any]]:
    """Turn to one yaw and write the photograph; also what the report tells of it."""
    start = time.perf_counter()
    frame = photograph.turn_to(yaw_deg, model)
    seconds = round(time.perf_counter() - start, 3)
    save_png(Image.fromarray(frame.pixels), photograph_path(out, yaw_deg))
    hidden = round(frame.hidden, 3)
    told = {"yaw_deg": yaw_deg, "hidden": hidden, "doubt": frame.doubt, "seconds": seconds}
    return frame, told


def _write_overviews(
    tiles: Pixels, names: Sequence[str], animations: Sequence[str], out: Path
) -> None:
    """Write the strip and the animations of frames (N, H, W, 3), the photograph first."""
    save_png(draw_strip(tiles, names, scale=1), out / "strip.png")
    for kind in animations:
        WRITERS[kind](tiles[1:], out / f"turn.{kind}", 0)


def _load_model(options: ModelOptions) -> LatentModel:
    device = choose_device(options.device)
    bf16 = bf16_is_faster(device) if options.bf16 is None else options.bf16
    folder = find_model(options.folder or MODEL)
    return LatentModel.load(folder, str(device), bf16=bf16, refine=options.refine)
