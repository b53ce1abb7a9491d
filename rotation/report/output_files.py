"""The images that a run writes: frames, strip, and on request sheets and animations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from rotation.data.crop import Pixels
from rotation.editing.pipeline import Rotation
from rotation.imaging.animation import WRITERS, import_av
from rotation.imaging.finishing import FinishingSteps, finish_frames, load_super_resolution
from rotation.imaging.images import (
    degrees,
    draw_beside_means,
    draw_grid,
    draw_sheet,
    draw_strip,
    enlarge,
    save_png,
)
from rotation.imaging.paste_back import paste_back
from rotation.options import OutputOptions

SHOWN_SIDE = 128
"""Frames smaller than this are enlarged on strips, sheets and animations."""


@dataclass(frozen=True)
class OutputPlan:
    """Which images to write.

    Attributes:
        animations: names among `rotation.imaging.animation.WRITERS`.
        side: of the images, in pixels. 0 keeps the frames' size and enlarges small frames on
            strips, sheets and animations only.
        finishing: the steps that finish frames for viewing.
        photograph: the image to paste the frames back into; None pastes none.
    """

    animations: tuple[str, ...] = ()
    contact_sheets: bool = False
    grid: bool = False
    side: int = 0
    finishing: FinishingSteps = field(default_factory=FinishingSteps)
    photograph: Image.Image | None = None


def plan_output(options: OutputOptions) -> OutputPlan:
    """The images that the options ask for, without the photograph.

    Raises:
        MissingExtraError: a package that an output needs is not installed.
        ModelError: the super-resolution model cannot be loaded.
    """
    if "mp4" in options.animations:
        import_av()
    model = options.super_resolution
    return OutputPlan(
        animations=options.animations,
        contact_sheets=options.contact_sheets,
        grid=options.grid,
        side=options.side,
        finishing=FinishingSteps(
            match_colours=options.match_colours,
            upscale=load_super_resolution(model) if model is not None else None,
            sharpen=options.sharpen,
        ),
    )


def write_images(
    result: Rotation, yaws_deg: Sequence[float], plan: OutputPlan, out: Path
) -> Pixels:
    """Write the images into `out`, and return the finished frames (K, S', S', 3)."""
    shown = finish_frames(result.frames, result.source.crop, plan.finishing)
    side = plan.side or max(shown.shape[1], SHOWN_SIDE)
    for yaw, frame in zip(yaws_deg, enlarge(shown, plan.side or shown.shape[1]), strict=True):
        save_png(Image.fromarray(frame), out / f"frame_{yaw:+06.1f}.png")
    captions = [degrees(yaw) for yaw in yaws_deg]
    large = enlarge(shown, side)
    ends = enlarge(np.stack([result.source.crop, result.reconstruction]), side)
    row, names = np.concatenate([ends, large]), ["source", "decoded", *captions]
    save_png(draw_strip(row, names, scale=1), out / "strip.png")
    if plan.grid:
        save_png(draw_grid(row, names), out / "grid.png")
    if plan.contact_sheets:
        _write_sheets(result, large, yaws_deg, out)
    for kind in plan.animations:
        WRITERS[kind](shown, out / f"turn.{kind}", side)
    if plan.photograph is not None:
        for yaw, frame in zip(yaws_deg, shown, strict=True):
            save_png(paste_back(plan.photograph, frame), out / f"photograph_{yaw:+06.1f}.png")
    return shown


def _write_sheets(result: Rotation, large: Pixels, yaws_deg: Sequence[float], out: Path) -> None:
    """Write the clusters' mean images, and the frames above the nearest of them."""
    angles = result.selection.angles_deg
    names = [degrees(angle) for angle in angles]
    means = enlarge(result.means, SHOWN_SIDE)
    save_png(draw_sheet(means[None], names), out / "cluster_means.png")
    beside = draw_beside_means(large, yaws_deg, result.means, angles)
    save_png(beside, out / "beside_means.png")
