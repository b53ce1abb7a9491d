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
    at_height,
    caption,
    degrees,
    draw_beside_means,
    draw_grid,
    draw_sheet,
    draw_strip,
    enlarge,
    photograph_path,
    save_png,
    shown_height,
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
        photograph: the image to paste the frames back into, where the editing method gives no
            whole photographs; None pastes none.
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
    """Write the images into `out`, and return the frames as they are shown (K, H, W, 3).

    Whole photographs are shown if there are any, else the finished standard crops.
    """
    frames = finish_frames(result.frames, result.source.crop, plan.finishing)
    for yaw, frame in zip(yaws_deg, enlarge(frames, plan.side or frames.shape[1]), strict=True):
        save_png(Image.fromarray(frame), out / f"frame_{yaw:+06.1f}.png")
    large = enlarge(frames, plan.side or max(frames.shape[1], SHOWN_SIDE))
    if plan.contact_sheets:
        _write_sheets(result, large, yaws_deg, out)
    if result.photographs is not None:
        return _write_photographs(result, yaws_deg, plan, out)
    ends = enlarge(np.stack([result.source.crop, result.reconstruction]), large.shape[1])
    captions = ["source", "decoded", *(caption(yaw) for yaw in yaws_deg)]
    _write_strip(np.concatenate([ends, large]), captions, plan, out)
    for kind in plan.animations:
        WRITERS[kind](frames, out / f"turn.{kind}", large.shape[1])
    if plan.photograph is not None:
        for yaw, frame in zip(yaws_deg, frames, strict=True):
            save_png(
                paste_back(plan.photograph, frame, exact=result.source.box),
                photograph_path(out, yaw),
            )
    return frames


def _write_photographs(
    result: Rotation, yaws_deg: Sequence[float], plan: OutputPlan, out: Path
) -> Pixels:
    """Write whole photographs, one by one, and what shows them; return them as they are shown."""
    assert result.photographs is not None
    assert result.source.photograph is not None
    source = np.asarray(result.source.photograph)
    height = plan.side or shown_height(len(source))
    doubts = result.turn.doubts or [None] * len(yaws_deg)
    shown = []
    for yaw, pixels in zip(yaws_deg, result.photographs, strict=True):
        save_png(Image.fromarray(pixels), photograph_path(out, yaw))
        shown.append(at_height(pixels, height))
    captions = [caption(yaw, doubt) for yaw, doubt in zip(yaws_deg, doubts, strict=True)]
    tiles = np.stack([at_height(source, height), *shown])
    _write_strip(tiles, ["photograph", *captions], plan, out)
    for kind in plan.animations:
        WRITERS[kind](tiles[1:], out / f"turn.{kind}", height)
    return tiles[1:]


def _write_strip(tiles: Pixels, captions: Sequence[str], plan: OutputPlan, out: Path) -> None:
    save_png(draw_strip(tiles, captions, scale=1), out / "strip.png")
    if plan.grid:
        save_png(draw_grid(tiles, captions), out / "grid.png")


def _write_sheets(result: Rotation, large: Pixels, yaws_deg: Sequence[float], out: Path) -> None:
    """Write the clusters' mean images, and the frames above the nearest of them."""
    angles = result.selection.angles_deg
    names = [degrees(angle) for angle in angles]
    means = enlarge(result.means, SHOWN_SIDE)
    save_png(draw_sheet(means[None], names), out / "cluster_means.png")
    beside = draw_beside_means(large, yaws_deg, result.means, angles)
    save_png(beside, out / "beside_means.png")
