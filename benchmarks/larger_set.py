#!/usr/bin/env python3
"""Write an image set of any size, of shifted, scaled and mirrored images of another set.

The first images are those of the given set, byte for byte. The next ones are drawn anew from them:
each is shifted by up to 3 % of its width and scaled by up to 5 %. Every other copy of the set is
mirrored, beginning with the first. So all differ, and each must be decoded and looked at. Beyond
the edge the last pixels are repeated. The same seed gives the same files.

Example:
    python benchmarks/larger_set.py $CELEBA build/celeba-202599.zip --images 202599
"""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import _project  # noqa: F401
import click
import numpy as np
from PIL import Image, ImageOps

from rotation.data.sources import open_source

SHIFT, SCALE = 0.03, 0.05
QUALITY = 92


@click.command(epilog=(__doc__ or "").partition("Example:\n")[2].strip())
@click.argument("images", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--images", "count", default=20_000, show_default=True, type=click.IntRange(min=1))
@click.option("--seed", default=0, show_default=True)
def main(images: Path, out: Path, count: int, seed: int) -> None:
    """Write the zip OUT of as many images as wanted, made from the folder or zip IMAGES."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.partial")
    rng = np.random.default_rng(seed)
    with open_source(images) as source, zipfile.ZipFile(partial, "w") as archive:
        names = list(source.names())
        with click.progressbar(range(count), label="Images", update_min_steps=500) as numbers:
            for number in numbers:
                copy, at = divmod(number, len(names))
                data = source.read(names[at])
                if copy:
                    data = vary(data, copy % 2 == 1, rng)
                archive.writestr(f"{number + 1:06d}.jpg", data)
    os.replace(partial, out)
    click.echo(f"{out}: {count:,} images")


def vary(data: bytes, mirror: bool, rng: np.random.Generator) -> bytes:
    """The bytes of an image, shifted and scaled by chance, as JPEG."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    border = round(2 * (SHIFT + SCALE) * max(image.size))
    padded = np.pad(np.asarray(image), ((border, border), (border, border), (0, 0)), mode="edge")
    scale = 1 + rng.uniform(-SCALE, SCALE)
    right, down = rng.uniform(-SHIFT, SHIFT, 2) * width
    corner = (
        border + (width - width / scale) / 2 - right,
        border + (height - height / scale) / 2 - down,
    )
    matrix = (1 / scale, 0, corner[0], 0, 1 / scale, corner[1])
    moved = Image.fromarray(padded).transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
    )
    buffer = io.BytesIO()
    (ImageOps.mirror(moved) if mirror else moved).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
