#!/usr/bin/env python3
"""Write a data set with the size and the files of CelebA, but with empty images.

Every JPEG is the same grey square with another comment. So all hashes differ, and 202,599 images
are made in seconds.

Example:
    python benchmarks/fake_celeba.py build/fake_celeba --images 202599
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import click
import numpy as np
from PIL import Image

CELEBA_IMAGES = 202_599
N_ATTRIBUTES = 40
N_IDENTITIES = 10_177
LANDMARKS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")


@click.command(epilog="Example: python benchmarks/fake_celeba.py build/fake_celeba --images 202599")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--images", default=CELEBA_IMAGES, show_default=True, type=click.IntRange(min=1))
@click.option("--seed", default=0, show_default=True)
def main(folder: Path, images: int, seed: int) -> None:
    """Write the zip of images and the four text files into FOLDER."""
    write_fake_celeba(folder, images, seed)
    click.echo(f"{folder}: {images:,} images")


def write_fake_celeba(folder: Path, n_images: int, seed: int = 0) -> None:
    """Write `img_align_celeba.zip` and the text files; existing ones are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:06d}.jpg" for number in range(1, n_images + 1)]
    _write_zip(folder / "img_align_celeba.zip", names)
    rng = np.random.default_rng(seed)
    attributes = rng.choice(np.array([-1, 1]), (n_images, N_ATTRIBUTES))
    header = f"{n_images}\n{' '.join(f'Attribute_{i}' for i in range(N_ATTRIBUTES))}\n"
    _write_table(folder / "list_attr_celeba.txt", header, names, attributes)
    identities = rng.integers(1, N_IDENTITIES + 1, (n_images, 1))
    _write_table(folder / "identity_CelebA.txt", "", names, identities)
    partitions = rng.choice(np.arange(3), (n_images, 1), p=[0.8, 0.1, 0.1])
    _write_table(folder / "list_eval_partition.txt", "", names, partitions)
    columns = " ".join(f"{point}_{axis}" for point in LANDMARKS for axis in "xy")
    landmarks = rng.integers(40, 140, (n_images, 10))
    header = f"{n_images}\n{columns}\n"
    _write_table(folder / "list_landmarks_align_celeba.txt", header, names, landmarks)


def fake_jpeg(number: int) -> bytes:
    """A small grey JPEG whose comment holds the number."""
    comment = f"{number:012d}".encode()
    length = (len(comment) + 2).to_bytes(2)
    return _GREY[:2] + b"\xff\xfe" + length + comment + _GREY[2:]


def _grey() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (120, 120, 120)).save(buffer, "JPEG", quality=30, optimize=True)
    return buffer.getvalue()


_GREY = _grey()


def _write_zip(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, name in enumerate(names, start=1):
            archive.writestr(f"img_align_celeba/{name}", fake_jpeg(number))


def _write_table(path: Path, header: str, names: list[str], values: np.ndarray) -> None:
    rows = (
        f"{name} {' '.join(map(str, row))}\n"
        for name, row in zip(names, values.tolist(), strict=True)
    )
    with path.open("w") as file:
        file.write(header)
        file.writelines(rows)


if __name__ == "__main__":
    main()
