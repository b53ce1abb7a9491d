"""Sheets of turned faces: all strips; the best, median and worst; reconstructed sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rotation.data.crop import Pixels


@dataclass(frozen=True)
class Strip:
    """A source (S, S, 3), its reconstruction and its frames (K, S, S, 3)."""

    source: Pixels
    again: Pixels
    frames: Pixels


def draw(
    strips: Mapping[str, Strip],
    values: Mapping[str, NDArray[np.float64]],
    labels: Mapping[str, str],
    out: Path,
    way: str,
) -> None:
    """All strips in rows, the source first; and of frames alone, without the photograph, the
    best, median and worst four, by the sum of two ranks: yaw error and distance from the middle.
    The first sources given back at no turn, in rows of eight."""
    names = list(strips)
    ranks = sum(np.argsort(np.argsort(values[key])) for key in ("yaw_mae_30", "distance"))
    order = np.argsort(ranks, kind="stable").tolist()
    middle = max(0, len(order) // 2 - 2)
    chosen = [*order[:4], *order[middle : middle + 4], *order[-4:]]
    for title, rows in (("all", order), ("chosen", chosen)):
        shown = [strips[names[k]].frames for k in rows]
        if title == "all":
            sources = [strips[names[k]].source[None] for k in rows]
            shown = [np.concatenate(pair) for pair in zip(sources, shown, strict=True)]
        sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in shown])
        _save_large(sheet, out / f"{way}-{title}.png")
        listing = [f"{names[k]} {labels[names[k]]}" for k in rows]
        (out / f"{way}-{title}.txt").write_text("\n".join(listing) + "\n", "utf-8")

    again = [strips[name].again for name in names[: len(names) // 8 * 8][:24]]
    if again:
        rows = [np.concatenate(again[k : k + 8], axis=1) for k in range(0, len(again), 8)]
        _save_large(np.concatenate(rows), out / f"{way}-again.png")


def _save_large(sheet: Pixels, path: Path) -> None:
    large = (sheet.shape[1] * 2, sheet.shape[0] * 2)
    Image.fromarray(sheet).resize(large, Image.Resampling.BICUBIC).save(path)
