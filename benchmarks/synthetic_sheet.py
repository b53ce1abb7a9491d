"""Draw the contact sheet of docs/synthetic.md.

Example:
    python benchmarks/synthetic_sheet.py build/synthetic_sheet.png
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import _project  # noqa: F401
import numpy as np
from PIL import Image

from rotation.synthetic_heads.parameters import Head, Scene
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import pose_head, sample_heads, sample_identity

COLUMNS = 9
SIZE = 64


def main() -> None:
    """Yaws of two people, lamps around two, and two rows of the training distribution."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", help="the PNG to write")
    options = parser.parse_args()
    rows = [turned(person) for person in (0, 5)] + [lit(person) for person in (3, 6)]
    heads = [head for row in rows for head in row] + sample_heads(2 * COLUMNS, seed=11)
    tiles = render(heads, SIZE).reshape(-1, COLUMNS, SIZE, SIZE, 3)
    sheet = tiles.transpose(0, 2, 1, 3, 4).reshape(-1, COLUMNS * SIZE, 3)
    picture = Image.fromarray(np.ascontiguousarray(sheet))
    picture.save(options.out, optimize=True)


def portrait(person: int) -> Head:
    """A person before a grey wall."""
    return pose_head(sample_identity(person), Scene(light_azimuth_deg=25.0, smile=0.4))


def turned(person: int) -> list[Head]:
    """Yaw from -40 to 40 degrees."""
    return [replace(portrait(person), yaw_deg=float(yaw)) for yaw in range(-40, 41, 10)]


def lit(person: int) -> list[Head]:
    """Light from the viewer's left to the viewer's right."""
    return [
        replace(portrait(person), light_azimuth_deg=float(azimuth), light_strength=0.9)
        for azimuth in range(80, -81, -20)
    ]


if __name__ == "__main__":
    main()
