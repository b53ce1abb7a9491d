"""`rotation turn`: from a photograph on disk to frames, a strip and a report on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rotation.diffusion.devices import bf16_is_faster, choose_device
from rotation.diffusion.latent_model import LatentModel
from rotation.diffusion.model_folder import find_model
from rotation.geometry.photograph import check_yaws, open_photograph
from rotation.imaging.animation import WRITERS, import_av
from rotation.imaging.images import degrees, draw_strip, save_png, save_text
from rotation.options import ModelOptions
from rotation.output_paths import check_folder
from rotation.progress import Progress

MODEL = "celeba-64"
"""The bundled model that draws hidden parts."""
STRIP_HEIGHT = 256
"""Taller frames are reduced to it on the strip."""


def write_preview(
    photograph: Path,
    yaws_deg: Sequence[float],
    out: Path,
    animations: Sequence[str] = (),
    model: ModelOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Turn the head in a photograph, and write frames, strip and `report.json` into `out`.

    Parameters:
        photograph: the file.
        yaws_deg: the target yaws, positive towards the viewer's right.
        animations: names among `rotation.imaging.animation.WRITERS`.
        model: the diffusion model that draws hidden parts; None: they are filled from their
            surroundings.

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
    start = time.perf_counter()
    opened = open_photograph(photograph)
    measured = time.perf_counter()
    frames = opened.turn_to(yaws_deg, drawing, progress=progress)
    turned = time.perf_counter()
    for frame in frames:
        path = out / f"photograph_{frame.yaw_deg:+06.1f}.png"
        save_png(Image.fromarray(frame.pixels), path)
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
        "model": drawing.name if drawing else None,
        "frames": [
            {"yaw_deg": f.yaw_deg, "hidden": round(f.hidden, 3), "doubt": f.doubt} for f in frames
        ],
        "seconds": {"measure": measured - start, "turn": turned - measured},
    }
    save_text(json.dumps(report, indent=1) + "\n", out / "report.json")
    return report


def _load_model(options: ModelOptions) -> LatentModel:
    device = choose_device(options.device)
    bf16 = bf16_is_faster(device) if options.bf16 is None else options.bf16
    return LatentModel.load(find_model(options.folder or MODEL), str(device), bf16=bf16)


def _reduce(pixels: np.ndarray) -> np.ndarray:
    """Frames (N, H, W, 3) at most `STRIP_HEIGHT` pixels high."""
    height, width = pixels.shape[1:3]
    if height <= STRIP_HEIGHT:
        return pixels
    size = (round(width * STRIP_HEIGHT / height), STRIP_HEIGHT)
    return np.stack(
        [np.asarray(Image.fromarray(p).resize(size, Image.Resampling.LANCZOS)) for p in pixels]
    )
