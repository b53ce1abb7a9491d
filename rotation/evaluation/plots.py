"""Images of a benchmark: strips below their true renders, and a plot of yaw reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rotation.data.crop import Pixels
from rotation.evaluation.judge import JudgedFrames
from rotation.imaging.images import degrees, draw_sheet, save_atomically, save_png


@dataclass(frozen=True)
class Strip:
    """One source: its true renders (K, S, S, 3), and the frames of each variant."""

    true: Pixels
    turned: Mapping[str, JudgedFrames]


def write_strips(strips: Sequence[Strip], yaws_deg: Sequence[float], path: Path) -> None:
    """Write a sheet: for each source one row of true renders, and one row for each variant."""
    rows, labels = [], []
    for strip in strips:
        rows += [strip.true, *(one.frames for one in strip.turned.values())]
        labels += ["truth", *strip.turned]
    captions = [degrees(yaw) for yaw in yaws_deg]
    save_png(draw_sheet(np.stack(rows), captions, labels), path)


def write_plot(summary: Mapping[str, Any], yaws_deg: Sequence[float], path: Path) -> None:
    """Plot the median and the quartiles of the yaw reached over the target yaw."""
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    axes = figure.add_subplot()
    order = np.argsort(yaws_deg)
    asked = np.asarray(yaws_deg)[order]
    axes.plot(asked, asked, color="0.4", linestyle="--", linewidth=1, label="as asked")
    for name, one in summary.items():
        low, median, high = (
            np.asarray(one["reached_deg"][part])[order] for part in ("low", "median", "high")
        )
        (line,) = axes.plot(asked, median, marker="o", markersize=3, label=name)
        axes.fill_between(asked, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.set_xlabel("yaw asked for, degrees")
    axes.set_ylabel("yaw reached, degrees: median and quartiles")
    axes.grid(color="0.9")
    axes.legend(frameon=False)
    save_atomically(path, lambda target: figure.savefig(target, format="png", dpi=120))
